"""Loading of trained models by name, from the run store or from a published set.

The store is searched with the given parameters of the run. A published model is found by name, and refused
if the parameters ask for another one. A name without seeds, as `diffusion-N4000-A`, selects the first such
model, `diffusion-N4000-A0-0`; the name of a family selects its model A at the largest N. Nothing is trained,
simulated or written.
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
from galgen.runs.store import Run, Store, verified

__all__ = ["Model", "load_model"]


@dataclass(frozen=True)
class Model:
    """A trained model, without its training images.

    Attributes:
        name: Name of its training.
        key: Key of its entry in the store or in the published set.
        family: Its family, with the settings of its profile.
        weights: File with its weights.
        start: Initial image of the sampler, (1, H, W).
        profile: Name of its profile.
        data: Name of its data set.
        seed: Seed of its run.
        images: Identifier of its training images (`galgen.images.Images.identity_of`).
        origin: "trained" on this machine, or "published".
    """

    name: str
    key: str
    family: Family
    weights: Path
    start: Tensor
    profile: str
    data: str
    seed: int
    images: str
    origin: str

    def networks(self) -> dict[str, nn.Module]:
        """Load the weights and return the networks in evaluation mode."""
        return load_networks(self.family.networks(), checkpoint.load_weights(self.weights))

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.start.shape[-1]

    def __str__(self) -> str:
        run = f"profile {self.profile}, seed {self.seed}, trained on {self.data}"
        return f"{self.name} ({self.origin}, {self.key}; {run})"

    @property
    def about(self) -> dict[str, str | int]:
        """Name, key, data set, profile and seed, for the files of an outcome."""
        return {"model": self.name} | {k: getattr(self, k) for k in ("key", "data", "profile", "seed")}


def load_model(
    name: str, parameters: Parameters = Parameters(), *, store: Path | None = None, models: Path | None = None
) -> Model:
    """Find a trained model by name.

    Args:
        name: Name of its training, with or without seeds.
        parameters: Parameters of the run that the training belongs to.
        store: Run store; if given, only this is searched.
        models: Directory of a published set; likewise. By default that of the project.

    Raises:
        GalgenError: If no model has this name (the message lists the names), or only one of other parameters.
    """
    if store and not Store(store).finished():
        raise GalgenError(f"{store} is not a run store: it contains no runs")
    if store or not models:
        try:
            return _trained(name, parameters, store)
        except GalgenError:  # the run has no such training, or it or its galaxies are missing
            if store:
                raise
    return _published(name, parameters, models)


def _first(name: str, names: Iterable[str]) -> str | None:
    """Return the name if it is one, else the first with these and seeds, or at a family's largest N."""
    seeds = re.compile(rf"{re.escape(name)}((?<=[AB])\d+-\d+|(?<!\d)-N\d+-A\d+-\d+)?")
    order = {
        label: ([-N for N in sort_key(label)[1]], sort_key(label)) for label in filter(seeds.fullmatch, names)
    }
    return min(order, key=order.get, default=None)


def _trained(name: str, parameters: Parameters, store: Path | None) -> Model:
    """Return the model of a run: from the store, or its published equivalent."""
    families = [family for family in FAMILIES | STUDIES if f"{name}-".startswith(f"{family}-")]
    place = ReadOnlyStore(store, store)  # a store that is given is searched alone
    books = [Experiment(parameters, place, family=family) for family in families]
    trainings = {training.name: (book, training) for book in books for training in book.models.trainings()}
    if not (first := _first(name, trainings)):
        raise GalgenError(f"no training {name!r:.80} with these parameters, but {', '.join(trainings)}")
    experiment, training = trainings[first]
    run, images = experiment.train(training), experiment.images
    start, origin = (start_of(run), "published") if "published" in run.record else (images.start, "trained")
    source = parameters.profile, images.name, parameters.seed, run.record["data"], origin
    return Model(first, run.path.name, experiment.family, weights_of(run), start, *source)


def _published(name: str, parameters: Parameters, models: Path | None) -> Model:
    """Return the published model of that name, of the given parameters if several match."""
    place, runs = published(models), {}
    for run in listed(place):
        runs.setdefault(run.summary["name"], []).append(run)
    if not (first := _first(name, runs)):
        names = ", ".join(runs) or "none; give another directory with --models"
        raise GalgenError(
            f"no model {name!r:.80}, trained or published; models published in {place.root}: {names}"
        )
    asked = parameters.model_dump(exclude_defaults=True)

    def others(run: Run) -> list[str]:
        return [f"{name} {value}" for name, value in asked.items() if _parameters(run).get(name) != value]

    run = min(runs[first], key=lambda run: (len(others(run)), run.key))
    has, family = _parameters(run), FAMILIES[run.record["kind"]](profiles.profile(run.summary["profile"]))
    if missing := others(run):
        about = ", ".join(f"{name} {has[name]}" for name in ("profile", "data", "seed"))
        raise GalgenError(
            f"{first} ({run.key}) is published for {about}, not for {', '.join(missing)}: leave this out"
        )
    source = has["profile"], has["data"], has["seed"], run.record["data"], "published"
    return Model(first, run.key, family, weights_of(verified(run.path)), start_of(run), *source)


def _parameters(run: Run) -> dict:
    """Return the parameters of a published model."""
    return run.record["params"] | run.summary | {"seed": run.summary["first"] // 1_000_000, "N": None}
