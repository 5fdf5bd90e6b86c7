"""Give published results the keys of today's code, after a change of code that alters no number.

    python workflow/rekey.py [PATH ...]      paths of the data sets of published runs of given galaxies

Keys of rows, trainings and models are hashes of the source files that they depend on, so that a change of
these files has them made again. After a change of names or layout the numbers are as right as before: this
script writes the new keys into `results/*/run.json` and renames the folders of `results/models/`. Whether the
numbers are the same, it can't know: `make check` measures a part of them again.
"""

import sys
from pathlib import Path

from galbook import publishing
from galgen.experiment import every_family, find_training
from galgen.profiles import Parameters
from galgen.published import listed, published
from galgen.runs.code import version
from galgen.runs.files import read_json, write_json


def of_run(path: Path, data: dict[str, str]) -> bool:
    """Write today's keys into the `run.json` of a published run; returns whether any has changed."""
    about, before = read_json(path), path.read_text()
    asked = about["parameters"] | {"precision": about["precision"]}
    asked["data"] = data.get(asked["data"], asked["data"])
    experiments = list(every_family(Parameters(**asked), studies=True).values())
    for question, experiment, given in publishing.asked(experiments):
        if of := about["files"].get(f"{question.name}/{question.label(experiment, *given)}"):
            of["key"] = experiment.store.key("rows", **question.identity(experiment, *given))
    keys = {name: key for experiment in experiments for name, key in experiment.keys().items()}
    for of in about["trainings"]:
        of["key"] = keys.get(of["name"], of["key"])
    write_json(path, about)
    return path.read_text() != before


def of_models() -> int:
    """Give published models the keys of today; returns how many have changed."""
    changed = 0
    for run in listed(published()):
        told = run.summary
        asked = Parameters(profile=told["profile"], data=told["data"], seed=told["first"] // 1_000_000)
        experiment, training = find_training(told["name"], asked)
        identity = experiment.identity(training)
        key = experiment.store.key(**identity)
        if key != run.path.name:
            own = identity | {"code": version(identity["code"]), "key": key}
            write_json(run.path / "record.json", run.record | own)
            run.path.rename(run.path.with_name(key))
            changed += 1
    return changed


def main(paths: list[str]) -> None:
    """Give all published results the keys of today."""
    data = {Path(path).stem: path for path in paths}
    runs = sorted(Path("results").glob("*/run.json"))
    changed = sum(of_run(path, data) for path in runs)
    print(f"{changed} of {len(runs)} tables and {of_models()} models have new keys")


if __name__ == "__main__":
    main(sys.argv[1:])
