"""Update the keys of published results after a change of code that changes no number.

    python workflow/rekey.py [PATH ...]      paths of the data sets of published runs on given galaxies

Keys of rows, trainings and models contain hashes of the source files they depend on, so results are computed
again after a change of these files. After a change of names or layout, the published numbers remain valid:
this script writes the new keys into `results/*/run.json`, renames the folders of `results/models/`, those in
`pyproject.toml` too, and updates the model cards there. It does not check the numbers: `make check` measures
a part of them again.
"""

import sys
from pathlib import Path

from galbook import publishing
from galgen.experiment import every_family, find_training
from galgen.profiles import Parameters
from galgen.published import listed, model_cards, published
from galgen.runs.code import version
from galgen.runs.files import read_json, write_json


def of_run(path: Path, data: dict[str, str]) -> bool:
    """Write the current keys into the `run.json` of a published run; returns whether any has changed."""
    about, before = read_json(path), path.read_text()
    values = about["parameters"] | {"precision": about["precision"]}
    values["data"] = data.get(values["data"], values["data"])
    experiments = list(every_family(Parameters(**values), studies=True).values())
    for question, experiment, given in publishing.questions_of(experiments):
        if of := about["files"].get(f"{question.name}/{question.label(experiment, *given)}"):
            of["key"] = experiment.store.key("rows", **question.identity(experiment, *given))
    keys = {name: key for experiment in experiments for name, key in experiment.keys().items()}
    for of in about["trainings"]:
        of["key"] = keys.get(of["name"], of["key"])
    write_json(path, about)
    return path.read_text() != before


def of_models() -> int:
    """Rename published models to their current keys; returns the number of changed keys."""
    changed, project = 0, Path("pyproject.toml")
    for run in listed(published()):
        info = run.summary
        parameters = Parameters(profile=info["profile"], data=info["data"], seed=info["first"] // 1_000_000)
        experiment, training = find_training(info["name"], parameters)
        identity = experiment.identity(training)
        key = experiment.store.key(**identity)
        if key != run.path.name:
            changes = identity | {"code": version(identity["code"]), "key": key}
            write_json(run.path / "record.json", run.record | changes)
            run.path.rename(run.path.with_name(key))
            project.write_text(project.read_text().replace(run.path.name, key))
            changed += 1
    return changed


def main(paths: list[str]) -> None:
    """Update the keys of all published results."""
    data = {Path(path).stem: path for path in paths}
    runs = sorted(Path("results").glob("*/run.json"))
    changed = sum(of_run(path, data) for path in runs)
    number = of_models()
    (published().root / "README.md").write_text(model_cards(published()))
    print(f"{changed} of {len(runs)} tables and {number} models have new keys")


if __name__ == "__main__":
    main(sys.argv[1:])
