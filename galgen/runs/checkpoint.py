"""What a training leaves behind: its whole state, its weights, and its log.

    checkpoint.pt               all that a training goes on from, by torch.save: bit for bit, also in how
                                tensors lie in memory
    weights-12800.safetensors   the networks after 12 800 images; a tensor's name is `network/name`
    losses.jsonl                a line every so many steps, with images shown and mean losses

Nothing that is read can run code: `torch.load` takes weights only, and safetensors hold nothing else. Files
are written beside their place and renamed (`galgen.runs.files`): a killed process leaves the last one whole.
"""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from galgen.runs.errors import Damaged, reading
from galgen.runs.files import atomic_path, regular

__all__ = ["about_weights", "cut_log", "load", "load_weights", "read_losses", "save", "save_weights"]

_AGAIN = "remove it to start anew"


def save(path: str | os.PathLike, state: dict) -> None:
    """Write tensors and plain values in nested dict, list and tuple under `path`, whole or not at all."""
    whole = io.BytesIO()  # of a full disk torch does not say that it is full
    torch.save(state, whole)
    with atomic_path(path) as temporary:
        temporary.write_bytes(whole.getbuffer())


def load(path: str | os.PathLike) -> dict:
    """Read what `save` wrote, onto the CPU.

    Raises:
        GalgenError: If the file is missing, damaged, or holds anything that could run.
    """
    with reading(path, _AGAIN):
        return torch.load(regular(path), map_location="cpu", weights_only=True)


def save_weights(
    path: str | os.PathLike, networks: Mapping[str, Mapping[str, Tensor]], about: dict[str, str] | None = None
) -> None:
    """Write the states of networks, by name, and what the header says about them."""
    named = {f"{name}/{key}": tensor for name, state in networks.items() for key, tensor in state.items()}
    with atomic_path(path) as temporary:
        save_file({name: tensor.detach().contiguous() for name, tensor in named.items()}, temporary, about)


def load_weights(path: str | os.PathLike) -> dict[str, dict[str, Tensor]]:
    """Read the states of networks.

    Raises:
        GalgenError: If the file is missing or damaged.
    """
    found: dict[str, dict[str, Tensor]] = {}
    with reading(path, _AGAIN):
        for name, tensor in load_file(regular(path)).items():
            network, _, key = name.partition("/")
            found.setdefault(network, {})[key] = tensor
    return found


def about_weights(path: str | os.PathLike) -> dict[str, str]:
    """What the header of a file of weights says about them."""
    with reading(path, _AGAIN), safe_open(regular(path), framework="pt") as file:
        return file.metadata() or {}


def read_losses(directory: str | Path) -> list[dict]:
    """The log of a run: one dictionary a line, `images` and the losses.

    Raises:
        GalgenError: If there is none, or a line is none.
    """
    log = Path(directory) / "losses.jsonl"
    with reading(log, f"`galgen runs rm {log.parent.name}`"):
        return [_line(line) for line in log.read_text().splitlines()]


def _line(text: str) -> dict:
    """A line of the log; a ValueError if it is none."""
    line = json.loads(text)
    if not isinstance(line, dict) or not isinstance(line.get("images"), int):
        raise ValueError(f"'{text:.40}' is no line of a log")
    return line


def cut_log(log: Path, shown: int) -> None:
    """Cut the log behind the line of so many images shown, whatever follows.

    Raises:
        Damaged: If the log is not whole up to there.
    """
    try:
        lines = log.read_text(errors="replace").splitlines(keepends=True)
        last = next((i for i, line in enumerate(lines) if _line(line)["images"] == shown), None)
        if last is None:
            raise ValueError(f"the log ends before the checkpoint, after {shown} images")
    except (OSError, ValueError) as error:
        raise Damaged(f"{log.parent} cannot be gone on with: {error}") from error
    with atomic_path(log) as temporary:
        temporary.write_text("".join(lines[: last + 1]))
