import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from galgen.models import glow as flows
from galgen.models.coupling import AffineCouplings, affine_coupling
from galgen.models.glow import Glow, invertible_conv1x1
from galgen.models.glow_learner import GlowLearner, draw, latents
from galgen.models.sampling import noise, seeded
from galgen.profiles import GlowSettings
from galgen.runs.errors import GalgenError

SMALL = {"size": 8, "steps": 2, "levels": 2, "width": 8}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n=64, size=8, seed=0):
    """8-bit images (n, 1, size, size) in [0, 1] of one bright spot each."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    middle, width = torch.rand(2, n, 2, 1, 1, generator=generator(seed))
    r2 = ((torch.stack([y, x]) - (2 + (size - 5) * middle)) ** 2).sum(1)
    return ((-r2 / (1 + 3 * width[:, 0])).exp() * 255).round()[:, None] / 255


def glow(init=0, images=None, **size):
    size = SMALL | size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init)
        flow = Glow(**size)
    flow.initialize(blobs(size=size["size"]) if images is None else images, generator(9))
    return flow


def trained(steps=30, **size):
    """A float64 flow after some steps of training: no weight is where it began."""
    flow = glow(**size)
    learner = GlowLearner({"net": flow}, None, None, GlowSettings(learning_rate=5e-3))
    images = blobs(size=flow.size)
    losses = [learner.step(images, generator(k), 1.0)["bits_per_dim"].item() for k in range(steps)]
    assert losses[-1] < losses[0]
    return flow.double()


def log_normal(z):
    return -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)


def log_det(f, x):
    """log |det df/dx| of an f of one flat vector, from autograd's Jacobian."""
    return torch.linalg.slogdet(torch.autograd.functional.jacobian(f, x)).logabsdet


@pytest.mark.parametrize("size", [{}, {"channels": 3}, {"levels": 1}, {"size": 16, "levels": 3}])
def test_encode_and_decode_are_inverse_of_each_other_after_training(size):
    flow = trained(**size)
    x = flow.dequantize(blobs(5, flow.size, seed=1).double(), generator())
    zs, _ = flow.encode(x)
    assert [tuple(z.shape[1:]) for z in zs] == flow.latent_shapes
    torch.testing.assert_close(flow.decode(zs), x, rtol=0, atol=1e-10)
    zs = [z.double() for z in latents(flow, range(5))]
    back, _ = flow.encode(flow.decode(zs))
    for z, again in zip(zs, back, strict=True):
        torch.testing.assert_close(again, z, rtol=0, atol=1e-10)


@pytest.mark.parametrize("channels", [1, 3])
def test_log_density_is_that_of_the_latents_and_autograds_jacobian(channels):
    flow = trained(size=4, channels=channels)
    x = flow.dequantize(blobs(3, 4, seed=1).double(), generator())
    zs, log_p = flow.encode(x)
    for one, *z, expected in zip(x, *zs, log_p, strict=True):

        def f(flat):
            return torch.cat([part.flatten() for part in flow.encode(flat.view(1, channels, 4, 4))[0]])

        normal = sum(log_normal(part[None]) for part in z)
        torch.testing.assert_close(normal[0] + log_det(f, one.flatten()), expected, rtol=0, atol=1e-9)


def test_coupling_and_its_derivatives_are_those_of_its_convolutions():
    couplings = AffineCouplings(2, 4, 6).double()
    for parameter in couplings.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator(1))
    x = torch.randn(4, 3, 5, 2, dtype=torch.float64, generator=generator(2)).requires_grad_()

    def plainly(k):
        kept, moved = x.permute(3, 0, 1, 2).chunk(2, 1)
        u = kept
        for part, times in ((couplings.first, 1), (couplings.hidden, 1), (couplings.last, 3)):
            u = u if part is couplings.first else F.leaky_relu(u, 0.1)
            gain = (times * part.log_gain[k]).exp()
            weight, bias = part.weight[k] * gain[..., None, None], part.bias[k] * gain
            u = F.conv2d(u, weight, bias[:, 0], padding=weight.shape[-1] // 2)
        shift, raw = u.chunk(2, 1)
        r = 2 * (raw / 2).tanh()
        return torch.cat([kept, (moved + shift) * r.exp()], 1).permute(1, 2, 3, 0), r.sum((1, 2, 3))

    for k, network in enumerate(couplings.networks()):
        both = affine_coupling(x, network), plainly(k)
        weights = [torch.randn(part.shape, dtype=torch.float64, generator=generator(3)) for part in both[0]]
        found, expected = (
            [*pair, *torch.autograd.grad(pair, [x, *couplings.parameters()], weights, retain_graph=True)]
            for pair in both
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_density_of_a_flow_of_four_pixels_integrates_to_one():
    flow = glow(size=2, levels=1, width=4, images=blobs(64, 4)[..., 1:3, 1:3]).double()
    with torch.no_grad():
        for name, parameter in flow.named_parameters():  # any weights will do
            if "prior" not in name:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator(3), dtype=torch.float64)
        samples = flow.decode([torch.randn(20_000, 4, 1, 1, generator=generator(), dtype=torch.float64)])
        centre, spread = samples.mean(0), 1.5 * samples.std(0)
        u = torch.randn(100_000, 1, 2, 2, generator=generator(1), dtype=torch.float64)
        x = centre + spread * u  # importance sampling from a wide normal
        proposal = log_normal(u) - spread.log().sum()
        weights = (flow.encode(x)[1] - proposal).exp()
    error = weights.std() / len(u) ** 0.5
    assert error < 0.02
    assert weights.mean().item() == pytest.approx(1, abs=4 * error.item())


def test_bits_per_dim_of_uniform_noise_are_the_bits_when_the_flow_is_the_identity():
    flow = glow(steps=0, bits=5).double()
    images = (torch.randint(0, 256, (64, 1, 8, 8), generator=generator()) / 255).double()
    x = flow.dequantize(images, generator())
    zs, log_p = flow.encode(x)
    assert sorted(torch.cat([z.flatten() for z in zs]).tolist()) == sorted(x.flatten().tolist())
    log_volume = log_p - sum(log_normal(z) for z in zs)
    torch.testing.assert_close(log_volume, torch.zeros_like(log_volume), rtol=0, atol=1e-12)
    uniform = log_volume + 0.0  # a base density of 1 on the box in place of the normal one
    assert flow.bits_per_dim(uniform).tolist() == pytest.approx([5.0] * 64, abs=1e-12)
    normal = 5 + (0.5 * math.log(2 * math.pi) + 0.5 / 12) / math.log(2)  # E x^2 = 1/12
    assert flow.bits_per_dim(log_p).mean().item() == pytest.approx(normal, abs=0.003)


def test_no_coupling_and_no_prior_scales_beyond_its_bounds_whatever_the_image():
    flow = glow().double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 3 * torch.randn(parameter.shape, generator=generator(3), dtype=torch.float64)
    level = flow.levels[0]
    x = 100 * torch.randn(4, 4, 4, 8, generator=generator(), dtype=torch.float64)
    network = level.couplings.networks()[0]
    y, log_det = affine_coupling(x, network)
    moved = x + 1e6 * torch.tensor([0.0, 0, 1, 1]).view(4, 1, 1, 1)
    stretched = ((affine_coupling(moved, network)[0] - y)[2:] / 1e6).log()
    torch.testing.assert_close(stretched.sum((0, 1, 2)), log_det, rtol=1e-6, atol=1e-6)
    level.mixes, level.couplings = flows.ActNormInvertibleConv1x1(0, 4), AffineCouplings(0, 4, 8)
    far, near = (level.inverse(x[:2], z) for z in (torch.ones_like(x[:2]), torch.zeros_like(x[:2])))
    deviation = flows.squeeze(far - near)[2:].log()
    for log_scale in (stretched, deviation):
        assert -2.001 <= log_scale.min() < -1.9 and 1.9 < log_scale.max() <= 2.001


@pytest.mark.parametrize("bits", [1, 5, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_dequantised_images_keep_the_upper_bits_and_come_back_at_the_centres(bits, channels):
    flow = Glow(bits=bits, channels=channels, size=16, levels=1, width=2)
    v = torch.arange(256).view(1, 1, 16, 16)
    for seed in range(20):
        x = flow.dequantize(v / 255, generator(seed))
        assert x.shape == (1, channels, 16, 16) and x.min() >= -0.5 and x.max() < 0.5
        assert torch.equal(((x + 0.5) * 2**bits).floor(), (v >> (8 - bits)).expand_as(x).float())
    step = 2 ** (8 - bits)
    torch.testing.assert_close(flow.image(x) * 255, (v // step) * step + (step - 1) / 2)
    assert (flow.image(x) * 255).mean().item() == pytest.approx(127.5)
    assert channels == 1 or not torch.equal(x[:, 0], x[:, 1])
    far = torch.tensor([-7.0, 7.0]).view(2, 1, 1, 1).expand(2, channels, 1, 1)
    assert 0 <= flow.image(far).min() and flow.image(far).max() <= 1


def test_initialisation_standardises_every_actnorm_and_is_done_once():
    flow, images = Glow(**SMALL), blobs(256)
    with pytest.raises(GalgenError, match=r"call initialize\(images, generator\)"):
        flow.encode(torch.zeros(1, 1, 8, 8))
    flow.initialize(images, generator(1))
    x, seen = flow.dequantize(images, generator(1)).permute(1, 2, 3, 0).contiguous(), 0
    for level in flow.levels:
        x = flows.squeeze(x)
        for (matrix, bias, network), log_scale in zip(level.layers(), level.mixes.log_scale, strict=True):
            normed = log_scale.T.exp() * (x.flatten(1) + bias)
            torch.testing.assert_close(normed.mean(1), torch.zeros(len(x)), rtol=0, atol=1e-4)
            torch.testing.assert_close(normed.std(1), torch.ones(len(x)), rtol=0, atol=1e-2)
            x, seen = affine_coupling(invertible_conv1x1(x, matrix, bias), network)[0], seen + 1
        x = x.chunk(2)[0]
    assert seen == 4
    again = Glow(**SMALL)
    again.load_state_dict(flow.state_dict())
    for initialized in (flow, again):
        with pytest.raises(GalgenError, match="already initialized"):
            initialized.initialize(images, generator(2))


@pytest.mark.parametrize("value", [0.0, 100 / 255])
def test_constant_images_train_to_finite_losses(value):
    images = torch.full((16, 1, 8, 8), value)
    flow = glow(images=images)
    learner = GlowLearner({"net": flow}, None, None, GlowSettings(learning_rate=1e-3))
    losses = [learner.step(images, generator(k), 1.0)["bits_per_dim"].item() for k in range(30)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0] < 2
    assert draw(flow, range(4))[0].isfinite().all()


def test_the_papers_depth_has_its_latents_and_is_inverted_in_float32():
    size = {"size": 64, "channels": 3, "steps": 32, "levels": 3, "width": 64}
    flow = glow(images=blobs(4, 64), **size)
    assert flow.latent_shapes == [(6, 32, 32), (12, 16, 16), (48, 8, 8)]
    assert flow.to(memory_format=torch.channels_last) is flow  # as whoever loads networks asks of them all
    with torch.no_grad():
        for level in flow.levels:
            # couplings that do nothing would test nothing
            level.couplings.last.weight.normal_(std=0.0015, generator=generator(4))
        x = flow.dequantize(blobs(2, 64, seed=1), generator())
        zs, _ = flow.encode(x)
        assert (flow.decode(zs) - x).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("level", "step", "layer", "weight"),
    [(1, 1, "invertible_conv1x1", "mixes.log_scale"), (0, 0, "coupling", "couplings.last.weight")],
)
def test_training_that_is_no_longer_finite_stops_and_names_the_layer(level, step, layer, weight):
    learner = GlowLearner({"net": glow()}, None, None, GlowSettings(learning_rate=1e-3))
    dict(learner.net.named_parameters())[f"levels.{level}.{weight}"].data[step] = float("nan")
    before = learner.net.state_dict()["levels.0.mixes.bias"].clone()
    with pytest.raises(GalgenError, match=rf"output of the {layer} in step {step} of level {level} is not"):
        learner.step(blobs(4), generator(), 1.0)
    assert torch.equal(learner.net.state_dict()["levels.0.mixes.bias"], before)


def test_bf16_is_in_the_couplings_only_and_leaves_the_flow_exact():
    flow = glow()

    def loss(precision, rate):
        learner = GlowLearner(
            {"net": flow}, None, None, GlowSettings(learning_rate=1e-3), precision=precision
        )
        return learner.step(blobs(), generator(), rate)["bits_per_dim"]

    assert loss("fp32", 0.0) == loss("bf16", 0.0)  # zero-initialised couplings: nothing else is rounded
    loss("bf16", 1.0)
    x = flow.dequantize(blobs(4), generator())
    torch.testing.assert_close(flow.decode(flow.encode(x)[0]), x, rtol=0, atol=1e-5)


def test_bf16_derivatives_are_those_of_float32_within_rounding():
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        flow = trained().float()
        flow(flow.dequantize(blobs(), generator()), dtype)[1].mean().backward()
        found[dtype] = {name: p.grad for name, p in flow.named_parameters()}
    for name, exact in found[torch.float32].items():
        assert (found[torch.bfloat16][name] - exact).norm() < 20 * 2**-8 * exact.norm(), name


def test_latents_that_a_sample_was_decoded_from_are_those_of_its_seed():
    flow, generators = glow(), seeded([11, 3])
    for z, again in zip(draw(flow, [11, 3])[1], latents(flow, [11, 3]), strict=True):
        assert torch.equal(z, again) and torch.equal(z, noise(generators, z.shape[1:]))
