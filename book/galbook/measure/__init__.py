"""Questions that measure the models, by subject: each returns rows of the table, and arrays."""

import importlib
import pkgutil


def load() -> None:
    """Import all questions, which registers them in `galbook.table.QUESTIONS`."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
