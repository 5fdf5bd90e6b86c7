"""Images of an experiment: its data set, the split into A, B and held-out images, out-of-domain data."""

import functools

import numpy as np
import torch
from torch import Tensor

from galgen import profiles
from galgen.data.dataset import Dataset
from galgen.data.prepare import SIMULATED, SMALLER, prepare, simulation
from galgen.data.prepare import out_of_domain as out_of_domain_source
from galgen.data.split import Split, split
from galgen.data.unit import mean_image
from galgen.models.families import FAMILIES, Training
from galgen.profiles import Parameters, TrainingSettings
from galgen.runs.store import Store

__all__ = ["Images"]

_SEED_OFFSET = 1_000_000  # from the seed of the galaxies to that of the out-of-domain images


class Images:
    """Data set of an experiment, its split and its out-of-domain data.

    All families and all N share one data set: training sets A and B of each N, held-out images for the
    tests, and a reserve whose mean is the image at which samplers start.

    Args:
        parameters: Parameters of the run.
        settings: Settings of the family.
        sizes: All N, ascending.
        store: Run store of the data sets.
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
        """Return an out-of-domain data set, by a name of `galgen.profiles.OutOfDomain`."""
        return self._prepare(*self.sources[1 + self.out_of_domain_kinds.index(name)])

    @functools.cached_property
    def name(self) -> str:
        """Name of the data set on figures."""
        data = self.parameters.data
        return data if data in SIMULATED else self.dataset.name

    @functools.cached_property
    def credit(self) -> str:
        """Name of the data set's entry in the data manifest, which has its credits."""
        data = self.parameters.data
        if data in SIMULATED:
            return data if data == "dead-leaves" else "simulated"
        return self.dataset.meta["manifest"]

    @functools.cache  # noqa: B019 - an experiment lives as long as its process
    def identity(self, out_of_domain: str = "") -> str:
        """Return the name of a data set in keys: of simulated images that of the recipe, else the sha256."""
        source, options = self._source(out_of_domain)
        if source not in SIMULATED:
            return self.dataset.sha256
        key, size = self.store.key("dataset", simulation(source, **options).params), self.size
        return key if size == options["size"] else f"{key} at {size} pixels"

    def code(self, out_of_domain: str = "") -> frozenset[str]:
        """Return the modules on which the pixels of a data set with that `identity` depend."""
        source, options = self._source(out_of_domain)
        if source not in SIMULATED:
            return frozenset()
        averaged = SMALLER if self.size != options["size"] else frozenset()
        return simulation(source, **options).code | averaged

    def _source(self, out_of_domain: str) -> tuple[str, dict[str, int]]:
        return self.sources[["", *self.out_of_domain_kinds].index(out_of_domain)]

    def identity_of(self, training: Training) -> str:
        """Return the identifier of a model's training images: data set, split and half."""
        split = f"split {self.parameters.seed}, {self.profile.validation} held out"
        return f"{self.identity(training.out_of_domain)}, {split}, {training.N} of {training.half}"

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """Mean of all galaxies, (1, H, W) in [0, 1], subtracted by the anomaly cosine."""
        return mean_image(self.dataset.images)

    @property
    def out_of_domain_kinds(self) -> list[str]:
        """Names of all out-of-domain data sets, the same for all families."""
        return sorted({name for family in FAMILIES for name in getattr(self.profile, family).out_of_domain})

    @property
    def sources(self) -> list[tuple[str, dict[str, int]]]:
        """Sources of the images and how to prepare them: the data set, then each out-of-domain one.

        They are the same for all families. Out-of-domain images have another seed: with the same seed, the
        ellipticals among the galaxies would reappear in the set of ellipticals.
        """
        profile, data = self.profile, self.parameters.data
        sizes = (
            [self.parameters.N] if self.parameters.N else [getattr(profile, family).N for family in FAMILIES]
        )
        count = max(profile.simulated, 2 * max(map(max, sizes)) + profile.validation)
        own = {"size": profile.image_size, "crop": profile.crop, "count": count, "seed": self.parameters.seed}
        others = own | {"seed": own["seed"] + _SEED_OFFSET}
        kinds = [out_of_domain_source(data, name) for name in self.out_of_domain_kinds]
        return [(data, own), *((kind, others) for kind in kinds)]

    def _prepare(self, source: str, options: dict[str, int]) -> Dataset:
        dataset = prepare(self.store, source, **options)
        smaller = options | {"size": self.size}
        return dataset if smaller == options else prepare(self.store, str(dataset.directory), **smaller)

    def more(self, count: int) -> np.ndarray | None:
        """Return `count` additional simulated galaxies, uint8, outside all sets; None for imported data.

        Enlarging the data set instead would change every split, and thus every key.
        """
        source, own = self.sources[0]
        if source not in SIMULATED:
            return None
        return self._prepare(source, own | {"count": count, "seed": own["seed"] + 2 * _SEED_OFFSET}).images

    @property
    def size(self) -> int:
        """Side of the images in pixels: that of the profile, or a smaller one in a study."""
        return min(getattr(self.settings, "image_size", self.profile.image_size), self.profile.image_size)

    @property
    def compared(self) -> int:
        """Number of samples compared with held-out galaxies: twice as many, and as many again for a null."""
        return min(self.profile.samples, self.profile.validation // 3)

    def split(self, N: int | None = None, *, out_of_domain: str = "") -> Split:
        """Return the row numbers of A, B and validation for N images per model (default: the largest N)."""
        dataset = self.out_of_domain(out_of_domain) if out_of_domain else self.dataset
        source, seed = dataset.directory if out_of_domain else self.parameters.data, self.parameters.seed
        validation = self.profile.validation
        return split(dataset.distinct, N or max(self.sizes), validation, source=source, seed=seed)

    def of(self, training: Training) -> np.ndarray:
        """Return the training images of a model, uint8 (N, 1, H, W)."""
        dataset = self.out_of_domain(training.out_of_domain) if training.out_of_domain else self.dataset
        rows = self.split(training.N, out_of_domain=training.out_of_domain)
        return dataset.images[getattr(rows, training.half)]

    @property
    def held_out(self) -> np.ndarray:
        """Held-out images, on which no model is trained: uint8 (n, 1, H, W)."""
        return self.dataset.images[self.split().validation]

    @functools.cached_property
    def reserve(self) -> np.ndarray:
        """Images outside the training sets and, if the data suffice, the held-out set: uint8 (n, 1, H, W).

        Few tests use them: when a discriminator memorizes, and realism compared with further galaxies.
        """
        sets = self.split()
        return self.dataset.images[sets.starts if len(sets.starts) else sets.validation]

    @functools.cached_property
    def start(self) -> Tensor:
        """Image at which the samplers of all models start, (1, H, W): the mean of the reserve."""
        return torch.from_numpy(mean_image(self.reserve))
