"""Results of the trained models for a chosen latent, noise level or mixture of latents.

`Explorer` converts settings into rows of images; `galbook.explorer.controls` adds the widgets. Networks,
training images and null distributions stay in memory, and a model generates one image per call: with profile
laptop, the first result of Glow or the GAN takes about a second of one core, further ones less than a tenth.
With this batch size, the last bits of a sample can differ from those in the book (`galgen.models.sampling`).
For a model that was not trained, the result is the command that trains it.
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
from galgen.published import StoreWithPublished
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store

__all__ = ["Explorer", "Row", "Stamp"]


@dataclass(frozen=True)
class Stamp:
    """Image (H, W) with a caption; float with white at 1, or uint8."""

    image: np.ndarray
    caption: str


@dataclass(frozen=True)
class Row:
    """Labeled row of stamps, with a note."""

    label: str
    stamps: tuple[Stamp, ...] = ()
    note: str = ""


class Explorer:
    """The models of one set of parameters.

    Args:
        parameters: Parameters of the notebook.
        store: Store of the models; by default that of the project, completed by the published models.
    """

    def __init__(self, parameters: Parameters, store: Store | None = None):
        self.parameters = parameters
        self.experiments = every_family(parameters, store or StoreWithPublished())
        self.sizes = sorted({N for e in self.experiments.values() for N in e.sizes})
        some = self.experiments["diffusion"]
        self.profile, self.store = some.profile, some.store
        self.images, self.split = some.images.dataset.images, some.images.split
        self.mean = some.images.mean
        self.validation = self.images[some.images.split(self.sizes[-1]).validation]

    # Cached methods cache results but not exceptions, since a missing model may be trained later.

    @functools.cache  # noqa: B019 - one explorer per kernel
    def training_images(self, N: int, half: str) -> np.ndarray:
        """Training images of model A or B at that N, uint8 (N, 1, H, W)."""
        return self.images[getattr(self.split(N), half)]

    @functools.cache  # noqa: B019
    def pair(self, family: str, N: int) -> dict[str, dict[str, nn.Module]]:
        """Load the networks of models A and B in evaluation mode.

        Raises:
            GalgenError: If a model was not trained, with the command that trains it.
        """
        experiment, options = self.experiments[family], []
        trainings = experiment.models.pair(N)
        if missing := [training.name for training in trainings if not experiment.trained(training)]:
            if self.store.root != Store().root:
                options = ["--store", str(self.store.root)]
            options = shlex.join([*self.parameters.options(), *options])
            commands = "; ".join(f".venv/bin/galgen train {name} {options}" for name in missing)
            raise GalgenError(f"not trained yet; in the project's folder, run: {commands}")
        return dict(zip("AB", map(experiment.networks, trainings), strict=True))

    @functools.lru_cache(512)  # noqa: B019
    def draw(self, family: str, N: int, half: str, number: int) -> Tensor:
        """Sample (1, 1, H, W) of a model from one of the latents that all models share."""
        experiment, networks = self.experiments[family], self.pair(family, N)[half]
        seed = experiment.latents(number + 1)[number:]
        return experiment.family.draw(networks, seed, experiment.images.start, chunk=1)

    @functools.cache  # noqa: B019
    def nulls(self, family: str, N: int) -> tuple[np.ndarray, np.ndarray]:
        """5 and 95 % quantiles of cosines of held-out galaxies with each other and with A's nearest image."""
        held_out = unit(self.validation[:256])
        other = similarity.shuffled_cosine(held_out, held_out, kind="anomaly", mean=self.mean)
        near = self.nearest(held_out, family, N, "A").cosine
        return np.percentile(other, [5, 95]), np.percentile(near, [5, 95])

    def nearest(self, images: Tensor, family: str, N: int, half: str) -> similarity.Neighbors:
        """Nearest training images of model A or B for each image."""
        flips = self.experiments[family].family.flips
        return similarity.nearest(
            images, self.training_images(N, half), kind="anomaly", mean=self.mean, flips=flips
        )

    def size(self, family: str, N: int) -> tuple[int, str]:
        """Size of a family nearest to N in log N, and the label of the family at that size."""
        experiment = self.experiments[family]
        n = min(experiment.sizes, key=lambda size: abs(math.log(size / N)))
        return n, f"{experiment.family.label}, N = {spaced(n)}"

    def latent(self, number: int, N: int) -> list[Row]:
        """Samples of models A and B of every family from one latent, with their nearest training images."""
        rows = []
        for family in self.experiments:
            n, label = self.size(family, N)
            try:
                samples = {half: self.draw(family, n, half, number) for half in "AB"}
            except GalgenError as error:
                rows.append(Row(label, note=str(error)))
                continue
            stamps = []
            for half, image in samples.items():
                neighbors = self.nearest(image, family, n, half)
                near = neighbors.first(self.training_images(n, half))
                stamps += [Stamp(image[0, 0].numpy(), f"model {half}")]
                stamps += [Stamp(near[0, 0], f"nearest of {half}'s images: {neighbors.cosine[0, 0]:.2f}")]
            same = similarity.cosine(*samples.values(), kind="anomaly", mean=self.mean)[0]
            (low, high), (near_low, near_high) = self.nulls(family, n)
            note = (
                f"agreement of A and B: {same:.2f} (two held-out galaxies: {low:.2f} to {high:.2f}; "
                f"a held-out galaxy and its nearest: {near_low:.2f} to {near_high:.2f})"
            )
            rows.append(Row(label, tuple(stamps), note))
        return rows

    def denoise(self, family: str, which: str, number: int, sigma: float, N: int) -> list[Row]:
        """Image with added noise, denoised by models A and B, with the errors.

        Args:
            family: `diffusion`, or `conditional`, which is given the noise level.
            which: Set of the image: training set `A` or `B`, or `validation`.
            number: Index in that set, modulo its size.
            sigma: Noise level, in units of the dynamic range.
            N: Number of training images; the nearest size of the family is used.
        """
        N, label = self.size(family, N)
        rows = getattr(self.split(N), which)
        image = self.images[rows[number % len(rows)]]
        seen = {half: "trained on it" if half == which else "not trained on it" for half in "AB"}
        denoiser = self.experiments[family].family.denoiser
        models = {half: denoiser(networks) for half, networks in self.pair(family, N).items()}
        panel = denoising.denoise_panel(models, image, [sigma], seed=number)
        clean, noisy = panel.clean[0], panel.noisy[0, 0]
        stamps = Stamp(clean, "clean"), Stamp(noisy, f"noisy: {panel.noisy_psnr[0]:.1f} dB")
        answer = [Row("the image", stamps)]
        for half, estimate in panel.denoised.items():
            denoised = estimate[0, 0]
            stamps = (
                Stamp(denoised, f"denoised: {panel.denoised_psnr[half][0]:.1f} dB"),
                Stamp(0.5 + 2.5 * (denoised - clean), "error, -0.2 to 0.2"),
                Stamp(0.5 + (noisy - denoised) / (6 * sigma), "removed noise, -3 to 3 sigma"),
            )
            answer.append(Row(f"{label}, model {half}, {seen[half]}", stamps))
        return answer

    @torch.inference_mode()
    def mix(
        self, N: int, source: str, first: int, second: int, weights: Sequence, temperatures: Sequence
    ) -> list[Row]:
        """Mixture of Glow's latents z1 and z2 of two galaxies, per level, decoded.

            z = T ((1 - w) z1 + w z2) / sqrt((1 - w)^2 + w^2),

        so that at T = 1 a mixture of two draws is as likely as a draw; w below 0 or above 1 exaggerates.

        Args:
            N: Number of training images of the two flows.
            source: `held-out images`, which each flow encodes, or `latents`, shared by both flows.
            first: Index of the image or latent z1.
            second: Index of z2.
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
            decoded = flow.image(flow.decode([torch.cat([z, m]) for z, m in zip(both, mixed, strict=True)]))
            captions = ("first", "second", "mixture")
            stamps = tuple(Stamp(x[0].numpy(), text) for x, text in zip(decoded, captions, strict=True))
            answer.append(Row(f"model {half}, N = {spaced(N)}", stamps))
        return answer
