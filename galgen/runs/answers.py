"""Answers as JSON: dataclasses, mappings by any key, and arrays, read again as what they were.

An answer is written as a tree of JSON values, in which a mapping whose keys are no texts is a list of its
items; the type that was promised says how it is read, and what does not fit is refused. Nothing that is read
can name a type, or run. NaN and infinities are kept: the files are for Python, which has them.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import GetPydanticSchema, TypeAdapter
from pydantic_core import core_schema

from galgen.runs.errors import Damaged, GalgenError, checked
from galgen.runs.files import atomic_path

__all__ = ["Array", "read_answer", "write_answer"]


def _numbers(value: object) -> np.ndarray:
    found = np.asarray(value)
    if not (found.ndim and found.size and found.dtype.kind in "biuf"):
        raise ValueError("no array of numbers")
    return found


# A field of a dataclass that is an array of numbers, of one at least.
Array = Annotated[
    np.ndarray,
    GetPydanticSchema(
        lambda *_: core_schema.no_info_plain_validator_function(
            _numbers, serialization=core_schema.plain_serializer_function_ser_schema(np.ndarray.tolist)
        )
    ),
]

_ITEMS = "items"


def write_answer(path: Path, answer: object, kind: object) -> None:
    """Write an answer of that type, atomically."""
    tree = _plain(TypeAdapter(kind).dump_python(answer))
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(tree) + "\n")


def read_answer(path: Path, kind: object) -> Any:
    """Read an answer of that type.

    Raises:
        Damaged: If there is none, or it is of another type.
    """
    try:
        return checked(kind, _again(json.loads(path.read_text())), "the answer")
    except (OSError, RecursionError, TypeError, ValueError, GalgenError) as error:
        raise Damaged(f"{path} holds no such answer ({error})") from error


def _plain(value: object) -> object:
    if isinstance(value, dict):
        if all(isinstance(key, str) and key != _ITEMS for key in value):
            return {key: _plain(each) for key, each in value.items()}
        return {_ITEMS: [[_plain(key), _plain(each)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _again(value: object) -> object:
    if isinstance(value, dict):
        if set(value) != {_ITEMS}:
            return {key: _again(each) for key, each in value.items()}
        return {_frozen(key): _again(each) for key, each in value[_ITEMS]}
    return list(map(_again, value)) if isinstance(value, list) else value


def _frozen(key: object) -> object:
    return tuple(map(_frozen, key)) if isinstance(key, list) else key
