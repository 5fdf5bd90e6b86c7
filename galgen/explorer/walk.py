"""From noise to an image in step: two denoisers, one latent, and what each keeps of the image on the way.

Models A and B of the conditional family go down the probability flow from the same noise
(`galgen.compare.flow`). At the level where the slider stands: the image on its way, what the model would
denoise it to, and the leading eigenvectors of its Jacobian there (`galgen.compare.jacobian`), the patterns it
takes for galaxy and not for noise; one of eigenvalue 1 passes, one of 0 is wiped out.
"""

import functools
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from galgen.compare import similarity
from galgen.compare.directions import overlap
from galgen.compare.flow import walk
from galgen.compare.jacobian import leading
from galgen.explorer.answers import Explorer, Row, Stamp
from galgen.models.sampling import ladder, noise, seeded
from galgen.words import spaced

LADDER = ladder(10.0, 0.006, 24, 7.0)
EIGENVECTORS = 4


@functools.lru_cache(64)  # one explorer a kernel
def path(explorer: Explorer, N: int, half: str, number: int) -> list[Tensor]:
    """The images (1, 1, H, W) that lie at the levels of `LADDER` on the walk from a latent."""
    experiment, net = explorer.experiments["conditional"], explorer.pair("conditional", N)[half]["net"]
    z = noise(seeded(experiment.latents(number + 1)[number:]), experiment.start.shape)
    places = [experiment.start + LADDER[0] * z]
    for step in pairwise(LADDER):
        places.append(walk(net, places[-1], step))
    return places


def answers(explorer: Explorer, N: int, number: int, place: int) -> list[Row]:
    """Models A and B at a place of `LADDER`, from one latent."""
    n = explorer.size("conditional", N)[0]
    rows, seen, sigma = [], [], LADDER[place]
    for half in "AB":
        net, y = explorer.pair("conditional", n)[half]["net"], path(explorer, n, half, number)[place]
        with torch.inference_mode():
            denoised = net(y, torch.tensor([sigma]))
        found = leading(net, y[0].clone(), sigma, EIGENVECTORS)
        seen.append((denoised, found.vectors))
        stamps = [Stamp(0.5 + (y[0, 0].numpy() - 0.5) / (1 + 4 * sigma), f"on the way, noise {sigma:.2g}")]
        stamps.append(Stamp(denoised[0, 0].numpy(), "denoised"))
        for value, vector in zip(found.values, found.vectors[:, 0], strict=True):
            stamps.append(Stamp(0.5 + vector / (2 * np.abs(vector).max()), f"eigenvalue {value:.2f}"))
        note = f"asymmetry of the Jacobian {found.asymmetry:.2f}"
        rows.append(Row(f"model {half}, N = {spaced(n)}", tuple(stamps), note))
    (a, u), (b, v) = seen
    same = similarity.cosine(a, b, kind="anomaly", mean=explorer.mean)[0]
    note = f"denoised A and B agree by {same:.2f}; their eigenvectors span {overlap(u, v):.0%} of one space"
    return [*rows, Row("both", note=note)]
