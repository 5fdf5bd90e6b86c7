"""What the numbers of the chapters on diffusion say, in words: functions of nothing but these numbers."""

from collections.abc import Iterable, Mapping

from galgen.compare.memorization import Memorization
from galgen.compare.portraits import Portrait
from galgen.compare.uncertainty import Estimate
from galgen.config import ConditionalSettings, DenoiserSettings
from galgen.figures.style import spaced


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


def lost(errors: Mapping[str, float], linear: Mapping[str, float]) -> str:
    """Where a denoiser errs more than the linear filter does: errors of both by group of components."""
    excess = {name: errors[name] - linear[name] for name in errors if name != "bias"}
    whole = excess.pop("all")
    if whole <= 0:
        return f"Its squared error is below that of the linear filter by {-whole:.2f} in all."
    most = max(excess, key=excess.get)
    name, of_light = next(iter(excess.items()))
    text = f"Its squared error is above that of the linear filter by {whole:.2f}; most of that, "
    text += f"{excess[most]:.2f}, is in {most}. In {name}, brightness and size, it errs "
    return f"{text}{'more' if of_light > 0 else 'less'} ({of_light:+.2f})."


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
