"""Which images: the data set of an experiment, its split, and what belongs to both.

All families, and all N, draw from one data set: half A and half B of each N, what no model sees for the
tests, and of the rest the image that samples begin at.
"""

import functools
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from galgen import costs
from galgen.config import Parameters
from galgen.data.dataset import Dataset, Split, split
from galgen.data.prepare import foreign, prepare
from galgen.data.unit import mean_image
from galgen.models.families import FAMILIES, Training
from galgen.runs.store import Store
from galgen.settings import Profile, TrainingSettings
from galgen.words import figure_note

__all__ = ["Sets"]

_ELSEWHERE = 1_000_000  # from the seed of the galaxies to that of what foreign models see


class Sets:
    """The images of an experiment.

    Attributes:
        parameters: What was asked.
        profile: Of that name.
        settings: The part of the family.
        sizes: All N, growing.
        store: Where data sets are kept.
    """

    parameters: Parameters
    profile: Profile
    settings: TrainingSettings
    sizes: tuple[int, ...]
    store: Store

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The galaxies."""
        return self._prepare(*self.sources[0])

    @functools.cache  # noqa: B019 - an experiment lives as long as its process
    def foreign_dataset(self, name: str) -> Dataset:
        """The images of another kind, by a name of `galgen.settings.Foreign`."""
        return self._prepare(*self.sources[1 + self.strangers.index(name)])

    @functools.cached_property
    def mean_image(self) -> np.ndarray:
        """The mean of all galaxies, (1, H, W) in [0, 1], which the anomaly cosine projects out."""
        return mean_image(self.dataset.images)

    @property
    def strangers(self) -> list[str]:
        """The other kinds of images that foreign models see, the same for all families."""
        return sorted({name for family in FAMILIES for name in getattr(self.profile, family).foreign})

    @property
    def sources(self) -> list[tuple[str, dict[str, int]]]:
        """Where images come from, and what is made of a source: the data, then what each stranger sees.

        All families ask the same, whichever asks first. Strangers' images have a seed of their own: of one
        seed, the ellipticals among the galaxies would be the same images among ellipticals alone.
        """
        profile, data = self.profile, self.parameters.data
        sizes = (
            [self.parameters.N] if self.parameters.N else [getattr(profile, family).N for family in FAMILIES]
        )
        count = max(profile.simulated, 2 * max(map(max, sizes)) + profile.validation)
        own = {
            "size": profile.image_size,
            "crop": profile.crop,
            "count": count,
            "seed": self.parameters.seed,
        }
        others = own | {"seed": own["seed"] + _ELSEWHERE}
        return [(data, own), *((foreign(data, name), others) for name in self.strangers)]

    def _prepare(self, source: str, asked: dict[str, int]) -> Dataset:
        room = functools.partial(costs.check_galaxies, asked["count"], asked["size"])
        found = prepare(self.store, source, before=room, **asked)
        smaller = asked | {"size": self.image_size}
        return found if smaller == asked else prepare(self.store, str(found.directory), **smaller)

    @property
    def image_size(self) -> int:
        """Side of the images, pixels: that of the profile, or of a study of smaller ones."""
        return min(getattr(self.settings, "image_size", self.profile.image_size), self.profile.image_size)

    @property
    def compared(self) -> int:
        """How many samples are held against held-out galaxies: twice as many, and as many more for a null."""
        return min(self.profile.samples, self.profile.validation // 3)

    def note(self, N: int | Iterable[int] | None = None) -> str:
        """The note of a figure: profile, data set, and N, by default all of them."""
        return figure_note(self.profile.name, self.dataset.name, self.sizes if N is None else N)

    def split(self, N: int | None = None, *, foreign: str = "") -> Split:
        """Row numbers of A, B and validation for N (by default the largest) images a model."""
        dataset = self.foreign_dataset(foreign) if foreign else self.dataset
        given = {"source": "" if foreign else self.parameters.data, "seed": self.parameters.seed}
        return split(dataset, N or max(self.sizes), self.profile.validation, **given)

    def images(self, training: Training) -> np.ndarray:
        """The images a model is trained on, uint8 (N, 1, H, W)."""
        dataset = self.foreign_dataset(training.foreign) if training.foreign else self.dataset
        return dataset.images[getattr(self.split(training.N, foreign=training.foreign), training.half)]

    @functools.cached_property
    def unseen(self) -> np.ndarray:
        """Images that no model is trained on and, if data are left, few tests see: uint8 (n, 1, H, W).

        Of the tests `galgen.evidence.judges.before_memory`, and `.shapes.fit` where validation is used up.
        """
        sets = self.split()
        return self.dataset.images[sets.starts if len(sets.starts) else sets.validation]

    @functools.cached_property
    def start(self) -> Tensor:
        """The image that both models' samples begin at, (1, H, W): the mean of images neither has seen."""
        return torch.from_numpy(mean_image(self.unseen))
