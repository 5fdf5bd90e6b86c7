"""Size and power of the tests of the scoreboard: how often they reject at p < 0.01, into results/power.json.

    make power                              on simulated galaxies: size and power
    make power DATA=path/to/galaxies        on others: size only, as no single property of them can be changed

*Size*: galaxies stand in for the samples of both models and for the held-out images, and are dealt out anew
for each test. There is nothing to find, so one test in a hundred may reject. Memorization alone knows
training sets, so that it is tested at each N.

*Power*: the same with one fault of known size. For agreement, B draws A's image with a little noise at a
share of the latents; for memorization, a share of the samples are training images with a little noise. For
the classifiers and morphology, fresh simulated galaxies are blurred, or one parameter of the simulator is
changed.

All but agreement and memorization are tested for one model; the scoreboard tests A and B, and doubles the
smaller p. Galaxies are measured once and dealt out again, so repetitions share images.
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
POOL, FRESH = 1536, 512  # galaxies that sets are dealt from, without and with a fault
FIRST = 10_000_000  # of the fresh galaxies: in no data set
NOISE = 0.01  # of a copy
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)  # of copies
LEVELS = {
    "blur": (0.1, 0.2, 0.3, 0.5),  # pixels; all others are shares
    "sky noise": (0.1, 0.2, 0.5),
    "size": (0.1, 0.2, 0.5),
    "ellipticity": (0.1, 0.2, 0.5),
    "spirals without arms": (0.2, 0.5, 1.0),
}
LOOKS = {"distribution": features, "coarse distribution": partial(features, side=8)}
LOOKS |= {"morphology": partial(measure, workers=1, progress=False)}


def larger(truth: Table, by: float) -> None:
    """All radii grow."""
    for name in ("half_light_radius", "disc_scale", "bulge_radius"):
        truth[name] *= 1 + by


def flatter(truth: Table, by: float) -> None:
    """1 - q grows, q the axis ratio on the sky."""
    truth["axis_ratio"] = np.clip(1 - (1 - truth["axis_ratio"]) * (1 + by), 0.08, 1)
    cosine = 1 - (1 - np.cos(np.radians(truth["inclination"].value))) * (1 + by)
    truth["inclination"][:] = np.degrees(np.arccos(np.clip(cosine, 0, 1)))


def armless(truth: Table, by: float) -> None:
    """That share of the spirals has no arms; a larger share includes a smaller one."""
    order = np.random.default_rng(0).permutation(np.flatnonzero(truth["arms"]))
    plain = order[: round(by * len(order))]
    truth["arms"][plain], truth["pitch"][plain] = 0, 0


def noisier(truth: Table, by: float) -> None:
    """The noise of the sky grows."""
    truth["depth_r"][:] = truth["depth_r"].value - 2.5 * np.log10(1 + by)


CHANGES = {"size": larger, "ellipticity": flatter, "spirals without arms": armless, "sky noise": noisier}


def fresh(fault: str, level: float, profile: Profile) -> np.ndarray:
    """Simulated galaxies with a fault, the same ones for every fault, uint8."""
    size, crop = profile.image_size, profile.crop
    alter = partial(CHANGES[fault], by=level) if fault in CHANGES else None
    images = flux_to_gray(simulate_flux(FRESH, start=FIRST, alter=alter, crop=crop)[0], size=size, crop=crop)
    return np.rint(255 * blurred(images, level)).astype(np.uint8) if fault == "blur" else images


def unit(galaxies: Images, places: np.ndarray) -> torch.Tensor:
    """Galaxies in [0, 1] by their places among the distinct ones."""
    dataset = galaxies.dataset
    return torch.from_numpy(dataset.images[dataset.distinct[places]]).float() / 255


def looked_at(images: np.ndarray) -> dict[str, np.ndarray | Table]:
    """What each test looks at, a row per image."""
    return {question: way(images) for question, way in LOOKS.items()}


def dealt(turn: int, among: int, *sizes: int) -> list[np.ndarray]:
    """Disjoint random sets of indices, of those sizes."""
    rng = np.random.default_rng([0, turn])
    return np.split(rng.permutation(among)[: sum(sizes)], np.cumsum(sizes)[:-1])


def record(question: str, p: list[float], fault: str = "", level: float = 0.0, N: int | None = None) -> dict:
    """How many of some tests reject."""
    found = {"question": question, "N": N, "alternative": fault, "level": level}
    return found | {"tests": len(p), "rejected": int(np.sum(np.array(p) < ALPHA))}


def agreement(galaxies: Images, share: float, turns: int) -> dict:
    """Agreement where B draws A's galaxy at that share of the latents."""
    n, among, p = galaxies.compared, len(galaxies.dataset.distinct), []
    same = round(share * n)
    for turn in tqdm(range(turns), f"agreement, {share:.0%}", mininterval=10):
        a, b = (unit(galaxies, part) for part in dealt(turn, among, n, n))
        b[:same] = a[:same] + NOISE * torch.randn(a[:same].shape, generator=torch.manual_seed(turn))
        p.append(agreement_test(a, b, mean=galaxies.mean, permutations=PERMUTATIONS, seed=turn).p)
    return record("agreement", p, "latents in common" if share else "", share)


def memorization(galaxies: Images, N: int, turns: int, few: int) -> list[dict]:
    """The margin with both of its nulls, and the exchange test alone, for each share of copies."""
    both, alone = ({share: [] for share in SHARES} for _ in range(2))
    images, rows = galaxies.dataset.images, galaxies.dataset.distinct
    n, mean = galaxies.compared, galaxies.mean
    for turn in tqdm(range(turns), f"memorization, N = {N}", mininterval=10):
        A, B, *others = dealt(turn, len(rows), N, N, n, n)
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
            if p < ALPHA:  # the larger of two p is never below the first, and the Gaussians take long
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
    """The classifiers and morphology: galaxies against fresh ones with a fault, or against each other."""
    p = {question: [] for question in LOOKS}
    for turn in tqdm(range(turns), f"images, {fault or 'real on real'}, {level:g}", mininterval=10):
        x, y = dealt(turn, len(known["distribution"]), 2 * n, n)
        y = dealt(turn, FRESH, n)[0] if fault else y
        options = {"permutations": PERMUTATIONS, "seed": turn}
        for question in ("distribution", "coarse distribution"):
            p[question].append(c2st(known[question][x], other[question][y], **options).p)
        one, two = valid(known["morphology"][x]), valid(other["morphology"][y])
        used = with_spread(one, COEFFICIENTS)
        p["morphology"].append(distances(one, two, used, **options).energy.p)
    return [record(question, values, fault, level) for question, values in p.items()]


def studied(galaxies: Images, sizes: Iterable[int], turns: int, few: int) -> Iterator[list[dict]]:
    """The records of all tests, `turns` for a size and `few` for a power, where 0 asks for none."""
    for share in SHARES if few else SHARES[:1]:
        yield [agreement(galaxies, share, few if share else turns)]
    yield from (memorization(galaxies, N, turns, few) for N in sizes)
    known = looked_at(galaxies.dataset.images[galaxies.dataset.distinct[:POOL]])
    yield of_images(known, known, galaxies.compared, turns)
    for fault, level in [(fault, level) for fault, levels in LEVELS.items() for level in levels if few]:
        other = looked_at(fresh(fault, level, galaxies.profile))
        yield of_images(known, other, galaxies.compared, few, fault, level)


def main() -> None:
    """Run the tests, and put what they say into results/power.json beside what is there of other data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--tests", type=int, default=200, help="for a size; an eighth of them for a power")
    parser.add_argument("--out", type=Path, help="by default results/power.json, but for smoke")
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
