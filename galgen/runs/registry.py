"""Names that stand for code which is loaded when it is asked for: a reader of one model imports no other."""

import pkgutil
from collections import UserDict

__all__ = ["Registry"]


class Registry(UserDict):
    """What names stand for: objects, or texts that say where one is, as `galgen.models.gan:Gan`.

    What is found by a text is no import: who depends on it lists its module (`galgen.runs.code`).

    >>> Registry({"root": "math:sqrt"})["root"](9)
    3.0
    """

    def __getitem__(self, name: str) -> object:
        found = super().__getitem__(name)
        return pkgutil.resolve_name(found) if isinstance(found, str) else found
