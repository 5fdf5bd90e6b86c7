"""The scoreboard of models that took a night, into results/night.json; chapter 10 shows it beside its own.

    galgen train edm-N4000-A00 --profile night      and so on, in as many sittings as it takes
    python benchmarks/night.py                      asks what chapter 10 asks, of the pairs that there are
    python benchmarks/night.py --data path/to/galaxies

Nothing is trained here. A pair is asked if the store has both of its models, or, in their place, the models
published in `results/models/`. Agreement and memorization are of all latents of the profile; the other
questions of as many samples as the profile `laptop` has, so that its values and these can be compared.
"""

import argparse
import datetime
import functools
from pathlib import Path

import torch

from galgen.compare.controls import controls
from galgen.compare.morphology import stored
from galgen.config import Parameters, profile
from galgen.experiment import every_family
from galgen.explorer.published import WithPublished
from galgen.figures import evidence
from galgen.figures.results import plain, strip
from galgen.figures.scoreboard import kept
from galgen.runs.errors import checked
from galgen.runs.files import project, read_json, write_json
from galgen.runs.store import provenance


def main() -> None:
    """Ask, and put the answers into results/night.json beside what is there of other data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="night")
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--N", type=int, nargs="+")
    parser.add_argument("--out", type=Path, default=project() / "results" / "night.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    named = {name: getattr(given, name) for name in ("profile", "data", "N")}
    parameters = checked(Parameters, named, "parameters")
    families = every_family(parameters, WithPublished())
    first = next(iter(families.values()))
    sets = first.split(max(n for each in families.values() for n in each.sizes))
    count = min(profile("laptop").samples, first.compared)
    wrong = controls(first.dataset.images, sets, count, blur=1.0)
    measure = functools.partial(stored, first.store, progress=False)
    asked = {"mean": first.mean_image, "morphology": measure}
    pairs, scores, missing = [], [], []
    for each in families.values():
        sizes = [n for n in each.sizes if all(map(each.trained, each.pair(n)))]
        missing += [f"{each.family.label}, N = {n}" for n in each.sizes if n not in sizes]
        found = evidence.board(each, wrong, sizes, **asked) if sizes else {}
        for (label, n), (test, answers) in found.items():
            runs = [each.train(model) for model in each.pair(n)]
            shown, minutes = runs[0].summary["images_shown"], [run.summary["seconds"] / 60 for run in runs]
            pairs.append({"pair": label, "N": n, "images_shown": shown, "minutes": minutes})
            pairs[-1] |= {"closer": vars(test.closer), "linear": test.memorization.gaussians.closer.value}
            pairs[-1] |= {"keys": [run.key for run in runs]}
            if n == each.sizes[-1]:  # a small one's samples are its training images
                pairs[-1]["samples"] = [strip(each.samples(model)[:8]) for model in each.pair(n)]
            scores += kept({(label, n): answers}, "family")
            print(f"{label}, N = {n}: {'; '.join(f'{q} {a}' for q, a in answers.items())}", flush=True)
    found = {"profile": given.profile, "count": count, "latents": first.profile.samples, "pairs": pairs}
    found |= {"date": datetime.datetime.now(datetime.UTC).date().isoformat()} | provenance()
    found |= {"sha256": first.dataset.sha256, "seed": parameters.seed}
    found |= {"scores": scores, "missing": missing}
    others = read_json(given.out) if given.out.is_file() else {}
    write_json(given.out, others | {first.dataset.name: plain(found)})


if __name__ == "__main__":
    main()
