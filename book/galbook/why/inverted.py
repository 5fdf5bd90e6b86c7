"""The inversion test of a denoiser's flow (`galbook.why.flow`), asked of the pairs of an experiment.

A draws images from unit normal latents. Who finds the latents in them? B; a network of other galaxies; and
the Gaussian of B's images, which knows second moments and no galaxy.
"""

from galbook.kept import once
from galbook.why.flow import ScaleTest, decode, encode, inverted
from galgen.compare.gaussian import fit_gaussian
from galgen.experiment import Experiment
from galgen.models.sampling import ladder, noise, seeded

__all__ = ["LATENTS", "flow_inversions"]

LATENTS = 32
STEPS = 32  # on the ladder of the sampler
_FIRST = 3_200_000_000  # seed of a latent that no sample has


@once
def flow_inversions(experiment: Experiment, N: int) -> dict[str, dict[str, ScaleTest]]:
    """By who finds the latents, by scale; of a family that is told the noise.

    A control whose latents are finite in fewer than two images, as of a network hardly trained, is left out.
    """
    levels, m = ladder(**experiment.settings.sampler | {"steps": STEPS}), experiment.images.start
    A, B = experiment.models.pair(N)
    a, b, other = (experiment.networks(model)["net"] for model in (A, B, experiment.models.foreign()[0]))
    z = noise(seeded(range(_FIRST, _FIRST + LATENTS)), m.shape)
    galaxies = experiment.images.held_out
    axes = fit_gaussian(galaxies).components.double().numpy()
    x = decode(a, z, m, levels)
    own = encode(a, x, m, levels)
    others = {
        "B": b,
        "other galaxies": other,
        "Gaussian of B's images": fit_gaussian(experiment.images.of(B)),
    }
    found = {who: encode(D, x, m, levels) for who, D in others.items()}
    known = {who: z_b for who, z_b in found.items() if who == "B" or z_b.isfinite().all((1, 2, 3)).sum() > 1}
    return {who: inverted(z, own, z_b, axes) for who, z_b in known.items()}
