"""The questions that the book asks of models, by subject: each returns rows of the table, and arrays."""

import importlib
import pkgutil


def load() -> None:
    """Import all questions, which enter `galbook.table.QUESTIONS`."""
    for found in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{found.name}")
