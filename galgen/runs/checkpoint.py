"""Files of a training: its full state (checkpoint), its weights and its loss log.

    checkpoint.pt               everything needed to resume, written by torch.save; preserves all bits and
                                the memory layout of tensors
    weights-12800.safetensors   the networks after 12 800 images; tensors are named `network/name`
    losses.jsonl                one line every few steps, with images shown and mean losses

Loading cannot execute code: `torch.load` is called with weights_only, and safetensors contain only tensors.
Files are written under a temporary name and renamed (`galgen.runs.files`), so a killed process leaves the
previous file intact.
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

_HINT = "remove it to start anew"


def save(path: str | os.PathLike, state: dict) -> None:
    """Save tensors and plain values in nested dict, list and tuple to `path`, atomically."""
    buffer = io.BytesIO()  # torch's own writer hides the error number of a full disk
    torch.save(state, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load(path: str | os.PathLike) -> dict:
    """Load a checkpoint written by `save` onto the CPU.

    Raises:
        GalgenError: If the file is missing or damaged, or contains executable objects.
    """
    with reading(path, _HINT):
        return torch.load(regular(path), map_location="cpu", weights_only=True)


def save_weights(
    path: str | os.PathLike, networks: Mapping[str, Mapping[str, Tensor]], about: dict[str, str] | None = None
) -> None:
    """Save the state dicts of networks, by name, with optional metadata for the header."""
    named = {f"{name}/{key}": tensor for name, state in networks.items() for key, tensor in state.items()}
    with atomic_path(path) as temporary:
        save_file({name: tensor.detach().contiguous() for name, tensor in named.items()}, temporary, about)


def load_weights(path: str | os.PathLike) -> dict[str, dict[str, Tensor]]:
    """Load the state dicts of networks, by name.

    Raises:
        GalgenError: If the file is missing or damaged.
    """
    states: dict[str, dict[str, Tensor]] = {}
    with reading(path, _HINT):
        for name, tensor in load_file(regular(path)).items():
            network, _, key = name.partition("/")
            states.setdefault(network, {})[key] = tensor
    return states


def about_weights(path: str | os.PathLike) -> dict[str, str]:
    """Return the metadata in the header of a weights file."""
    with reading(path, _HINT), safe_open(regular(path), framework="pt") as file:
        return file.metadata() or {}


def read_losses(directory: str | Path) -> list[dict]:
    """Read the loss log of a run: one dictionary per line, with `images` and the losses.

    Raises:
        GalgenError: If the log is missing or a line is invalid.
    """
    log = Path(directory) / "losses.jsonl"
    with reading(log, f"`galgen runs rm {log.parent.name}`"):
        return [_line(line) for line in log.read_text().splitlines()]


def _line(text: str) -> dict:
    """Parse a line of the log; raise ValueError if it is invalid."""
    line = json.loads(text)
    if not isinstance(line, dict) or not isinstance(line.get("images"), int):
        raise ValueError(f"'{text:.40}' is not a valid log line")
    return line


def cut_log(log: Path, shown: int) -> None:
    """Truncate the log after the line with `shown` images.

    Raises:
        Damaged: If the log is incomplete up to that line.
    """
    try:
        lines = log.read_text(errors="replace").splitlines(keepends=True)
        last = next((i for i, line in enumerate(lines) if _line(line)["images"] == shown), None)
        if last is None:
            raise ValueError(f"the log ends before the checkpoint, after {shown} images")
    except (OSError, ValueError) as error:
        raise Damaged(f"{log.parent} cannot be resumed: {error}") from error
    with atomic_path(log) as temporary:
        temporary.write_text("".join(lines[: last + 1]))
