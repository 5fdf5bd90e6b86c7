"""Registry of lazily imported objects: using one model does not import the others."""

import pkgutil
from collections import UserDict

__all__ = ["Registry"]


class Registry(UserDict):
    """Dictionary of objects, or of their import paths such as `galgen.models.gan:Gan`.

    An import path is not an import statement: code that depends on it lists its module (`galgen.runs.code`).

    >>> Registry({"root": "math:sqrt"})["root"](9)
    3.0
    """

    def __getitem__(self, name: str) -> object:
        value = super().__getitem__(name)
        return pkgutil.resolve_name(value) if isinstance(value, str) else value
