"""Other ways to sample: where a walk begins, how far down it goes, and the paper's ascent and its choices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galbook import readings
from galbook.kept import once
from galbook.scoreboard import portrait_table
from galgen.compare import similarity
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.scoreboard import Portrait, portrait
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.data.unit import mean_image
from galgen.experiment import Experiment
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models.sampling import Samples, blind, dpm_solver_2m, ladder, stochastic_ascent
from galgen.profiles import DenoiserSettings

__all__ = ["Choice", "Ways", "choices", "choices_in_short", "choices_table", "ways", "ways_table"]

# The modules that the answers depend on, beside this one.
FILES = ("galbook.scoreboard",)

COUNT = 256  # samples of each way, at most

FEW = 32  # latents of each choice, at most


@dataclass(frozen=True)
class Ways:
    """Model A of the largest N, sampled in several ways.

    Attributes:
        count: Samples of each, held against twice as many held-out images.
        found: What came of each, the way of this book first, where ten samples or more have converged.
        calls: Of the network for a sample, a mean.
        galaxies: Other held-out images.
    """

    count: int
    found: dict[str, Portrait]
    calls: dict[str, float]
    galaxies: Portrait


@once
def ways(experiment: Experiment) -> Ways:
    """From three starts, down to another noise level, in fewer and more steps, and by stochastic ascent."""
    model = experiment.models.pair(experiment.sizes[-1])[0]
    net, train = experiment.networks(model)["net"], experiment.images.of(model)
    start, unseen = experiment.images.start, experiment.images.held_out
    count = min(experiment.profile.samples, COUNT, len(unseen) // 3)
    seeds, spare = (
        experiment.latents(count),
        experiment.images.dataset.images[experiment.images.split().starts],
    )
    starts = {"one image": start, "its own mean": torch.from_numpy(mean_image(train))}
    if len(spare) > 1:  # of other numbers than the sampler's noise
        others = range(seeds.start + 500_000, seeds.stop + 500_000)
        starts["draws of a Gaussian"] = fit_gaussian(spare).draw(others)

    def flow(begin: Tensor, **other: float) -> Samples:
        return dpm_solver_2m(blind(net), begin, seeds, ladder(**experiment.settings.sampler | other))

    drawn = {f"start: {name}": flow(begin) for name, begin in starts.items()}
    drawn["down to σ = 0.02"] = flow(start, sigma_min=0.02)
    drawn |= {f"steps: {steps}": flow(start, steps=steps) for steps in (10, 60)}
    drawn["stochastic ascent"] = stochastic_ascent(net, start, seeds)
    drawn = {name: way for name, way in drawn.items() if way.converged.sum() >= 10}
    asked = {"reference": unseen[: 2 * count], "train": train}
    return Ways(
        count,
        {name: portrait(way.images[way.converged].numpy(), **asked) for name, way in drawn.items()},
        {name: float(way.calls.float().mean()) for name, way in drawn.items()},
        portrait(unseen[2 * count : 3 * count] / 255, **asked),
    )


def ways_table(asked: Ways, settings: DenoiserSettings) -> Markdown:
    """All of them beside galaxies, and whether another way is clearly harder to tell than ours."""
    names = {name: f"{name} ({calls:.0f} calls)" for name, calls in asked.calls.items()}
    judged = {names[name]: found for name, found in asked.found.items()}
    return portrait_table(
        judged | {"held-out galaxies": asked.galaxies},
        f"Variance over that of the training images, by components, and AUC of a classifier; {asked.count} "
        f"samples, {2 * asked.count} held-out images. Rows that name no start begin at the one image of the "
        f"first; ours has {settings.sampler_steps} calls down to σ = {settings.sampler_sigma_min:g}.",
        readings.said(readings.ways(judged, next(iter(judged)))),
    )


@dataclass(frozen=True)
class Choice:
    """Agreement of A and B by the paper's stochastic sampler.

    Attributes:
        start: Of the two walks.
        noise: The first that is put back.
        apart: The starts, in deviations of the noise on them.
        agree: Median anomaly cosine; None if fewer than two latents have converged.
        converged: Latents at which both walks have.
        latents: Of all.
    """

    start: str
    noise: str
    apart: float
    agree: Estimate | None
    converged: int
    latents: int


@once
def choices(experiment: Experiment, N: int) -> list[Choice]:
    """With neither, one and both of the paper's choices: each model's own mean as start, noise used twice."""
    pair, found = experiment.models.pair(N), []
    seeds = experiment.latents(min(FEW, experiment.profile.samples))
    nets = [experiment.networks(model)["net"] for model in pair]
    own = [torch.from_numpy(mean_image(experiment.images.of(model))) for model in pair]
    for starts, name in (([experiment.images.start] * 2, "common"), (own, "each its own mean")):
        for reuse, noise in ((False, "fresh"), (True, "used twice")):
            a, b = (stochastic_ascent(*of, seeds, reuse_noise=reuse) for of in zip(nets, starts, strict=True))
            ok = a.converged & b.converged
            cosines = similarity.cosine(
                a.images[ok], b.images[ok], kind="anomaly", mean=experiment.images.mean
            )
            agree = bootstrap(cosines) if ok.sum() > 1 else None
            apart = float((starts[0] - starts[1]).norm())
            found.append(Choice(name, noise, apart, agree, int(ok.sum()), len(seeds)))
    return found


def choices_table(found: Mapping[int, Sequence[Choice]]) -> Markdown:
    """A row for each N and choice."""
    rows = [
        [spaced(n), c.start, c.noise, f"{c.apart:.1f}", c.agree or "-", f"{c.converged} of {c.latents}"]
        for n, four in found.items()
        for c in four
    ]
    return table(
        ["N", "start", "noise", "starts apart", "A and B agree", "converged"],
        rows,
        after=f"{' '.join(_moved(n, four) for n, four in found.items())} The noise on the starts has a "
        "deviation of 1 along the line from one to the other, so their distance is in deviations. No network "
        "of other images drew with this sampler, so these medians have no floor, and do not lie on the scale "
        "above.",
    )


def _moved(n: int, four: Sequence[Choice]) -> str:
    medians = [round(c.agree.value, 2) for c in four if c.agree]
    if len(medians) < len(four):
        return f"At N = {spaced(n)} too few images converged."
    return f"At N = {spaced(n)} the four medians differ by {np.ptp(medians):.2f} at most."


def choices_in_short(found: Mapping[int, Sequence[Choice]]) -> str:
    """Agreement with neither and with both choices, in words."""
    said = [
        f"{four[0].agree} (one start, fresh noise) and {four[-1].agree} (two, noise reused) "
        f"at N = {spaced(n)}"
        for n, four in found.items()
        if all(c.agree for c in four)
    ]
    return f"A and B agree at {'; at '.join(said)}" if said else _moved(*list(found.items())[-1])
