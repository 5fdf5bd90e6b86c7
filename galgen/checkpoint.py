"""One safetensors file for the whole state of a training: nested dictionaries of tensors and JSON values.

A tensor goes into the file under its path in the tree (`optimizer/state/3/exp_avg`); everything else goes, as
JSON, into the file's metadata. Nothing is ever unpickled, the bits come back as they were, and a file is
written whole or not at all (`galgen.files.atomic_path`), so that the last good one is always there.
"""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from galgen.errors import GalgenError
from galgen.files import atomic_path

__all__ = ["load", "save"]


def save(path: str | os.PathLike, state: dict) -> None:
    """Write `state`, a tree of dictionaries, lists, tensors and JSON values, atomically."""
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps({"state": _without_tensors(state, "state", tensors)})
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"galgen": text})


def load(path: str | os.PathLike, device: str | torch.device = "cpu") -> dict:
    """Read what `save` wrote; dictionary keys that were whole numbers are whole numbers again.

    Raises:
        GalgenError: If the file is not there, damaged, or not a checkpoint of galgen.
    """
    if not Path(path).is_file():
        raise GalgenError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            text = (file.metadata() or {}).get("galgen")
            if text is None:
                raise GalgenError(f"{path} is a safetensors file, but not a checkpoint of galgen")
            return _with_tensors(json.loads(text)["state"], file)
    except (SafetensorError, OSError, ValueError) as error:
        raise GalgenError(
            f"{path} cannot be read as a checkpoint ({error}); remove it to start anew"
        ) from error


def _without_tensors(value: object, path: str, tensors: dict[str, torch.Tensor]) -> object:
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().contiguous().cpu()
        return {"tensor": path}
    if isinstance(value, dict):
        items = [[k, _without_tensors(v, f"{path}/{k}", tensors)] for k, v in value.items()]
        return {"items": items}  # as pairs, since JSON would turn the numbers of parameters into strings
    if isinstance(value, list | tuple):
        return [_without_tensors(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]
    return value


def _with_tensors(value: object, file: safe_open) -> object:
    if isinstance(value, list):
        return [_with_tensors(v, file) for v in value]
    if isinstance(value, dict):
        if "tensor" in value:
            return file.get_tensor(value["tensor"])
        return {k: _with_tensors(v, file) for k, v in value["items"]}
    return value
