"""Chapter 11: the claims of several runs beside each other."""

from collections.abc import Iterable, Mapping
from itertools import chain

from IPython.display import Markdown

from galgen.figures.tables import table

__all__ = ["alike", "beside"]


def beside(runs: Mapping[str, Iterable[Mapping[str, str]]]) -> Markdown:
    """The claims of several runs, as chapter 10 keeps them: a row a claim and family, a column a run."""
    claims = {name: _places(kept) for name, kept in runs.items()}
    rows = []
    for place in dict.fromkeys(chain(*claims.values())):
        found = (kept.get(place) for kept in claims.values())
        rows.append([*place, *(f"**{one['verdict']}**: {one['numbers']}" if one else "" for one in found)])
    return table(["claim", "family", *runs], rows, after=alike(runs))


def alike(runs: Mapping[str, Iterable[Mapping[str, str]]]) -> str:
    """In how many claims that no gate decides runs have the same verdict; older books, of others, are named.

    A gate decides alike where runs have the same N and budget: that is no agreement.
    """
    claims = {name: _places(kept) for name, kept in runs.items()}
    old = [name for name, kept in claims.items() if not kept]
    asked = [kept for kept in claims.values() if kept]
    shared = [place for place in asked[0] if all(place in kept for kept in asked)] if asked else []
    ruled = [place for place in shared if not any(kept[place]["gate"] for kept in asked)]
    same = sum(len({kept[place]["verdict"] for kept in asked}) == 1 for place in ruled)
    said = (
        f"Of {len(shared)} places, a claim and a family each, that {len(asked)} runs were asked, "
        f"{len(ruled)} come past the gates in all of them. There the verdict is the same in {same}."
    )
    if len(asked) < 2:
        said = "Of the books that are kept, fewer than two were asked the claims of this one."
    told = " Older books, of other claims and recipes, may differ in more than their galaxies: "
    return said + f"{told}{', '.join(old)}." * bool(old)


def _places(kept: Iterable[Mapping[str, str]]) -> dict[tuple[str, str], Mapping[str, str]]:
    """By claim and family; claims of older books have no key."""
    return {(one["claim"], one["family"]): one for one in kept if "key" in one}
