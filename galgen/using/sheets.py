"""What a model draws along its training: the same eight latents at each milestone whose weights are kept.

The weights are those in its entry of the store or, while it is being trained, in the unfinished one. They are
read, and nothing is written there; whoever draws is a process of its own, so that no training imports what
draws.
"""

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from galgen.experiment import Experiment, loaded
from galgen.models.families import Training
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError

__all__ = ["draw", "followed"]

LATENTS = 8
LOOK = 5.0  # seconds between two looks for a milestone


def _kept(experiment: Experiment, training: Training) -> dict[int, Path]:
    """The files of weights that there are, by images shown."""
    entry = experiment.store.root / training.family / experiment.key(training)
    folder = entry if entry.is_dir() else entry.with_suffix(".partial")
    found = {re.search(r"-(\d+)$", path.stem): path for path in folder.glob("weights-*.safetensors")}
    return dict(sorted((int(shown[1]), path) for shown, path in found.items() if shown))


def draw(experiment: Experiment, training: Training, out: Path) -> Path:
    """Write the sheet of a training, a row for each milestone that it has passed, into a PNG.

    Raises:
        GalgenError: If it has passed none.
    """
    from galgen.using.samples import sheet

    seeds, images, labels = experiment.latents(LATENTS), [], []
    for shown, path in _kept(experiment, training).items():
        networks = loaded(experiment.family.networks(), checkpoint.load(path))
        images.append(experiment.family.draw(networks, seeds, experiment.images.start)[:, 0].numpy())
        labels.append(f"{shown} images shown")
    if not images:
        raise GalgenError(f"{training.name} has passed no milestone here: `galgen train` trains it")
    note = f"{experiment.note(training.N)}; {training.name}, latents 0 to {LATENTS - 1}"
    sheet(np.nan_to_num(np.concatenate(images)), out, note, columns=LATENTS, rows=labels)
    return out


@contextlib.contextmanager
def followed(
    experiment: Experiment, training: Training, options: Sequence[str], folder: Path
) -> Iterator[None]:
    """While a training goes on, and at its end, have a process draw its sheet as it passes a milestone.

    Args:
        experiment: Of the training.
        training: Which.
        options: Of the command that names it again.
        folder: Where NAME-SHOWN.png are written, each with the milestones up to that one.
    """
    command, ended = [sys.executable, "-m", "galgen", "sheet", training.name, *options], threading.Event()

    def look() -> None:
        last = max(_kept(experiment, training), default=0)
        out = folder / f"{training.name}-{last}.png"
        if last and not out.exists():
            subprocess.run([*command, "--out", str(out)], stdout=subprocess.DEVNULL, check=False)

    def watch() -> None:
        while not ended.wait(LOOK):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()
