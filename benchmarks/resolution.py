"""Do two models of more pixels agree as well? One recipe at several sizes, into results/resolution.json.

    python benchmarks/resolution.py --data path/to/galaxies [--sizes 32 64] [--only A0 B1]

The paper's images have 64 pixels, this book's 32. Conditional denoisers of N = 4 000, all of one width and
shown as many images: A, B, a second A, and one that has seen other galaxies. So agreement has a floor, a pair
and a ceiling (`galbook.share.scale`), a number without an interval over trainings. Beside it stand the
scoreboard of A and B, how well a classifier parts each from galaxies at each scale, and their biases. With
--only some of the models are trained and nothing is asked, so that two processes can share the work; what was
interrupted goes on.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from filelock import FileLock

from galbook.agreement import two_models_at
from galbook.biases import held_out, model_biases
from galbook.committed import strip
from galbook.results import target
from galbook.scoreboard import board
from galbook.share.scale import agreements, scale
from galgen.compare.controls import rounded
from galgen.compare.yardstick import area
from galgen.experiment import Experiment
from galgen.models.families import Training
from galgen.profiles import PROFILES, Parameters
from galgen.runs.errors import checked, exit_code
from galgen.runs.files import read_json, write_json
from galgen.runs.store import provenance

FAMILY, NAME = "conditional", "resolution"
LAPTOP = {"kernels": 24, "images_cap": 190_000}  # an hour of a core at 64 pixels in bf16
QUICK = {"kernels": 4, "images_cap": 512}


def experiment(given: argparse.Namespace, side: int) -> Experiment:
    """Of one size of the images; the rest is that of the laptop, or of the tests."""
    base = PROFILES["smoke" if given.quick else "laptop"]
    recipe = base.conditional.model_copy(update=(QUICK if given.quick else LAPTOP) | {"N": (given.N,)})
    recipe = recipe.model_copy(update={"passes_per_image": None, "more_pairs": {}, "foreign": ("galaxies",)})
    PROFILES[NAME] = base.model_copy(update={"name": NAME, "image_size": side, FAMILY: recipe})
    asked = {name: getattr(given, name) for name in ("data", "N", "seed", "precision")} | {"profile": NAME}
    return Experiment(checked(Parameters, asked, "parameters"), family=FAMILY)


def models(of: Experiment) -> dict[str, Training]:
    """Those that are trained, by a short name."""
    (A, B), (second, _) = of.models.pair(of.sizes[-1]), of.models.pair(of.sizes[-1], 1)
    return {training.label: training for training in (A, B, second)} | {
        "other galaxies": of.models.foreign()[0]
    }


def measured(of: Experiment) -> dict:
    """What the models of one size are."""
    trained = models(of)
    A, B, second, other = (of.samples(training) for training in trained.values())
    found = scale(agreements([A, B, second, other], mean=of.images.mean), ("A", "B", "A", "other"))
    floor, pair, ceiling = (float(c.mean()) for c in (found.foreign["other"], found.pairs, found.same))
    known, _ = held_out([of])
    sides = [side for k in range(4) if (side := known.shape[-1] >> k) >= 8]
    drawn = {name: rounded(x[: of.images.compared]) for name, x in (("A0", A), ("B1", B))}
    areas = {name: {s: vars(area(x, known, side=s)) for s in sides} for name, x in drawn.items()}
    biases = model_biases([of]).models[of.family.label]
    runs = {name: of.train(training) for name, training in trained.items()}
    closer, scores = two_models_at(of, of.sizes[-1]).memorization.models.closer, board(of, of.sizes[-1])
    return {
        "N": of.sizes[-1], "kernels": of.settings.kernels, "precision": of.precision, "latents": len(A),
        "images_shown": of.settings.images_shown(of.sizes[-1]), "weights": of.weights,
        "minutes": {name: run.summary["seconds"] / 60 for name, run in runs.items()},
        "agreement": {"floor": floor, "pair": pair, "ceiling": ceiling},
        "share": found.beside["other"] if ceiling > floor else None,
        "samples": {"A0": strip(A[:8]), "B1": strip(B[:8])},
        "closer": vars(closer),
        "scores": {question: vars(answer) for question, answer in scores.items()},
        "auc": areas,
        "biases": {
            name: {n: vars(v) for n, v in vars(biases[half].biases).items() if hasattr(v, "low")}
            for name, half in (("A0", "A"), ("B1", "B"))
        },
    }  # fmt: skip


def main() -> None:
    """Train what is asked for; measure what all models of a size allow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--N", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--only", nargs="+", help="train these, as A0 or B1, and ask nothing")
    parser.add_argument("--quick", action="store_true", help="tiny networks, to see that it runs")
    parser.add_argument("--out", type=Path, help="by default results/resolution.json, but for a quick one")
    given = parser.parse_args()
    given.out = target(given.out, "resolution.json", trial=given.quick)
    torch.set_num_threads(1)
    for side in given.sizes:
        of = experiment(given, side)
        if given.only:
            for training in (t for name, t in models(of).items() if name in given.only):
                of.train(training)
            continue
        made = {
            "profile": "smoke" if given.quick else "laptop",
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
        }
        record, name = measured(of) | made | provenance(), of.images.dataset.name
        lock = given.out.with_name(f".{given.out.name}.lock")
        with FileLock(lock):  # others may have written in these hours
            found = read_json(given.out) if given.out.is_file() else {}
            write_json(given.out, found | {name: found.get(name, {}) | {str(side): record}})
        of_scale = ", ".join(f"{k} {v:.3f}" for k, v in record["agreement"].items())
        print(f"{name}, {side} pixels: {of_scale}, share {record['share']}", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
