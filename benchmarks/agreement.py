"""Does it matter to agreement which images were shown? Into results/agreement.json, once.

    python benchmarks/agreement.py twins     denoisers of the laptop book, N = 100 and 4 000
    python benchmarks/agreement.py onsets    the clock's, 8 kernels, at one age

*Twins* are two trainings on the same images, which differ in initialisation, order and noise; *pairs* saw
disjoint ones. Of a model that has twins let d be its mean agreement with them less that with models of the
other images. What the same images are worth is the mean of d, with Student's interval over models; as these
share partners, it is narrower than it should be, by up to a half.

*Onsets.* Agreement grows with training and falls with memory, so models of several N are compared at one age:
at .5, 1 and 3 of the onset that law L has for their N (`galbook.clock.law`). At N = 300 two networks of other
galaxies set the floor, and the share is that of `galbook.share.scale`.

The twins take ten minutes of a core beside the trainings of the book, the onsets two hours.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import numpy as np
from scipy import stats
from torch import Tensor

from galbook.clock import foretold
from galbook.share.scale import agreements, scale
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment
from galgen.models.families import Training
from galgen.profiles import PROFILES, Parameters
from galgen.runs.errors import exit_code
from galgen.runs.files import plain, project, read_json, write_json
from galgen.runs.store import provenance

ONSETS = {10: (0.5, 1, 3), 30: (0.5, 1, 3), 100: (0.5, 1, 3), 300: (0.5, 1)}
LENGTHS = {10: 18_000, 30: 50_000, 100: 240_000, 300: 420_000}  # beyond the last, before the rate falls
NAME = "agreement"
PROFILES[NAME] = PROFILES["laptop"].model_copy(
    update={
        "name": NAME,
        "clock8": PROFILES["laptop"].clock8.model_copy(
            update={"N": tuple(LENGTHS), "lengths": LENGTHS, "pairs": 2, "foreign": ("galaxies",) * 2}
        ),
    }
)


def asked(models: Sequence[Tensor], labels: Sequence[str], mean: np.ndarray) -> dict:
    """Agreements of twins, of pairs and with strangers, and what the same images are worth."""
    c, sides = agreements(models, mean=mean), np.array(labels)
    found, d = scale(c, labels), []
    for i, side in enumerate(sides):
        own, other = (np.flatnonzero(sides == each) for each in (side, {"A": "B", "B": "A"}.get(side)))
        if len(twins := own[own != i]) and len(other):
            d.append(c[i, twins].mean() - c[i, other].mean())
    value, half = float(np.mean(d)), stats.t.ppf(0.975, len(d) - 1) * np.std(d, ddof=1) / sqrt(len(d))
    strangers = {kind: each.tolist() for kind, each in found.foreign.items()}
    share = {kind: each for kind, each in found.beside.items()}
    worth = vars(Estimate(value, float(value - half), float(value + half), len(d)))
    return {
        "twins": found.same.tolist(),
        "pairs": found.pairs.tolist(),
        "strangers": strangers,
        "share": share,
        "worth": worth,
    }


def twins() -> dict:
    """Of the blind denoisers of the laptop book, at N = 100 (A2 and A4 beside the book's) and 4 000."""
    experiment, found = Experiment(Parameters()), {}
    for N, names in {100: ("A0", "A2", "A4", "B1"), 4000: ("A0", "A2", "A4", "B1", "B3", "B5")}.items():
        models = [Training(N, half, int(k), int(k)) for half, k in names]
        drawn = [experiment.samples(model) for model in models]
        found[str(N)] = asked(drawn, [model.half for model in models], experiment.images.mean)
    return found


def onsets() -> dict:
    """Of two models of A's images and two of B's, by N and multiple of the law's onset."""
    study, found = Experiment(Parameters(profile=NAME), family="clock8"), {}
    law = foretold.read().constants["L"]
    for N, multiples in ONSETS.items():
        load = N * study.settings.image_size**2 / study.weights
        onset = N * law["A_8"].value * (1 + load / law["l_0"].value)
        models = [model for pair in study.models.pairs(N) for model in pair]
        models += study.models.foreign() if N == max(ONSETS) else []
        labels = [model.foreign or model.half for model in models]
        kept = study.train(models[0]).summary["weights"]
        for multiple in multiples:
            shown = min(kept, key=lambda t: abs(np.log(t / (multiple * onset))))
            drawn = [study.samples(model, shown) for model in models]
            one = asked(drawn, labels, study.images.mean) | {"shown": shown, "onset": onset}
            found[f"{N} at {multiple:g}"] = one
            print(N, multiple, shown, one["worth"], flush=True)
    return found


def main() -> None:
    """Ask one of both, and write it beside the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["twins", "onsets"])
    parser.add_argument("--out", type=Path, default=project() / "results" / "agreement.json")
    given = parser.parse_args()
    found = read_json(given.out) if given.out.is_file() else {}
    made = {"date": time.strftime("%Y-%m-%d", time.gmtime()), **provenance()}
    found[given.what] = made | {"found": {"twins": twins, "onsets": onsets}[given.what]()}
    write_json(given.out, plain(found))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
