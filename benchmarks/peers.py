"""Public packages and plain loops that `bench.py` compares with, each a function that returns one step.

`normflows` (MIT) and `lightweight-gan` (MIT) are not dependencies of this project: `peers.txt` pins them, and
`make bench` installs them in a separate folder. `lightweight-gan` cannot be imported without a GPU and its
trainer calls `.cuda()`, but its networks and losses need neither. So a GPU is mocked during the import,
modules used only to read images are replaced by mocks, and the iteration of its trainer is written out: D,
then G, each with new latents, the gradient penalty on real and generated images at every fourth iteration,
plain Adam, and the running average.
"""

import importlib
import sys
import types
from collections.abc import Callable
from unittest import mock

import galsim
import numpy as np
import statmorph
import torch
from torch import Tensor, nn

from galgen.compare.morphology import segment
from galgen.models.conditional import ConditionalUNet
from galgen.models.sampling import noise, seeded
from galgen.models.unet import BiasFreeNormReLU

Step = Callable[[], object]


class _PlainNorm(BiasFreeNormReLU):
    """Bias-free batch norm as published, operation by operation: division by the deviation, then ReLU."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        variance = x.var((0, 2, 3), unbiased=False)
        self.mean_square = 0.9 * self.mean_square + 0.1 * variance.detach()
        gain = self.gain
        if condition is not None:
            gain = gain + (condition[:, :, None] * self.gain_slopes).sum(1)
        return (x / (variance + 1e-5).sqrt()[:, None, None] * gain[..., None, None]).relu()


def denoiser(net: nn.Module, images: Tensor) -> Step:
    """Training step of a denoiser in a plain loop: eager float32, contiguous, Adam that is not fused."""
    for module in net.modules():
        if isinstance(module, BiasFreeNormReLU):
            module.__class__ = _PlainNorm
    adam = torch.optim.Adam(net.train().parameters(), lr=1e-3, foreach=False)

    def step() -> None:
        z = torch.randn_like(images)
        if isinstance(net, ConditionalUNet):
            sigma = (torch.randn(len(images)) * 1.5 - 1.6).exp()
            missed = net(images + sigma[:, None, None, None] * z, sigma) - images
            loss = (missed / net.scales(sigma)[1]).square().mean()
        else:
            z *= torch.rand(len(images), 1, 1, 1) ** 2
            loss = nn.functional.mse_loss(net(images + z), z)
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def glow(size: int, steps: int, levels: int, width: int, bits: int, images: Tensor) -> Step:
    """Training step of the Glow of `normflows`, built as in its documentation."""
    import normflows

    priors, flows, merges = [], [], []
    for level in range(levels):  # normflows counts levels from the coarsest
        channels, side = 2 ** (levels + 1 - level), size // 2 ** (levels - level)
        blocks = [normflows.flows.GlowBlock(channels, width) for _ in range(steps)]
        flows.append([*blocks, normflows.flows.Squeeze()])
        priors.append(normflows.distributions.GlowBase((channels // 2 if level else channels, side, side)))
        merges += [normflows.flows.Merge()] * (level > 0)
    flow = normflows.MultiscaleFlow(priors, flows, merges, class_cond=False)
    adam = torch.optim.Adam(flow.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        integers = (images * 255).div(2 ** (8 - bits), rounding_mode="floor")
        x = (integers + torch.rand_like(images)) / 2**bits - 0.5
        loss = flow.forward_kld(x) / size**2
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def _lightweight_gan() -> types.ModuleType:
    idle = {
        name: mock.MagicMock() for name in ("torchvision", "kornia", "kornia.filters", "adabelief_pytorch")
    }
    with mock.patch.dict(sys.modules, idle), mock.patch("torch.cuda.is_available", lambda: True):
        module = importlib.import_module("lightweight_gan.lightweight_gan")
    module.Blur = nn.Identity  # the default of its trainer, without antialiasing
    return module


def gan(latent: int, images: Tensor, *, attention: bool, **options: dict) -> Step:
    """Iteration of `lightweight-gan`; `options` has options of its generator and of its discriminator.

    For small images, it has attention with 64 channels at full resolution; at 32 × 32 pixels, it is also
    timed without attention.
    """
    theirs = _lightweight_gan()
    with mock.patch.object(theirs, "LinearAttention", theirs.LinearAttention if attention else _idle):
        given = {"image_size": images.shape[-1], "greyscale": True}
        G, average = (theirs.Generator(latent_dim=latent, **given, **options["generator"]) for _ in range(2))
        D = theirs.Discriminator(disc_output_size=1, **given, **options["discriminator"])
    adam = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.9)) for net in (D, G)]
    steps = 0

    def slope(x: Tensor, *scores: Tensor) -> Tensor:
        ones = [torch.ones_like(score) for score in scores]
        return torch.autograd.grad(scores, x, ones, create_graph=True)[0].flatten(1)

    def step() -> None:
        nonlocal steps
        penalize, steps = steps % 4 == 0, steps + 1
        adam[0].zero_grad()
        with torch.no_grad():
            fake = G(torch.randn(len(images), latent))
        real = images.clone().requires_grad_(penalize)
        fake.requires_grad_(penalize)
        fake_score, fake_small, _ = D(fake)
        real_score, real_small, missed = D(real, calc_aux_loss=True)
        loss = theirs.hinge_loss(real_score, fake_score) + theirs.hinge_loss(real_small, fake_small) + missed
        if penalize:
            slopes = torch.cat([slope(real, real_score, real_small), slope(fake, fake_score, fake_small)])
            loss = loss + 10 * slopes.norm(2, dim=1).square().mean()
        loss.backward()
        adam[0].step()
        adam[1].zero_grad()
        score, small, _ = D(G(torch.randn(len(images), latent)))
        (theirs.gen_hinge_loss(score, None) + theirs.gen_hinge_loss(small, None)).backward()
        adam[1].step()
        for mean, now in zip(average.parameters(), G.parameters(), strict=True):
            mean.data = mean.data * 0.995 + 0.005 * now.data

    return step


def _idle(channels: int) -> nn.Module:
    return nn.Identity()


@torch.inference_mode()
def sample(f: Callable[[Tensor], Tensor], start: Tensor, seed: int) -> Tensor:
    """Sample (C, H, W) of the paper's sampler, implemented literally for one image."""
    h0, beta, sigma_end, t = 0.01, 0.1, 0.1, 1
    generator = seeded([seed])
    y = start + noise(generator, start.shape)
    while True:
        residual = f(y)
        sigma = residual.square().mean().sqrt().item()
        if sigma <= sigma_end:
            return (y - residual)[0]
        h = h0 * t / (1 + h0 * (t - 1))
        gamma = ((1 - beta * h) ** 2 - (1 - h) ** 2) ** 0.5 * sigma
        y = y - h * residual + gamma * noise(generator, start.shape)
        t += 1


def nearest(queries: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Index of the nearest image of each query under flips, one query at a time in numpy."""
    found, flat = [], images.reshape(len(images), -1).astype(np.float32)
    norm = np.maximum(np.sqrt(np.einsum("ij,ij->i", flat, flat)), 1e-9)
    for query in queries.reshape(len(queries), *queries.shape[-2:]):
        best = (-1.0, 0)
        for flip in (query, query[:, ::-1], query[::-1], query[::-1, ::-1]):
            cosine = flat @ flip.ravel() / norm
            best = max(best, (float(cosine.max()), int(cosine.argmax())))
        found.append(best[1])
    return np.array(found)


def morphology(images: np.ndarray) -> None:
    """Measure images (n, 1, H, W) with statmorph, one by one."""
    for image in images[:, 0]:
        subtracted, galaxy, _ = segment(image)
        statmorph.SourceMorphology(subtracted, galaxy.astype(int), 1, gain=10_000)


def simulate(count: int, crop: int = 64) -> None:
    """Simulate bulge and disc with GalSim per galaxy and band: simpler than the galaxies of this project."""
    rng, psf = galsim.BaseDeviate(0), galsim.Moffat(beta=3.0, fwhm=1.2)
    draw = np.random.default_rng(0)
    for _ in range(count):
        bulge = galsim.Sersic(
            float(draw.choice([1.0, 2.0, 3.0, 4.0])), half_light_radius=draw.uniform(0.5, 2)
        )
        disc = galsim.Exponential(scale_radius=draw.uniform(1, 4)).shear(g1=draw.uniform(0, 0.5), g2=0)
        for _ in range(3):
            galaxy = galsim.Convolve(draw.uniform(0, 1) * bulge + disc, psf)
            image = galaxy.drawImage(nx=crop, ny=crop, scale=0.262)
            image.addNoise(galsim.GaussianNoise(rng, sigma=0.01))
