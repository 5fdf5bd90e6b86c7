"""What the numbers of the chapters on diffusion say, in words: functions of nothing but these numbers."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from galgen.compare.exchange import Memorization
from galgen.compare.portraits import Portrait
from galgen.compare.uncertainty import Estimate
from galgen.config import ConditionalSettings, DenoiserSettings
from galgen.figures.style import spaced

__all__ = ["agreement", "at_sizes", "best_of", "beyond", "controls", "convergence", "first_component", "gap"]
__all__ += ["gives_away", "memorisation", "onset", "optimizer", "passes", "plateau"]


def at_sizes(sizes: Iterable[int]) -> str:
    """As `N = 10, 4 000`."""
    return f"N = {', '.join(map(spaced, sizes))}"


def optimizer(settings: DenoiserSettings | ConditionalSettings) -> str:
    """How a denoiser is trained, as `Adam at 0.001 and batches of 512`."""
    adam, batches = f"Adam at {settings.learning_rate:g}", f"and batches of {settings.batch_size}"
    if settings.optimizer == "adam":
        return f"{adam} {batches}"
    return f"Muon at {settings.muon_rate:g} ({adam} for gains and both ends) {batches}"


def convergence(networks: Estimate, gaussians: Estimate) -> str:
    """What the agreement of two networks shows beside that of two Gaussians."""
    if gaussians.value < networks.low:
        return "The networks agree beyond that, but most of their agreement takes no more than Gaussians."
    found = "So that two models agree does not show that they have learnt galaxies"
    return f"{found}; it shows that they have converged, on something."


def first_component(deviation: float, share: float) -> str:
    """Whether the noise that a sampler starts from reaches the galaxies' spread along the first component.

    Args:
        deviation: The galaxies' standard deviation along it.
        share: The samples' variance along it over the galaxies'.
    """
    spread = f"Galaxies spread by {deviation:.1f} along the first component."
    start = "The sampler starts from one image with noise of 1 in every direction"
    if deviation <= 1 or share >= 0.8:
        return f"{spread} {start}."
    range_ = "the range of noise from 0 to 1, which is the paper's, cuts the variance there to"
    short = f"too little to reach the brightest and the faintest: {range_} {share:.2f} of what it should be"
    return f"{spread} {start}, {short}."


def gives_away(found: Portrait) -> str:
    """At which sides in pixels a classifier tells samples from galaxies, and where their variance is off."""
    sides = {True: [], False: []}
    for side, test in found.c2st.items():
        sides[test.p < 0.05].append(f"{side}")
    told, missed = (", ".join(sides[side]) for side in (True, False))
    text = f"A classifier tells them from galaxies at {told or 'no number of'} pixels a side"
    text += f", and not at {missed}" if told and missed else ""
    off = [f"{ratio:.2f} in {name}" for name, ratio in found.spread.items() if not 0.75 < ratio < 1.35]
    return (
        f"{text}. Of the galaxies' variance they have {', '.join(off) or '0.75 to 1.35 in all components'}."
    )


def best_of(ways: Mapping[str, Portrait], ours: str) -> str:
    """Which way to sample is told from galaxies the least, at the coarsest scale, and whether it is ours."""
    auc = {name: found.c2st[min(found.c2st)].auc for name, found in ways.items()}
    best = min(auc, key=lambda name: auc[name].value)
    text = f"At {min(ways[ours].c2st)} pixels the samples hardest to tell from galaxies are those of "
    text += f"*{best}* (AUC {auc[best]})"
    if best == ours:
        return f"{text}, the way of this book."
    apart = "no clear difference" if auc[ours].low <= auc[best].high else "a clear difference"
    return f"{text}; *{ours}*, the way of this book, has {auc[ours]}: {apart}."


def gap(gaps: Mapping[int, float]) -> str:
    """How much better an image is denoised for having been trained on: the largest gap in dB, by N."""
    small, large = min(gaps), max(gaps)
    most = f"is up to {gaps[small]:.1f} dB better on its training images than one that has not seen them"
    here = "The transition of the paper's figures 5 and 6 is here."
    if not gaps[small] > 3 > 3 * gaps[large]:
        here = "That is not the clear transition of the paper's figures 5 and 6."
    sizes = f"At N = {spaced(small)} the denoiser {most}, at N = {spaced(large)} up to {gaps[large]:.1f} dB."
    return f"**The gap.** {sizes} {here}"


def plateau(psnr: Sequence[float]) -> str:
    """Whether the denoiser of the smallest N does better as the noise grows less.

    Args:
        psnr: Of held-out images, in dB, from the least noise, 0.01, to 0.05.
    """
    better, end = "still better", "A plateau as flat as the paper's 27 dB is not seen here."
    if np.ptp(psnr) < 3:
        better = "hardly better"
        end = f"That is nearly a plateau, as in the paper, but at {np.median(psnr):.0f} dB and not 27."
    unseen = f"On images it has not seen, the small-N denoiser gets {better} as noise falls from 0.05 to 0.01"
    numbers = f"{psnr[-1]:.1f} to {psnr[0]:.1f} dB, where nothing done would go from 26 to 40 dB"
    return f"**The plateau.** {unseen}: {numbers}. {end}"


def beyond(difference: float) -> str:
    """By how much two networks agree more than the stronger of their controls."""
    if difference > 0:
        return f"Agreement beyond the stronger control is {difference:+.2f}."
    less = f"The U-Nets do **not** agree more than the stronger control ({difference:+.2f})"
    return f"{less}: agreement alone is no evidence that they have learnt galaxies."


def onset(history: Mapping[int, Mapping[int, Memorization]], alpha: float = 0.01) -> dict[int, float]:
    """After how many passes over its training set a pair of models has memorised it.

    Args:
        history: The tests by N and images shown.
        alpha: The p-value below which a pair memorises.

    Returns:
        By N, the fewest passes at which it does, where it ever does.
    """
    passes = {
        n: [shown / n for shown, test in tests.items() if test.outcome.p < alpha]
        for n, tests in history.items()
    }
    return {n: min(found) for n, found in passes.items() if found}


def passes(history: Mapping[int, Mapping[int, Memorization]]) -> str:
    """The same in words."""
    found = onset(history)
    texts = [
        f"at N = {spaced(n)} " + (f"after {spaced(round(found[n]))} passes" if n in found else "never")
        for n in history
    ]
    return f"The pair memorises (p < 0.01) {', '.join(texts)}"


def memorisation(tests: Mapping[int, Memorization], alpha: float = 0.01) -> str:
    """At which N models memorise, and at which that is excluded: no test finds it, and P is 0.55 at most."""
    copied, fresh = "No N memorises at this budget", "there is no N at which it can be excluded"
    if sizes := [n for n, test in tests.items() if test.outcome.p < alpha]:
        copied = f"At {at_sizes(sizes)} the models memorise"
    if sizes := [n for n, t in tests.items() if t.outcome.p >= alpha and t.models.closer.high <= 0.55]:
        fresh = f"at {at_sizes(sizes)} P(train closer) is 0.55 at most"
    small = tests[min(tests)]
    known = f"P(train closer) {small.models.closer} at N = {spaced(min(tests))}"
    known += f", of Gaussians of the same images {small.gaussians.closer}"
    return f"**Memorisation.** {copied} ({known}); {fresh}."


def agreement(small: Estimate, large: Estimate) -> str:
    """Whether the agreement of A and B grows from the smallest to the largest N."""
    end = ", the transition of the paper." if large.low > small.high else ": no transition."
    return f"**Agreement.** From the smallest to the largest N it goes from {small} to {large}{end}"


def controls(networks: Mapping[int, Estimate], gaussians: Mapping[int, Estimate], difference: float) -> str:
    """How far two networks agree more than their controls.

    Args:
        networks: Agreement of the networks by N.
        gaussians: Agreement of two Gaussians by N.
        difference: Agreement at the largest N beyond the stronger control.
    """
    ends = f"{gaussians[min(gaussians)]} to {gaussians[max(gaussians)]}"
    ahead = "At no N do the U-Nets agree more than they do."
    last = "At the largest N the U-Nets exceed both controls."
    if sizes := [n for n in networks if networks[n].low > gaussians[n].high]:
        numbers = "; ".join(f"{networks[n]} against {gaussians[n]}" for n in sizes)
        ahead = f"The U-Nets agree more than they do at {at_sizes(sizes)} ({numbers})."
    if difference <= 0:
        last = (
            "At the largest N they do not exceed the controls; what they add is in the pictures, and in the"
        )
        last += " distance to the training images given above."
    enough = "Agreement is necessary for a common distribution and not sufficient."
    return f"**The controls.** Two linear denoisers do the same ({ends}). {enough} {ahead} {last}"
