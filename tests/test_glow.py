import math

import numpy as np
import pytest
import torch

from galgen.models.glow import ActNormInvConv, Coupling, Glow
from galgen.models.glow_learner import GlowLearner, draw, latents
from galgen.models.sampling import noise, seeded
from galgen.runs import checkpoint
from galgen.runs.checkpoint import read_losses
from galgen.runs.errors import GalgenError
from galgen.runs.schedules import cosine
from galgen.runs.stream import Stream
from galgen.runs.training import train
from galgen.settings import GlowSettings

torch.set_num_threads(1)  # networks this small only wait for a second thread

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
    learner, images = (
        GlowLearner({"net": flow}, None, None, GlowSettings(learning_rate=5e-3)),
        blobs(size=flow.size),
    )
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


def test_log_density_is_that_of_the_latents_and_autograds_jacobian():
    flow = trained(size=4)
    x = flow.dequantize(blobs(3, 4, seed=1).double(), generator())
    zs, log_p = flow.encode(x)
    for one, *z, expected in zip(x, *zs, log_p, strict=True):

        def f(flat):
            return torch.cat([part.flatten() for part in flow.encode(flat.view(1, 1, 4, 4))[0]])

        normal = sum(log_normal(part[None]) for part in z)
        torch.testing.assert_close(normal[0] + log_det(f, one.flatten()), expected, rtol=0, atol=1e-9)


def test_log_determinant_and_inverse_of_every_layer_are_exact():
    flow = trained(channels=3, size=4, levels=1)
    x = torch.randn(2, 12, 2, 2, dtype=torch.float64, generator=generator())
    assert {type(layer) for layer in flow.levels[0].steps} == {ActNormInvConv, Coupling}
    for layer in flow.levels[0].steps:
        y, given = layer(x)
        torch.testing.assert_close(layer.inverse(y), x, rtol=0, atol=1e-11)
        for one, value in zip(x, given.expand(2), strict=True):
            expected = log_det(
                lambda flat, layer=layer: layer(flat.view(1, 12, 2, 2))[0].flatten(), one.flatten()
            )
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-10)
            assert abs(value) > 0.1


def test_density_of_a_flow_of_four_pixels_integrates_to_one():
    flow = glow(size=2, levels=1, width=4, images=blobs(64, 4)[..., 1:3, 1:3]).double()
    with torch.no_grad():
        for parameter in flow.levels[0].steps.parameters():  # any weights will do
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


def test_bits_per_dim_bound_the_entropy_of_the_integers():
    flow = glow(size=2, levels=1, steps=0, bits=1).double()
    images = torch.zeros(20_000, 1, 2, 2, dtype=torch.float64)
    x = flow.dequantize(images, generator())
    with torch.no_grad():
        flow.levels[0].prior[:4] = -0.25  # one value of two, known for sure: no bits are needed
        flow.levels[0].prior[4:] = math.log(0.25 / 3**0.5)
        bound = flow.bits_per_dim(flow.encode(x)[1]).mean().item()
    expected = 1 + 0.5 * math.log2(2 * math.pi * math.e) + math.log2(0.25 / 3**0.5)
    assert 0 < bound == pytest.approx(expected, abs=0.01)  # 0.25 bits: a normal is no box


def test_no_coupling_and_no_prior_scales_beyond_its_bounds_whatever_the_image():
    flow = glow().double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 3 * torch.randn(parameter.shape, generator=generator(3), dtype=torch.float64)
    level = flow.levels[0]
    x = 100 * torch.randn(8, 4, 4, 4, generator=generator(), dtype=torch.float64)
    y, log_det = level.steps[1](x)
    moved = x + 1e6 * torch.tensor([0.0, 0, 1, 1]).view(4, 1, 1)
    stretched = ((level.steps[1](moved)[0] - y)[:, 2:] / 1e6).log()
    torch.testing.assert_close(stretched.sum((1, 2, 3)), log_det, rtol=1e-6, atol=1e-6)
    ones, zeros = torch.ones_like(x[:, :2]), torch.zeros_like(x[:, :2])
    level.steps = torch.nn.ModuleList()
    far, near = (level.inverse(x[:, :2], z) for z in (ones, zeros))
    deviation = torch.nn.functional.pixel_unshuffle(far - near, 2)[:, 2:].log()
    for log_scale in (stretched, deviation):
        assert -2.001 <= log_scale.min() < -1.9 and 1.9 < log_scale.max() <= 2.001


def test_ten_thousand_latents_are_drawn_and_found_again():
    flow = trained(size=16, levels=3, steps=3, width=16).float()
    z = latents(flow, range(10_000))
    with torch.no_grad():
        found, log_p = flow.encode(flow.decode(z))
    assert log_p.isfinite().all()
    assert max((a - b).abs().max() for a, b in zip(z, found, strict=True)) < 0.01


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
    mixes = [layer for level in flow.levels for layer in level.steps if isinstance(layer, ActNormInvConv)]
    seen = []
    for mix in mixes:
        mix.register_forward_hook(
            lambda m, args, _: seen.append(
                (args[0] + m.bias[:, None, None]) * m.log_scale.exp()[:, None, None]
            )
        )
    flow.encode(flow.dequantize(images, generator(1)))
    assert len(seen) == 4
    for y in seen:
        torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(y.shape[1]), rtol=0, atol=1e-4)
        torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(y.shape[1]), rtol=0, atol=1e-2)
    with pytest.raises(GalgenError, match="initialized already"):
        flow.initialize(images, generator(2))


def test_saved_flow_is_the_same_flow_and_stays_initialized(tmp_path):
    flow = trained()
    checkpoint.save(tmp_path / "flow.safetensors", flow.state_dict())
    again = Glow(**SMALL).double()
    again.load_state_dict(checkpoint.load(tmp_path / "flow.safetensors"))
    x = flow.dequantize(blobs(4).double(), generator())
    for a, b in zip(flow.encode(x)[0], again.encode(x)[0], strict=True):
        assert torch.equal(a, b)
    with pytest.raises(GalgenError, match="initialized already"):
        again.initialize(blobs(), generator())


@pytest.mark.parametrize("value", [0.0, 1.0, 100 / 255])
def test_constant_images_train_to_finite_losses(value):
    images = torch.full((16, 1, 8, 8), value)
    flow = glow(images=images)
    learner = GlowLearner({"net": flow}, None, None, GlowSettings(learning_rate=1e-3))
    losses = [learner.step(images, generator(k), 1.0)["bits_per_dim"].item() for k in range(60)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0] < 2
    assert draw(flow, range(4))[0].isfinite().all()


def test_images_unlike_the_training_set_have_finite_densities():
    flow = trained()
    odd = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8), torch.rand(1, 8, 8, generator=generator())])
    zs, log_p = flow.encode(flow.dequantize(odd.double(), generator()))
    assert log_p.isfinite().all() and all(z.isfinite().all() for z in zs)


def test_paper_size_has_the_papers_parameters_and_latents():
    with torch.device("meta"):
        flow = Glow(size=64, channels=3, steps=32, levels=3, width=512)
    assert round(sum(p.numel() for p in flow.parameters()) / 1e6, 1) == 44.1
    assert flow.latent_shapes == [(6, 32, 32), (12, 16, 16), (48, 8, 8)]
    assert [math.prod(shape) for shape in flow.latent_shapes] == [6144, 3072, 3072]


def test_paper_size_is_inverted_in_float32():
    size = {"size": 64, "channels": 3, "steps": 32, "levels": 3, "width": 512}
    flow = glow(images=blobs(4, 64), **size)
    with torch.no_grad():
        for level in flow.levels:
            for layer in level.steps[1::2]:  # couplings that do nothing would test nothing
                layer.net[-1].weight.normal_(std=0.0005, generator=generator(4))
        x = flow.dequantize(blobs(2, 64, seed=1), generator())
        zs, _ = flow.encode(x)
        error = (flow.decode(zs) - x).abs().max().item()
    print(f"largest error of two images at paper size: {error:.1e}")
    assert error < 1e-4


def test_every_parameter_gets_a_gradient():
    flow = trained(steps=3)
    flow.encode(flow.dequantize(blobs(8).double(), generator()))[1].sum().backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_interrupted_training_ends_bit_for_bit_as_an_uninterrupted_one(tmp_path, monkeypatch):
    images = (blobs(20) * 255).byte().numpy()

    def run(directory, init=0):
        learner = GlowLearner({"net": glow(init)}, None, None, GlowSettings(learning_rate=4e-3))
        stream = Stream(20, 96, 4, 1, 2, cosine, flips=True)
        train(learner, images, directory, stream, report_every=4, save_every_seconds=0.0, progress=False)
        return checkpoint.load(directory / "weights-96.safetensors")["net"]

    whole = run(tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        count = iter(range(100))

        def interrupted(self, *given, step=GlowLearner.step):
            if next(count) == 14:
                raise KeyboardInterrupt
            return step(self, *given)

        patch.setattr(GlowLearner, "step", interrupted)
        run(tmp_path / "broken")
    broken = run(
        tmp_path / "broken", init=7
    )  # the initialisation, actnorm and all, comes from the checkpoint
    assert whole.keys() == broken.keys() and all(torch.equal(whole[k], broken[k]) for k in whole)
    assert read_losses(tmp_path / "whole") == read_losses(tmp_path / "broken")


@pytest.mark.parametrize("broken", ["levels.1.steps.2.log_scale", "levels.0.steps.1.net.4.weight"])
def test_training_that_is_no_longer_finite_stops_and_names_the_layer(broken):
    learner = GlowLearner({"net": glow()}, None, None, GlowSettings(learning_rate=1e-3))
    dict(learner.net.named_parameters())[broken].data.fill_(float("nan"))
    before = learner.net.state_dict()["levels.0.steps.0.bias"].clone()
    kind, step, level = ("ActNormInvConv", 1, 1) if "log_scale" in broken else ("Coupling", 0, 0)
    with pytest.raises(GalgenError, match=rf"output of {kind} in step {step} of level {level} is not finite"):
        learner.step(blobs(4), generator(), 1.0)
    assert torch.equal(learner.net.state_dict()["levels.0.steps.0.bias"], before)


def test_coupling_whose_units_are_all_below_zero_learns_on():
    coupling = Coupling(4, 8)
    torch.nn.init.ones_(coupling.net[4].weight)
    for convolution in (coupling.net[0], coupling.net[2]):
        torch.nn.init.constant_(convolution.bias, -100)
    coupling(torch.randn(2, 4, 8, 8, generator=generator()))[0].sum().backward()
    assert all((layer.weight.grad != 0).any() for layer in (coupling.net[0], coupling.net[2]))


def test_bf16_is_in_the_couplings_only_and_leaves_the_flow_exact():
    flow = glow()
    loss = {
        p: GlowLearner({"net": flow}, None, None, GlowSettings(), precision=p).step(
            blobs(), generator(), 0.0
        )["bits_per_dim"]
        for p in ("fp32", "bf16")
    }
    assert loss["fp32"] == loss["bf16"]  # zero-initialised couplings: nothing else is rounded
    seen = []
    learner = GlowLearner({"net": flow}, None, None, GlowSettings(learning_rate=1e-3), precision="bf16")
    for module in flow.modules():
        if isinstance(module, ActNormInvConv | torch.nn.LeakyReLU):
            module.register_forward_hook(
                lambda m, _, y: seen.append((type(m), (y[0] if isinstance(m, ActNormInvConv) else y).dtype))
            )
    learner.step(blobs(), generator(), 1.0)
    assert set(seen) == {(ActNormInvConv, torch.float32), (torch.nn.LeakyReLU, torch.bfloat16)}
    x = flow.dequantize(blobs(4), generator())
    torch.testing.assert_close(flow.decode(flow.encode(x)[0]), x, rtol=0, atol=1e-5)


def test_sample_depends_on_its_seed_alone():
    flow = trained().float()
    images, zs = draw(flow, range(20), chunk=8)
    assert images.shape == (20, 1, 8, 8) and [len(z) for z in zs] == [20, 20]
    few, z_few = draw(flow, [11, 3], chunk=8)
    assert torch.equal(few, images[[11, 3]])
    for z, all_z, shape, again in zip(z_few, zs, flow.latent_shapes, latents(flow, [11, 3]), strict=True):
        assert torch.equal(z, all_z[[11, 3]]) and z.shape[1:] == shape and torch.equal(z, again)
    generators = seeded([11, 3])
    assert all(torch.equal(z, noise(generators, s)) for z, s in zip(z_few, flow.latent_shapes, strict=True))
    assert torch.equal(draw(flow, [3], chunk=8)[0], images[[3]])


def test_cold_samples_are_likelier():
    flow = trained()
    at = {t: draw(flow, range(64), temperature=t)[1] for t in (0.5, 1.0)}
    torch.testing.assert_close(at[0.5][0], 0.5 * at[1.0][0])
    density = {t: flow.encode(flow.decode(z))[1].mean() for t, z in at.items()}
    assert density[0.5] > density[1.0]


@pytest.mark.parametrize("bad", [{"size": 12, "levels": 3}, {"bits": 9}, {"levels": 0}, {"bits": 0}])
def test_impossible_sizes_are_refused(bad):
    with pytest.raises(GalgenError, match="no Glow with"):
        Glow(**bad)
