"""The recipes for adding a chapter and a model family work as written."""

import importlib
import json
import re
import sys
from pathlib import Path

import nbformat
import test_every_family
import test_notebooks
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from galbook import table
from galgen import models, profiles
from galgen import profiles as settings_module
from galgen.experiment import Experiment
from galgen.models import families
from galgen.models.gan import Gan
from galgen.profiles import Parameters

ROOT = Path(__file__).parents[1]
MODEL_PAGE, PAGE = (ROOT / "book" / "another.md").read_text().split("\n## A chapter\n")


def chapter_of_the_page(path, *code):
    """Write the chapter that the page shows, tagged as it says, with some more code at its end."""
    measure, *shown = re.findall(r"```python\n(.*?)\n```", PAGE, re.DOTALL)
    cells = [new_code_cell(source, metadata={"tags": []}) for source in (*shown, *code)]
    cells[0].metadata["tags"] = ["parameters", "remove-cell"]
    (figure,) = (cell for cell in cells if "\nshow(" in cell.source)
    of_figure, of_notebook = map(json.loads, re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL))
    figure.metadata.update(of_figure)
    cells[1].source = cells[1].source.replace(
        "\nhouse_style()", "\nfrom another import another\n\nhouse_style()"
    )
    cells.insert(0, new_markdown_cell("# Another chapter"))
    nbformat.write(new_notebook(cells=cells, metadata=of_notebook), path)
    path.with_name("another.py").write_text(measure)


def test_the_cells_of_the_page_are_a_chapter(store, tmp_path, monkeypatch):
    chapter = tmp_path / "16_another.ipynb"
    chapter_of_the_page(chapter)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(table, "QUESTIONS", dict(table.QUESTIONS))
    test_notebooks.test_a_chapter_is_committed_without_outputs_and_with_its_parameters(chapter)
    test_notebooks.test_a_chapter_runs_at_smoke_and_every_figure_has_a_name_a_caption_and_a_text(
        chapter, store, tmp_path, monkeypatch
    )
    executed = nbformat.read(tmp_path / "out.ipynb", 4)
    shown = [output.get("data", {}) for cell in executed.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in data for data in shown) == 1
    assert sum("tab-another" in data.get("text/markdown", "") for data in shown) == 1


def test_every_path_that_the_page_names_is_there():
    named = set(re.findall(r"`((?:galgen|workflow|book|notebooks)/[\w/.]*)`", PAGE))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_images_that_no_gan_makes_are_resized_on_the_way_in_and_out():
    gan = Gan(profiles.profile("smoke"))
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


def test_a_reader_who_follows_the_page_has_a_fifth_model(fresh, tmp_path, monkeypatch):
    settings, small, model, chapter = re.findall(r"```python\n(.*?)```", MODEL_PAGE, re.DOTALL)
    (tmp_path / "vae.py").write_text(model)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    scope = {}
    exec(settings + small, scope)
    family = importlib.import_module("galgen.models.vae").Autoencoder
    VaeSettings = scope["VaeSettings"]

    class Profile(settings_module.Profile):
        vae: VaeSettings = VaeSettings()

    smoke = profiles.profile("smoke")
    given = {name: getattr(smoke, name) for name in settings_module.Profile.model_fields}
    monkeypatch.setitem(profiles.PROFILES, "smoke", own := Profile(**given, vae=scope["vae"]))
    monkeypatch.setitem(families.FAMILIES, "vae", family)
    experiment = Experiment(Parameters(profile="smoke"), fresh, family="vae")
    assert {record["name"] for record in experiment.plan()} >= {"vae-N8-A0-0", "vae-N24-B1-1"}
    for training in experiment.models.pair(24):
        experiment.train(training)
    monkeypatch.setenv("GALGEN_STORE", str(fresh.root))
    exec(chapter, scope)
    assert scope["found"].n == smoke.samples
    assert (0 <= scope["experiment"].samples(scope["a"])).all()
    monkeypatch.setattr(test_every_family, "SMOKE", own)
    monkeypatch.setitem(test_every_family.ALL, "vae", family)
    test_every_family.test_every_parameter_gets_a_gradient("vae")
    test_every_family.test_steps_learn("vae")
    test_every_family.test_held_out_images_enter_no_gradient("vae")
    test_every_family.test_a_sample_is_named_by_its_seed_and_not_by_its_batch("vae")
    test_every_family.test_a_killed_training_resumes_bit_for_bit("vae", "fp32", tmp_path)
