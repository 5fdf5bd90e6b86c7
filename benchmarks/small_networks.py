"""The small networks of `beyond.py`: noise-conditional denoisers of 16 pixels, trained here once and stored.

All are shown as many images, whatever their N and width, so that a threshold in N is one of passes, too.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from galgen.compare import jacobian, maps, seeds
from galgen.compare.gaussian import Empirical, fit_gaussian
from galgen.data import similarity
from galgen.experiment import Experiment, loaded
from galgen.models.conditional import ConditionalDiffusion
from galgen.models.sampling import noise, seeded
from galgen.runs import checkpoint, schedules
from galgen.runs import training as loop
from galgen.runs.stream import Stream
from galgen.settings import ConditionalSettings

SIDE = 16
SIGMAS = (0.05, 0.2, 0.8)  # of the eigenvectors
KEPT = 16  # eigenvectors of a subspace


@dataclass(frozen=True)
class Sizes:
    """How large all is.

    Attributes:
        N: Training images of each model.
        widths: Channels at full resolution.
        shown: Images shown to each.
        cell: N and width of the cell that is trained anew.
        latents: Shared by all.
        galaxies: At which Jacobians are asked for.
    """

    N: tuple[int, ...] = (10, 100, 1000)
    widths: tuple[int, ...] = (4, 8, 16)
    shown: int = 4800
    cell: tuple[int, int] = (1000, 4)
    latents: int = 128
    galaxies: int = 4


SMOKE = Sizes((8, 24), (2, 4), 64, (8, 4), 16, 2)


class Small:
    """The small networks of one data set.

    Args:
        onset: The experiment whose images have 16 pixels; its store is used.
        sizes: How large all is.
    """

    def __init__(self, onset: Experiment, sizes: Sizes):
        self.store, self.profile, self.sizes = onset.store, onset.profile, sizes
        self.seed = onset.parameters.seed
        self.images, self.other = onset.dataset.images, onset.foreign_dataset("galaxies").images
        self.rows, self.mean = onset.dataset.distinct, onset.mean_image
        self.galaxies = fit_gaussian(self.images)
        self.width = sizes.widths[1]  # where one is enough

    def family(self, width: int) -> ConditionalDiffusion:
        """The noise-conditional denoiser of 16 pixels and so many channels."""
        given = ConditionalSettings(kernels=width, sampler_steps=20)
        return ConditionalDiffusion(
            self.profile.model_copy(update={"image_size": SIDE, "conditional": given})
        )

    def halves(self, N: int, turn: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The images of A and B of that split of the galaxies, uint8 (N, 1, 16, 16) each."""
        rows = np.random.default_rng([self.seed, turn]).permutation(self.rows)[: 2 * N]
        return self.images[rows[:N]], self.images[rows[N:]]

    def net(self, images: np.ndarray, width: int, seed: int) -> dict:
        """Networks trained on the images; the seed is of initialisation, order and noise."""
        family = self.family(width)
        settings = family.settings

        def networks() -> dict:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return family.networks()

        def make(work: Path) -> dict:
            learner = family.learner(networks(), images, images, settings)
            batch = settings.batch_size
            stream = Stream(len(images), self.sizes.shown, batch, seed, seed, schedules.cosine)
            return loop.resume(learner, images, work, stream, progress=False)

        params = settings.recipe() | {"shown": self.sizes.shown, "seed": seed}
        data = hashlib.sha256(images.tobytes()).hexdigest()
        code = (family.networks, family.learner, Stream, schedules.cosine)
        run = self.store.run("small", params, make, data=data, code=code)
        return loaded(
            networks(), checkpoint.load(run.path / f"weights-{run.summary['images_shown']}.safetensors")
        )

    def drawn(self, denoise, width: int = 8) -> Tensor:
        """What a denoiser makes of the latents that all share."""
        start = torch.from_numpy(self.mean)
        return self.family(width).flow(denoise, range(self.sizes.latents), start, chunk=64).images

    def maps(self) -> dict:
        """Distances of maps over N and width; and how much of an agreement a network of Gaussians has."""
        found, foreign = (
            [],
            {
                w: self.drawn(self.net(self.other[: self.sizes.N[-1]], w, 900)["net"], w)
                for w in self.sizes.widths
            },
        )
        for N in self.sizes.N:
            A, B = self.halves(N)
            known = {"A-Gaussian": fit_gaussian(A), "A-empirical": Empirical(A)}
            known = {name: self.drawn(denoise) for name, denoise in known.items()}
            lines = self.drawn(fit_gaussian(B)), self.drawn(Empirical(B))
            pairs = {("Gaussians", None): (known["A-Gaussian"], lines[0])}
            pairs[("empirical denoisers", None)] = known["A-empirical"], lines[1]
            for width in self.sizes.widths:
                a, b = (self.drawn(self.net(part, width, k)["net"], width) for k, part in enumerate((A, B)))
                pairs[("A-B", width)] = a, b
                pairs |= {(name, width): (a, other) for name, other in known.items()}
                pairs[("A-other galaxies", width)] = a, foreign[width]
            for (name, width), two in pairs.items():
                for scale, d in maps.map_distance(*two, self.galaxies).items():
                    record = {"N": N, "width": width, "pair": name, "scale": scale}
                    found.append(record | {"value": vars(d.value), "null": d.null})
        weights = {
            str(w): sum(p.numel() for p in self.family(w).networks()["net"].parameters())
            for w in self.sizes.widths
        }
        return {"distances": found, "weights": weights, "pixels": SIDE**2, "shown": self.sizes.shown,
                "latents": self.sizes.latents, "content": self.content()}  # fmt: skip

    def content(self) -> list[dict]:
        """A network trained on draws of the Gaussian of A's images beside A and B, at two N."""
        found, width = [], self.width
        for N in self.sizes.N[-2:]:
            A, B = self.halves(N)
            g = fit_gaussian(A)
            fake = (g.draw(range(4_000_000, 4_000_000 + max(N, 16))).clamp(0, 1) * 255).round().byte().numpy()
            trained = self.drawn(self.net(fake, width, 2)["net"], width)
            a, b = (self.drawn(self.net(part, width, k)["net"], width) for k, part in enumerate((A, B)))
            exact = self.drawn(g)
            shares = maps.network_share(a, b, exact, trained, self.galaxies)
            for scale, share in shares.items():
                two = {"A-B": (a, b), "A-network of Gaussian": (a, trained), "A-Gaussian": (a, exact),
                       "network of Gaussian-Gaussian": (trained, exact)}  # fmt: skip
                record = {"N": N, "scale": scale, "share": share and vars(share)}
                for name, pair in two.items():
                    record[name] = vars(maps.map_distance(*pair, self.galaxies)[scale].value)
                found.append(record)
        return found

    def seeds(self) -> dict:
        """Agreement at one cell, for three splits times three trainings."""
        N, width = self.sizes.cell
        table = []
        for turn in range(3):
            halves = self.halves(N, turn)
            for k in range(3):
                first = 100 * turn + 10 * k if turn or k else 0  # the first is the pair of `maps`
                a, b = (
                    self.drawn(self.net(part, width, first + i)["net"], width)
                    for i, part in enumerate(halves)
                )
                table.append(similarity.cosine(a, b, kind="anomaly", mean=self.mean))
        table = np.array(table).reshape(3, 3, -1)
        found = {name: vars(value) for name, value in seeds.components(table).items()}
        return {"N": N, "width": width, "components": found, "means": table.mean(2).tolist()}

    def overlaps(self) -> list[dict]:
        """Of the small networks, at held-out galaxies with noise: means over these, and each value."""
        some = self.images[np.random.default_rng(1).permutation(self.rows)[-self.sizes.galaxies :]]
        x, found, width = torch.from_numpy(some).float() / 255, [], self.width
        foreign = self.net(self.other[: self.sizes.N[-1]], width, 900)["net"]
        for N in self.sizes.N:
            A, B = self.halves(N)
            a, b = self.net(A, width, 0)["net"], self.net(B, width, 1)["net"]
            against = {"B": b, "other galaxies": foreign, "Gaussian": fit_gaussian(B)}
            for sigma in SIGMAS:
                y = x + sigma * noise(seeded(range(len(x))), x.shape[1:])
                own = [jacobian.full(a, each, sigma) for each in y]
                for name, denoise in against.items():
                    theirs = [jacobian.full(denoise, each, sigma) for each in y]
                    pairs = list(zip(own, theirs, strict=True))
                    apart = list(zip(own, theirs[1:] + theirs[:1], strict=True))
                    shared, null = (
                        [jacobian.overlap(u.vectors[:KEPT], v.vectors[:KEPT]) for u, v in each]
                        for each in (pairs, apart)
                    )
                    record = {"N": N, "sigma": sigma, "with": name, "overlap": shared, "null": null}
                    record |= {"rank": [s.rank for s in theirs], "own rank": [s.rank for s in own]}
                    found.append(record | {"asymmetry": [s.asymmetry for s in own]})
        return found
