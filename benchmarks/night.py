"""The scoreboard of models that took a night, into results/night.json; chapter 10 shows it beside its own.

    galgen train conditional-N4000-A0-0 --profile night      and so on, in as many sittings as it takes
    python benchmarks/night.py                      asks what chapter 10 asks, of the pairs that there are
    python benchmarks/night.py --data path/to/galaxies

Nothing is trained here. A pair is asked if the store has both of its models; if it has not, what was answered
before stands, as long as it is of the same settings and the same images, whatever the code is today; each
answer has its commit. A pair never asked is taken from the models published in `results/models/`, if there.
Agreement and memorization are of all latents of the profile; the other questions of as many samples as the
profile `laptop` has, so that its values and these can be compared.
"""

import argparse
import datetime
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from galgen.compare.controls import Controls, controls
from galgen.compare.morphology import stored
from galgen.config import Parameters, profile
from galgen.experiment import Experiment, Training, every_family
from galgen.explorer.published import WithPublished
from galgen.figures import evidence
from galgen.figures.results import plain, strip
from galgen.figures.scoreboard import kept
from galgen.figures.tables import beside_model_A
from galgen.runs.errors import checked
from galgen.runs.files import project, read_json, write_json
from galgen.runs.provenance import provenance


def of_pair(each: Experiment, n: int, wrong: Controls, asked: dict) -> dict:
    """The scoreboard of a pair, and what the pair took."""
    runs = [each.train(model) for model in each.pair(n)]
    ((key, (test, answers)),) = evidence.board(each, wrong, [n], **asked).items()
    print(f"{key[0]}, N = {n}: {'; '.join(f'{q} {a}' for q, a in answers.items())}", flush=True)
    found = {"images_shown": runs[0].summary["images_shown"], "scores": kept({key: answers}, "family")}
    found |= {"minutes": [run.summary["seconds"] / 60 for run in runs]}
    found |= {"closer": vars(test.closer), "linear": test.memorization.gaussians.closer.value}
    if n == each.sizes[-1]:  # a small one's samples are its training images
        found["samples"] = [strip(each.samples(model)[:8]) for model in each.pair(n)]
    return found


def of_others(each: Experiment, models: Mapping[tuple[str, str], Training]) -> dict:
    """How alike the samples of others are to those of model A, by what they share with it."""
    cosines = beside_model_A(each, models).items()
    return {"cosines": [{"init": init, "images": of, "cosine": vars(found)} for (init, of), found in cosines]}


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
    before = before if before.items() >= about.items() else {"scores": []}
    found, missing = {"pairs": [], "against": []}, []

    def ask(
        part: str, each: Experiment, models: Sequence[Training], answer: Callable[[], dict], what: str = ""
    ) -> None:
        """Put into a part the answer on these models, or what stands of it if they are not here."""
        identities, n = [each.identity(model) for model in models], max(model.N for model in models)
        name = {"pair": each.family.label, "N": n}
        scores = [score for score in before["scores"] if part == "pairs" and score.items() >= name.items()]
        name["recipes"] = [each.store.key(**identity | {"code": ()}) for identity in identities]
        keys = [each.train(model).key for model in models] if all(map(each.trained, models)) else []
        stands = [one | {"scores": scores} for one in before.get(part, ()) if one.items() >= name.items()]
        if stands and keys != [each.store.key(**identity) for identity in identities]:
            found[part] += stands
        elif keys:
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            known = {"keys": keys, "commit": provenance()["commit"], "date": today}
            found[part].append(name | answer() | known)
        else:
            missing.append({"pair": f"{each.family.label}{what}", "N": n})

    for each in families.values():
        for n in each.sizes:
            ask("pairs", each, each.pair(n), functools.partial(of_pair, each, n, wrong, asked))
        control = {("other", "other"): each.foreign()[0]} if bool(each.settings.foreign) else {}
        for what, models in {", 2 × 2": each.design(), ", other galaxies": control}.items():
            if models:
                model_A = each.pair(next(iter(models.values())).N)[0]
                answer = functools.partial(of_others, each, models)
                ask("against", each, [model_A, *models.values()], answer, what)
    scores = [one.pop("scores", []) for part in found.values() for one in part]
    found |= about | provenance() | {"missing": missing, "scores": list(itertools.chain(*scores))}
    write_json(given.out, others | {first.dataset.name: plain(found)})


if __name__ == "__main__":
    main()
