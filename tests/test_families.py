import importlib
import re
import sys
from pathlib import Path

import torch

from galgen import config
from galgen import settings as settings_module
from galgen.compare.agreement import two_models
from galgen.config import Parameters
from galgen.data.unit import mean_image
from galgen.experiment import Experiment
from galgen.models import families
from galgen.models.gan import Gan

PAGE = Path(__file__).parents[1] / "book" / "another_model.md"


def test_images_that_no_gan_makes_are_resized_on_the_way_in_and_out():
    gan = Gan(config.profile("smoke"))
    networks = gan.networks()
    for net in networks.values():
        net.eval()
    drawn = gan.draw(networks, range(3), torch.zeros(1, 16, 16))
    assert drawn.shape == (3, 1, 16, 16)
    large = gan.draw(networks, range(3), torch.zeros(1, 32, 32))
    assert torch.allclose(torch.nn.functional.avg_pool2d(large, 2), drawn, atol=1e-6)
    D = networks["discriminator"]
    assert D.resize(large) is large
    assert torch.allclose(D(drawn), D(D.resize(drawn)))
    assert torch.allclose(D.resize(torch.full((1, 1, 16, 16), 0.3)), torch.full((1, 1, 32, 32), 0.3))


def test_a_reader_who_follows_the_page_has_a_fourth_model(fresh, tmp_path, monkeypatch):
    settings, model, chapter = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "vae.py").write_text(model)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    scope = {}
    exec(settings, scope)
    family = importlib.import_module("vae").Autoencoder
    VaeSettings = scope["VaeSettings"]

    class Profile(settings_module.Profile):
        vae: VaeSettings = VaeSettings(N=(8, 24), design_N=8, batch_size=8, images_cap=256, milestones=2)

    smoke = config.profile("smoke")
    own = Profile(**{name: getattr(smoke, name) for name in settings_module.Profile.model_fields})
    monkeypatch.setitem(config.PROFILES, "smoke", own)
    monkeypatch.setitem(families.FAMILIES, "vae", family)
    parameters = Parameters(profile="smoke", N=[8, 24])
    experiment = Experiment(parameters, fresh, family="vae")
    assert {record["name"] for record in experiment.plan()} >= {"vae-N8-A0-0", "vae-N24-B1-1"}
    scope |= {"experiment": experiment, "parameters": parameters, "two_models": two_models}
    scope["mean"] = mean_image(experiment.dataset.images)
    _, lines = chapter.replace("100", "24").split("\n", 1)  # the first takes the project's store
    exec(lines, scope)
    assert scope["found"].n == smoke.samples
    assert (0 <= experiment.samples(scope["a"])).all()
