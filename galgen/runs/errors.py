"""The one exception for mistakes that a message can explain."""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

__all__ = ["Damaged", "GalgenError", "checked"]

T = TypeVar("T")


class GalgenError(Exception):
    """A mistake of the user's or of the input: names the thing and the way out.

    The command line prints it without a traceback and exits with code 2.
    """


class Damaged(GalgenError):
    """Something in the store is not what was written there: the store sets it aside and makes it again."""


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
        mistakes = [(".".join(map(str, e["loc"])), e["msg"], e["input"]) for e in error.errors()]
        lines = [f"{place or 'the whole'}: {wrong} (found {found!r:.80})" for place, wrong, found in mistakes]
        raise GalgenError(f"{what}: {'; '.join(lines)}") from error
