"""Published models: final weights that travel with a project, so that its models can be looked at untrained.

A published set is a run store of its own, by default `results/models/`. Of each training it has the last
weights alone, without what draws nothing (of a GAN the discriminator, and the generator beside its average):
convolutions (tensors of four axes or more) in half precision, all else (norms, actnorm, LU factors, running
statistics) as it was trained. An entry stands for the training of the same kind, parameters and images,
whatever its code is today, and in whatever precision; but its key is its own, so that what it draws is never
taken for what the training itself drew. Its record has the means of the first images it drew, and how like
those of the training they were; `verify` draws them again.
"""

import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, BaseModel, Field, PositiveInt, WrapValidator, model_validator
from torch import Tensor

from galgen import profiles
from galgen.compare import similarity
from galgen.experiment import Experiment, loaded
from galgen.models.families import FAMILIES, STUDIES, Training
from galgen.runs import checkpoint
from galgen.runs.errors import Damaged, GalgenError
from galgen.runs.files import full_disk_told, project, write_json
from galgen.runs.store import Record, Run, Store, checksums, provenance, read_record, sound

__all__ = ["AsItIs", "WithPublished", "available", "in_order", "kept", "listed", "publish", "publish_pairs",
    "published", "verify", "whole"]  # fmt: skip

DRAWN = 8  # latents drawn when a model is published, and when it is verified
TOLERANCE = 2e-3  # of the mean of an image, over processors and versions of torch


class _Drawn(BaseModel, strict=True, allow_inf_nan=False):
    """What a published model is, and what it drew."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+-N[0-9]+-[AB][0-9]+-[0-9]+$")]
    profile: Annotated[str, Field(max_length=40), AfterValidator(lambda name: profiles.profile(name).name)]
    images_shown: PositiveInt
    data: Annotated[str, Field(max_length=200)] = "unknown"
    first: Annotated[int, Field(ge=0, lt=2**53)]
    means: Annotated[list[float], Field(min_length=DRAWN, max_length=DRAWN)]
    likeness: float


class _Params(BaseModel, strict=True):
    """What of a training's parameters is shown."""

    N: Annotated[int, Field(gt=0, lt=2**53)]


class _Record(Record):
    """The record of a published model; its key is the beginning of the sha256 of its weights."""

    kind: Literal[*FAMILIES]
    params: Annotated[_Params, WrapValidator(lambda given, check: check(given) and given)]  # as they are
    summary: _Drawn

    @model_validator(mode="after")
    def _of_its_key(self) -> "_Record":
        if not self.sha256.get(_weights(self.summary.images_shown), "").startswith(self.key):
            raise ValueError("its key is not that of its weights")
        return self


def available(experiment: Experiment, training: Training) -> bool:
    """Whether a model is in the store or published, and whole; one that is not is named."""
    try:
        return experiment.trained(training)
    except GalgenError as error:
        print(f"galgen: {error}; it is left out", file=sys.stderr)
        return False


def _weights(images_shown: int) -> str:
    return f"weights-{images_shown}.safetensors"


def published(folder: str | os.PathLike | None = None) -> Store:
    """The published set in a folder, by default `results/models/` of the project."""
    return Store(folder or project() / "results" / "models")


def listed(place: Store) -> Iterator[tuple[Path, dict]]:
    """Folder and record of each model in a run store or in a published set, by their names."""
    found = []
    for path in (path for kind in FAMILIES | STUDIES for path in place.finished(kind)):
        with contextlib.suppress(Damaged):  # `verify` tells of it
            record = read_record(path)
            if isinstance(record["summary"].get("name"), str):
                found.append((path, record))
    yield from sorted(found, key=lambda each: in_order(each[1]["summary"]["name"]))


def in_order(name: str) -> tuple[str, list[int], bool, list[int]]:
    """What models are sorted by: family, N, those of pairs before those of the 2x2, initialisation, order."""
    family, *numbers = name.partition("-")[0], *map(int, re.findall(r"(?<=-)\D?(\d+)", name))
    return family, numbers[:1], len({*numbers[1:3]}) > 1, numbers[1:]


class WithPublished(Store):
    """A run store that has published models in the place of the trainings it lacks.

    Args:
        root: Its folder, as of `Store`.
        folder: That of the published set.
    """

    def __init__(self, root: str | os.PathLike | None = None, folder: str | os.PathLike | None = None):
        super().__init__(root)
        self.published = published(folder)

    def find(self, kind: str, params: dict, *, data: str = "", code: Iterable[str] = ()) -> Run | None:
        """The finished entry, or the published one that stands for it, or None.

        Raises:
            GalgenError: If the published one is not what was published.
        """
        standing = map(whole, _of(self.published, kind, params, data))
        found = super().find(kind, params, data=data, code=code)
        return found if found and found.whole else next(standing, None)

    def run(self, kind: str, params: dict, make: Callable[[Path], dict], **options: object) -> Run:
        """The same, or else the entry that `make` makes."""
        identity = {name: options[name] for name in ("data", "code") if name in options}
        return self.find(kind, params, **identity) or super().run(kind, params, make, **options)


class AsItIs(WithPublished):
    """The same, where nothing is made."""

    def run(self, kind: str, params: dict, make: Callable[[Path], dict], **options: object) -> Run:
        """The finished entry, or the published one that stands for it.

        Raises:
            GalgenError: If there is none.
        """
        identity = {name: options[name] for name in ("data", "code") if name in options}
        if found := self.find(kind, params, **identity):
            return found
        raise GalgenError(f"the store has no such {kind}")


def publish(experiment: Experiment, training: Training, folder: str | os.PathLike | None = None) -> Run:
    """Put a training of the experiment's store into a published set, in the place of an older one.

    Raises:
        GalgenError: If it was not trained, a store of trainings is in the way, or the disk is full.
    """
    if not experiment.trained(training):
        options = shlex.join(experiment.parameters.options())
        raise GalgenError(f"{training.name} is not trained: galgen train {training.name} {options}")
    target, run = _apart(published(folder), experiment.store), experiment.train(training)
    place = target.root / run.record["kind"]
    replaced = list(_of(target, place.name, run.record["params"], run.record["data"]))
    try:
        place.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(prefix=".tmp-", dir=place, ignore_cleanup_errors=True)
        with full_disk_told(place), work as temporary:
            new = place / _write(Path(temporary), experiment, training, run)
            if new in replaced:  # the same weights, published before
                shutil.rmtree(new)
            os.chmod(temporary, 0o755)  # temporary folders are private
            os.rename(temporary, new)
    except BaseException:
        with contextlib.suppress(OSError):  # others lie there
            place.rmdir()
            target.root.rmdir()
        raise
    for path in replaced:
        if path != new:
            shutil.rmtree(path)
    return whole(new)


def _write(folder: Path, experiment: Experiment, training: Training, run: Run) -> str:
    """Write weights and record of a model that is published; returns its key."""
    kind, profile = run.record["kind"], experiment.profile.name
    weights = folder / _weights(run.summary["images_shown"])
    state = checkpoint.load(run.path / weights.name) | {"start": experiment.images.start}
    checkpoint.save(weights, {name: _halved(state[name]) for name in kept(kind, profile)})
    latents = experiment.latents(DRAWN)
    drawn = _draw(kind, profile, weights, latents)
    # not kept as samples: the store may lie where nothing can be written
    original = experiment.family.draw(experiment.networks(training), latents, experiment.images.start)
    like = similarity.cosine(drawn, original, kind="raw")
    summary = {name: run.summary[name] for name in ("name", "images_shown", "losses", "seconds", "device")}
    summary |= {"profile": profile, "data": experiment.images.dataset.name}
    drew = {"first": experiment.latents().start, "means": drawn.mean((1, 2, 3)).tolist()}
    summary |= drew | {"likeness": float(like.min())}
    found = checksums(folder)
    own = {"key": found[weights.name][:16], "trained": run.record["commit"], "summary": summary}
    write_json(folder / "record.json", run.record | provenance() | own | {"sha256": found})
    return own["key"]


def _apart(target: Store, trained: Store) -> Store:
    """The set, if nothing but published models is or would come to lie in it, over it or just below.

    Raises:
        GalgenError: Names the store of trainings that it is, holds or lies in.
    """
    here, store = target.root.resolve(), trained.root.resolve()
    near = [store] if here.is_relative_to(store) or store.is_relative_to(here) else []
    below = (path for path in here.glob("*") if path.is_dir())
    for folder in (here, *here.parents, *below):
        near += [path for path in Store(folder).finished() if not _is_published(path)][:1]
    if near:
        raise GalgenError(
            f"{target.root} is no place for published models: {near[0]} is none, and could be lost. Choose a "
            "folder of their own (--out)"
        )
    return target


def _is_published(path: Path) -> bool:
    try:
        return bool(read_record(path, _Record))
    except Damaged:
        return False


def publish_pairs(
    experiments: Collection[Experiment], sizes: Iterable[int] = (), folder: str | os.PathLike | None = None
) -> Iterator[str]:
    """Publish models A and B of each, at its smallest and largest N or at those of the sizes that it has.

    Yields:
        For each model the folder it is published in, or that it is not trained, which is no error.

    Raises:
        GalgenError: If none has an N, or none of the models is trained.
    """
    known, done = {N for experiment in experiments for N in experiment.sizes}, 0
    if unknown := set(sizes) - known:
        raise GalgenError(f"no family has N = {sorted(unknown)} in this profile; there are {sorted(known)}")
    for experiment in experiments:
        wanted = set(sizes or (min(experiment.sizes), max(experiment.sizes))) & set(experiment.sizes)
        for training in (model for N in sorted(wanted) for model in experiment.models.pair(N)):
            there = experiment.trained(training)
            done += there
            yield (
                str(publish(experiment, training, folder).path) if there else f"not trained: {training.name}"
            )
    if not done:
        raise GalgenError("there is nothing to publish: none of these models is trained")


def verify(folder: str | os.PathLike | None = None) -> list[str]:
    """Draw with all models of a published set again, and compare that with what they drew.

    Returns:
        The names of the models.

    Raises:
        GalgenError: If there is none, a file is not what was published, or a model draws something else.
    """
    paths = published(folder).finished()
    if not paths:
        raise GalgenError(f"there are no published models in {published(folder).root}")
    runs = list(map(whole, paths))
    for run in runs:
        told, seeds = run.summary, range(run.summary["first"], run.summary["first"] + DRAWN)
        drawn = _draw(run.record["kind"], told["profile"], run.path / _weights(told["images_shown"]), seeds)
        off = (drawn.mean((1, 2, 3)) - torch.tensor(told["means"])).abs().max()
        if not off <= TOLERANCE:  # nor is what is no number
            raise GalgenError(
                f"{told['name']} in {run.path} does not draw what it drew when it was published"
            )
    return [run.summary["name"] for run in runs]


def _of(store: Store, kind: str, params: dict, data: str) -> Iterator[Path]:
    """The published models of those parameters and images, of whatever code and precision."""
    asked = params | {"precision": None}
    for path in store.finished(kind):
        with contextlib.suppress(Damaged):  # `verify` tells of it
            record = read_record(path, _Record)
            if (record["params"] | {"precision": None}, record["data"]) == (asked, data):
                yield path


def whole(path: Path) -> Run:
    """A published model, whose record and weights are what a published model has.

    Raises:
        GalgenError: If they are not, or not what was published.
    """
    read_record(path, _Record)
    run = sound(path)
    told = run.summary
    checkpoint.check(path / _weights(told["images_shown"]), kept(run.record["kind"], told["profile"]))
    return run


def kept(kind: str, profile: str) -> dict:
    """What is published of a family: the names, types and shapes of its tensors, without numbers."""
    size = profiles.profile(profile).image_size
    with torch.device("meta"):
        networks = FAMILIES[kind](profiles.profile(profile)).networks()
        start = {"start": torch.empty(1, size, size)}
    idle = {"discriminator", "generator"} if "average" in networks else set()
    lying = {name: net.to(memory_format=torch.channels_last) for name, net in networks.items()}
    return {name: _halved(net.state_dict()) for name, net in lying.items() if name not in idle} | start


def _halved(state: dict[str, Tensor] | Tensor) -> dict[str, Tensor] | Tensor:
    if isinstance(state, Tensor):
        return state.half() if state.ndim >= 4 else state
    return {name: _halved(tensor) for name, tensor in state.items()}


def _draw(kind: str, profile: str, weights: Path, seeds: range) -> Tensor:
    """The images (n, 1, H, W) that weights of a family draw, from the start that lies beside them.

    Raises:
        GalgenError: If they draw nothing, as a flow of zeros, which has no inverse.
    """
    family, state = FAMILIES[kind](profiles.profile(profile)), checkpoint.load(weights)
    try:
        return family.draw(loaded(family.networks(), state), seeds, state["start"])
    except torch.linalg.LinAlgError as error:
        raise GalgenError(f"{weights} draws nothing ({error}); publish the model again") from error
