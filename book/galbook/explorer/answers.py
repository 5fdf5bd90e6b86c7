"""What the trained models answer, live, to a latent, a noise level, a mixture of latents.

`Explorer` turns settings into rows of stamps and knows no widget; `galbook.explorer.controls` puts controls
before it. Networks, training images and nulls stay in memory, and a model draws one image a call, not a
batch: with the profile laptop the first answer of Glow or of the GAN takes about a second of one core, each
further one less than a tenth. The last bits of a sample are therefore not the book's
(`galgen.models.sampling`). Of a model that was not trained, the answer is the command that trains it.
"""

import functools
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from galgen.compare import denoising, similarity
from galgen.data.unit import unit
from galgen.experiment import every_family
from galgen.figures.words import spaced
from galgen.models import glow_learner as glow
from galgen.profiles import Parameters
from galgen.published import WithPublished
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store

__all__ = ["Explorer", "Row", "Stamp"]


@dataclass(frozen=True)
class Stamp:
    """A galaxy and its caption: floats with white at 1, or uint8, (H, W)."""

    image: np.ndarray
    caption: str


@dataclass(frozen=True)
class Row:
    """Stamps that belong together, and a note."""

    label: str
    stamps: tuple[Stamp, ...] = ()
    note: str = ""


class Explorer:
    """The models of one set of parameters, as the explorer asks them.

    Args:
        parameters: Those of the notebook.
        store: Where the models are; by default the store of the project, and what it lacks as published.
    """

    def __init__(self, parameters: Parameters, store: Store | None = None):
        self.parameters = parameters
        self.experiments = every_family(parameters, store or WithPublished())
        self.sizes = sorted({N for e in self.experiments.values() for N in e.sizes})
        some = self.experiments["diffusion"]
        self.profile, self.store = some.profile, some.store
        self.images, self.split = some.images.dataset.images, some.images.split
        self.mean = some.images.mean
        self.validation = self.images[some.images.split(self.sizes[-1]).validation]

    # The cached methods keep their answers, but not their exceptions: a model may have been trained since.

    @functools.cache  # noqa: B019 - one explorer a kernel
    def training_images(self, N: int, half: str) -> np.ndarray:
        """What model A or B of that N was trained on, uint8 (N, 1, H, W)."""
        return self.images[getattr(self.split(N), half)]

    @functools.cache  # noqa: B019
    def pair(self, family: str, N: int) -> dict[str, dict[str, nn.Module]]:
        """The networks of models A and B in evaluation mode.

        Raises:
            GalgenError: If one was not trained, with the commands that train them.
        """
        experiment, elsewhere = self.experiments[family], []
        trainings = experiment.models.pair(N)
        if missing := [training.name for training in trainings if not experiment.trained(training)]:
            if self.store.root != Store().root:
                elsewhere = ["--store", str(self.store.root)]
            options = shlex.join([*self.parameters.options(), *elsewhere])
            commands = "; ".join(f".venv/bin/galgen train {name} {options}" for name in missing)
            raise GalgenError(f"not trained yet; to be run in the project's folder: {commands}")
        return dict(zip("AB", map(experiment.networks, trainings), strict=True))

    @functools.lru_cache(512)  # noqa: B019
    def draw(self, family: str, N: int, half: str, number: int) -> Tensor:
        """The image (1, 1, H, W) a model makes of one of the latents that all models share."""
        experiment, networks = self.experiments[family], self.pair(family, N)[half]
        seed = experiment.latents(number + 1)[number:]
        return experiment.family.draw(networks, seed, experiment.images.start, chunk=1)

    @functools.cache  # noqa: B019
    def nulls(self, family: str, N: int) -> tuple[np.ndarray, np.ndarray]:
        """5 and 95 % of held-out galaxies' cosines: with another one, with A's nearest training image."""
        held_out = unit(self.validation[:256])
        other = similarity.shuffled_cosine(held_out, held_out, kind="anomaly", mean=self.mean)
        near = self.nearest(held_out, family, N, "A").cosine
        return np.percentile(other, [5, 95]), np.percentile(near, [5, 95])

    def nearest(self, images: Tensor, family: str, N: int, half: str) -> similarity.Neighbors:
        """The training image of model A or B nearest to each of the images."""
        flips = self.experiments[family].family.flips
        return similarity.nearest(
            images, self.training_images(N, half), kind="anomaly", mean=self.mean, flips=flips
        )

    def size(self, family: str, N: int) -> tuple[int, str]:
        """The size of a family that is nearest to N in the logarithm, and what to call the family there."""
        experiment = self.experiments[family]
        n = min(experiment.sizes, key=lambda size: abs(math.log(size / N)))
        return n, f"{experiment.family.label}, N = {spaced(n)}"

    def latent(self, number: int, N: int) -> list[Row]:
        """One latent, through A and B of every family, each beside its nearest training image."""
        rows = []
        for family in self.experiments:
            n, label = self.size(family, N)
            try:
                drawn = {half: self.draw(family, n, half, number) for half in "AB"}
            except GalgenError as error:
                rows.append(Row(label, note=str(error)))
                continue
            stamps = []
            for half, image in drawn.items():
                found = self.nearest(image, family, n, half)
                near = found.first(self.training_images(n, half))
                stamps += [Stamp(image[0, 0].numpy(), f"model {half}")]
                stamps += [Stamp(near[0, 0], f"nearest of {half}'s images: {found.cosine[0, 0]:.2f}")]
            same = similarity.cosine(*drawn.values(), kind="anomaly", mean=self.mean)[0]
            (low, high), (near_low, near_high) = self.nulls(family, n)
            note = (
                f"A and B agree by {same:.2f} (two other galaxies: {low:.2f} to {high:.2f}; "
                f"a held-out one and its nearest: {near_low:.2f} to {near_high:.2f})"
            )
            rows.append(Row(label, tuple(stamps), note))
        return rows

    def denoise(self, family: str, N: int, which: str, number: int, sigma: float) -> list[Row]:
        """An image, with noise, denoised by models A and B, and what is wrong in it then.

        Args:
            family: `diffusion`, or `conditional`, which is told the noise level.
            N: Training images of the two models, or nearly: the family's nearest size is taken.
            which: Set the image is from: `A` or `B`, which that model was trained on, or `validation`.
            number: Its place in that set; past the end it begins again.
            sigma: Noise level, in units of the dynamic range.
        """
        N, label = self.size(family, N)
        rows = getattr(self.split(N), which)
        image = self.images[rows[number % len(rows)]]
        seen = {half: "which saw it" if half == which else "which did not see it" for half in "AB"}
        denoiser = self.experiments[family].family.denoiser
        models = {half: denoiser(networks) for half, networks in self.pair(family, N).items()}
        panel = denoising.denoise_panel(models, image, [sigma], seed=number)
        clean, noisy = panel.clean[0], panel.noisy[0, 0]
        stamps = Stamp(clean, "clean"), Stamp(noisy, f"with noise: {panel.noisy_psnr[0]:.1f} dB")
        answer = [Row("the image", stamps)]
        for half, estimate in panel.denoised.items():
            denoised = estimate[0, 0]
            stamps = (
                Stamp(denoised, f"denoised: {panel.denoised_psnr[half][0]:.1f} dB"),
                Stamp(0.5 + 2.5 * (denoised - clean), "error, -0.2 to 0.2"),
                Stamp(0.5 + (noisy - denoised) / (6 * sigma), "noise taken out, -3 to 3 sigma"),
            )
            answer.append(Row(f"{label}, model {half}, {seen[half]}", stamps))
        return answer

    @torch.inference_mode()
    def mix(
        self,
        N: int,
        source: str,
        first: int,
        second: int,
        weights: Sequence[float],
        temperatures: Sequence[float],
    ) -> list[Row]:
        """Glow's latents of two galaxies z1 and z2, mixed level by level and decoded.

            z = T ((1 - w) z1 + w z2) / sqrt((1 - w)^2 + w^2),

        so that at T = 1 a mixture of two draws is as likely as a draw; w below 0 or above 1 exaggerates.

        Args:
            N: Training images of the two flows.
            source: `held-out images`, which each flow encodes, or `latents`, the same for both.
            first: Which image or latent is z1.
            second: And z2.
            weights: w of each level, the finest first.
            temperatures: T of each level.
        """
        answer, seed = [], self.experiments["glow"].latents().start
        held_out = self.validation[np.array([first, second]) % len(self.validation)]
        images = unit(held_out)
        for half, networks in self.pair("glow", N).items():
            flow = networks["net"]
            if source == "latents":
                both = glow.latents(flow, [seed + first, seed + second])
            else:
                both = flow.encode(flow.dequantize(images, torch.Generator().manual_seed(0)))[0]
            mixed = [
                t * ((1 - w) * z[:1] + w * z[1:]) / math.hypot(1 - w, w)
                for z, w, t in zip(both, weights, temperatures, strict=True)
            ]
            shown = flow.image(flow.decode([torch.cat([z, m]) for z, m in zip(both, mixed, strict=True)]))
            captions = ("first", "second", "mixture")
            stamps = tuple(Stamp(x[0].numpy(), text) for x, text in zip(shown, captions, strict=True))
            answer.append(Row(f"model {half}, N = {spaced(N)}", stamps))
        return answer
