"""How the book writes numbers, and the note under its figures."""

from collections.abc import Iterable

__all__ = ["figure_note", "spaced"]


def spaced(n: int) -> str:
    r"""A count with its thousands set apart by spaces that no line breaks at.

    >>> spaced(10_000)
    '10\xa0000'
    """
    return f"{n:,}".replace(",", "\N{NO-BREAK SPACE}")


def figure_note(profile: str, data: str, N: int | Iterable[int] = ()) -> str:
    """The note of a figure: profile, data set, and N where it has one.

    >>> figure_note("laptop", "simulated", [10, 300])
    'profile laptop · simulated · N = 10, 300'
    """
    sizes = ", ".join(map(spaced, [N] if isinstance(N, int) else N))
    return f"profile {profile} · {data}" + f" · N = {sizes}" * bool(sizes)
