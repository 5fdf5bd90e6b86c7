"""What of a denoiser its twin explains, and what machines of patches do: asked of the pairs of an experiment.

On held-out images with noise, y = x + sigma z, of what the Gaussian of A's images leaves of A's denoiser D_A
(`galbook.why.local.explained`), for each noise level and patch:

    twin       of D_A, what D_B explains: all that two trainings on other images share beyond second moments
    own        of D_A, what the machine of A's images does: locality and these images, no network
    other      of D_A, what the machine of B's images does: locality and galaxies, none of them A's
    memory     own less other: above 0 where A answers with its own images
    machines   of A's machine, what B's machine explains: agreement of A and B with no network
"""

from dataclasses import dataclass

import torch

from galbook.kept import once
from galbook.why.local import Local, explained
from galgen.compare.gaussian import Empirical, fit_gaussian
from galgen.compare.uncertainty import Estimate
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.models.sampling import noise, seeded

__all__ = ["SIGMAS", "LocalTest", "Shares", "local_test"]

SIGMAS = (0.05, 0.2, 0.8)
SIDES = (3, 5, 7, 11, 15, 23)  # of the patches, pixels, beside the whole image
LOOKS = 2**18  # how often a training image is held against a held-out one, for a machine: a minute of a core
IMAGES = 256  # held-out ones at most; at N = 4000 there are 65
MOST = 4096  # training images of a machine at most

Shares = dict[int, Estimate | None]  # by the side of the patch; None where the Gaussian may leave nothing


@dataclass(frozen=True)
class LocalTest:
    """Shares of what A's Gaussian leaves, at one N and noise level; the module says what each is.

    Attributes:
        N: Training images of each model.
        sigma: Noise level.
        whole: The side of a patch that is the whole image from everywhere.
        images: Held-out images.
        known: Training images of each machine, N or `MOST`.
    """

    N: int
    sigma: float
    whole: int
    images: int
    known: int
    twin: Estimate | None
    own: Shares
    other: Shares
    memory: Shares
    machines: Shares

    @property
    def best(self) -> int | None:
        """The side at which A's machine explains most; None where nothing is to be explained."""
        found = {side: share.value for side, share in self.own.items() if share}
        return max(found, key=found.get) if found else None


@once
def local_test(experiment: Experiment, N: int, sigma: float) -> LocalTest:
    """Of the first pair of that N, of a family that is told the noise."""
    places = experiment.images.split().validation[: min(IMAGES, LOOKS // min(N, MOST))]
    x = unit(experiment.images.dataset.images[places])
    y = x + sigma * noise(seeded(range(len(x))), x.shape[1:])
    pair, levels, side = experiment.models.pair(N), torch.full((len(y),), sigma), y.shape[-1]
    known = [experiment.images.of(model)[:MOST] for model in pair]
    whole = 2 * side - 1
    with torch.inference_mode():
        a, b = (experiment.networks(model)["net"](y, levels) for model in pair)
    linear = fit_gaussian(experiment.images.of(pair[0]))(y, levels)
    own, other, memory, machines = {}, {}, {}, {}
    for k in [*(k for k in SIDES if k < side), whole]:
        # all of the image needs no patch: one weight an image, and a product of matrices
        mine, theirs = (
            (Empirical(images) if k == whole else Local(images, k))(y, levels) for images in known
        )
        own[k], other[k] = explained(a, linear, mine), explained(a, linear, theirs)
        memory[k] = explained(a, linear, mine, beyond=theirs)
        machines[k] = explained(mine, linear, theirs)
    twin = explained(a, linear, b)
    return LocalTest(N, sigma, whole, len(y), len(known[0]), twin, own, other, memory, machines)
