"""Mistakes that a message can explain: their exception, how they are told, and the check of what is given."""

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

__all__ = [
    "Closed",
    "Damaged",
    "FullDisk",
    "GalgenError",
    "checked",
    "exit_code",
    "printable",
    "reading",
    "refused",
]

T = TypeVar("T")


class GalgenError(Exception):
    """A mistake of the user's or of the input: names the thing and the way out.

    The command line prints it without a traceback and exits with code 2.
    """


class Damaged(GalgenError):
    """Something in the store is not what was written there: the store sets it aside and makes it again."""


class FullDisk(GalgenError):
    """There is no room to write in a folder; `needed` says how much what is written takes and has."""

    def __init__(self, folder: Path, needed: str = ""):
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
        free = shutil.disk_usage(there).free / 2**20
        super().__init__(
            f"the disk is full: {folder}{needed}, and {free:.1f} MB are free. Make room and run the same "
            "command again: it goes on where it stopped"
        )


class Closed(BaseModel):
    """Values from outside, by name: unknown names are refused, and so are numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def checked(kind: type[T], values: object, what: str, *, strict: bool | None = None) -> T:
    """Make a `kind`, a type that pydantic knows, of values from outside.

    Args:
        kind: The type.
        values: For a model, its fields.
        what: What to call them.
        strict: Whether a text is no number, by default as the type has it.

    Raises:
        GalgenError: Names `what`, and for each mistake the field, what is wrong with it and what was found.
    """
    try:
        return TypeAdapter(kind).validate_python(values, strict=strict)
    except ValidationError as error:
        raise refused(error, what) from error


def refused(error: ValidationError, what: str) -> GalgenError:
    """What pydantic refuses of the values called `what`, in one line."""
    mistakes = [(".".join(map(str, e["loc"])), e["msg"], e["input"]) for e in error.errors()]
    lines = [f"{place or 'the whole':.80}: {wrong} (found {found!r:.80})" for place, wrong, found in mistakes]
    return GalgenError(f"{what}: {'; '.join(lines[:5])}{'; ...' * (len(lines) > 5)}")


@contextlib.contextmanager
def reading(path: object, way_out: str = "give another file") -> Iterator[None]:
    """Turn any error while a file is read into one line: the file, the reason, and what to do.

    Raises:
        GalgenError: As said; one that is raised inside passes unchanged.
    """
    try:
        yield
    except GalgenError:
        raise
    except MemoryError as error:
        raise GalgenError(f"{path} cannot be read (memory is too small); {way_out}") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GalgenError(f"{path} cannot be read ({reason:.300}); {way_out}") from error


def printable(text: str) -> str:
    r"""A text of someone else's, fit for a terminal, a page and a catalogue.

    What steers a terminal, turns the direction of writing, or is no character at all (of a file name that is
    no UTF-8) is written as its code: `\x1b`, `\u202e`, `\udcff`.
    """
    kept = "\N{NO-BREAK SPACE}"
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def check_environment() -> None:
    """Import tqdm, which reads numbers in the environment as it is imported.

    Raises:
        GalgenError: If a variable of it is no number.
    """
    try:
        import tqdm  # noqa: F401
    except ValueError as error:
        names = ", ".join(sorted(name for name in os.environ if name.startswith("TQDM_")))
        raise GalgenError(f"of the environment's {names}: {error}; unset it") from error


def exit_code(work: Callable[[], int]) -> int:
    """Do some work; a mistake that a message can explain is printed as one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may have letters that the locale lacks
    try:
        check_environment()
        return work()
    except GalgenError as error:
        told = "\n".join(map(printable, str(error).split("\n")))  # of some, what a program said follows
        print(f"galgen: error: {told}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        told = str(error) or "the same command goes on where it stopped"
        print(f"galgen: interrupted; {told}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads the output has seen enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
        return 141
    except OSError as error:  # of the system: no such folder, no permission, a full disk
        told = printable(str(error))
        print(f"galgen: error: {told}; mend that and give the same command again", file=sys.stderr)
        return 2
