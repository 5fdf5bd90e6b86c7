"""How the book writes numbers."""

__all__ = ["spaced"]


def spaced(n: int) -> str:
    r"""A count with its thousands set apart by spaces that no line breaks at.

    >>> spaced(10_000)
    '10\xa0000'
    """
    return f"{n:,}".replace(",", "\N{NO-BREAK SPACE}")
