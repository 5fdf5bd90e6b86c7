"""The run's own models, audited as a stranger's would be; and galgen's audit where the answer is known.

`planted` are held-out galaxies of which a share are replaced by training images of the largest N, and the
perfect memorizer, training images alone: what the test of memory must miss, and what it must find.
"""

import numpy as np

from galbook.agreement import drawn
from galbook.kept import once
from galgen.auditing.audit import Audit, audit
from galgen.auditing.copies import Copies, copies
from galgen.compare.controls import rounded
from galgen.experiment import Experiment

__all__ = ["audited", "planted"]

SHARES = (0.0, 0.01, 0.05, 0.2, 1.0)


@once
def audited(experiment: Experiment, N: int) -> Audit:
    """The audit of model A of the first pair, B beside it, without morphology, which has a chapter."""
    images, (a, b) = [rounded(part) for part in drawn(experiment, N)], experiment.models.pair(N)
    floor = {}
    if N == experiment.sizes[-1] and (foreign := experiment.models.foreign()):
        floor = {"floor": rounded(experiment.samples(foreign[0]))}
    return audit(
        images[0],
        experiment.images.of(a),
        _held_out(experiment),
        other_samples=images[1],
        other_train=experiment.images.of(b),
        flips=experiment.family.flips,
        morphology=0,
        **floor,
    )


@once
def planted(experiment: Experiment) -> dict[float, Copies]:
    """By the share of copies, the test of memory where that is known."""
    held_out, train = (
        _held_out(experiment),
        experiment.images.of(experiment.models.pair(experiment.sizes[-1])[0]),
    )
    n, rng, found = len(held_out) // 3, np.random.default_rng(experiment.parameters.seed), {}
    for count in sorted({round(share * n) for share in SHARES}):
        copied = train[rng.integers(len(train), size=count)]
        found[count / n] = copies(np.concatenate([copied, held_out[: n - count]]), train, held_out[n:])
    return found


def _held_out(experiment: Experiment) -> np.ndarray:
    return experiment.images.held_out
