"""Published models: final weights distributed with the project, for use without training.

A published set is a run store whose keys contain no code: a model is found by its family, recipe and images.
It stands for its training while the version of the code recorded with it is today's; after a change that is
meant to change nothing, `make confirm` records the new one. It contains only the final weights, without
networks that sampling does not need (the discriminator of a GAN, and the generator if its average is used).
The project's is `results/models/`; a wheel contains five of its models. Convolutions (tensors with four axes
or more) are in half precision, all other tensors unchanged. The start image of the sampler is stored with
them. Samples of a published model differ in the fourth digit from those of its training, so the keys of its
samples contain the checksum of its weights instead of the key of the training.
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
from galgen.runs.code import version
from galgen.runs.errors import Damaged, GalgenError
from galgen.runs.files import atomic_folder, project, write_json
from galgen.runs.store import Run, Store, checksums, provenance, read_record, verified

__all__ = ["ReadOnlyStore", "StoreWithPublished", "available", "halved", "listed", "model_cards", "publish",
    "publish_pairs", "published", "sort_key", "start_of", "weights_of"]  # fmt: skip


SET = Path("results", "models")  # in the project


def published(folder: str | os.PathLike | None = None) -> Store:
    """Return the published set in a folder, by default of the project, else of the package."""
    package = Path(__file__).parent
    usual = (project() / SET, package.parent / SET, package / "trained")  # of a checkout, of a wheel
    return Store(folder or next((place for place in usual if place.is_dir()), usual[0]))


def weights_of(run: Run) -> Path:
    """Return the path of the final weights of a training, published or not."""
    return run.path / f"weights-{run.summary['images_shown']}.safetensors"


def start_of(run: Run) -> Tensor:
    """Return the image (1, H, W) at which the sampler of a published model starts."""
    return checkpoint.load_weights(weights_of(run))["start"]["image"]


def available(experiment: Experiment, training: Training) -> bool:
    """Whether a model is in the store or published; a damaged one is reported on stderr."""
    try:
        return experiment.trained(training)
    except GalgenError as error:
        print(f"galgen: {error}; this model is omitted", file=sys.stderr)
        return False


def listed(place: Store) -> Iterator[Run]:
    """Yield the models in a run store or in a published set, sorted by name."""
    entries = []
    for path in (path for kind in FAMILIES | STUDIES for path in place.finished(kind)):
        with contextlib.suppress(Damaged):
            entries.append(Run(path, read_record(path)))
    yield from sorted(entries, key=lambda run: sort_key(run.summary["name"]))


def sort_key(name: str) -> tuple[str, list[int], bool, list[int]]:
    """Return the sort key of a model name: family, N, pairs before 2x2 design, initialization, order."""
    family, *numbers = name.partition("-")[0], *map(int, re.findall(r"(?<=-)\D?(\d+)", name))
    return family, numbers[:1], len({*numbers[1:3]}) > 1, numbers[1:]


class StoreWithPublished(Store):
    """A run store that substitutes published models for missing trainings.

    Args:
        root: Folder of the store, as in `Store`.
        folder: Folder of the published set.
        any_version: Also substitute models of another version of the code.
    """

    def __init__(
        self,
        root: str | os.PathLike | None = None,
        folder: str | os.PathLike | None = None,
        *,
        any_version: bool = False,
    ):
        super().__init__(root)
        self.published, self.any_version = published(folder), any_version

    def find(self, kind: str, params: dict, *, data: str = "", code: Iterable[str] = ()) -> Run | None:
        """Return the finished entry, else the published one that replaces it, else None.

        Raises:
            GalgenError: If the published entry is damaged.
        """
        path = self.published.root / kind / self.key(kind, params, data=data)
        if (entry := super().find(kind, params, data=data, code=code)) or not path.is_dir():
            return entry
        run = verified(path)
        if not self.any_version and run.record["published"]["code"] != version(code):
            return None
        weights_key = run.record["sha256"][weights_of(run).name][:16]
        return replace(run, record=run.record | {"key": weights_key})


class ReadOnlyStore(StoreWithPublished):
    """A run store with published models that computes nothing: missing entries are errors."""

    def run(self, kind: str, params: dict, make: Callable[[Path], dict], **options: object) -> Run:
        """Return the finished entry, else the published one that replaces it.

        Raises:
            GalgenError: If neither exists.
        """
        identity = {name: options[name] for name in ("data", "code") if name in options}
        if entry := self.find(kind, params, **identity):
            return entry
        raise GalgenError(f"this {kind} entry is not in the store")


def model_cards(store: Store) -> str:
    """Model cards of a published set: the text of its README.md with the table generated from the records.

    The text above the table is written by hand.
    """
    rows = ["| model | training set | N | epochs | final loss | profile | key |\n"]
    rows += ["| --- | --- | ---: | ---: | ---: | --- | --- |\n"]
    for run in listed(store):
        summary, N, losses = run.summary, run.record["params"]["N"], run.summary["losses"]
        loss = next(losses[name] for name in ("loss", "bits_per_dim", "hinge") if name in losses)
        part, epochs = run.record["data"].rsplit(" of ", 1)[1], summary["images_shown"] / N
        cells = (
            summary["name"],
            f"{summary['data']}, {part}",
            N,
            f"{epochs:.4g}",
            f"{loss:#.3g}",
            summary["profile"],
        )
        rows.append(f"| {' | '.join(map(str, cells))} | `{run.record['key']}` |\n")
    return (store.root / "README.md").read_text().partition("| model |")[0] + "".join(rows)


def publish(experiment: Experiment, training: Training, folder: str | os.PathLike | None = None) -> Run:
    """Put a training of the experiment's store into a published set.

    Raises:
        GalgenError: If it was not trained, or the folder is a run store.
    """
    if not (run := experiment.store.find(**experiment.identity(training))):
        options = " ".join(experiment.parameters.options())
        raise GalgenError(f"{training.name} is not trained: galgen train {training.name} {options}")
    key = experiment.published_key(training)
    target = Path(folder or project() / SET).absolute() / training.family / key
    if target.parents[1] == experiment.store.root:
        raise GalgenError(
            f"{target.parents[1]} is a run store of trainings; choose another folder with --out"
        )
    state = checkpoint.load_weights(weights_of(run))
    idle = ("discriminator", "generator") if "average" in state else ()
    state = {name: {key: halved(tensor) for key, tensor in net.items()} for name, net in state.items()}
    state = {name: net for name, net in state.items() if name not in idle}
    state["start"] = {"image": experiment.images.start}
    origin = {"profile": experiment.profile.name, "data": experiment.images.name}
    origin["first"] = experiment.latents().start
    about = {"name": training.name, "N": str(training.N), "data": origin["data"], "key": key}
    about |= {"commit": run.record["commit"], "license": "BSD-3-Clause"}
    with atomic_folder(target) as new:
        checkpoint.save_weights(new / weights_of(run).name, state, about)
        summary = {name: value for name, value in run.summary.items() if name not in ("weights", "settings")}
        made = {"commit": provenance()["commit"], "code": run.record["code"]}
        changes = {"summary": summary | origin, "published": made, "sha256": checksums(new)}
        write_json(new / "record.json", run.record | changes | {"key": key, "code": ""})
    return verified(target)


def halved(tensor: Tensor) -> Tensor:
    """Convert a convolution kernel to half precision; return other tensors unchanged."""
    return tensor.half() if tensor.ndim >= 4 else tensor


def publish_pairs(
    experiments: Collection[Experiment], sizes: Iterable[int] = (), folder: str | os.PathLike | None = None
) -> Iterator[str]:
    """Publish models A and B of each experiment, at its smallest and largest N or at the given sizes.

    Yields:
        For each model the folder of the published entry, or a note that it is not trained.

    Raises:
        GalgenError: If no experiment has one of the sizes, or none of the models is trained.
    """
    sizes_known, done = {N for experiment in experiments for N in experiment.sizes}, 0
    if unknown := set(sizes) - sizes_known:
        raise GalgenError(
            f"no family has N = {sorted(unknown)} in this profile; choose from {sorted(sizes_known)}"
        )
    for experiment in experiments:
        wanted = set(sizes or (min(experiment.sizes), max(experiment.sizes))) & set(experiment.sizes)
        for training in (model for N in sorted(wanted) for model in experiment.models.pair(N)):
            done += (is_trained := experiment.trained(training))
            name = training.name
            yield str(publish(experiment, training, folder).path) if is_trained else f"not trained: {name}"
    if not done:
        raise GalgenError("nothing to publish: none of these models is trained")
    if (cards := published(folder).root / "README.md").is_file():
        cards.write_text(model_cards(published(folder)))
