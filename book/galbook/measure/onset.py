"""Denoising gap and its onset along trainings, and near-copies of samples.

For A and B of the first pair, at milestones of the training, the gap g of `galbook.onset.gap` is measured. In
the onset study, whose learning rate is constant except for the last tenth, we also measure

    onset     images shown when g exceeds a level for good; censored at nine tenths of the training, where the
              learning rate begins to fall, if that is later or never

and the near-copies, the training-set bias and the agreement of samples of A and B at every third milestone.
`results/onset` has the same rows of the finished study of chapter 03c.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor

from galbook.measure.agreement import training_bias
from galbook.onset.gap import LEVELS, memory_gap, psnr_along, settled
from galbook.table import each_size, first_pair, question, row
from galgen.compare.agreement import two_models
from galgen.compare.memorization import distance_ratio, near_copy_fraction
from galgen.compare.uncertainty import Estimate
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.models.families import STUDIES

__all__ = ["ALL_LEVELS", "near_copies_along_training", "onset"]

STEP = 3  # milestones between generations of samples
ALL_LEVELS = (0.5, 0.75, *LEVELS)  # dB


@question(families=("diffusion", "conditional", *STUDIES), arguments=each_size, models=first_pair)
def onset(experiment: Experiment, N: int) -> tuple[list[dict], dict]:
    """Denoising gap along A and B of the first pair; in the onset study also its onset."""
    study, pixels, rows = experiment.family.name in STUDIES, experiment.images.dataset.images[0].size, []
    where = {"width": experiment.settings.base_channels} if study else {}
    for model in first_pair(experiment, N):
        milestones = experiment.train(model).summary["weights"]
        psnr = psnr_along(
            ((shown, experiment.networks(model, shown)) for shown in milestones),
            experiment.family.denoiser,
            experiment.images.of(model),
            experiment.images.held_out,
        )
        lines = _of_training(*psnr, N, N * pixels / experiment.weights if study else None)
        rows += [where | {"model": model.label} | line for line in lines]
    return rows, {}


@question(families=tuple(STUDIES), arguments=each_size, models=first_pair)
def near_copies_along_training(experiment: Experiment, N: int) -> tuple[list[dict], dict]:
    """Near-copies, training-set bias and agreement of A and B of the first pair at milestones."""
    pair, images, rows = first_pair(experiment, N), experiment.images, []
    where = {"model": "-".join(model.label for model in pair), "training_sets": "disjoint"}
    options = {"mean": images.mean, "flips": experiment.family.flips}

    def copies(queries: Iterable[Tensor]) -> Estimate:
        pairs = zip(queries, pair, strict=True)
        ratios = [distance_ratio(x, images.of(model), **options) for x, model in pairs]
        return near_copy_fraction(np.stack(ratios, axis=1))

    for shown in sorted(experiment.train(pair[0]).summary["weights"])[::-STEP][::-1]:
        samples = [experiment.samples(model, shown) for model in pair]
        test = two_models(*samples, images.dataset.images, images.split(N), **options)
        estimates = {
            "training_set_bias": training_bias(test.p_closer),
            "near_copy_fraction": copies(samples),
            "agreement": test.agreement,
        }
        rows += [row(name, estimate, images_shown=shown, **where) for name, estimate in estimates.items()]
    held_out = copies([unit(images.held_out)] * 2)
    rows.append(row("near_copy_fraction", held_out, model="held-out"))
    return [{"width": experiment.settings.base_channels} | line for line in rows], {}


def _of_training(
    shown: np.ndarray, own: np.ndarray, held_out: np.ndarray, N: int, load: float | None
) -> Iterator[dict]:
    """Rows of one training from `psnr_along`; with the onset if the load is given."""
    gap = memory_gap(shown, own, held_out, start=settled(N, shown))
    end = int(shown[-1])
    late = end * 9 // 10
    for images, p in zip(gap.shown, gap.p, strict=True):
        yield row("denoising_gap", gap.at(images), p=p, images_shown=images)
    if gap.shown[0] <= end / 4:
        gained = gap.at(end).value - gap.at(end / 4).value
        yield row("denoising_gap_gain", gained, at=4, images_shown=end)
    if load is None:
        return
    if gap.shown[0] <= late / 2:
        yield row("denoising_gap_gain", gap.gained(late), at=2, images_shown=late)
    for level in ALL_LEVELS:
        t = gap.onset(level)
        censored = t is None or t > late
        yield row("onset", late if censored else t, at=level, images_shown=end)
        yield row("onset_censored", censored, at=level, images_shown=end)
    for name, value in (("load", load), ("epochs", end / N)):
        yield row(name, value, images_shown=end)
