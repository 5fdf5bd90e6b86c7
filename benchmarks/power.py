r"""Size and power of the tests of the book: how often they reject, over many draws of galaxies.

    make power                              on simulated galaxies: size and power
    make power DATA=path/to/galaxies        on others: size only, as nobody can change one thing about them
    python benchmarks/power.py --questions agreement memorization      a part of it
    python benchmarks/power.py --questions distribution --faults size --levels .2 --fresh 6400      a cell

*Size*: real galaxies stand in for the samples of both models and for the held-out images, and are dealt out
anew for each test. There is nothing to find, so at a level of .01 one test in a hundred may reject. Of the
questions only memorization knows training sets, so that it is asked at each N.

*Power*: the same, but for one fault of known size,

    distribution, morphology   fresh simulated galaxies: blurred by .1 .. .5 pixels, or with one parameter
                               of the simulator changed by 10 .. 100 %
    agreement                  a share of the latents at which B draws A's image with a little noise; at the
                               others it draws another galaxy
    memorization               a share of the samples that are training images with a little noise

*Energy difference* is asked for its size alone: of two sets of galaxies, is one farther from a third by the
interval that covers 1 - .01?

All but the first two are asked of one model; the book asks A and B, and doubles the smaller p.

Galaxies are measured once and dealt out again, so repetitions share images, and a count is that of these
galaxies. Near the threshold that matters: where radii are 20 % too large *distribution* found 1 of 25 with
320 fresh galaxies, and 15 of 25 with 512. With 25 sets of them, 6400, repetitions share few.

All is written to results/power.json, part by part: each with its date, its code, how many galaxies there
were, and its records, which take the place of older ones of the same question, N, fault and level. The book
shows it as *committed*: no book makes it again.
"""

import argparse
import datetime
import functools
import operator
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table
from tqdm import tqdm

from galgen.compare.agreement import agreement_test
from galgen.compare.controls import blurred
from galgen.compare.distances import distances, energy_difference, with_spread
from galgen.compare.memorization import exchange_test, gaussian_margins, margins, memorization_test
from galgen.compare.morphology import COEFFICIENTS, measure, valid
from galgen.compare.scoreboard import QUESTIONS
from galgen.compare.twosample import c2st, features
from galgen.data.split import Split
from galgen.data.prepare import SIMULATED
from galgen.data.preprocess import flux_to_gray
from galgen.data.simulate.images import simulate_flux
from galgen.experiment import every_family
from galgen.profiles import Parameters
from galgen.runs.errors import checked, exit_code
from galgen.runs.files import read_json, results_file, write_json
from galgen.runs.store import provenance

ALPHA = 0.01  # of the verdicts of the book
ASKED = (*QUESTIONS, "energy difference")
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
PERMUTATIONS = 500  # as the scoreboard
NOISE = 0.01  # of a copy
FRESH = 10_000_000  # the first of the galaxies that no data set of ours holds


def size(truth: Table, by: float) -> None:
    """All radii grow."""
    for name in ("half_light_radius", "disc_scale", "bulge_radius"):
        truth[name] *= 1 + by


def ellipticity(truth: Table, by: float) -> None:
    """1 - q grows, q the axis ratio on the sky."""
    truth["axis_ratio"] = np.clip(1 - (1 - truth["axis_ratio"]) * (1 + by), 0.08, 1)
    cosine = 1 - (1 - np.cos(np.radians(truth["inclination"].value))) * (1 + by)
    truth["inclination"][:] = np.degrees(np.arccos(np.clip(cosine, 0, 1)))


def arms(truth: Table, by: float) -> None:
    """So many of the spirals have no arms; always the same ones, and the more the larger the share."""
    order = np.random.default_rng(0).permutation(np.flatnonzero(truth["arms"]))
    plain = order[: round(by * len(order))]
    truth["arms"][plain], truth["pitch"][plain] = 0, 0


def noise(truth: Table, by: float) -> None:
    """The noise of the sky grows."""
    truth["depth_r"][:] = truth["depth_r"].value - 2.5 * np.log10(1 + by)


CHANGES = {"size": size, "ellipticity": ellipticity, "spirals without arms": arms, "sky noise": noise}
LEVELS = {
    "blur": (0.1, 0.2, 0.3, 0.5),  # pixels; all others are shares
    "sky noise": (0.1, 0.2, 0.5),
    "size": (0.1, 0.2, 0.5),
    "ellipticity": (0.1, 0.2, 0.5),
    "spirals without arms": (0.2, 0.5, 1.0),
}

progress = functools.partial(tqdm, mininterval=10)


class Bench:
    """The galaxies of one data set, and the tests, each repeated with galaxies dealt out anew.

    Args:
        parameters: Profile, data and seed.
        tests: Repetitions for a size; an eighth of them for a power.
        pool: Galaxies of which the tests of distribution and morphology draw theirs, at least four sets.
        fresh: The same of each fault.
    """

    def __init__(self, parameters: Parameters, tests: int, pool: int, fresh: int):
        families = every_family(parameters)
        self.experiment = next(iter(families.values()))
        self.tests, self.few, self.pool, self.fresh = tests, max(tests // 8, 1), pool, fresh
        self.images, self.rows = (
            self.experiment.images.dataset.images,
            self.experiment.images.dataset.distinct,
        )
        self.mean = self.experiment.images.mean
        self.count = self.experiment.images.compared  # as chapter 10
        sizes = {n for each in families.values() for n in each.sizes}
        self.sizes = sorted(n for n in sizes if 2 * (n + self.count) <= len(self.rows))

    def run(self, questions: Sequence[str], power: bool) -> Iterator[list[dict]]:
        """The records of all tests, bit by bit: question, N, alternative, level, tests, how many reject."""
        self.asked = set(questions)
        if "agreement" in questions:
            shares = {0.0: self.tests} | dict.fromkeys(SHARES[1:] if power else (), self.few)
            for s, n in shares.items():
                yield [self.record("agreement", self.agreement(s, n), "latents in common" if s else "", s)]
        if "memorization" in questions:
            yield from (self.memorization(n, power) for n in self.sizes)
        galaxies = self.seen(self.images[self.rows[: self.pool]])
        yield self.told(galaxies, None)
        if power and galaxies.keys() - {"energy difference"}:
            faults = [(name, level) for name, levels in LEVELS.items() for level in levels]
            yield from self.faults(galaxies, [("nothing changed", 0.0), *faults])

    def only(self, questions: Sequence[str], faults: Sequence[tuple[str, float]]) -> Iterator[list[dict]]:
        """The records of some faults of images alone, and of no size."""
        self.asked = set(questions) & {"distribution", "coarse distribution", "morphology"}
        return self.faults(self.seen(self.images[self.rows[: self.pool]]), faults)

    def faults(self, known: dict, faults: Sequence[tuple[str, float]]) -> Iterator[list[dict]]:
        """The records of fresh galaxies with each of these faults, by name and level, beside known ones."""
        return (self.told(known, self.seen(self.altered(*fault)), *fault) for fault in faults)

    def record(
        self, question: str, p: list[float], alternative: str = "", level: float = 0.0, N: int | None = None
    ) -> dict:
        """What is kept of some tests."""
        found = {"question": question, "N": N, "alternative": alternative, "level": level}
        return found | {"tests": len(p), "rejected": int(np.sum(np.array(p) < ALPHA))}

    def dealt(self, turn: int, among: int, *sizes: int) -> list[np.ndarray]:
        """Disjoint sets of places, of those sizes."""
        rng = np.random.default_rng([self.experiment.parameters.seed, turn])
        return np.split(rng.permutation(among)[: sum(sizes)], np.cumsum(sizes)[:-1])

    def unit(self, places: np.ndarray) -> torch.Tensor:
        """Galaxies in [0, 1] by their places among the distinct ones."""
        return torch.from_numpy(self.images[self.rows[places]]).float() / 255

    def agreement(self, share: float, tests: int) -> list[float]:
        """The p-values of agreement where B draws A's galaxy at that share of the latents."""
        found, same = [], round(share * self.count)
        for turn in progress(range(tests), f"agreement, {share:.0%}"):
            a, b = map(self.unit, self.dealt(turn, len(self.rows), self.count, self.count))
            b[:same] = a[:same] + NOISE * torch.randn(a[:same].shape, generator=torch.manual_seed(turn))
            found.append(agreement_test(a, b, mean=self.mean, permutations=PERMUTATIONS, seed=turn).p)
        return found

    def memorization(self, N: int, power: bool) -> list[dict]:
        """Both nulls together, as the book has it, and the exchange alone; for each share of copies."""
        both, alone = ({share: [] for share in SHARES} for _ in range(2))
        n, options = self.count, {"mean": self.mean}
        for turn in progress(range(self.tests), f"memorization, N = {N}"):
            A, B, *unseen = self.dealt(turn, len(self.rows), N, N, n, n)
            sets = Split(self.rows[A], self.rows[B], self.rows[:0])
            new = [margins(self.unit(part), self.images, sets, **options) for part in unseen]
            shares, old, gaussians = SHARES[:1], new, []
            if power and turn < self.few:
                shares, rng = SHARES, np.random.default_rng([2, turn])
                shown = [self.unit(rng.choice(part, n)) for part in (A, B)]
                drawn = (torch.from_numpy(rng.standard_normal(part.shape, np.float32)) for part in shown)
                shown = [part + NOISE * noise for part, noise in zip(shown, drawn, strict=True)]
                old = [margins(part, self.images, sets, **options) for part in shown]
            for share in shares:
                copied = np.arange(n) < round(share * n)
                models = [np.where(copied, *pair) for pair in zip(old, new, strict=True)]
                given = {"permutations": 999, "seed": turn}
                p = exchange_test(*models, **given).margin.p
                alone[share].append(p)
                if p < ALPHA:  # p of both is never below it, and the Gaussians take long
                    gaussians = gaussians or gaussian_margins(self.images, sets, n, **options)
                    p = memorization_test(models, gaussians, **given).outcome.p
                both[share].append(p)
        return [
            self.record(question, p[share], "copies" if share else "", share, N)
            for question, p in (("memorization", both), ("exchange alone", alone))
            for share in SHARES
            if p[share]
        ]

    def altered(self, name: str, by: float) -> np.ndarray:
        """Fresh galaxies, the same ones whatever is changed, uint8."""
        size, crop = self.experiment.profile.image_size, self.experiment.profile.crop
        alter = functools.partial(CHANGES[name], by=by) if name in CHANGES else None
        flux, _ = simulate_flux(
            self.fresh, seed=self.experiment.parameters.seed, start=FRESH, alter=alter, crop=crop
        )
        images = flux_to_gray(flux, size=size, crop=crop)
        return np.rint(255 * blurred(images, by)).astype(np.uint8) if name == "blur" else images

    def seen(self, images: np.ndarray) -> dict[str, np.ndarray | Table]:
        """What the tests that are asked look at, one row an image."""
        shapes = functools.partial(measure, workers=1, progress=False)  # so that minutes are of one core
        ways = {
            "distribution": features,
            "coarse distribution": functools.partial(features, side=8),
            "morphology": shapes,
        }
        found = {question: way(images) for question, way in ways.items() if question in self.asked}
        if "energy difference" in self.asked:
            found["energy difference"] = found["morphology"] if "morphology" in found else shapes(images)
        return found

    def told(self, known: dict, other: dict | None, name: str = "", level: float = 0.0) -> list[dict]:
        """Records of the questions to images alone: galaxies against others, or against each other."""
        n, found = self.count, {question: [] for question in known}
        if other is not None:
            found.pop("energy difference", None)
        tests = self.tests if other is None else self.few
        for turn in progress(range(tests), f"distribution, {name or 'real on real'}, {level:g}"):
            x, y, z = self.dealt(turn, min(self.pool, len(self.rows)), 2 * n, n, n)
            if other is not None:
                (y,) = self.dealt(turn, self.fresh, n)
            for question, p in found.items():
                one, two = known[question][x], (other or known)[question][y]
                options = {"permutations": PERMUTATIONS, "seed": turn}
                if question in ("morphology", "energy difference"):
                    one, two = valid(one), valid(two)
                    used = with_spread(one, COEFFICIENTS)
                if question == "morphology":
                    p.append(distances(one, two, used, **options).energy.p)
                elif question == "energy difference":
                    both = two, valid(known[question][z])
                    apart = energy_difference(one, *both, used, coverage=1 - ALPHA)
                    p.append(float(apart.low <= 0 <= apart.high))
                else:
                    p.append(c2st(one, two, **options).p)
        return [self.record(question, p, name, level) for question, p in found.items()]


def joined(old: dict, new: dict) -> dict:
    """What was known of a data set, and a part measured anew, which displaces older records of the same."""
    cell = operator.itemgetter("question", "N", "alternative", "level")
    (part,) = new["parts"]
    anew = set(map(cell, part["records"]))
    parts = []
    if all(old.get(key) == new[key] for key in new.keys() - {"parts"}):  # or they are of other galaxies
        for each in old["parts"]:
            left = [record for record in each["records"] if cell(record) not in anew]
            parts += [each | {"records": left}] if left else []
    return new | {"parts": [*parts, part]}


def main() -> None:
    """Run the tests, and put what they say into results/power.json beside what is there of other data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--tests", type=int, default=200)
    parser.add_argument("--pool", type=int, default=1536)
    parser.add_argument("--fresh", type=int, default=512)
    parser.add_argument("--questions", nargs="+", choices=ASKED, default=ASKED)
    parser.add_argument("--faults", nargs="+", choices=LEVELS, default=(), help="only these, and no size")
    parser.add_argument(
        "--levels", nargs="+", type=float, help="of these faults, by default all that they have"
    )
    parser.add_argument("--out", type=Path, help="by default results/power.json, but for smoke")
    given = parser.parse_args()
    given.out = results_file(given.out, "power.json", trial=given.profile == "smoke")
    parameters = checked(Parameters, {"profile": given.profile, "data": given.data}, "parameters")
    bench = Bench(parameters, given.tests, given.pool, given.fresh)
    began = time.process_time()
    some = [(name, level) for name in given.faults for level in given.levels or LEVELS[name]]
    if some:
        found = bench.only(given.questions, some)
    else:
        found = bench.run(given.questions, power=given.data in SIMULATED)
    part = {"pool": given.pool, "fresh": given.fresh, **provenance(), "records": []}
    new = {
        "profile": given.profile,
        "alpha": ALPHA,
        "count": bench.count,
        "images": len(bench.rows),
        "sha256": bench.experiment.images.dataset.sha256,
        "parts": [part],
    }
    for records in found:  # written as they come: what fails takes no hours with it
        part["records"] += records
        part["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
        part["minutes"] = round((time.process_time() - began) / 60, 1)  # of one core
        others, name = (
            read_json(given.out) if given.out.is_file() else {},
            bench.experiment.images.dataset.name,
        )
        write_json(given.out, others | {name: joined(others.get(name, {}), new)})


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
