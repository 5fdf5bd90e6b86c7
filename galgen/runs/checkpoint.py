"""What a training leaves behind: all of its state in one file, and its log.

Tensors go by name, everything else as JSON, and nothing is pickled. A state is a nest of dictionaries, lists
and tuples with tensors, numbers, strings, booleans and None at its leaves, such as `state_dict()` of a module
or an optimizer. Tensors go into a safetensors file under their path in the nest
(`optimizers/adam/state/3/exp_avg`); the nest itself, with the kind of every container, the type of every key
and the strides of every tensor, is JSON in the metadata of the same file. So what is loaded is what was
saved, bit for bit, also in how it lies in memory: a fused optimizer walks a parameter and its moments in step
and needs them to lie alike.

The file is written beside its place and renamed (`galgen.runs.files`): a killed process leaves the last
one whole.

The log of a training, `losses.jsonl`, has a line every so many steps, with images shown and mean losses.
"""

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from galgen.runs.errors import Damaged, GalgenError
from galgen.runs.files import atomic_path, regular

__all__ = ["check", "cut_log", "load", "read_losses", "save"]


def save(path: str | os.PathLike, state: dict) -> None:
    """Write a state under `path`, whole or not at all.

    Args:
        path: A file name, usually `*.safetensors`.
        state: Tensors and JSON values in nested dict, list and tuple.

    Raises:
        TypeError: If something in it is neither.
        ValueError: If it holds a Python float that is not finite.
    """
    tensors: dict[str, Tensor] = {}
    nest = json.dumps(_without_tensors(state, "", tensors), allow_nan=False)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"galgen": nest})


def load(path: str | os.PathLike) -> dict:
    """Read what `save` wrote.

    Raises:
        GalgenError: If the file is missing, damaged, or not a checkpoint of galgen.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return _with_tensors(json.loads((file.metadata() or {})["galgen"]), file)
    except FileNotFoundError as error:
        raise GalgenError(f"there is no checkpoint {path}; train the model first") from error
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise GalgenError(
            f"{path} is not a whole checkpoint of galgen ({error!r}); remove it to start anew"
        ) from error


def check(path: str | os.PathLike, like: dict) -> None:
    """Compare a file of someone else's with a state that it is to be like, before `load` trusts it.

    The nest, with all names and strides, must be that of the other state, and so the type and the shape of
    every tensor; and all numbers finite.

    Args:
        path: The file.
        like: A state; its tensors may be on torch's device `meta`, which takes no memory.

    Raises:
        GalgenError: Names the file, and what is wrong in it.
    """
    tensors: dict[str, Tensor] = {}
    nest = json.dumps(_without_tensors(like, "", tensors))
    try:
        with safe_open(regular(path), framework="pt") as file:
            if (file.metadata() or {}).get("galgen") != nest or set(file.keys()) != tensors.keys():
                raise ValueError("its tensors have other names or shapes")
            for name, tensor in tensors.items():
                found = file.get_tensor(name)
                if (found.dtype, found.shape) != (tensor.dtype, tensor.shape):
                    raise ValueError(f"{name} is {found.dtype} {tuple(found.shape)}")
                if not found.isfinite().all():
                    raise ValueError(f"{name} has numbers that are not finite")
    except (OSError, SafetensorError, ValueError) as error:
        raise GalgenError(f"{path} is not what it is said to be: {error}") from error


def _without_tensors(value: object, path: str, tensors: dict[str, Tensor]) -> object:
    """JSON for `value`, which lies at `path` in the nest; its tensors are put into `tensors`."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().contiguous()
        return {"tensor": path, "stride": value.stride()}
    if isinstance(value, dict):  # as pairs: JSON would turn the numbers of parameters into strings
        return {
            "dict": [[k, _without_tensors(v, f"{path}/{k}".strip("/"), tensors)] for k, v in value.items()]
        }
    if isinstance(value, list | tuple):
        items = [_without_tensors(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]
        return {type(value).__name__: items}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{path}: a checkpoint holds tensors and JSON values, not {type(value).__name__}")


def _with_tensors(value: object, file: safe_open) -> object:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = file.get_tensor(value["tensor"])
        return tensor.new_empty_strided(tensor.shape, value["stride"]).copy_(tensor)
    if "dict" in value:
        return {k: _with_tensors(v, file) for k, v in value["dict"]}
    ((kind, items),) = value.items()
    return {"list": list, "tuple": tuple}[kind](_with_tensors(v, file) for v in items)


def read_losses(directory: str | Path) -> list[dict]:
    """The log of a run: one dictionary a line, `images` and the losses.

    Raises:
        GalgenError: If there is none, or a line is none.
    """
    log = Path(directory) / "losses.jsonl"
    try:
        return [_line(line) for line in log.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise GalgenError(f"{log} cannot be read ({error}); `galgen runs rm {log.parent.name}`") from error


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
