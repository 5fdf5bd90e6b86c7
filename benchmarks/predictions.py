"""Write predictions into results/predictions/; a file that exists is not written again.

    python benchmarks/predictions.py

Each file is committed before the first training that it predicts.

    verdicts.json    for each data set and cell, the trainings on which it depends, and the probability of
                     each verdict of fresh seeds, from those of seeds 0 and 7 (`galbook.replication`)
    onsets.json      for each configuration of `FRESH` and `GIVEN` in benchmarks/onset.py, the onset that each
                     law predicts, from all trainings up to then (`galbook.onset.law`, two scatters, 1 dB),
                     and the power against each other law: the probability that the mean onset lies outside
                     the interval of the first law if the second is true

A law of the onset is *contradicted* if the geometric mean of the onsets lies outside its 95 % interval; if a
training is censored, the mean is a lower limit. The score of a law is the sum over configurations of the log
normal density of the mean, or of the log probability of censoring. On other galaxies l_0 *agrees* if the 95 %
interval of its ratio to the simulated one lies within 1/2 to 2, and *differs* if that excludes 1.
"""

from itertools import permutations

from onset import FRESH as FRESH_ONSETS
from onset import GIVEN

from galbook.onset.law import LAWS, Place, fit, power, trainings
from galbook.page import published
from galbook.replication import FRESH, HELD_OUT_OVER_TRAINING, expected, needed
from galbook.verdicts import CLAIMS
from galgen.profiles import Parameters
from galgen.runs.files import project, to_json_values, write_json
from galgen.runs.store import provenance

OLD = {name: (f"laptop-{name}", f"laptop-{name}-seed7") for name in HELD_OUT_OVER_TRAINING}


def verdicts() -> dict:
    """Probabilities of the verdicts of fresh seeds."""
    fresh, found = Parameters(profile="seeds", seed=FRESH[0]), {}
    for name, overlap in HELD_OUT_OVER_TRAINING.items():
        (others,) = (runs for other, runs in OLD.items() if other != name)
        rows = expected(OLD[name], others, Parameters(data=name), len(FRESH), overlap=overlap)
        found[name] = rows.to_dict("records")
    trained = needed(fresh).to_dict("records")
    return {"seeds": FRESH, "from": OLD, "criteria": CLAIMS, "trainings": trained, "expected": found}


def onsets() -> dict:
    """Onsets that the laws predict, and the power of each configuration."""
    of, found = trainings(published("onset")), {}
    fits = {name: fit(law, of, "two-scatters") for name, law in LAWS.items()}
    unit_load = of.drop_duplicates("width").set_index("width").eval("load / N")
    for data, configurations in zip(OLD, (FRESH_ONSETS, GIVEN), strict=True):
        found[data] = []
        for width, N, seeds, images, _ in configurations:
            place = Place(width, N, float(unit_load[width] * N))
            laws = {name: law.predicted(place, 2 * len(seeds)) for name, law in fits.items()}
            chances = {
                f"{one} not {other}": power(*laws[one], laws[other][0], fits[one].freedom)
                for one, other in permutations(laws, 2)
            }
            predicted = {name: {"images": vars(each), "error": error} for name, (each, error) in laws.items()}
            about = {"width": width, "N": N, "load": place.load, "seeds": seeds, "images_shown": images}
            found[data].append(about | {"predicted": predicted, "power": chances})
    constants = {
        name: {key: vars(each) for key, each in law.constants().items()} for name, law in fits.items()
    }
    freedom = fits["load"].freedom
    return {"trainings": len(of), "constants": constants, "freedom": freedom, "configurations": found}


def main() -> None:
    """Write the files that do not exist."""
    for make in (verdicts, onsets):
        path = project() / "results" / "predictions" / f"{make.__name__}.json"
        if not path.exists():
            write_json(path, to_json_values(provenance() | make()))


if __name__ == "__main__":
    main()
