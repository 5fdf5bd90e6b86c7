"""A trained model by the name of its training: of the run store, or of a published set.

In the store it is looked for under the parameters given, with its galaxies; among the published models by its
name alone. A name without seeds, as `diffusion-N4000-A`, is that of the first such model,
`diffusion-N4000-A0-0`. Nothing is trained or simulated.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from galgen import profiles
from galgen.experiment import Experiment, load_networks
from galgen.models.families import FAMILIES, STUDIES, Family
from galgen.profiles import Parameters
from galgen.published import ReadOnlyStore, listed, published, sort_key, start_of, weights_of
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.store import verified

__all__ = ["Model", "load_model"]


@dataclass(frozen=True)
class Model:
    """A trained model, without its galaxies.

    Attributes:
        name: That of its training.
        key: Of its entry in the store or in the published set.
        family: Its family, with the settings of its profile.
        weights: The file of its weights.
        start: The image where walks begin, (1, H, W).
        profile: The name of its profile.
        data: And of its data set.
        origin: Whether it was trained here or published.
    """

    name: str
    key: str
    family: Family
    weights: Path
    start: Tensor
    profile: str
    data: str
    origin: str

    def networks(self) -> dict[str, nn.Module]:
        """Its networks in evaluation mode."""
        return load_networks(self.family.networks(), checkpoint.load_weights(self.weights))

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.start.shape[-1]

    def __str__(self) -> str:
        return f"{self.name} ({self.origin}, {self.key}; profile {self.profile}, trained on {self.data})"


def load_model(
    name: str, asked: Parameters = Parameters(), *, store: Path | None = None, models: Path | None = None
) -> Model:
    """The model of that name.

    Args:
        name: That of a training, as the head of this module says.
        asked: Parameters of the book that a training of the store is of.
        store: The run store, in which alone it is looked for if it is named.
        models: The folder of a published set, likewise; by default that of the project.

    Raises:
        GalgenError: If there is none, with what there is.
    """
    if store and not store.is_dir():
        raise GalgenError(f"{store} is no folder, and so no run store")
    if store or not models:
        try:
            return _trained(name, asked, store)
        except GalgenError:  # no such training in this book, or not yet, or no galaxies of it
            if store:
                raise
    return _published(name, asked.profile, models)


def _first(name: str, names: Iterable[str]) -> str | None:
    """This name if it is one of the names, or the first that goes on from it with its seeds."""
    seeds = re.compile(rf"{re.escape(name)}((?<=[AB])\d+-\d+)?")
    return min(filter(seeds.fullmatch, names), key=sort_key, default=None)


def _trained(name: str, asked: Parameters, store: Path | None) -> Model:
    """The model of a book: from the store, or the published one that stands for it."""
    families = [family for family in FAMILIES | STUDIES if name.startswith(f"{family}-")]
    books = [Experiment(asked, ReadOnlyStore(store), family=family) for family in families]
    there = {training.name: (book, training) for book in books for training in book.models.trainings()}
    if not (found := _first(name, there)):
        raise GalgenError(f"there is no training {name!r:.80} with these parameters, but {', '.join(there)}")
    experiment, training = there[found]
    run, images = experiment.train(training), experiment.images
    start, origin = (start_of(run), "published") if "published" in run.record else (images.start, "trained")
    of = asked.profile, images.name, origin
    return Model(found, run.key, experiment.family, weights_of(run), start, *of)


def _published(name: str, profile: str, models: Path | None) -> Model:
    """The published model; of several of one name one of the profile, if there is one."""
    place, there = published(models), {}
    for run in listed(place):
        there.setdefault(run.summary["name"], []).append(run)
    if not (found := _first(name, there)):
        names = ", ".join(there) or "none; stand in a checkout of galgen, or name a folder with --models"
        raise GalgenError(
            f"there is no model {name!r:.80}, trained or published; published in {place.root} are {names}"
        )
    run = verified(min(there[found], key=lambda run: (run.summary["profile"] != profile, run.key)).path)
    told, family = run.summary, FAMILIES[run.record["kind"]](profiles.profile(run.summary["profile"]))
    of = told["profile"], told["data"], "published"
    return Model(found, run.key, family, weights_of(run), start_of(run), *of)
