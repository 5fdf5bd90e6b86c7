"""Data set: images, near-duplicates, split, and cosines of unrelated galaxies.

Unrelated galaxies are similar to some degree, and the similarity of the nearest of N galaxies increases with
N. These cosines, of held-out galaxies with each other and with their nearest training image, are the null
distributions of all comparisons of samples with galaxies.

No model is read.
"""

from collections.abc import Iterator

import numpy as np

from galbook.table import Arguments, each_size, question, row
from galgen.compare import similarity
from galgen.data.split import dihedral_keys
from galgen.data.unit import unit
from galgen.experiment import Experiment

__all__ = ["data_set", "data_split"]

STAMPS, PAIRS = 60, 12
NEAR = (0.95, 0.99)  # anomaly cosines of near-duplicates


def _no_values(experiment: Experiment) -> list[Arguments]:
    """No arguments: measured once, for the whole data set."""
    return [()]


@question(families=("diffusion",), arguments=_no_values, models=lambda *_: ())
def data_set(experiment: Experiment) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Counts of images and near-duplicates, pixel values, and cosines of unrelated galaxies.

    Arrays: `sha256` of the images, (32,); `pixel_values`, the counts of the 256 values; `mean_image`, (H, W);
    `held_out`, uint8 (stamps, H, W); `near_duplicates`, uint8 (pairs, 2, H, W); and of pairs of held-out
    images `raw`, `pearson` and `anomaly`, their cosines.
    """
    data, images, mean = experiment.images.dataset, experiment.images.dataset.images, experiment.images.mean
    values = np.bincount(images[:].ravel(), minlength=256)
    pairs, clones = (similarity.near_duplicates(images, cosine) for cosine in NEAR)
    sets = experiment.images.split(experiment.sizes[-1])
    rows = [
        row("images", len(images)),
        row("pixels_per_side", images.shape[-1]),
        row("near_duplicate_pairs", len(pairs), at=NEAR[0]),
        row("near_duplicate_pairs", len(clones), at=NEAR[1]),
    ]
    held_out, kinds = unit(experiment.images.held_out), similarity.KINDS
    cosines = {kind: similarity.shuffled_cosine(held_out, held_out, kind=kind, mean=mean) for kind in kinds}
    rows += _quantiles("unrelated", cosines)
    shown = pairs[np.unique(pairs[:, 0], return_index=True)[1]][:PAIRS]
    arrays = {"sha256": np.frombuffer(bytes.fromhex(data.sha256), np.uint8), "pixel_values": values}
    arrays |= {"mean_image": mean[0], "held_out": images[sets.validation[:STAMPS], 0]}
    arrays |= {"near_duplicates": images[shown, 0]} | _small(cosines)
    return rows, arrays


@question(families=("diffusion",), arguments=each_size, models=lambda *_: ())
def data_split(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Numbers of images per set, and cosines of held-out images with their nearest training image.

    Arrays, over held-out images: `raw`, `pearson` and `anomaly`, these cosines.
    """
    images, sets = experiment.images.dataset.images, experiment.images.split(N)
    parts = {"A": sets.A, "B": sets.B, "held-out": sets.validation, "sampler-start": sets.starts}
    rows = [row("images", len(part), model=name) for name, part in parts.items()]
    keys = dihedral_keys(images)
    distinct = [np.unique(keys[part]) for part in parts.values()]
    rows.append(row("images_in_common", sum(map(len, distinct)) - len(np.unique(np.concatenate(distinct)))))
    held_out, train, mean = unit(images[sets.validation]), images[sets.A], experiment.images.mean
    near = {kind: similarity.nearest(held_out, train, kind=kind, mean=mean) for kind in similarity.KINDS}
    cosines = {kind: neighbors.cosine[:, 0] for kind, neighbors in near.items()}
    return [*rows, *_quantiles("nearest", cosines)], _small(cosines)


def _quantiles(name: str, cosines: dict[str, np.ndarray]) -> Iterator[dict]:
    """Rows of medians, with the 5th and the 95th percentile."""
    for kind, values in cosines.items():
        low, middle, high = np.percentile(values, (5, 50, 95))
        yield row(f"{kind}_cosine_{name}", middle, low=low, high=high, n=len(values))


def _small(cosines: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {kind: values.astype(np.float16) for kind, values in cosines.items()}
