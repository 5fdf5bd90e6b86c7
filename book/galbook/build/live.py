"""The live page: the denoisers of a run, in files that a page without a server can load.

    models of this run, or those published  ->  _extra/live/NAME.js, and what the page is told of them

A page that is opened from disk may load scripts and nothing else. So each model is a script that hands over
one text: in base64, little-endian,

    weights of the convolutions, in halves, in the order in which they are asked
    the image where walks begin, and the mean galaxy, (H, W) each, float32
    gains / root mean squares of all norms, float32; of a model told the noise, for each level of its ladder
    of such a model c_skip, c_out, c_in and u for each level, and the mean of its training images, float32

`book/_extra/live/engine.js` reads it. Of each family there are the models of the smallest and the largest N;
training images go along at 16 pixels, of data that may be passed on (`redistribute` in the data manifest).
Until a reader has them draw, and where scripts are off, a still shows latent 0 of the first pair.
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

from galbook.measure.live_page import live_page
from galbook.build.pages import rendered
from galgen.data.manifest import load_manifest
from galgen.experiment import Experiment, load_networks
from galgen.figures.style import base64_image
from galgen.figures.words import spaced
from galgen.models.conditional import ConditionalUNet
from galgen.models.families import FAMILIES, Family
from galgen.models.sampling import noise_schedule, noise, seeded
from galgen.models.unet import BiasFreeNormReLU, UNet
from galgen.profiles import Parameters, profile
from galgen.published import ReadOnlyStore, available, listed, published, start_of, weights_of
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.store import Run, verified

DENOISERS = ("diffusion", "conditional")
MOST_WORK = 24 * 32  # kernels times pixels a side, those of `night`: beyond, an image takes a minute
MOST_IMAGES = 20_000  # training images of a model that are looked through


@dataclass(frozen=True)
class Model:
    """A trained denoiser and all that its samples depend on.

    Attributes:
        run: Its entry in the store, or in the published set.
        family: Its family, with the settings of its profile.
        N: Number of its training images.
        half: `A` or `B`.
        first: The seed of latent 0.
        start: The image where walks begin, (1, H, W).
        average: The mean galaxy, which the anomaly cosine takes out, (1, H, W).
        profile: The name of its profile.
        data: And of its data set.
        images: Its training images, uint8 (N, 16, 16), if they may be passed on.
        of_run: Whether it is a model of the run, or stands for one.
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
        """Its network in evaluation mode, the weights of convolutions in half precision, as in the page."""
        net = load_networks(self.family.networks(), checkpoint.load_weights(weights_of(self.run)))["net"]
        for weight in (p for p in net.parameters() if p.ndim == 4):
            weight.data.copy_(weight.half())
        return net

    @property
    def stamp(self) -> str:
        """What stands above it, if it is published."""
        if "published" not in self.run.record:
            return ""
        if self.of_run:
            return "Published models with the data and settings of this run."
        return f"Published models of other data or settings: data “{self.data}”, profile {self.profile}."

    @property
    def levels(self) -> list[float]:
        """The noise levels of its sampler."""
        return noise_schedule(**self.family.settings.sampler)


def models(parameters: Parameters) -> list[Model]:
    """The models that the page can run: those of a run, each published one standing in for one it lacks.

    Where there are none of these galaxies, or too large ones, all that are published.
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
                beside = live_page(Experiment(parameters, family=name), N).arrays
                shared |= {"start": torch.from_numpy(beside["start"]), "average": beside["mean"]}
                for half, training in zip("AB", pair, strict=True):
                    images = beside[half] if free and N <= MOST_IMAGES else None
                    run = experiment.train(training)
                    yield Model(run, experiment.family, N, half, images=images, **shared)


def _published() -> list[Model]:
    """All published pairs, without their galaxies: for the mean stands that of those no model has seen.

    A and B are of one run; of two runs with one N the first one's pair is shown.
    """
    found: dict[tuple, dict[str, Model]] = {}
    for run in listed(published()):
        if run.record["kind"] not in DENOISERS or not _whole(run):
            continue
        told, N = run.summary, run.record["params"]["N"]
        family, half = FAMILIES[run.record["kind"]](profile(told["profile"])), told["name"].split("-")[2][0]
        if family.settings.base_channels * profile(told["profile"]).image_size <= MOST_WORK:
            start = start_of(run)
            shared = {"first": told["first"], "start": start, "average": start.numpy()}
            shared |= {"profile": told["profile"], "data": told["data"]}
            of = DENOISERS.index(family.name), N, shared["profile"], shared["data"], shared["first"]
            found.setdefault(of, {})[half] = Model(run, family, N, half, **shared)
    pairs = {of[:2]: found[of] for of in sorted(found, reverse=True) if len(found[of]) == 2}
    return [pairs[of][half] for of in sorted(pairs) for half in "AB"]


def _whole(run: Run) -> bool:
    """Whether a model is what was published; one that is not is named."""
    try:
        return bool(verified(run.path))
    except GalgenError as error:
        print(f"galgen: {error}; it is not in the live page", file=sys.stderr)
        return False


def packed(model: Model) -> bytes:
    """The bytes of a model's file, as the head of this module says."""
    net, levels = model.network(), torch.tensor(model.levels)
    told, body = isinstance(net, ConditionalUNet), net.body if isinstance(net, ConditionalUNet) else net
    modules = list(_as_asked(body))
    halves = [m.weight.detach().half() for m in modules if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    norms = [m for m in modules if isinstance(m, BiasFreeNormReLU)]
    floats = [model.start, torch.from_numpy(model.average)]
    u = levels.log() / 4
    for condition in torch.stack([u, u.square()], 1) if told else [None]:
        floats += [_gains(norm, condition) for norm in norms]
    if told:
        floats += [torch.stack([*map(torch.ravel, net.scales(levels)), u], 1), net.mean]
    arrays = [t.contiguous().numpy().astype("<f2") for t in halves]
    arrays += [t.detach().contiguous().numpy().astype("<f4") for t in floats]
    return b"".join(array.tobytes() for array in arrays)


def _as_asked(net: UNet) -> Iterator[nn.Module]:
    """The layers of a U-Net in the order in which an image meets them."""
    for block in net.down:
        yield from block
    for up, merge in zip(net.up, net.merge, strict=True):
        yield from (up, *merge)


@torch.no_grad()
def _gains(norm: BiasFreeNormReLU, condition: Tensor | None) -> Tensor:
    """What a norm multiplies each channel by in evaluation, (C,)."""
    gain = norm.gain if condition is None else norm.gain + condition @ norm.gain_slopes
    return gain * (norm.mean_square + norm.epsilon).rsqrt()


def write(work: Path, parameters: Parameters) -> None:
    """Write models and galaxies into the sources of a book, and the page's part that knows them.

    Args:
        work: The sources: files go into `_extra/live/`, the part is `_generated/live.md`.
        parameters: Those of the run.
    """
    folder = work / "_extra" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    found = models(parameters)
    told = [_told(model, folder) for model in found]
    part = rendered("live.html.j2", models=told, still=_still(found))
    (work / "_generated" / "live.md").write_text(f"```{{raw}} html\n{part}\n```\n")


def _still(found: list[Model]) -> dict:
    """Latent 0 of the first family's pair of the largest N: that N, noise and images (PNG, base64)."""
    pair = [m for m in found if m.family.name == found[0].family.name][-2:]
    if not pair:
        return {}
    images = {m.half: m.family.draw({"net": m.network()}, [m.first], m.start, chunk=1) for m in pair}
    images["noise"] = 0.5 + noise(seeded([pair[0].first]), pair[0].start.shape) / 5
    return {
        "N": spaced(pair[0].N),
        "images": {name: base64_image(x[0, 0].numpy()) for name, x in images.items()},
    }


def _told(model: Model, folder: Path) -> dict:
    """Write the files of a model; what the page is told of it."""
    record, family, settings = model.run.record, model.family, model.family.settings
    told = _file(folder, record["summary"]["name"], packed(model))
    told |= {"family": family.name, "label": family.label, "N": model.N, "half": model.half}
    told |= {"base_channels": settings.base_channels, "blocks": settings.blocks, "side": model.start.shape[-1]}
    told |= {"inputs": 3 if family.name == "conditional" else 1, "levels": model.levels, "first": model.first}
    told |= {"stamp": model.stamp, "commit": record["commit"]}
    told |= {"made": record["created"][:10], "profile": model.profile, "data": model.data}
    if model.images is not None:
        told["images"] = _file(folder, f"images-{model.half}-{model.N}", model.images.tobytes())
    return told


def _file(folder: Path, name: str, content: bytes) -> dict:
    """Write a script that hands over some bytes; its name, its checksum, and its size."""
    text = base64.b64encode(content).decode()
    (folder / f"{name}.js").write_text(f'LIVE["{name}"] = "{text}";\n')
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(text)}
