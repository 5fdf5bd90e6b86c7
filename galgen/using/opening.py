"""A trained denoiser, flow or GAN by its name, wherever it lies.

    MODEL is                       and is looked for
    a name of a training, or the   in the run store, under the parameters given, with its galaxies; then among
    beginning of one               the published, of which the name alone decides
    a file of weights              beside its record, in a store or a published set; of a published one that
                                   was taken away its tensors tell which family and profile it is of

Of a name that is a beginning, as `diffusion-N4000-A`, it is the first model, `diffusion-N4000-A0-0`. Nothing
is trained or simulated.
"""

import contextlib
import dataclasses
import itertools
import math
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from galgen import profiles
from galgen.experiment import Experiment, loaded, training_named
from galgen.models.families import FAMILIES, STUDIES, Family, Training
from galgen.profiles import Parameters
from galgen.published import AsItIs, in_order, kept, listed, published, whole
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.store import Run, read_record

__all__ = ["Model", "opened"]


@dataclass(frozen=True)
class Model:
    """A trained model, without its galaxies.

    Attributes:
        name: That of its training.
        key: Of its entry in the store or in the published set; "" of a file without a record.
        family: Its family, with the settings of its profile.
        weights: The file of its weights.
        start: The image where walks begin, (1, H, W).
        profile: The name of its profile.
        data: And of its data set.
        origin: In words, where it is from.
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
        return loaded(self.family.networks(), checkpoint.load(self.weights))

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.start.shape[-1]

    def __str__(self) -> str:
        return f"{self.name} ({self.origin}; profile {self.profile}, trained on {self.data})"


def opened(
    name: str, asked: Parameters = Parameters(), *, store: Path | None = None, models: Path | None = None
) -> Model:
    """The model of that name or file.

    Args:
        name: As the head of this module says.
        asked: Parameters of the book that a training of the store is of.
        store: The run store, in which alone it is looked for if it is named.
        models: The folder of a published set, likewise; by default that of the project.

    Raises:
        GalgenError: If there is none, with what there is.
    """
    if Path(name).is_file():
        return _of_file(Path(name), asked)
    try:
        found = None if models and not store else _trained(name, asked, store)
    except GalgenError:  # no such training in this book, or not yet, or no galaxies of it
        if store:
            raise
        found = None
    if found := found or _published(name, asked, models):
        return found
    there = dict.fromkeys(record["summary"]["name"] for _, record in listed(published(models)))
    told = f"published in {published(models).root} are {', '.join(there)}"
    if not there:
        told = (
            f"none is published in {published(models).root}; stand in a checkout of galgen, or name a folder "
        )
        told += "of published models with --models"
    raise GalgenError(f"there is no model '{name:.80}', trained or published; {told}")


def _first(name: str, names: Iterable[str]) -> str | None:
    """The first of the names that is this one, or, if this tells family, N and half, goes on from it."""
    known = re.fullmatch(r"\w+-N\d+-[AB](\d+-\d+(-\w+)?)?", name)
    goes_on = re.compile(re.escape(name) + (r"$" if known and known[1] else r"\d"))
    return min(filter(goes_on.match, names if known else ()), key=in_order, default=None)


def _trained(name: str, asked: Parameters, store: Path | None) -> Model:
    """The model of a book: from the store, or the published one that stands for it."""
    if store and not store.is_dir():
        raise GalgenError(f"{store} is no folder, and so no run store")
    families = [family for family in FAMILIES | STUDIES if name.startswith(f"{family}-")]
    books = [Experiment(asked, AsItIs(store), family=family) for family in families]
    found = _first(name, [training.name for book in books for training in book.models.trainings()])
    return _of_book(*training_named(found or name, asked, AsItIs(store)))


def _of_book(experiment: Experiment, training: Training) -> Model:
    run, images = experiment.train(training), experiment.images
    weights = run.path / f"weights-{run.summary['images_shown']}.safetensors"
    origin = "published" if "trained" in run.record else "trained"
    of = experiment.parameters.profile, images.dataset.name, f"{origin}, {run.key}"
    return Model(training.name, run.key, experiment.family, weights, images.start, *of)


def _published(name: str, asked: Parameters, models: Path | None) -> Model | None:
    """The published model; of several of one name one of the profile asked, if there is one."""
    found = list(listed(published(models)))
    first = _first(name, [record["summary"]["name"] for _, record in found])
    of_it = [(path, record["summary"]) for path, record in found if record["summary"]["name"] == first]
    of_it.sort(key=lambda each: (each[1].get("profile") != asked.profile, each[0].name))
    return _of_published(whole(of_it[0][0])) if of_it else None


def _of_published(run: Run) -> Model:
    told = run.summary
    weights = run.path / f"weights-{told['images_shown']}.safetensors"
    family = FAMILIES[run.record["kind"]](profiles.profile(told["profile"]))
    like = f"images alike to {math.floor(1e6 * told['likeness']) / 1e6:.6f}"  # the least cosine
    of = told["profile"], told.get("data", "unknown"), f"published, {run.key}, in half precision, {like}"
    return Model(told["name"], run.key, family, weights, checkpoint.load(weights)["start"], *of)


def _of_file(path: Path, asked: Parameters) -> Model:
    """The model of a file of weights, which in a store may be those of a milestone."""
    entry = path.absolute().parent
    if (entry / "record.json").is_file():
        run = Run(entry, read_record(entry))
        if "trained" in run.record:
            return _of_published(whole(entry))
        with contextlib.suppress(GalgenError):  # of another book the training may be, or the galaxies
            experiment, training = training_named(run.summary["name"], asked, AsItIs(entry.parents[1]))
            if experiment.key(training) == run.key:
                found = _of_book(experiment, training)
                return dataclasses.replace(found, weights=path, origin=f"{found.origin}, {path.stem}")
        options = shlex.join(asked.options())
        raise GalgenError(f"{path} is of another book than that of {options}, or of other code; name its own")
    for kind, profile in itertools.product(FAMILIES, profiles.PROFILES):
        with contextlib.suppress(GalgenError):
            checkpoint.check(path, kept(kind, profile))
            family, start = FAMILIES[kind](profiles.profile(profile)), checkpoint.load(path)["start"]
            return Model(path.stem, "", family, path, start, profile, "unknown", "file")
    raise GalgenError(
        f"{path} holds no published model of any profile; of a training give the file that lies in its store"
    )
