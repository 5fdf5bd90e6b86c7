"""Predict the verdicts of fresh seeds from those of seeds 0 and 7, into results/predictions/verdicts.json.

    python benchmarks/predictions.py

The file is committed before the first fresh seed is trained: for each data set and cell, the trainings on
which it depends, and the probability of each verdict (`galbook.replication`).
"""

from galbook.replication import FRESH, HELD_OUT_OVER_TRAINING, expected, needed
from galbook.verdicts import CLAIMS
from galgen.profiles import Parameters
from galgen.runs.files import project, to_json_values, write_json
from galgen.runs.store import provenance

OLD = {name: (f"laptop-{name}", f"laptop-{name}-seed7") for name in HELD_OUT_OVER_TRAINING}


def main() -> None:
    """Write the file of predictions."""
    fresh, found = Parameters(profile="seeds", seed=FRESH[0]), {}
    for name, overlap in HELD_OUT_OVER_TRAINING.items():
        (others,) = (runs for other, runs in OLD.items() if other != name)
        rows = expected(OLD[name], others, Parameters(data=name), len(FRESH), overlap=overlap)
        found[name] = rows.to_dict("records")
    about = {
        "seeds": FRESH,
        "from": OLD,
        "criteria": CLAIMS,
        "trainings": needed(fresh).to_dict("records"),
        "expected": found,
    }
    path = project() / "results" / "predictions" / "verdicts.json"
    path.parent.mkdir(exist_ok=True)
    write_json(path, to_json_values(provenance() | about))


if __name__ == "__main__":
    main()
