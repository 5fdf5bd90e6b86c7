"""Measure how isolated the training images of the onset study are, into results/isolation.json.

    python benchmarks/isolation.py

For each committed training of simulated galaxies with N >= 100 and seeds 0 and 4 to 6: distance of each image
to the nearest other training image, and its variance (`galbook.onset.isolation`), of which memory and the
partial correlations follow; the control takes held-out images for training images. The test of (16; 300) was
defined before its numbers were read. The galaxies of each seed are simulated, a minute each.
"""

from dataclasses import replace

import numpy as np

from galbook.onset.configurations import committed
from galbook.onset.isolation import features, isolation_test, memory, partial_spearman
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs.files import project, to_json_values, write_json
from galgen.runs.store import provenance

PRIMARY = (16, 300)
SEEDS = (4, 5, 6)


def main() -> None:
    """Write the statistic of each training, and the test of the primary ones."""
    rows, primary = [], []
    for one in committed()["simulated"]:
        of = one.configuration
        if of.N < 100 or of.rate != 1:
            continue
        study = Experiment(Parameters(seed=one.seed), family="onset8")
        sets, images = study.images.split(of.N), study.images.dataset.images / 255
        for half, trace in zip("AB", of.traces, strict=True):
            train = images[getattr(sets, half)]
            own = features(train[: trace.own.shape[1]], train)
            held_out = features(images[sets.validation[: trace.held_out.shape[1]]], train)
            m = memory(trace, of.N, own, held_out)
            unseen, others = np.split(trace.held_out, [len(held_out) // 2], axis=1)
            of_unseen, of_others = np.split(held_out, [len(held_out) // 2])
            null = memory(replace(trace, own=unseen, held_out=others), of.N, of_unseen, of_others)
            thirds = [m[part].mean() for part in np.array_split(np.argsort(own[:, 0]), 3)]
            about = {"width": of.base_channels, "N": of.N, "load": of.load, "seed": one.seed, "half": half}
            about |= {"isolation": partial_spearman(m, own[:, 0], own[:, 1])}
            about["held_out"] = partial_spearman(null, *of_unseen.T)
            rows.append(about | {"contrast": partial_spearman(m, own[:, 1], own[:, 0]), "thirds": thirds})
            if (of.base_channels, of.N) == PRIMARY and one.seed in SEEDS:
                primary.append((m, own))
    found = {"trainings": rows, "test": vars(isolation_test(primary)) | {"n": len(primary)}}
    write_json(project() / "results" / "isolation.json", to_json_values(provenance() | found))


if __name__ == "__main__":
    main()
