"""Publication of a run: validity with the current code, checks, and remaining steps."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_code import edited

from galbook import publishing, table
from galbook.build import __main__ as steps
from galbook.build import check, graph, published
from galbook.build.published import missing_measurements
from galbook.build.runs import Run
from galbook.measure.denoising import training_losses
from galbook.measure.interpolation import latent_circle
from galgen import published as models
from galgen.experiment import Experiment
from galgen.models import precision
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError
from galgen.runs.files import read_json, write_json
from galgen.runs.store import Store

SMOKE = Parameters(profile="smoke")
NAMES = {f"gan-N{N}-{model}" for N in (8, 24) for model in ("A0-0", "B1-1")}


@pytest.fixture(scope="module")
def book(galaxies_of_smoke, tmp_path_factory):
    """A project with a published run of GANs, of which two questions are asked, and two models of these."""
    folder = tmp_path_factory.mktemp("book")
    for of in galaxies_of_smoke:
        shutil.copytree(of, folder / "store" / "dataset" / of.name)
    with pytest.MonkeyPatch.context() as patch:
        surroundings(patch, folder)
        run = Run(SMOKE)
        (experiment,) = run.experiments
        for model in experiment.models.trainings():
            experiment.train(model)
        run.folder.mkdir(parents=True)
        publishing.publish(run.parameters, run.experiments)
        for model in experiment.models.pair(24):
            models.publish(experiment, model, folder / "results" / "models")
    return folder


def surroundings(patch, folder):
    """Stand in a project of that folder, whose book has GANs alone."""
    patch.chdir(folder)
    (folder / "data_manifest.yaml").touch()
    patch.setenv("GALGEN_STORE", str(folder / "store"))
    patch.setattr(Run, "experiments", property(lambda run: [Experiment(run.parameters, family="gan")]))
    patch.setattr(publishing, "questions", lambda: [latent_circle, training_losses])
    missing_measurements.cache_clear()
    table._opened.cache_clear()


@pytest.fixture
def fresh_clone(book, tmp_path, monkeypatch):
    """A copy of that project without its store."""
    for name in ("results", "build"):
        shutil.copytree(book / name, tmp_path / name)
    surroundings(monkeypatch, tmp_path)
    return Run(SMOKE)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_of_a_published_book_needs_a_step_or_a_data_set_in_a_fresh_clone(fresh_clone, capsys):
    assert missing_measurements(fresh_clone) == []
    (experiment,) = fresh_clone.experiments
    assert len(latent_circle(experiment, 24).arrays) == 1 and len(training_losses(experiment, 8).rows)
    known = publishing.trainings(fresh_clone.experiments, published.of_run(fresh_clone)["trainings"])
    assert {of["name"] for of in known} == NAMES and all(of["seconds"] > 0 for of in known)
    said = published.origin(fresh_clone)
    assert "are published" in said and "except" not in said and "make check" not in said
    assert steps.main(["computed"]) == 0 and not Store().root.exists()
    latent_circle.function(experiment, 24)
    assert steps.main(["computed"]) == 2
    said = capsys.readouterr().err
    assert "gan-N24-A0-0" in said and "dataset" in said


def test_another_run_has_all_its_steps_and_one_of_other_sizes_those_of_its_own(fresh_clone, monkeypatch):
    for other in ({"seed": 1}, {"profile": "laptop"}, {"data": "dead-leaves"}):
        run = Run(SMOKE.model_copy(update=other))
        assert missing_measurements(run) and not published.of_run(run) and published.origin(run) == ""
    run = Run(SMOKE.model_copy(update={"N": (8, 12, 24)}))
    assert {each.of for each in missing_measurements(run)} == {("gan", 12)} and published.origin(run) == ""
    monkeypatch.setenv("RECOMPUTE", "1")
    run = Run(SMOKE)
    assert run.name == "smoke-simulated-recomputed" and len(missing_measurements(run)) == 4


@pytest.fixture
def of(fresh_clone, monkeypatch):
    """The graph of that book, which has one chapter."""
    project = fresh_clone.folder.absolute().parents[1]
    (project / "book").mkdir()
    toc = {"parts": [{"chapters": [{"file": "chapters/06_gan"}, {"file": "chapters/01_data"}]}]}
    (project / "book" / "_toc.yml").write_text(json.dumps(toc))
    (project / "notebooks").mkdir()
    write_json(project / "notebooks" / "06_gan.ipynb", {"metadata": {"families": ["gan"]}})
    for name in graph.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    return lambda: graph.Graph({"profile": "smoke"}, 1)


def test_no_step_stands_for_what_is_published_and_this_is_said(of, capsys):
    made = of()
    assert made.measured(SimpleNamespace(run=made.book.name, chapter="06_gan")) == []
    made.announce()
    assert capsys.readouterr().err == "To be trained: nothing.\n"


def test_an_edited_question_is_measured_by_a_job_per_n_which_has_its_trainings(of, monkeypatch, capsys):
    edited(monkeypatch, latent_circle.function.__module__, "STEPS = 25", "STEPS = 26")
    made = of()
    folder = f"build/{made.book.name}"
    measured = made.measured(SimpleNamespace(run=made.book.name, chapter="06_gan"))
    assert measured == [f"{folder}/measured/gan-{N}" for N in (8, 24)]
    read = made.read(SimpleNamespace(run=made.book.name, family="gan", N="24"))
    assert read == [f"{folder}/trainings/gan-N24-A0-0"]
    made.announce()
    said = capsys.readouterr().err.splitlines()
    assert re.match(r"To be trained: gan-N24-A0-0, gan-N8-A0-0, at most \d+ minutes\.$", said[0])
    assert said[1] == "2 measurements are missing or of other code: latent_circle."
    assert steps.main(["measure", "gan", "8", "--profile", "smoke"]) == 0
    assert [run.summary["name"] for run in Store().runs("rows")] == ["gan-8"]
    made.announce()
    assert "1 measurements are missing or of other code" in capsys.readouterr().err
    assert published.origin(made.book).count(r"except the rows of latent\_circle, which") == 1


def test_an_edited_network_is_trained_again_and_all_that_reads_it_is_measured(of, monkeypatch, capsys):
    edited(monkeypatch, "galgen.models.gan", ".mean()  # Eq. (9)", ".sum()")
    of().announce()
    said = capsys.readouterr().err
    assert all(name in said for name in NAMES)
    assert "4 measurements are missing or of other code: latent_circle, training_losses" in said


def test_publishing_again_from_what_is_published_writes_the_same(fresh_clone):
    before = contents(fresh_clone.parameters.folder)
    publishing.publish(fresh_clone.parameters, fresh_clone.experiments)
    assert contents(fresh_clone.parameters.folder) == before and not Store().root.exists()


def test_auto_is_the_published_precision_also_where_all_is_made_again(fresh_clone, monkeypatch):
    path = SMOKE.folder / "run.json"
    write_json(path, read_json(path) | {"precision": "bf16"})
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: False)
    monkeypatch.setenv("RECOMPUTE", "1")
    assert Run(SMOKE).parameters.precision == "bf16"
    assert Experiment(Parameters(profile="paper"), Store()).precision == "fp32"


def test_a_check_measures_published_models_again_and_names_what_is_another(fresh_clone, monkeypatch):
    monkeypatch.setattr(
        check, "every_family", lambda of, store, **_: {"gan": Experiment(of, store, family="gan")}
    )
    monkeypatch.setattr(check, "_retrained", lambda run: [])
    losses = len(training_losses(fresh_clone.experiments[0], 8).rows)
    said = check.check(fresh_clone)
    assert "all within their tolerances" in said and f" {2 * losses} rows need models" in said
    assert "last measured" in published.origin(fresh_clone)
    monkeypatch.setattr(
        check, "moved", lambda before, after: [SimpleNamespace(statistic="x", model="A", here=1, value=0)]
    )
    with pytest.raises(
        GalgenError, match="1 values differ from the published ones: latent_circle/gan-24: x of A is 1"
    ):
        check.check(fresh_clone)
    assert "x of A is 1, not 0" in publishing.checked(SMOKE)["outcome"]


def test_numbers_may_move_by_a_part_of_their_interval_and_no_more():
    rows = table._table({"statistic": "agreement", "value": x, "low": x - 0.1, "high": x + 0.1, "at": k}
                        for k, x in enumerate((0.5, 0.7)))  # fmt: skip
    assert not check.moved(rows, rows.assign(value=rows.value + 0.024))
    (off,) = check.moved(rows, rows.assign(value=[0.524, 0.76]))
    assert (off.statistic, off.here, off.value) == ("agreement", 0.76, 0.7)
    assert len(check.moved(rows, rows[:1])) == 1, "a row that is not there"


def test_chapters_are_asked_for_by_their_numbers(of, monkeypatch):
    monkeypatch.setenv("CHAPTERS", "06")
    assert of().some == ["06_gan"]
    monkeypatch.setenv("CHAPTERS", "06 99")
    with pytest.raises(GalgenError, match="unknown chapter 99; known are 06, 01"):
        of()


def test_some_chapters_are_rendered_only_with_the_others(monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[1])
    steps.render(some=True, parameters=Parameters(profile="smoke", seed=2999))
    assert "Others are missing" in capsys.readouterr().out
