"""Training in bfloat16: when it is chosen, steps close to float32, and one precision per run."""

import pytest
import torch

from galgen.experiment import Experiment, every_family
from galgen.models import precision
from galgen.models.conditional import ConditionalLearner, ConditionalUNet
from galgen.models.diffusion import DenoiserLearner
from galgen.models.unet import UNet
from galgen.profiles import ConditionalSettings, DiffusionSettings, Parameters
from galgen.runs.store import Store


def test_weights_and_optimizers_stay_in_float32_and_a_step_is_nearly_that_of_float32():
    losses = {}
    for p in ("fp32", "bf16"):
        torch.manual_seed(0)
        learner = DenoiserLearner({"net": UNet(16, 1)}, None, None, DiffusionSettings(), precision=p)
        images = torch.rand(16, 1, 16, 16, generator=torch.Generator().manual_seed(1))
        steps = [learner.step(images, torch.Generator().manual_seed(k), 0.1)["loss"] for k in range(5)]
        losses[p] = torch.stack(steps)
        kept = [*learner.net.state_dict().values()]
        kept += [t for o in learner.optimizers.values() for s in o.state.values() for t in s.values()]
        assert {t.dtype for t in kept if t.is_floating_point()} == {torch.float32}
    assert (losses["bf16"] - losses["fp32"]).abs().max() < 0.02 * losses["fp32"].max()
    assert not torch.equal(losses["bf16"], losses["fp32"])


def test_the_conditional_denoiser_ends_in_float32():
    images = torch.rand(16, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    losses = {}
    for p in ("fp32", "bf16"):
        torch.manual_seed(0)
        given = (images * 255).byte().numpy(), None, ConditionalSettings()
        learner = ConditionalLearner({"net": ConditionalUNet(16, 1, size=16)}, *given, precision=p)
        for rate in (0.0, 1.0):  # with the first nothing is learnt but the norms' running statistics
            losses[p, rate] = learner.step(images, torch.Generator().manual_seed(0), rate)["loss"]
    assert losses["bf16", 0.0] == losses["fp32", 0.0] and losses["bf16", 1.0] != losses["fp32", 1.0]
    assert losses["bf16", 1.0] == pytest.approx(losses["fp32", 1.0].item(), rel=0.02)


def without(monkeypatch, **there):
    """A processor of which torch says that and no more."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        if name in there:
            monkeypatch.setattr(torch.cpu, name, lambda said=there[name]: said, raising=False)
        else:
            monkeypatch.delattr(torch.cpu, name, raising=False)
    monkeypatch.setattr(precision, "capability", lambda: there.get("capability", "AVX512"))


PROCESSORS = [
    ({"_is_avx512_bf16_supported": True}, True),
    ({"_is_amx_tile_supported": True, "_is_avx512_bf16_supported": False}, True),
    ({"_is_avx512_bf16_supported": False}, False),
    ({}, False),  # a version of torch that does not say
    ({"_is_avx512_bf16_supported": True, "capability": "AVX2"}, False),  # told to leave it unused
]


@pytest.mark.parametrize(("there", "is_bf16"), PROCESSORS)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(monkeypatch, there, is_bf16):
    without(monkeypatch, **there)
    assert precision.resolved(Parameters(profile="paper")) == ("bf16" if is_bf16 else "fp32")
    both = ("fp32", "bf16")
    assert tuple(precision.resolved(Parameters(precision=asked)) for asked in both) == both
    assert precision.emulation("fp32") is None
    said = precision.emulation("bf16")
    assert said is None if is_bf16 else "times as long" in said and "PRECISION=fp32" in said


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_wide_networks_alone_are_trained_in_bfloat16_and_the_key_says_in_what(tmp_path, asked):
    families = every_family(Parameters(profile="laptop", precision=asked), Store(tmp_path), studies=True)
    wide = {name for name, each in families.items() if each.precision == "bf16"}
    assert wide == ({"diffusion", "conditional", "glow"} if asked == "bf16" else set())
    for each in families.values():
        if each.sizes:
            assert each.recipe(each.models.trainings()[0])["params"]["precision"] == each.precision


def test_a_training_that_is_emulated_says_so(fresh, monkeypatch, capsys):
    monkeypatch.setattr(precision, "slowdown", lambda: 3.0)
    experiment = Experiment(Parameters(profile="smoke", N=4, precision="bf16"), fresh)
    experiment.precision = "bf16"  # of networks too narrow for it
    for model, there in zip(
        experiment.models.pair(4), ({"_is_avx512_bf16_supported": True}, {}), strict=True
    ):
        without(monkeypatch, **there)
        experiment.train(model)
        assert ("3.0 times as long as in float32" in capsys.readouterr().err) is (not there)
