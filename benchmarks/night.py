"""The scoreboard of models that took a night, into results/night.json; chapter 10 shows it beside its own.

    galgen train edm-N4000-A00 --profile night      and so on, in as many sittings as it takes
    python benchmarks/night.py                      asks what chapter 10 asks, of the pairs that there are
    python benchmarks/night.py --data path/to/galaxies

Nothing is trained here. A pair is asked if the store has both of its models; if it has not, what was answered
before stands, as long as it is of the same settings and the same images, whatever the code is today; each
pair has its commit. A pair never asked is taken from the models published in `results/models/`, if there.
Agreement and memorization are of all latents of the profile; the other questions of as many samples as the
profile `laptop` has, so that its values and these can be compared.
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
    about = {"profile": given.profile, "count": count, "latents": first.profile.samples}
    about |= {"sha256": first.dataset.sha256, "seed": parameters.seed}
    others = read_json(given.out) if given.out.is_file() else {}
    before = others.get(first.dataset.name, {})
    before = before if before.items() >= about.items() else {"pairs": [], "scores": []}
    pairs, scores, missing = [], [], []
    for each, n in [(family, n) for family in families.values() for n in family.sizes]:
        models, name = each.pair(n), {"pair": each.family.label, "N": n}
        runs = [each.train(model) for model in models] if all(map(each.trained, models)) else []
        identities = [each.identity(model) for model in models]
        name["recipes"] = [each.store.key(**identity | {"code": ()}) for identity in identities]
        stands = [pair for pair in before["pairs"] if pair.items() >= name.items()]
        if stands and [run.key for run in runs] != [each.store.key(**identity) for identity in identities]:
            pairs += stands
            scores += [s for s in before["scores"] if (s["pair"], s["N"]) == (name["pair"], n)]
        elif runs:
            ((key, (test, answers)),) = evidence.board(each, wrong, [n], **asked).items()
            pairs.append(name | {"images_shown": runs[0].summary["images_shown"]})
            pairs[-1] |= {"minutes": [run.summary["seconds"] / 60 for run in runs]}
            pairs[-1] |= {"closer": vars(test.closer), "linear": test.memorization.gaussians.closer.value}
            pairs[-1] |= {"keys": [run.key for run in runs], "commit": provenance()["commit"]}
            pairs[-1] |= {"date": datetime.datetime.now(datetime.UTC).date().isoformat()}
            if n == each.sizes[-1]:  # a small one's samples are its training images
                pairs[-1]["samples"] = [strip(each.samples(model)[:8]) for model in models]
            scores += kept({key: answers}, "family")
            print(f"{key[0]}, N = {n}: {'; '.join(f'{q} {a}' for q, a in answers.items())}", flush=True)
        else:
            missing.append({"pair": each.family.label, "N": n})
    found = about | provenance() | {"pairs": pairs, "scores": scores, "missing": missing}
    write_json(given.out, others | {first.dataset.name: plain(found)})


if __name__ == "__main__":
    main()
