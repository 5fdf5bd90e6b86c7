"""Which images an experiment is of: its data set, the split, and what belongs to both."""

import functools

import numpy as np
import torch
from torch import Tensor

from galgen import profiles
from galgen.data.dataset import Dataset
from galgen.data.prepare import SIMULATED, prepare
from galgen.data.prepare import identity as prepare_identity
from galgen.data.prepare import out_of_domain as out_of_domain_source
from galgen.data.split import Split, split
from galgen.data.unit import mean_image
from galgen.models.families import FAMILIES, Training
from galgen.profiles import Parameters, TrainingSettings
from galgen.runs.store import Store

__all__ = ["FILES", "Images"]

FILES = ("galgen.data.split", "galgen.data.unit")  # with this one they say which images are of which part
_ELSEWHERE = 1_000_000  # from the seed of the galaxies to that of what out-of-domain models see


class Images:
    """Which images: the data set of an experiment, its split, and what belongs to both.

    All families, and all N, draw from one data set: half A and half B of each N, what no model sees for the
    tests, and of the rest the image that samples begin at.

    Args:
        parameters: What was asked.
        settings: The part of the family.
        sizes: All N, growing.
        store: Where data sets are kept.
    """

    def __init__(
        self, parameters: Parameters, settings: TrainingSettings, sizes: tuple[int, ...], store: Store
    ):
        self.parameters, self.profile = parameters, profiles.profile(parameters.profile)
        self.settings, self.sizes, self.store = settings, sizes, store

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The galaxies."""
        return self._prepare(*self.sources[0])

    @functools.cache  # noqa: B019 - an experiment lives as long as its process
    def out_of_domain(self, name: str) -> Dataset:
        """The images of another kind, by a name of `galgen.profiles.OutOfDomain`."""
        return self._prepare(*self.sources[1 + self.out_of_domain_kinds.index(name)])

    @functools.cached_property
    def name(self) -> str:
        """The name of the data set, as figures have it."""
        data = self.parameters.data
        return data if data in SIMULATED else self.dataset.name

    @functools.cached_property
    def credit(self) -> str:
        """The entry of the data manifest that says whom to credit."""
        data = self.parameters.data
        if data in SIMULATED:
            return data if data == "dead-leaves" else "simulated"
        return self.dataset.meta["manifest"]

    @functools.cache  # noqa: B019 - an experiment lives as long as its process
    def identity(self, out_of_domain: str = "") -> str:
        """Name of the data set in keys (`galgen.data.prepare.identity`), or of an out-of-domain one."""
        kinds = ["", *self.out_of_domain_kinds]
        source, asked = self.sources[kinds.index(out_of_domain)]
        found = prepare_identity(self.store, source, **asked)
        return f"{found} at {self.size} pixels" if self.size != asked["size"] else found

    def identity_of(self, training: Training) -> str:
        """What names the images that a model is trained on: of which data set, split and half."""
        split = f"split {self.parameters.seed}, {self.profile.validation} held out"
        return f"{self.identity(training.out_of_domain)}, {split}, {training.N} of {training.half}"

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """The mean of all galaxies, (1, H, W) in [0, 1], which the anomaly cosine projects out."""
        return mean_image(self.dataset.images)

    @property
    def out_of_domain_kinds(self) -> list[str]:
        """The other kinds of images that out-of-domain models see, the same for all families."""
        return sorted({name for family in FAMILIES for name in getattr(self.profile, family).out_of_domain})

    @property
    def sources(self) -> list[tuple[str, dict[str, int]]]:
        """Where images come from, and what is made of a source: the data, then what each stranger sees.

        All families ask the same, whichever asks first. Unrelated' images have a seed of their own: of one
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
        kinds = [out_of_domain_source(data, name) for name in self.out_of_domain_kinds]
        return [(data, own), *((kind, others) for kind in kinds)]

    def _prepare(self, source: str, asked: dict[str, int]) -> Dataset:
        found = prepare(self.store, source, **asked)
        smaller = asked | {"size": self.size}
        return found if smaller == asked else prepare(self.store, str(found.directory), **smaller)

    def more(self, count: int) -> np.ndarray | None:
        """As many more simulated galaxies, uint8, which are in no set; None where the galaxies are given.

        A larger data set would move every split, and with it every key.
        """
        source, own = self.sources[0]
        if source not in SIMULATED:
            return None
        return self._prepare(source, own | {"count": count, "seed": own["seed"] + 2 * _ELSEWHERE}).images

    @property
    def size(self) -> int:
        """Side of the images, pixels: that of the profile, or of a study of smaller ones."""
        return min(getattr(self.settings, "image_size", self.profile.image_size), self.profile.image_size)

    @property
    def compared(self) -> int:
        """How many samples are held against held-out galaxies: twice as many, and as many more for a null."""
        return min(self.profile.samples, self.profile.validation // 3)

    def split(self, N: int | None = None, *, out_of_domain: str = "") -> Split:
        """Row numbers of A, B and validation for N (by default the largest) images a model."""
        dataset = self.out_of_domain(out_of_domain) if out_of_domain else self.dataset
        given = {
            "source": dataset.directory if out_of_domain else self.parameters.data,
            "seed": self.parameters.seed,
        }
        return split(dataset.distinct, N or max(self.sizes), self.profile.validation, **given)

    def of(self, training: Training) -> np.ndarray:
        """The images a model is trained on, uint8 (N, 1, H, W)."""
        dataset = self.out_of_domain(training.out_of_domain) if training.out_of_domain else self.dataset
        rows = self.split(training.N, out_of_domain=training.out_of_domain)
        return dataset.images[getattr(rows, training.half)]

    @property
    def held_out(self) -> np.ndarray:
        """The images for validation, seen by no model: uint8 (n, 1, H, W)."""
        return self.dataset.images[self.split().validation]

    @functools.cached_property
    def reserve(self) -> np.ndarray:
        """Images that no model is trained on and, if data are left, few tests see: uint8 (n, 1, H, W).

        Of the tests `galbook.discriminator.before_memory`, and `galbook.morphology.fit` where validation is
        used up.
        """
        sets = self.split()
        return self.dataset.images[sets.starts if len(sets.starts) else sets.validation]

    @functools.cached_property
    def start(self) -> Tensor:
        """The image that both models' samples begin at, (1, H, W): the mean of images neither has seen."""
        return torch.from_numpy(mean_image(self.reserve))
