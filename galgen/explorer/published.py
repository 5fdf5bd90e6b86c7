"""Published models: final weights that travel with a project, so that its models can be looked at untrained.

A published set is a run store of its own, by default `results/models/`. Of each training it has the last
weights alone, without what draws nothing (of a GAN the discriminator, and the generator beside its average):
convolutions (tensors of four axes) in half precision, all else (norms, actnorm, LU factors, running
statistics) as it was trained. An entry stands for the training of the same kind, parameters and images,
whatever its code is today; but its key is its own, so that what it draws is never taken for what the training
itself drew. Its record has the means of the first images it drew, and how like those of the training they
were; `verify` draws them again.
"""

import hashlib
import os
import shlex
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from galgen import config
from galgen.data import similarity
from galgen.experiment import Experiment, Training, loaded
from galgen.models.families import FAMILIES
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.files import project, write_json
from galgen.runs.store import Run, Store, checksums, provenance, sound

DRAWN = 8  # latents drawn when a model is published, and when it is verified
TOLERANCE = 2e-3  # of the mean of an image, over processors and versions of torch


def published(folder: str | os.PathLike | None = None) -> Store:
    """The published set in a folder, by default `results/models/` of the project."""
    return Store(folder or project() / "results" / "models")


class WithPublished(Store):
    """A run store that has published models in the place of the trainings it lacks.

    Args:
        root: Its folder, as of `Store`.
        folder: That of the published set.
    """

    def __init__(self, root: str | os.PathLike | None = None, folder: str | os.PathLike | None = None):
        super().__init__(root)
        self.published = published(folder)

    def find(self, kind: str, params: dict, *, data: str = "", code: Iterable[object] = ()) -> Run | None:
        """The finished entry, or the published one that stands for it, or None.

        Raises:
            Damaged: If the files of the published one are not what was published.
        """
        return super().find(kind, params, data=data, code=code) or _standing(
            self.published, kind, params, data
        )

    def run(self, kind: str, params: dict, make: Callable[[Path], dict], **options: object) -> Run:
        """The same, or else the entry that `make` makes."""
        identity = {name: options[name] for name in ("data", "code") if name in options}
        return self.find(kind, params, **identity) or super().run(kind, params, make, **options)


def publish(experiment: Experiment, training: Training, folder: str | os.PathLike | None = None) -> Run:
    """Put a training of the experiment's store into a published set, in the place of an older one.

    Raises:
        GalgenError: If it was not trained.
    """
    if not experiment.trained(training):
        options = shlex.join(experiment.parameters.options())
        raise GalgenError(f"{training.name} is not trained: galgen train {training.name} {options}")
    run, target = experiment.train(training), published(folder)
    kind, shown = run.record["kind"], run.summary["images_shown"]
    partial = target.root / kind / "new.partial"
    shutil.rmtree(partial, ignore_errors=True)
    weights = partial / f"weights-{shown}.safetensors"
    state = checkpoint.load(run.path / weights.name)
    idle = {"discriminator", "generator"} if "average" in state else set()
    kept = {name: _halved(net) for name, net in state.items() if name not in idle}
    checkpoint.save(weights, kept | {"start": experiment.start})
    drawn = _draw(kind, experiment.profile.name, weights, experiment.latents(DRAWN))
    like = similarity.cosine(drawn, experiment.samples(training, count=DRAWN), kind="raw")
    summary = {name: run.summary[name] for name in ("name", "images_shown", "losses", "seconds", "device")}
    summary |= {"profile": experiment.profile.name, "data": experiment.dataset.name}
    drew = {"first": experiment.latents().start, "means": drawn.mean((1, 2, 3)).tolist()}
    summary |= drew | {"likeness": float(like.min())}
    key = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    record = run.record | provenance() | {"key": key, "trained": run.record["commit"], "summary": summary}
    write_json(partial / "record.json", record | {"sha256": checksums(partial)})
    old, new = _standing(target, kind, run.record["params"], run.record["data"]), partial.with_name(key)
    if new.is_dir():  # the same weights, published before
        shutil.rmtree(new)
    partial.rename(new)
    if old and old.path != new:
        shutil.rmtree(old.path)
    return sound(new)


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
        for training in (model for N in sorted(wanted) for model in experiment.pair(N)):
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
    runs = [sound(run.path) for run in published(folder).runs()]
    if not runs:
        raise GalgenError(f"there are no published models in {published(folder).root}")
    for run in runs:
        told = run.summary
        if missing := {"name", "profile", "images_shown", "first", "means"} - told.keys():
            raise GalgenError(
                f"{run.path} is no published model: its record lacks {', '.join(sorted(missing))}"
            )
        weights = run.path / f"weights-{told['images_shown']}.safetensors"
        drawn = _draw(
            run.record["kind"], told["profile"], weights, range(told["first"], told["first"] + DRAWN)
        )
        if (drawn.mean((1, 2, 3)) - torch.tensor(told["means"])).abs().max() > TOLERANCE:
            raise GalgenError(
                f"{told['name']} in {run.path} does not draw what it drew when it was published"
            )
    return [run.summary["name"] for run in runs]


def _standing(store: Store, kind: str, params: dict, data: str) -> Run | None:
    """The entry of those parameters and images, of whatever code."""
    same = (run for run in store.runs(kind) if (run.record["params"], run.record["data"]) == (params, data))
    return next((sound(run.path) for run in same), None)


def _halved(net: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.half() if t.ndim >= 4 else t for name, t in net.items()}


def _draw(kind: str, profile: str, weights: Path, seeds: range) -> Tensor:
    """The images (n, 1, H, W) that weights of a family draw, from the start that lies beside them."""
    family, state = FAMILIES[kind](config.profile(profile)), checkpoint.load(weights)
    try:
        networks = loaded(family.networks(), state)
    except RuntimeError as error:  # of torch: other names or shapes
        raise GalgenError(f"{weights} is of other networks than those of the profile {profile}") from error
    return family.draw(networks, seeds, state["start"])
