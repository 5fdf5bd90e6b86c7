"""The clock, asked: what is measured along its trainings."""

from collections.abc import Sequence
from dataclasses import dataclass

from galbook.clock.cells import Cell, Trace
from galbook.clock.gap import SIGMAS, psnr_along
from galbook.kept import once
from galgen.compare.agreement import two_models
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment

__all__ = ["Copying", "clock", "clock_cell", "copying", "traces"]

# The modules that the answers depend on, beside this one.
FILES = (
    "galbook.clock.bits",
    "galbook.clock.cells",
    "galbook.clock.gap",
    "galgen.compare.agreement",
    "galgen.compare.denoising",
    "galgen.compare.distances",
    "galgen.compare.gaussian",
    "galgen.compare.memorization",
    "galgen.compare.similarity",
    "galgen.compare.uncertainty",
)

STEP = 3  # milestones from one at which samples are drawn to the next


@dataclass(frozen=True)
class Copying:
    """What two models draw at a milestone.

    Attributes:
        closer: P(train closer) of both.
        copies: The share of samples that are copies: far nearer to one training image than to any other.
        agree: Median anomaly cosine of the two.
    """

    closer: Estimate
    copies: Estimate
    agree: Estimate


@once
def traces(study: Experiment, N: int, whole: bool = True) -> list[Trace]:
    """PSNR of own and held-out images along A and B of the first pair, and all of `SIGMAS` if `whole`."""
    held_out, pixels = study.images.held_out, study.images.dataset.images[0].size
    sigmas, found = SIGMAS if whole else SIGMAS[2:3], []
    for model in study.models.pair(N):
        along = ((shown, study.networks(model, shown)) for shown in study.train(model).summary["weights"])
        psnr = psnr_along(along, study.family.denoiser, study.images.of(model), held_out, sigmas=sigmas)
        found.append(Trace.of(*psnr, pixels))
    return found


@once
def copying(study: Experiment, N: int) -> dict[int, Copying]:
    """What A and B draw from the latents of the book, along their trainings, by images shown."""
    pair, found = study.models.pair(N), {}
    kept = sorted(study.train(pair[0]).summary["weights"])
    for shown in kept[::-STEP][::-1]:
        drawn = [study.samples(model, shown) for model in pair]
        given = {"mean": study.images.mean, "flips": study.family.flips}
        test = two_models(*drawn, study.images.dataset.images, study.images.split(N), **given)
        found[shown] = Copying(test.memorization.models.closer, test.memorised, test.agree)
    return found


def clock(studies: Sequence[Experiment]) -> list[Cell]:
    """Cells of the clock's networks, one study a width, by width and N."""
    return [clock_cell(study, n) for study in studies for n in study.sizes]


def clock_cell(study: Experiment, N: int, whole: bool = True) -> Cell:
    """The cell of one width and N; also of a denoiser of the book, at one noise level if not `whole`."""
    load = N * study.images.dataset.images[0].size / study.weights
    return Cell(study.settings.kernels, N, load, traces(study, N, whole))
