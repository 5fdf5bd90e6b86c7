"""JSON that a program wrote and anyone may have changed since: read by the type of what was written."""

import json
import os
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from galgen.runs.errors import GalgenError, refused
from galgen.runs.files import regular

__all__ = ["Written", "read_as"]


class Written(BaseModel, strict=True, allow_inf_nan=False, frozen=True):
    """What a file of JSON has by name; what else it has is nobody's business."""


def read_as(path: str | os.PathLike, kind: Any, way_out: str) -> Any:
    """The JSON of a file, if it is that of a `kind`, a type that pydantic knows.

    Args:
        path: The file.
        kind: The type of what was written.
        way_out: What to do about a file that is damaged.

    Raises:
        GalgenError: Names the file, the place in it and what is wrong there, and the way out.
    """
    try:
        content = regular(path).read_bytes()
        TypeAdapter(kind).validate_json(content)
        return json.loads(content)
    except ValidationError as error:
        raise GalgenError(f"{refused(error, str(path))}; {way_out}") from error
    except (OSError, ValueError) as error:
        raise GalgenError(f"{path} cannot be read ({error}); {way_out}") from error
