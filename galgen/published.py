"""Published models: final weights that travel with the project, so that its models can be used untrained.

A published set is a run store (by default `results/models/`) in which an entry has the key of the training
that it stands for, and of that only the last weights, without what draws nothing (of a GAN the discriminator,
and the generator whose average is drawn from): convolutions (tensors of four axes or more) in half precision,
all else as it was trained. The image at which samples begin lies beside them. What such a model draws differs
in the fourth digit from what the training itself draws, so among samples its key is that of its weights.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES, Training
from galgen.runs import checkpoint
from galgen.runs.errors import Damaged, GalgenError
from galgen.runs.files import atomic_folder, project, write_json
from galgen.runs.store import Run, Store, checksums, provenance, read_record, verified

__all__ = [
    "ReadOnlyStore",
    "StoreWithPublished",
    "available",
    "halved",
    "listed",
    "publish",
    "publish_pairs",
    "published",
    "sort_key",
    "start_of",
    "weights_of",
]  # fmt: skip


def published(folder: str | os.PathLike | None = None) -> Store:
    """The published set in a folder, by default `results/models/` of the project."""
    return Store(folder or project() / "results" / "models")


def weights_of(run: Run) -> Path:
    """The file of the last weights of a training, published or not."""
    return run.path / f"weights-{run.summary['images_shown']}.safetensors"


def start_of(run: Run) -> Tensor:
    """The image (1, H, W) at which samples of a published model begin."""
    return checkpoint.load_weights(weights_of(run))["start"]["image"]


def available(experiment: Experiment, training: Training) -> bool:
    """Whether a model is in the store or published, and whole; one that is not is named."""
    try:
        return experiment.trained(training)
    except GalgenError as error:
        print(f"galgen: {error}; it is left out", file=sys.stderr)
        return False


def listed(place: Store) -> Iterator[Run]:
    """The models in a run store or in a published set, by their names."""
    found = []
    for path in (path for kind in FAMILIES | STUDIES for path in place.finished(kind)):
        with contextlib.suppress(Damaged):
            found.append(Run(path, read_record(path)))
    yield from sorted(found, key=lambda run: sort_key(run.summary["name"]))


def sort_key(name: str) -> tuple[str, list[int], bool, list[int]]:
    """What models are sorted by: family, N, those of pairs before those of the 2x2, initialisation, order."""
    family, *numbers = name.partition("-")[0], *map(int, re.findall(r"(?<=-)\D?(\d+)", name))
    return family, numbers[:1], len({*numbers[1:3]}) > 1, numbers[1:]


class StoreWithPublished(Store):
    """A run store that has published models in the place of the trainings it lacks.

    Args:
        root: Its folder, as of `Store`.
        folder: That of the published set.
    """

    def __init__(self, root: str | os.PathLike | None = None, folder: str | os.PathLike | None = None):
        super().__init__(root)
        self.published = published(folder)

    def at(self, kind: str, key: str) -> Run | None:
        """The finished entry, or the published one that stands for it, or None.

        Raises:
            GalgenError: If the published one is not what was published.
        """
        if (found := super().at(kind, key)) or not (path := self.published.root / kind / key).is_dir():
            return found
        there = verified(path)
        own = there.record["sha256"][weights_of(there).name][:16]
        return replace(there, record=there.record | {"key": own})


class ReadOnlyStore(StoreWithPublished):
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
    """Put a training of the experiment's store into a published set.

    Raises:
        GalgenError: If it was not trained, or the folder holds trainings.
    """
    if not (run := experiment.store.find(**experiment.identity(training))):
        options = " ".join(experiment.parameters.options())
        raise GalgenError(f"{training.name} is not trained: galgen train {training.name} {options}")
    target = published(folder).root / training.family / run.path.name
    if (target / "losses.jsonl").exists():
        raise GalgenError(f"{target} is a training, and would be lost; choose another folder with --out")
    state = checkpoint.load_weights(weights_of(run))
    idle = ("discriminator", "generator") if "average" in state else ()
    state = {name: {key: halved(tensor) for key, tensor in of.items()} for name, of in state.items()}
    state = {name: of for name, of in state.items() if name not in idle}
    state["start"] = {"image": experiment.images.start}
    of = {"profile": experiment.profile.name, "data": experiment.images.name}
    of["first"] = experiment.latents().start
    about = {"name": training.name, "N": str(training.N), "data": of["data"], "key": run.key}
    about |= {"commit": run.record["commit"], "license": "BSD-3-Clause"}
    with atomic_folder(target) as new:
        checkpoint.save_weights(new / weights_of(run).name, state, about)
        left_out = {name: value for name, value in run.summary.items() if name not in ("weights", "settings")}
        told = {"summary": left_out | of, "published": provenance()["commit"], "sha256": checksums(new)}
        write_json(new / "record.json", run.record | told)
    return verified(target)


def halved(tensor: Tensor) -> Tensor:
    """A tensor as it is published: in half precision, if it is the kernel of a convolution."""
    return tensor.half() if tensor.ndim >= 4 else tensor


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
