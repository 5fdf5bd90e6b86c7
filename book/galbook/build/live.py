"""Live page: export denoisers to files that a page without a server can load.

    models of this run, or the published ones  ->  _extra/live/NAME.js, and their metadata in the page

A page opened from disk can load scripts only. So each model is a script with one string: in base64,
little-endian,

    weights of the convolutions, float16, in the order of their evaluation
    the image at which samplers start, and the mean galaxy, (H, W) each, float32
    gains / root mean squares of all norms, float32; for conditional models, at each noise level
    for conditional models, c_skip, c_out, c_in and u at each level, and the mean training image, float32

`book/_extra/live/engine.js` reads it. The page has the models of the smallest and largest N of each family;
training images are included at 16 × 16 pixels if their license permits (`redistribute` in the data manifest).
Before the first sample, and without JavaScript, a still image shows latent 0 of the first pair.
"""

import base64
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from galbook.build.pages import rendered
from galbook.measure.live_page import live_page
from galgen.data.manifest import load_manifest
from galgen.experiment import Experiment, load_networks
from galgen.figures.style import base64_image
from galgen.figures.words import spaced
from galgen.models.conditional import ConditionalUNet
from galgen.models.families import FAMILIES, Family
from galgen.models.sampling import noise, noise_schedule, seeded
from galgen.models.unet import BiasFreeNormReLU, UNet
from galgen.profiles import Parameters, profile
from galgen.published import ReadOnlyStore, available, listed, published, start_of, weights_of
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.store import Run, verified

DENOISERS = ("diffusion", "conditional")
MOST_WORK = 24 * 32  # base channels times image side; above it a sample takes a minute
MOST_IMAGES = 20_000  # training images per model that are searched for the nearest


@dataclass(frozen=True)
class Model:
    """A trained denoiser and everything its samples depend on.

    Attributes:
        run: Its entry in the store, or in the published set.
        family: Its family, with the settings of its profile.
        N: Number of its training images.
        half: `A` or `B`.
        first: The seed of latent 0.
        start: The image at which samplers start, (1, H, W).
        average: The mean galaxy, subtracted in the anomaly cosine, (1, H, W).
        profile: The name of its profile.
        data: The name of its data set.
        images: Its training images, uint8 (N, 16, 16), if they may be redistributed.
        of_run: Whether it has the data and settings of the run.
    """

    run: Run
    family: Family
    N: int
    half: str
    first: int
    start: Tensor
    average: np.ndarray
    profile: str
    data: str
    images: np.ndarray | None = None
    of_run: bool = False

    def network(self) -> nn.Module:
        """Network in evaluation mode, with convolution weights rounded to half precision, as in the page."""
        net = load_networks(self.family.networks(), checkpoint.load_weights(weights_of(self.run)))["net"]
        for weight in (p for p in net.parameters() if p.ndim == 4):
            weight.data.copy_(weight.half())
        return net

    @property
    def stamp(self) -> str:
        """Label of a published model; empty for others."""
        if "published" not in self.run.record:
            return ""
        if self.of_run:
            return "Published models with the data and settings of this run."
        return f"Published models of other data or settings: data “{self.data}”, profile {self.profile}."

    @property
    def levels(self) -> list[float]:
        """Noise levels of the sampler."""
        return noise_schedule(**self.family.settings.sampler)


def models(parameters: Parameters) -> list[Model]:
    """Models of the page: those of a run, with published models in place of missing ones.

    If the run has no galaxies in the store, or its models are too large, all published models.
    """
    try:
        return list(_of_run(parameters)) or _published()
    except GalgenError:  # no galaxies in the store yet
        return _published()


def _of_run(parameters: Parameters) -> Iterator[Model]:
    for name in DENOISERS:
        experiment = Experiment(parameters, ReadOnlyStore(), family=name)
        if experiment.settings.base_channels * experiment.images.size > MOST_WORK:
            continue
        shared = {"profile": parameters.profile, "data": experiment.images.name, "of_run": True}
        shared["first"] = experiment.latents().start
        source = load_manifest().sources.get(experiment.images.credit)
        free = source is not None and source.redistribute
        for N in dict.fromkeys((experiment.sizes[0], experiment.sizes[-1])):
            pair = experiment.models.pair(N)
            if all(available(experiment, training) for training in pair):
                arrays = live_page(Experiment(parameters, family=name), N).arrays
                shared |= {"start": torch.from_numpy(arrays["start"]), "average": arrays["mean"]}
                for half, training in zip("AB", pair, strict=True):
                    images = arrays[half] if free and N <= MOST_IMAGES else None
                    run = experiment.train(training)
                    yield Model(run, experiment.family, N, half, images=images, **shared)


def _published() -> list[Model]:
    """All published pairs; as mean galaxy, the mean image of galaxies that no model was trained on.

    A and B are from one run; of two runs with the same N, the first is used.
    """
    halves: dict[tuple, dict[str, Model]] = {}
    for run in listed(published()):
        if run.record["kind"] not in DENOISERS or not _whole(run):
            continue
        info, N = run.summary, run.record["params"]["N"]
        family, half = FAMILIES[run.record["kind"]](profile(info["profile"])), info["name"].split("-")[2][0]
        if family.settings.base_channels * profile(info["profile"]).image_size <= MOST_WORK:
            start = start_of(run)
            shared = {"first": info["first"], "start": start, "average": start.numpy()}
            shared |= {"profile": info["profile"], "data": info["data"]}
            key = DENOISERS.index(family.name), N, shared["profile"], shared["data"], shared["first"]
            halves.setdefault(key, {})[half] = Model(run, family, N, half, **shared)
    pairs = {key[:2]: halves[key] for key in sorted(halves, reverse=True) if len(halves[key]) == 2}
    return [pairs[key][half] for key in sorted(pairs) for half in "AB"]


def _whole(run: Run) -> bool:
    """Whether the files of a published model match their checksums; if not, print its name."""
    try:
        return bool(verified(run.path))
    except GalgenError as error:
        print(f"galgen: {error}; it is left out of the live page", file=sys.stderr)
        return False


def packed(model: Model) -> bytes:
    """Contents of the file of a model, in the format described at the top of this module."""
    net, levels = model.network(), torch.tensor(model.levels)
    conditional = isinstance(net, ConditionalUNet)
    modules = list(_in_order(net.body if conditional else net))
    halves = [m.weight.detach().half() for m in modules if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    norms = [m for m in modules if isinstance(m, BiasFreeNormReLU)]
    floats = [model.start, torch.from_numpy(model.average)]
    u = levels.log() / 4
    for condition in torch.stack([u, u.square()], 1) if conditional else [None]:
        floats += [_gains(norm, condition) for norm in norms]
    if conditional:
        floats += [torch.stack([*map(torch.ravel, net.scales(levels)), u], 1), net.mean]
    arrays = [t.contiguous().numpy().astype("<f2") for t in halves]
    arrays += [t.detach().contiguous().numpy().astype("<f4") for t in floats]
    return b"".join(array.tobytes() for array in arrays)


def _in_order(net: UNet) -> Iterator[nn.Module]:
    """Layers of a U-Net in the order of their evaluation."""
    for block in net.down:
        yield from block
    for up, merge in zip(net.up, net.merge, strict=True):
        yield from (up, *merge)


@torch.no_grad()
def _gains(norm: BiasFreeNormReLU, condition: Tensor | None) -> Tensor:
    """Factor of each channel of a norm in evaluation mode, (C,)."""
    gain = norm.gain if condition is None else norm.gain + condition @ norm.gain_slopes
    return gain * (norm.mean_square + norm.epsilon).rsqrt()


def write(work: Path, parameters: Parameters) -> None:
    """Write models, galaxies and the HTML of the live page into the sources of a book.

    Args:
        work: Folder of the sources; models go into `_extra/live/`, the HTML into `_generated/live.md`.
        parameters: Parameters of the run.
    """
    folder = work / "_extra" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    listed = models(parameters)
    entries = [_write_model(model, folder) for model in listed]
    part = rendered("live.html.j2", models=entries, still=_still(listed))
    (work / "_generated" / "live.md").write_text(f"```{{raw}} html\n{part}\n```\n")


def _still(listed: list[Model]) -> dict:
    """Still image: N, latent 0 and its samples (PNG, base64) of the first family's pair of the largest N."""
    pair = [m for m in listed if m.family.name == listed[0].family.name][-2:]
    if not pair:
        return {}
    images = {m.half: m.family.draw({"net": m.network()}, [m.first], m.start, chunk=1) for m in pair}
    images["noise"] = 0.5 + noise(seeded([pair[0].first]), pair[0].start.shape) / 5
    return {
        "N": spaced(pair[0].N),
        "images": {name: base64_image(x[0, 0].numpy()) for name, x in images.items()},
    }


def _write_model(model: Model, folder: Path) -> dict:
    """Write the files of a model; returns its metadata for the page."""
    record, family, settings = model.run.record, model.family, model.family.settings
    info = _file(folder, record["summary"]["name"], packed(model))
    info |= {"family": family.name, "label": family.label, "N": model.N, "half": model.half}
    info |= {"base_channels": settings.base_channels, "blocks": settings.blocks}
    info |= {"inputs": 3 if family.name == "conditional" else 1, "levels": model.levels, "first": model.first}
    info |= {"stamp": model.stamp, "commit": record["commit"], "side": model.start.shape[-1]}
    info |= {"made": record["created"][:10], "profile": model.profile, "data": model.data}
    if model.images is not None:
        info["images"] = _file(folder, f"images-{model.half}-{model.N}", model.images.tobytes())
    return info


def _file(folder: Path, name: str, content: bytes) -> dict:
    """Write a script that embeds the content in base64; return its name, SHA-256 and size."""
    text = base64.b64encode(content).decode()
    (folder / f"{name}.js").write_text(f'LIVE["{name}"] = "{text}";\n')
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(text)}
