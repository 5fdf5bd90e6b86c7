"""The clock, asked: what is measured along its trainings."""

from collections.abc import Sequence

from galbook.clock.cells import Cell, Trace
from galbook.clock.gap import SIGMAS, psnr_along
from galbook.kept import once
from galgen.experiment import Experiment

__all__ = ["clock", "clock_cell", "traces"]


@once
def traces(study: Experiment, N: int) -> list[Trace]:
    """PSNR and squared errors of own and held-out images along A and B of the first pair."""
    held_out, pixels = study.images.held_out, study.images.dataset.images[0].size
    found = []
    for model in study.models.pair(N):
        along = ((shown, study.networks(model, shown)) for shown in study.train(model).summary["weights"])
        psnr = psnr_along(along, study.family.denoiser, study.images.of(model), held_out, sigmas=SIGMAS)
        found.append(Trace.of(*psnr, pixels))
    return found


def clock(studies: Sequence[Experiment]) -> list[Cell]:
    """Cells of the clock's networks, one study a width, by width and N."""
    return [clock_cell(study, n) for study in studies for n in study.sizes]


def clock_cell(study: Experiment, N: int) -> Cell:
    """The cell of one width and N."""
    load = N * study.images.dataset.images[0].size / study.weights
    return Cell(study.settings.kernels, N, load, traces(study, N))
