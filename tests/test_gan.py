import numpy as np
import pytest
import torch
from torch.nn import functional as F

from galgen.models.average import averaged
from galgen.models.gan import Discriminator, GanLearner, Generator
from galgen.profiles import GanSettings
from galgen.runs import checkpoint
from galgen.runs.batches import BatchSampler
from galgen.runs.errors import GalgenError
from galgen.runs.schedules import cosine
from galgen.runs.training import train


def networks(size=32, channels=1, attention=False, **kind):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        G = Generator(size=size, channels=channels, latent=4, width=4, widest=8, attention=attention)
        D = Discriminator(size=size, channels=channels, width=8, widest=8, attention=attention, **kind)
    with torch.no_grad():
        G.grain.fill_(0.1)
    return G, D


def learner(**settings):
    return of(*networks(), GanSettings(**{"penalty": 0.2, **settings}))


def of(G, D, settings):
    """The learner of two networks and of the average that the settings ask for."""
    average = averaged(G, lambda t: max(1 - settings.decay, 4 / (t + 4)))
    nets = {"generator": G, "discriminator": D, "average": average}
    return GanLearner(nets, None, galaxies(), settings)


def galaxies(n=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 32, 32), dtype=np.uint8)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def step(model, x=None, seed=0):
    x = torch.from_numpy(galaxies()).float() / 255 if x is None else x
    return model.step(x, torch.Generator().manual_seed(seed), 1.0)


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3), (256, 1)])
def test_networks_take_and_give_images_of_the_size_asked_for(size, channels):
    G, D = networks(size=size, channels=channels)
    x = G(normal(2, G.inputs))
    assert x.shape == (2, channels, size, size)
    middle, last = D.features(x)
    assert (middle.shape[-1], last.shape[-1]) == (16, 8)
    assert D(x).shape == (2,)
    assert D.reconstruction(x, (middle, last), torch.tensor([0, 3])).shape == ()
    side = min(128, size)
    assert D.decode(last).shape == (2, channels, side, side)


def test_every_parameter_gets_a_gradient_with_the_papers_attention_and_decoder_too():
    G, D = networks(size=64, attention=True, decoders=1)
    x = G(normal(2, G.inputs))
    loss = D(x).square().sum() + D.reconstruction(x, D.features(x), torch.tensor([1, 2]))
    loss.backward()
    for net in (G, D):
        for name, parameter in net.named_parameters():
            # batch norm and softmax take out what a bias before them adds
            idle = name.endswith("bias") and name.startswith(("up.", "first.0", "excite.32.attention"))
            assert idle or parameter.grad.abs().max() > 0, name


def test_score_of_an_image_does_not_depend_on_the_others():
    D = networks()[1].double()
    x = normal(5, 1, 32, 32).double()
    torch.testing.assert_close(D(x)[2:3], D(x[2:3]), rtol=1e-12, atol=1e-14)


def test_quadrant_decoder_sees_the_quadrant_it_restores():
    D = networks()[1]
    D.decode_quadrant = torch.nn.Upsample(scale_factor=2)
    x, which = normal(4, 1, 32, 32), torch.arange(4)
    small = F.avg_pool2d(x, 2)
    D.decode = torch.nn.Identity()
    loss = D.reconstruction(x, (small, F.avg_pool2d(x, 4)), which)
    blocky = F.interpolate(small, scale_factor=2)
    wrong = (x - blocky).square()
    missed = [wrong[i, :, 16 * (i // 2) :, 16 * (i % 2) :][:, :16, :16].mean() for i in range(4)]
    torch.testing.assert_close(loss, torch.stack(missed).mean())  # the small image itself is restored exactly


class Plane(torch.nn.Module):
    """A linear D(x) = sum(a x) + b that restores every image."""

    def __init__(self, slope, offset=0.0):
        super().__init__()
        self.slope, self.offset = torch.nn.Parameter(slope), torch.nn.Parameter(torch.tensor(offset))

    def forward(self, x):
        return self.scores(x, None)

    def resize(self, x):
        return x

    def features(self, x):
        return x, x

    def scores(self, x, _):
        return (self.slope * x).sum((1, 2, 3)) + self.offset

    def reconstruction(self, x, features, quadrant):
        return 0 * self.slope.sum()


class Constant(torch.nn.Module):
    """A G that makes one image, of a brightness it learns."""

    def __init__(self, value):
        super().__init__()
        self.value, self.inputs = torch.nn.Parameter(torch.tensor(value)), 3

    def forward(self, z):
        return self.value.expand(len(z), 1, 32, 32)


def plane(slope, offset, made, **settings):
    given = GanSettings(**{"learning_rate": 0.0, "collapse": 1e9, "penalty": 0.2, **settings})
    return of(Constant(made), Plane(slope, offset), given)


def test_hinge_is_low_for_a_discriminator_that_is_right_and_two_for_one_that_tells_nothing_apart():
    bright = torch.ones(8, 1, 32, 32)
    mean = torch.full((1, 32, 32), 1 / 1024)
    right = step(plane(4 * mean, -2.0, 0.0), bright)  # D(real) = 2, D(fake) = -2
    assert right["hinge"] == 0 and right["D_real"] == pytest.approx(2) and right["D_fake"] == -2
    wrong = step(plane(-4 * mean, 2.0, 0.0), bright)
    assert wrong["hinge"] == pytest.approx(6)  # (1 + 2) + (1 + 2): Eq. (8) of real -2 and made 2
    assert step(plane(0 * mean, 0.3, 0.0), bright)["hinge"] == pytest.approx(2)


def test_generator_climbs_the_score():
    mean = torch.full((1, 32, 32), 1 / 1024)
    model = of(Constant(0.2), Plane(mean), GanSettings(learning_rate=0.01, collapse=1e9, penalty=0.2))
    assert step(model)["generator"] == pytest.approx(-0.2)  # Eq. (9)
    # Adam's first step is the learning rate
    assert model.generator.value.item() == pytest.approx(0.21, rel=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_penalty_of_a_linear_discriminator_is_its_squared_slope(share):
    slope = normal(1, 32, 32)
    losses = step(plane(slope, 0.0, 0.0, share=share))
    assert losses["penalty"] == pytest.approx(slope.square().sum().item(), rel=1e-5)


def test_average_follows_its_recursion_batch_norm_included():
    model = learner(decay=0.45)
    expected = {}
    for k in range(4):
        step(model, seed=k)
        for name, now in model.generator.state_dict().items():
            # 1, 2/3, 4/7: of the last steps at first, and then of as many as the decay says
            weight = max(0.55, 4 / (k + 5)) if k else 1.0
            old = expected.get(name, now)
            expected[name] = old.lerp(now, weight) if now.is_floating_point() else now.clone()
    for name, value in model.average.module.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(model.average.module.state_dict()["last.weight"], model.generator.last.weight)


def test_collapse_stops_the_run_says_so_and_leaves_the_checkpoint(tmp_path):
    model = learner()
    ordinary, calls = model.generator.forward, []

    def collapses(z):
        calls.append(1)
        return ordinary(z if len(calls) <= 7 else torch.zeros_like(z))

    model.generator.forward = collapses
    often = {"report_every": 2, "save_every_seconds": 0.0, "progress": False}
    with pytest.raises(GalgenError, match=r"mode_collapse diverges.*last good checkpoint is kept"):
        train(model, galaxies(), tmp_path, BatchSampler(8, 48, 4, 1, 2, cosine), **often)
    state = checkpoint.load(tmp_path / "checkpoint.pt")
    assert state["shown"] == 24  # 6 steps of 4: the report before the one that found it
