"""Errors with a message for the user: exception classes, printing, and validation of input."""

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

__all__ = ["Closed", "Damaged", "FullDisk", "GalgenError", "checked", "exit_code", "printable", "reading",
    "refused"]  # fmt: skip

T = TypeVar("T")


class GalgenError(Exception):
    """Invalid user input. The message names the offending item and says how to fix it.

    The command line prints it without a traceback and exits with code 2.
    """


class Damaged(GalgenError):
    """A store entry is corrupt or incomplete; the store quarantines it and computes it again."""


class FullDisk(GalgenError):
    """The disk of a folder is full; `needed` states the space required and already used."""

    def __init__(self, folder: Path, needed: str = ""):
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
        free = shutil.disk_usage(existing).free / 2**20
        super().__init__(
            f"the disk is full: {folder}{needed}, and {free:.1f} MB are free. Free some space and run the "
            "same command again: it resumes where it stopped"
        )


class Closed(BaseModel):
    """Immutable model of external values; rejects unknown fields and non-finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def checked(kind: type[T], values: object, what: str, *, strict: bool | None = None) -> T:
    """Validate external values with pydantic and return them as an instance of `kind`.

    Args:
        kind: Any type that pydantic supports.
        values: The values; for a model, a dictionary of its fields.
        what: Name of the values in error messages.
        strict: Whether to reject strings for numbers; by default the setting of the type.

    Raises:
        GalgenError: Names `what` and, for each invalid field, the reason and the value found.
    """
    try:
        return TypeAdapter(kind).validate_python(values, strict=strict)
    except ValidationError as error:
        raise refused(error, what) from error


def refused(error: ValidationError, what: str) -> GalgenError:
    """Convert a ValidationError of the values called `what` to a one-line GalgenError."""
    mistakes = [(".".join(map(str, e["loc"])), e["msg"], e["input"]) for e in error.errors()]
    lines = [f"{field or 'the input':.80}: {why} (found {value!r:.80})" for field, why, value in mistakes]
    return GalgenError(f"{what}: {'; '.join(lines[:5])}{'; ...' * (len(lines) > 5)}")


@contextlib.contextmanager
def reading(path: object, way_out: str = "give another file") -> Iterator[None]:
    """Convert any error raised while reading a file to one line: the file, the reason, what to do.

    Raises:
        GalgenError: For any error; a GalgenError raised inside passes unchanged.
    """
    try:
        yield
    except GalgenError:
        raise
    except MemoryError as error:
        raise GalgenError(f"{path} cannot be read (not enough memory); {way_out}") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GalgenError(f"{path} cannot be read ({reason:.300}); {way_out}") from error


def printable(text: str) -> str:
    r"""Escape an external text so that it is safe in a terminal, a page and a catalogue.

    Control characters, marks of writing direction and lone surrogates (from file names that are not UTF-8)
    are written as escapes: `\x1b`, `\u202e`, `\udcff`.
    """
    safe = "\N{NO-BREAK SPACE}"
    return "".join(c if c.isprintable() or c in safe else c.encode("unicode_escape").decode() for c in text)


def check_environment() -> None:
    """Import tqdm, which parses numbers from environment variables at import.

    Raises:
        GalgenError: If one of these variables is not a number.
    """
    try:
        import tqdm  # noqa: F401
    except ValueError as error:
        names = ", ".join(sorted(name for name in os.environ if name.startswith("TQDM_")))
        raise GalgenError(f"environment variable {names}: {error}; unset it") from error


def exit_code(work: Callable[[], int]) -> int:
    """Run `work` and return its exit code; print expected errors as one line instead of a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may have characters that the locale lacks
    try:
        check_environment()
        return work()
    except GalgenError as error:
        message = "\n".join(map(printable, str(error).split("\n")))  # may end with a subprocess's output
        print(f"galgen: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        message = str(error) or "run the same command again to resume"
        print(f"galgen: interrupted; {message}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # avoids a second error at exit
        return 141
    except OSError as error:  # missing folder, no permission, full disk
        message = printable(str(error))
        print(f"galgen: error: {message}; fix this and run the same command again", file=sys.stderr)
        return 2
