"""How often should a second run repeat each word of the table? Drawn before that run is made, and committed.

    python benchmarks/expected.py [results/laptop-simulated.json ...]

Of each book the rows are those that it kept. A book from before the table kept sentences with numbers in
them: these are read, to the digits they have, and what they do not hold is *not asked* and not counted. From
the rows `galbook.judgement.again` draws the words of a second run, of other trainings. By default of all
laptop books, into results/expected.json; what that says of other books stays.
"""

import argparse
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

from galbook.claims import claims
from galbook.committed import Book
from galbook.results import target
from galgen.compare.uncertainty import Estimate
from galgen.models.families import FAMILIES
from galgen.profiles import PROFILES
from galgen.runs.errors import GalgenError, exit_code
from galgen.runs.files import project, read_json, write_json
from galgen.runs.reading import read_as
from galgen.runs.store import provenance

NUMBER = r"(-?\d[\d.]*)"
INTERVAL = re.compile(rf"{NUMBER} \[{NUMBER}, {NUMBER}\]")


def estimates(text: str) -> list[Estimate]:
    """All numbers of a text that have an interval."""
    found = INTERVAL.findall(text)
    return [Estimate(*map(float, each), len(found)) for each in found]


class Before:
    """What a family found, read from the sentences of a book from before the table."""

    def __init__(self, name: str, book: Mapping, off: Mapping):
        self.label, self._off = FAMILIES[name].label, off
        self._settings = getattr(PROFILES[book["run"]["profile"]], name)
        old = book["kept"]["10_conclusions"]["claims"]
        self._said = {one["key"]: one["numbers"] for one in old if one["family"] == self.label}
        self.sizes = tuple(book["run"]["N"]) if book["run"]["N"] else self._settings.N
        self.sizes = tuple(n for n in self.sizes if n in self._settings.N) or self.sizes
        self.small, self.large = (100 if 100 in self.sizes else self.sizes[0]), self.sizes[-1]

    def at(self, N: int) -> str:
        """The note of one N."""
        return f"{self._settings.images_shown(N) / N:.2g} passes"

    def cells(self, what: str) -> dict[int, list[Estimate]]:
        """Of the statistics that were kept with an interval each."""
        said, ends = self._said, dict.fromkeys((self.small, self.large))
        if what == "gained" and "plateau" in said:
            return {self.small: estimates(said["plateau"])}
        if what not in ("closer", "agree") or "transition" not in said:
            return {}
        memory, agree = said["transition"].split("; A and B agree at ")
        if what == "agree":
            return dict(zip(ends, map(estimates, agree.split(" and at ")), strict=True))
        nulls = [max(0.5, float(x)) for x in re.findall(r"Gaussians ([\d.]+)\)", memory)]
        parts = [estimates(part) for part in memory.split("P(train closer)")[1:]]
        return {
            n: [Estimate(e.value - null, e.low - null, e.high - null, e.n) for e in part]
            for n, part, null in zip(ends, parts, nulls, strict=True)
        }

    @property
    def scale(self) -> SimpleNamespace:
        """Agreement of two Gaussians."""
        return SimpleNamespace(gaussians=float(re.search(r"their images ([\d.]+)", self._said["same"])[1]))

    @property
    def share(self) -> SimpleNamespace:
        """Floor and share of agreement, where there is one."""
        said = self._said["same"]
        share = estimates(said.split("share ")[1]) if "share " in said else [None]
        marks = {"floor": float(re.search(r"floor ([\d.]+)", said)[1])}
        found = share[0] and Estimate(*(getattr(share[0], end) for end in ("value", "low", "high")), 6)
        return SimpleNamespace(share=found, marks=marks)

    @property
    def latents(self) -> dict[int, SimpleNamespace]:
        """The ratios of W1 and of likelihoods; of W1 itself nothing was kept pair by pair."""
        *ratio, likelihood = (Estimate(e.value, e.low, e.high, 8) for e in estimates(self._said["density"]))
        return {self.large: SimpleNamespace(apart=[], ratio=ratio, likelihood=likelihood)}

    def off(self, _: object) -> dict[str, dict[str, list[Estimate]]]:
        """Biases in per cent, by quantity and family."""
        return {
            what: {
                label: [Estimate(**m["biases"][what]) for m in pair.values() if m["biases"][what]]
                for label, pair in self._off["models"].items()
            }
            for what in ("flux", "size", "ellipticity")
        }


def expected(path: Path) -> dict:
    """The rows of a book, each with how often a second run gets each word."""
    book = read_as(path, Book, "give the results of a whole book")
    kept = book["kept"].get("10_conclusions") or {}
    if kept.get("rows"):
        rows = claims.from_kept(kept["rows"])
    elif kept.get("claims"):
        off = book["kept"]["08_morphology"]["biases"]
        rows = claims.rulings([Before(name, book, off) for name in FAMILIES])
    else:
        raise GalgenError(f"{path} has no chapter 10: give the results of a whole book")
    told = zip(claims.kept_rows(rows), rows, strict=True)
    made = {"profile": book["run"]["profile"], "date": time.strftime("%Y-%m-%d", time.gmtime())}
    found = [one | {"counted": row.counted, "repeats": row.repeats} for one, row in told]
    return made | {"rows": found} | {key: provenance()[key] for key in ("commit", "machine")}


def main() -> None:
    """What the module says."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = sorted((project() / "results").glob("laptop-*.json"))
    options.add_argument("books", nargs="*", type=Path, default=usual)
    options.add_argument("--out", type=Path, help="by default results/expected.json")
    given = options.parse_args()
    out = target(given.out, "expected.json", trial=False)
    before = read_json(out) if out.exists() else {}
    write_json(out, before | {path.stem: expected(path) for path in given.books})


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
