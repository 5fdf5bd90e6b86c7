"""Size and power of the tests of the scoreboard at p < 0.01, into results/power.json.

    make power                              on simulated galaxies: size and power
    make power DATA=path/to/galaxies        on other images: size only, as properties cannot be changed

*Size*: galaxies replace the samples of both models and the held-out images, in a new random partition for
each test. The null hypothesis is true, so one test in a hundred may reject. The memorization test alone uses
training sets, so it is tested at each N.

*Power*: the same with one effect of known size. For agreement, model B returns A's image with weak noise for
a fraction of the latents; for memorization, a fraction of the samples are training images with weak noise.
For the classifiers and morphology, new simulated galaxies are blurred, or one parameter of the simulator
changes.

All tests but agreement and memorization are run for one model; the scoreboard tests A and B, and doubles the
smaller p. Galaxies are measured once and partitioned repeatedly, so repetitions share images.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table
from tqdm import tqdm

from galgen.compare.agreement import agreement_test
from galgen.compare.controls import blurred
from galgen.compare.distances import distances, with_spread
from galgen.compare.memorization import exchange_test, gaussian_margins, margins, memorization_test
from galgen.compare.morphology import COEFFICIENTS, measure, valid
from galgen.compare.twosample import c2st, features
from galgen.data.prepare import SIMULATED
from galgen.data.preprocess import flux_to_gray
from galgen.data.simulate.images import simulate_flux
from galgen.data.split import Split
from galgen.experiment import every_family
from galgen.images import Images
from galgen.profiles import Parameters, Profile
from galgen.runs.errors import checked, exit_code
from galgen.runs.files import read_json, results_file, write_json
from galgen.runs.store import provenance

ALPHA = 0.01
PERMUTATIONS = 500  # as in the scoreboard
POOL, FRESH = 1536, 512  # galaxies in the pools of the sets, without and with an effect
FIRST = 10_000_000  # index of the first new galaxy, in no data set
NOISE = 0.01  # standard deviation, of a copy
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)  # fractions of copies
LEVELS = {
    "blur": (0.1, 0.2, 0.3, 0.5),  # pixels; all others are fractions
    "sky noise": (0.1, 0.2, 0.5),
    "size": (0.1, 0.2, 0.5),
    "ellipticity": (0.1, 0.2, 0.5),
    "spirals without arms": (0.2, 0.5, 1.0),
}
INPUTS = {"distribution": features, "coarse distribution": partial(features, side=8)}
INPUTS |= {"morphology": partial(measure, workers=1, progress=False)}


def larger(truth: Table, by: float) -> None:
    """Increase all radii by a fraction."""
    for name in ("half_light_radius", "disc_scale", "bulge_radius"):
        truth[name] *= 1 + by


def flatter(truth: Table, by: float) -> None:
    """Increase 1 - q by a fraction, with q the axis ratio on the sky."""
    truth["axis_ratio"] = np.clip(1 - (1 - truth["axis_ratio"]) * (1 + by), 0.08, 1)
    cosine = 1 - (1 - np.cos(np.radians(truth["inclination"].value))) * (1 + by)
    truth["inclination"][:] = np.degrees(np.arccos(np.clip(cosine, 0, 1)))


def armless(truth: Table, by: float) -> None:
    """Remove the arms of a fraction of the spirals; larger fractions include smaller ones."""
    order = np.random.default_rng(0).permutation(np.flatnonzero(truth["arms"]))
    plain = order[: round(by * len(order))]
    truth["arms"][plain], truth["pitch"][plain] = 0, 0


def noisier(truth: Table, by: float) -> None:
    """Increase the sky noise by a fraction."""
    truth["depth_r"][:] = truth["depth_r"].value - 2.5 * np.log10(1 + by)


CHANGES = {"size": larger, "ellipticity": flatter, "spirals without arms": armless, "sky noise": noisier}


def fresh(fault: str, level: float, profile: Profile) -> np.ndarray:
    """Simulated galaxies with one effect, the same galaxies for every effect, uint8."""
    size, crop = profile.image_size, profile.crop
    alter = partial(CHANGES[fault], by=level) if fault in CHANGES else None
    images = flux_to_gray(simulate_flux(FRESH, start=FIRST, alter=alter, crop=crop)[0], size=size, crop=crop)
    return np.rint(255 * blurred(images, level)).astype(np.uint8) if fault == "blur" else images


def unit(galaxies: Images, places: np.ndarray) -> torch.Tensor:
    """Galaxies in [0, 1], by index among the distinct ones."""
    dataset = galaxies.dataset
    return torch.from_numpy(dataset.images[dataset.distinct[places]]).float() / 255


def measured(images: np.ndarray) -> dict[str, np.ndarray | Table]:
    """Input of each test, one row per image."""
    return {question: way(images) for question, way in INPUTS.items()}


def partition(turn: int, among: int, *sizes: int) -> list[np.ndarray]:
    """Disjoint random sets of indices of the given sizes."""
    rng = np.random.default_rng([0, turn])
    return np.split(rng.permutation(among)[: sum(sizes)], np.cumsum(sizes)[:-1])


def record(question: str, p: list[float], fault: str = "", level: float = 0.0, N: int | None = None) -> dict:
    """Record of the number of tests and of rejections."""
    found = {"question": question, "N": N, "alternative": fault, "level": level}
    return found | {"tests": len(p), "rejected": int(np.sum(np.array(p) < ALPHA))}


def agreement(galaxies: Images, share: float, turns: int) -> dict:
    """Agreement tests in which B returns A's galaxy for a fraction of the latents."""
    n, among, p = galaxies.compared, len(galaxies.dataset.distinct), []
    same = round(share * n)
    for turn in tqdm(range(turns), f"agreement, {share:.0%}", mininterval=10):
        a, b = (unit(galaxies, part) for part in partition(turn, among, n, n))
        b[:same] = a[:same] + NOISE * torch.randn(a[:same].shape, generator=torch.manual_seed(turn))
        p.append(agreement_test(a, b, mean=galaxies.mean, permutations=PERMUTATIONS, seed=turn).p)
    return record("agreement", p, "latents in common" if share else "", share)


def memorization(galaxies: Images, N: int, turns: int, few: int) -> list[dict]:
    """Memorization tests with both nulls, and exchange tests alone, for each fraction of copies."""
    both, alone = ({share: [] for share in SHARES} for _ in range(2))
    images, rows = galaxies.dataset.images, galaxies.dataset.distinct
    n, mean = galaxies.compared, galaxies.mean
    for turn in tqdm(range(turns), f"memorization, N = {N}", mininterval=10):
        A, B, *others = partition(turn, len(rows), N, N, n, n)
        sets, rng = Split(rows[A], rows[B], rows[:0]), np.random.default_rng([2, turn])
        new = [margins(unit(galaxies, part), images, sets, mean=mean) for part in others]
        shares, old, gaussians = SHARES[:1], new, []
        if turn < few:
            copies = [unit(galaxies, rng.choice(part, n)) for part in (A, B)]
            noise = (torch.from_numpy(rng.standard_normal(x.shape, np.float32)) for x in copies)
            copies = [x + NOISE * z for x, z in zip(copies, noise, strict=True)]
            shares, old = SHARES, [margins(x, images, sets, mean=mean) for x in copies]
        for share in shares:
            copied = np.arange(n) < round(share * n)
            models = [np.where(copied, *pair) for pair in zip(old, new, strict=True)]
            p = exchange_test(*models, permutations=999, seed=turn).margin.p
            alone[share].append(p)
            if p < ALPHA:  # the larger of two p is at least the first, and the Gaussian null is slow
                gaussians = gaussians or gaussian_margins(images, sets, n, mean=mean)
                p = memorization_test(models, gaussians, permutations=999, seed=turn).outcome.p
            both[share].append(p)
    return [
        record(question, p[share], "copies" if share else "", share, N)
        for question, p in (("memorization", both), ("exchange alone", alone))
        for share in SHARES
        if p[share]
    ]


def of_images(
    known: dict, other: dict, n: int, turns: int, fault: str = "", level: float = 0.0
) -> list[dict]:
    """Classifier and morphology tests of galaxies against new ones with an effect, or against each other."""
    p = {question: [] for question in INPUTS}
    for turn in tqdm(range(turns), f"images, {fault or 'real on real'}, {level:g}", mininterval=10):
        x, y = partition(turn, len(known["distribution"]), 2 * n, n)
        y = partition(turn, FRESH, n)[0] if fault else y
        options = {"permutations": PERMUTATIONS, "seed": turn}
        for question in ("distribution", "coarse distribution"):
            p[question].append(c2st(known[question][x], other[question][y], **options).p)
        one, two = valid(known["morphology"][x]), valid(other["morphology"][y])
        used = with_spread(one, COEFFICIENTS)
        p["morphology"].append(distances(one, two, used, **options).energy.p)
    return [record(question, values, fault, level) for question, values in p.items()]


def studied(galaxies: Images, sizes: Iterable[int], turns: int, few: int) -> Iterator[list[dict]]:
    """Records of all tests: `turns` repetitions for a size, `few` for a power (0 for none)."""
    for share in SHARES if few else SHARES[:1]:
        yield [agreement(galaxies, share, few if share else turns)]
    yield from (memorization(galaxies, N, turns, few) for N in sizes)
    known = measured(galaxies.dataset.images[galaxies.dataset.distinct[:POOL]])
    yield of_images(known, known, galaxies.compared, turns)
    for fault, level in [(fault, level) for fault, levels in LEVELS.items() for level in levels if few]:
        other = measured(fresh(fault, level, galaxies.profile))
        yield of_images(known, other, galaxies.compared, few, fault, level)


def main() -> None:
    """Run the tests and add the records to results/power.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--tests", type=int, default=200, help="repetitions per size; an eighth per power")
    parser.add_argument("--out", type=Path, help="by default results/power.json, except for smoke")
    given = parser.parse_args()
    out = results_file(given.out, "power.json", trial=given.profile == "smoke")
    families = every_family(checked(Parameters, {"profile": given.profile, "data": given.data}, "parameters"))
    galaxies = next(iter(families.values())).images
    dataset, n = galaxies.dataset, galaxies.compared
    sizes = sorted({N for each in families.values() for N in each.sizes})
    sizes = [N for N in sizes if 2 * (N + n) <= len(dataset.distinct)]
    few = max(given.tests // 8, 1) if given.data in SIMULATED else 0
    part = {"pool": POOL, "fresh": FRESH, **provenance(), "date": time.strftime("%Y-%m-%d", time.gmtime())}
    study = {"profile": given.profile, "alpha": ALPHA, "count": n, "images": len(dataset.distinct)}
    part["records"] = [each for records in studied(galaxies, sizes, given.tests, few) for each in records]
    study |= {"sha256": dataset.sha256, "parts": [part]}
    write_json(out, (read_json(out) if out.is_file() else {}) | {dataset.name: study})


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
