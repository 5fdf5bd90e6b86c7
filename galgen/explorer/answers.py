"""The explorer: what the trained models answer, live, to a latent, a noise level, a mixture, a point.

`Explorer` turns settings into rows of stamps and knows no widget; `galgen.explorer.controls` puts controls
before it. Networks, splits and nulls stay in memory, and a model draws one image a call, not a batch: at the
profile laptop the first answer of Glow or of the GAN takes about a second of one core, each further one less
than a tenth. The last bits of a sample are therefore not the book's (`galgen.models.sampling`). In the place
of a model that was not trained stands the command for it.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn

from galgen.compare import denoising, morphology
from galgen.config import Parameters
from galgen.data import similarity
from galgen.experiment import Training, every_family
from galgen.figures.style import COLOURS, pixels, spaced
from galgen.models import glow_learner as glow
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store

__all__ = ["PLANE", "Explorer", "Missing", "Plane", "Row", "Stamp"]

PLANE = {"M20": (-2.1, -0.6), "Gini": (0.3, 0.65)}  # the sides of the plane, left to right and bottom to top
FRAME = (0.12, 0.14, 0.84, 0.83)  # of the axes in the picture of the plane: left, bottom, width, height


class Missing(GalgenError):
    """Models that are not in the store; the message is the commands that train them, one a line."""


@dataclass(frozen=True)
class Stamp:
    """A galaxy and what to say under it: floats with white at 1, or uint8, (H, W)."""

    image: np.ndarray
    caption: str


@dataclass(frozen=True)
class Row:
    """Stamps that belong together; a row without has the reason in its note."""

    label: str
    stamps: tuple[Stamp, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Plane:
    """The Gini-M20 plane at one N.

    Attributes:
        picture: uint8 (H, W, 3), with the axes at `FRAME`.
        sets: For each set its images (n, 1, H, W), and M20 and Gini of each, (n, 2), NaN where not valid.
        missing: What to say of the sets that are not there.
    """

    picture: np.ndarray
    sets: dict[str, tuple[np.ndarray, np.ndarray]]
    missing: tuple[Row, ...]


class Explorer:
    """The models of one set of parameters, as the explorer asks them.

    Args:
        parameters: Those of the notebook.
        store: Where the models are; by default the store of the project.
    """

    def __init__(self, parameters: Parameters, store: Store | None = None):
        self.parameters = parameters
        self.experiments = every_family(parameters, store)
        self.sizes = sorted({N for e in self.experiments.values() for N in e.sizes})
        some = self.experiments["unet"]
        self.profile, self.store = some.profile, some.store
        self.images = some.dataset.images
        self.mean = similarity.mean_image(self.images)
        self.start = torch.from_numpy(
            similarity.mean_image(self.images[self.split(self.sizes[-1]).validation])
        )
        self.planes: dict[int, Plane] = {}

    # The methods below keep their answers, but not their exceptions: a model may have been trained since.

    @functools.cache  # noqa: B019 - one explorer a kernel
    def split(self, N: int):
        """Row numbers of A, B and validation."""
        return self.experiments["unet"].split(N)

    @functools.cache  # noqa: B019
    def training_images(self, N: int, half: str) -> np.ndarray:
        """What model A or B of that N was trained on, uint8 (N, 1, H, W)."""
        return self.images[getattr(self.split(N), half)]

    @functools.cache  # noqa: B019
    def networks(self, training: Training) -> dict[str, nn.Module]:
        """The networks of a model, in evaluation mode; raises Missing if it was not trained."""
        experiment = self.experiments[training.family]
        if not experiment.trained(training):
            given = self.parameters
            command = f".venv/bin/galgen train {training.name} --profile {given.profile} --data {given.data}"
            command += f" --seed {given.seed}"
            if given.N is not None:
                command += f" --N {' '.join(map(str, experiment.sizes))}"
            if self.store.root != Store().root:
                command += f" --store {self.store.root}"
            raise Missing(command)
        return experiment.networks(training)

    def nearest_size(self, family: str, N: int) -> int:
        """The size of a family's ladder that is nearest to N in the logarithm."""
        return min(self.experiments[family].sizes, key=lambda n: abs(math.log(n / N)))

    def pair(self, family: str, N: int) -> dict[str, dict[str, nn.Module]]:
        """The networks of models A and B; raises Missing if one was not trained, or both."""
        found, commands = {}, []
        for half, training in zip("AB", self.experiments[family].pair(N), strict=True):
            try:
                found[half] = self.networks(training)
            except Missing as error:
                commands.append(str(error))
        if commands:
            raise Missing("\n".join(commands))
        return found

    @functools.cache  # noqa: B019
    def nulls(self, family: str, N: int) -> dict[str, tuple[float, float]]:
        """What 90 % of held-out galaxies have: with another one, and with the nearest training image of A."""
        held_out = torch.from_numpy(self.images[self.split(N).validation[:256]]).float() / 255
        kind = {"kind": "anomaly", "mean": self.mean}
        other = similarity.shuffled_cosine(held_out, held_out, **kind)
        flips = self.experiments[family].family.flips
        near = similarity.nearest(held_out, self.training_images(N, "A"), flips=flips, **kind).cosine
        return {name: tuple(np.percentile(v, [5, 95])) for name, v in (("other", other), ("nearest", near))}

    @functools.lru_cache(512)  # noqa: B019
    def draw(self, family: str, N: int, half: str, number: int) -> Tensor:
        """The image (1, 1, H, W) a model makes of one of the latents that all models share."""
        experiment, networks = self.experiments[family], self.pair(family, N)[half]
        return experiment.family.draw(networks, experiment.latents(number + 1)[number:], self.start, chunk=1)

    def latent(self, number: int, N: int) -> list[Row]:
        """One latent, through A and B of every family, each beside its nearest training image."""
        rows = []
        for family, experiment in self.experiments.items():
            n = self.nearest_size(family, N)
            label = f"{experiment.family.label}, N = {spaced(n)}"
            try:
                drawn = {half: self.draw(family, n, half, number) for half in "AB"}
            except Missing as error:
                rows.append(Row(label, note=str(error)))
                continue
            stamps = []
            for half, image in drawn.items():
                train = self.training_images(n, half)
                found = similarity.nearest(
                    image, train, kind="anomaly", mean=self.mean, flips=experiment.family.flips
                )
                stamps += [Stamp(image[0, 0].numpy(), f"model {half}")]
                stamps += [
                    Stamp(found.first(train)[0, 0], f"nearest of {half}'s images: {found.cosine[0, 0]:.2f}")
                ]
            same = similarity.cosine(*drawn.values(), kind="anomaly", mean=self.mean)[0]
            (low, high), (near_low, near_high) = self.nulls(family, n).values()
            note = (
                f"A and B agree by {same:.2f} (two other galaxies: {low:.2f} to {high:.2f}; "
                f"a held-out one and its nearest: {near_low:.2f} to {near_high:.2f})"
            )
            rows.append(Row(label, tuple(stamps), note))
        return rows

    def denoise(self, N: int, which: str, number: int, sigma: float) -> list[Row]:
        """An image, with noise, denoised by models A and B, and what is wrong in it then.

        Args:
            N: Training images of the two diffusion models.
            which: Of which images: `A` or `B`, that one of them has seen, or `validation`.
            number: Which of these; counted on from the first at their end.
            sigma: Noise level, in units of the dynamic range.
        """
        rows = getattr(self.split(N), which)
        image, seed = self.images[rows[number % len(rows)]], number
        models = {half: found["net"] for half, found in self.pair("unet", N).items()}
        panel = denoising.denoise_panel(models, image, [sigma], seed=seed)
        noisy = Stamp(panel.noisy[0, 0], f"with noise: {panel.noisy_psnr[0]:.1f} dB")
        answer = [Row("the image", (Stamp(panel.clean[0], "clean"), noisy))]
        for half, estimate in panel.denoised.items():
            seen = "saw" if half == which else "did not see"
            error = Stamp(0.5 + 2.5 * (estimate[0, 0] - panel.clean[0]), "error, -0.2 to 0.2")
            taken = Stamp(
                0.5 + 0.5 / sigma * (panel.noisy[0, 0] - estimate[0, 0]) / 3, "noise taken out, -3 to 3 sigma"
            )
            done = Stamp(estimate[0, 0], f"denoised: {panel.denoised_psnr[half][0]:.1f} dB")
            answer.append(Row(f"model {half}, N = {spaced(N)}, which {seen} it", (done, error, taken)))
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
        experiment, answer = self.experiments["glow"], []
        rows = self.split(N).validation
        for half, found in self.pair("glow", N).items():
            flow = found["net"]
            if source == "latents":
                both = glow.latents(flow, [experiment.latents().start + k for k in (first, second)])
            else:
                images = torch.from_numpy(self.images[rows[[first % len(rows), second % len(rows)]]])
                both = flow.encode(flow.dequantize(images.float() / 255, torch.Generator().manual_seed(0)))[0]
            mixed = [
                t * ((1 - w) * z[:1] + w * z[1:]) / math.hypot(1 - w, w)
                for z, w, t in zip(both, weights, temperatures, strict=True)
            ]
            shown = flow.image(flow.decode([torch.cat([z, m]) for z, m in zip(both, mixed, strict=True)]))
            captions = ("first", "second", "mixture")
            stamps = tuple(Stamp(x[0].numpy(), text) for x, text in zip(shown, captions, strict=True))
            answer.append(Row(f"model {half}, N = {spaced(N)}", stamps))
        return answer

    def measure(self, N: int, progress: Callable[[str], None] = lambda text: None) -> Plane:
        """The plane at N: held-out galaxies and the samples of model A of each family, measured and kept."""
        if N in self.planes and not self.planes[N].missing:
            return self.planes[N]
        validation = self.images[self.split(self.sizes[-1]).validation[: self.profile.samples]]
        sets, missing = {"validation": ("validation", validation)}, []
        for family, experiment in self.experiments.items():
            n = self.nearest_size(family, N)
            label, training = f"{experiment.family.label}, N = {spaced(n)}", experiment.pair(n)[0]
            try:
                self.networks(training)
                sets[experiment.family.label.lower()] = (label, experiment.samples(training).numpy())
            except Missing as error:
                missing.append(Row(label, note=str(error)))
        figure = plt.figure(figsize=(5.2, 4), layout="none")
        axes, found = figure.add_axes(FRAME), {}
        for name, (label, images) in sets.items():
            progress(f"measuring {len(images)} galaxies: {label}")
            table = morphology.stored(self.store, images, progress=False)
            place = np.stack([table["m20"], table["gini"]], axis=1)
            place[np.asarray(table["reason"]) != ""] = np.nan
            found[label] = (images, place)
            axes.plot(*place.T, ".", ms=4, color=COLOURS[name], label=label)
        axes.set(xlabel="M20", ylabel="Gini", xlim=PLANE["M20"], ylim=PLANE["Gini"])
        axes.legend(loc="lower left", fontsize=8, frameon=False)
        plane = Plane(pixels(figure, 130), found, tuple(missing))
        self.planes[N] = plane
        return plane

    def there(self, plane: Plane, m20: float, gini: float, count: int = 5) -> list[Row]:
        """The galaxies of each set nearest to a point of the plane, whose sides count as equally long."""
        scale = np.array([np.ptp(side) for side in PLANE.values()])
        rows = []
        for label, (images, place) in plane.sets.items():
            distance = np.hypot(*((place - [m20, gini]) / scale).T)
            order = np.argsort(distance)[: min(count, np.isfinite(distance).sum())]
            stamps = tuple(Stamp(images[k, 0], f"{place[k, 0]:.2f}, {place[k, 1]:.2f}") for k in order)
            rows.append(Row(label, stamps, "" if stamps else "no galaxy of this set could be measured"))
        return [*rows, *plane.missing]
