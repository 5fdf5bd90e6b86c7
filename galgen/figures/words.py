"""Number formatting of the book."""

__all__ = ["spaced"]


def spaced(n: int) -> str:
    r"""Format a count with no-break spaces as thousands separators.

    >>> spaced(10_000)
    '10\xa0000'
    """
    return f"{n:,}".replace(",", "\N{NO-BREAK SPACE}")
