r"""A question that the paper did not ask, once for a data set, into results/beyond.json; chapter 13 shows it.

    make beyond                          on simulated galaxies
    make beyond DATA=path/to/galaxies    on others

Calibrated two-sample distances (`galgen.compare.calibrated`): of controls, over the number of draws of a
memorizer, and their power. No model is asked: a book asks its own.
"""

import argparse
import datetime
import sys
import time
from pathlib import Path

import numpy as np
import torch

from galbook.results import target
from galgen.compare import calibrated
from galgen.compare.controls import blurred, controls, rounded
from galgen.compare.morphology import stored
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs.errors import checked, exit_code
from galgen.runs.files import read_json, write_json
from galgen.runs.store import provenance

BLURS, NOISES, COPIES = (0.3, 0.5, 0.8), (2.0, 4.0, 8.0), (0.1, 0.3, 1.0)


class Bench:
    """The galaxies of one data set.

    Args:
        parameters: Profile, data and seed.
        quick: Everything small, to see that it runs.
    """

    def __init__(self, parameters: Parameters, quick: bool):
        self.experiment, self.quick = Experiment(parameters), quick

    def distances(self) -> dict:
        """Calibrated distances of controls; over the draws of a memorizer; and their power."""
        experiment, n = self.experiment, self.experiment.images.compared
        split, images = experiment.images.split(), experiment.images.dataset.images
        measure = lambda part: stored(experiment.store, part, progress=False)  # noqa: E731
        made = controls(images, split, n)
        held_out, train = images[split.validation], images[split.A]
        some = np.random.default_rng(0).permutation(len(train))[:n]
        sets = {name: pair[0] for name, pair in made.pairs.items()}
        sets["training images"] = rounded(train[some])
        against = {
            "held-out galaxies": made.reference,
            "own training set": rounded(train[: 2 * n]),  # as many of it
        }
        records = []
        for name, part in sets.items():
            for which, reference in against.items():
                if name in ("held out", "blurred") and which == "own training set":
                    continue
                if len(reference) < 2 * calibrated.NEIGHBOURS:
                    continue
                record = {"set": name, "N": len(train), "against": which}
                for space, rows in calibrated.spaces([part, reference], measure).items():
                    found = calibrated.calibrated(*rows, permutations=200)
                    records += [
                        record | {"space": space, "statistic": s, **vars(v)} for s, v in found.items()
                    ]
        return {
            "n": n, "records": records, "memorizer": self.memorizer(train, held_out),
            "power": self.power(held_out),
        }  # fmt: skip

    def memorizer(self, train: np.ndarray, held_out: np.ndarray) -> list[dict]:
        """PQMass of growing numbers of draws of a training set, against that set and against others."""
        N = min(len(train), len(held_out), 16 if self.quick else 1000)
        known, unseen = (part[:N].reshape(N, -1) / 255 for part in (train, held_out))
        found = []
        for n in sorted({max(12, round(N * share)) for share in (0.03, 0.1, 0.3, 1.0, 2.0)}):
            for kind in ("with repeats", "each once"):
                if kind == "each once" and n > N:
                    continue
                for name, reference in (("training set", known), ("held-out galaxies", unseen)):
                    tests = []
                    for turn in range(2 if self.quick else 8):
                        rng = np.random.default_rng([n, turn])
                        rows = rng.integers(N, size=n) if kind == "with repeats" else rng.permutation(N)[:n]
                        options = {"statistics": ["PQMass"], "permutations": 99, "tessellations": 10}
                        tests.append(
                            calibrated.calibrated(known[rows], reference, seed=turn, **options)["PQMass"]
                        )
                    values = [test.value for test in tests]
                    record = {"N": N, "n": n, "kind": kind, "against": name, "tests": len(tests)}
                    record |= {"value": np.mean(values), "low": min(values), "high": max(values)}
                    record |= {
                        side: sum(t.verdict() == side for t in tests) for side in ("too far", "too close")
                    }
                    found.append(record)
        return found

    def power(self, held_out: np.ndarray) -> list[dict]:
        """How often each statistic sees a fault, on the side where it lies."""
        n, tests = (8, 2) if self.quick else (128, 20)
        unit = held_out / 255
        faults = [("nothing", 0.0), *(("blur", b) for b in BLURS), *(("noise", b) for b in NOISES),
                  *(("copies", b) for b in COPIES)]  # fmt: skip
        found = []
        for fault, amount in faults:
            for space in ("pixels", "features"):
                seen = {s: 0 for s in calibrated.STATISTICS}
                for turn in range(tests):
                    rng = np.random.default_rng([turn])
                    order = rng.permutation(len(unit))
                    x, y = unit[order[:n]].copy(), unit[order[n : 3 * n]]
                    if fault == "blur":
                        x = blurred(x, amount)
                    elif fault == "noise":
                        x = x + rng.standard_normal(x.shape) * amount / 255
                    elif fault == "copies":  # a little noise, or a rounding would be what is found
                        x[: round(amount * n)] = y[: round(amount * n)]
                        x = x + rng.standard_normal(x.shape) * 0.5 / 255
                    rows = calibrated.spaces([rounded(x), rounded(y)])[space]
                    side = {"nothing": ("too far", "too close"), "copies": ("too close",)}.get(
                        fault, ("too far",)
                    )
                    for s, v in calibrated.calibrated(*rows, permutations=100, seed=turn).items():
                        seen[s] += v.verdict() in side
                found += [
                    {
                        "fault": fault,
                        "amount": amount,
                        "space": space,
                        "statistic": s,
                        "tests": tests,
                        "seen": k,
                    }
                    for s, k in seen.items()
                ]
        return found


def main() -> None:
    """Answer, and put it into results/beyond.json beside what is there of other data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--N", type=int, nargs="+")
    parser.add_argument("--out", type=Path, help="by default results/beyond.json, but for smoke")
    given = parser.parse_args()
    given.out = target(given.out, "beyond.json", trial=given.profile == "smoke")
    torch.set_num_threads(1)
    asked = {name: getattr(given, name) for name in ("profile", "data", "seed", "N")}
    parameters = checked(Parameters, asked, "parameters")
    bench = Bench(parameters, given.profile == "smoke")
    began = time.process_time()
    found = bench.distances()
    found |= {"profile": given.profile, "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    found |= {"minutes": round((time.process_time() - began) / 60, 1)} | provenance()
    known = read_json(given.out) if given.out.is_file() else {}
    name = bench.experiment.images.dataset.name
    write_json(given.out, known | {name: found})
    print(f"{name}: {found['minutes']} minutes of a core", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
