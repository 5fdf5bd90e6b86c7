"""What can be found of an image's training: the AUC of own against held-out images, of published pairs.

    python -m benchmarks.membership --profile laptop

For each pair of denoisers that is published under these parameters, A beside B and B beside A, the score of
`galgen.compare.membership` of 250 images of its own (of all, where it has fewer) and of 250 that neither saw.
What comes out lies with the models, in `membership.json`; `galgen audit --model` prints it. The galaxies are
those of the run store. Minutes of a core, for two pairs of the blind and two of the conditional denoiser.
"""

import sys

import numpy as np
import torch
from cyclopts import App

from galgen.auditing.trained_on import KNOWN
from galgen.cli import USUAL, Asked, Place, run
from galgen.compare.membership import membership
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.published import AsItIs, published
from galgen.runs.errors import GalgenError, exit_code
from galgen.runs.files import read_json, write_json
from galgen.using.opening import opened

MOST = 250  # images of a kind
app = App("membership", help=__doc__, default_parameter=USUAL)


@app.default
def main(*, asked: Asked = Parameters(), models: Place | None = None) -> None:
    """Measure and keep it."""
    torch.set_num_threads(1)
    place, found = published(models).root, []
    for name in ("diffusion", "conditional"):
        experiment = Experiment(asked, AsItIs(), family=name)
        held_out = np.array(experiment.images.held_out[:MOST])
        for N in experiment.sizes:
            trainings = experiment.models.pair(N)
            try:
                pair = [opened(training.name, asked, models=place) for training in trainings]
            except GalgenError:  # of this N none is published
                continue
            for model, training in zip(pair, trainings, strict=True):
                if (
                    read_json(model.weights.parent / "record.json")["data"]
                    != experiment.identity(training)["data"]
                ):
                    raise GalgenError(
                        f"{model.name} in {place} has seen other galaxies than those of {asked.data}"
                    )
            D = [model.family.denoiser(model.networks()) for model in pair]
            for own, other in ((0, 1), (1, 0)):
                images = np.array(experiment.images.of(trainings[own])[:MOST])
                area = membership(D[own], D[other], images, held_out).auc
                of = {"model": pair[own].key, "other_model": pair[other].key, "images": len(images)}
                of["auc"] = [round(float(x), 4) for x in (area.value, area.low, area.high)]
                found.append(of | {"held_out": len(held_out)})
                print(pair[own].name, area)
    if not found:
        raise GalgenError("no pair of denoisers is published under these parameters")
    write_json(place / KNOWN, found)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: run(app)))
