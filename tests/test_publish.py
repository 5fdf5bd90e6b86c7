"""What is published of a book: packed, held against today's code and checked, and the steps that are left."""

import json
import re
import shutil
from html import escape
from types import SimpleNamespace

import pytest
from test_code import edited

from galbook import publishing, table
from galbook.measure.denoising import training_losses
from galbook.measure.interpolation import latent_circle
from galbook.press import __main__ as steps
from galbook.press import check, graph, published
from galbook.press.runs import Run
from galgen.experiment import Experiment
from galgen.models import precision
from galgen.profiles import Parameters
from galgen.runs import packed
from galgen.runs import store as store_module
from galgen.runs.errors import GalgenError
from galgen.runs.files import write_json
from galgen.runs.store import Store

SMOKE = Parameters(profile="smoke")
NAMES = {f"gan-N{N}-{model}" for N in (8, 24) for model in ("A0-0", "B1-1")}


@pytest.fixture(scope="module")
def book(galaxies_of_smoke, tmp_path_factory):
    """A project with a bound and published run of GANs, of which two questions are asked."""
    folder = tmp_path_factory.mktemp("book")
    for of in galaxies_of_smoke:
        shutil.copytree(of, folder / "store" / "dataset" / of.name)
    with pytest.MonkeyPatch.context() as patch:
        surroundings(patch, folder)
        run = Run(SMOKE)
        run.begin()
        for model in run.experiments[0].models.trainings():
            run.experiments[0].train(model)
        for name in check.PAGES:
            (run.folder / "html" / name).parent.mkdir(parents=True, exist_ok=True)
            (run.folder / "html" / name).write_text(f"It is {check.BEGUN}being checked</span>.")
        with pytest.raises(GalgenError, match="no finished book to publish"):
            published.publish(run)
        write_json(run.folder / "results.json", {})
        said = published.publish(run)
        assert f"7 trainings and data sets in {folder / 'results' / 'published'}" in said, said
    return folder


def surroundings(patch, folder):
    """Stand in a project of that folder, whose book has GANs alone."""
    patch.chdir(folder)
    patch.setenv("GALGEN_STORE", str(folder / "store"))
    patch.setattr(store_module, "_REFUSED", set())
    patch.setattr(Run, "experiments", property(lambda run: [Experiment(run.parameters, family="gan")]))
    patch.setattr(publishing, "questions", lambda: [latent_circle, training_losses])
    patch.setattr(check.published, "verify", lambda: [])
    published.needed.cache_clear()
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


def test_nothing_of_a_published_book_needs_a_step_in_a_fresh_clone(fresh_clone, monkeypatch, capsys):
    kinds = {path.parent.name for path in packed.place().glob("*/*.zip")}
    assert kinds == {"dataset", "gan"}, "no answers, no samples"
    assert published.needed(fresh_clone) == (NAMES, [])
    stamps = published.stamps(fresh_clone, ["gan-N8-A0-0"])
    assert {stamp["name"] for stamp in stamps} == NAMES - {"gan-N8-A0-0"}
    assert all(Store().get(stamp["key"]).record["kind"] == "gan" for stamp in stamps), "for the status page"
    (experiment,) = fresh_clone.experiments
    assert len(latent_circle(experiment, 24).arrays) == 1 and len(training_losses(experiment, 8).rows)
    said = published.origin(fresh_clone)
    assert "computed by this very code" in said and check.BEGUN in said and "but for" not in said
    assert steps.main(["made"]) == 0
    latent_circle.function(experiment, 24)
    assert steps.main(["made"]) == 2 and "gan-N24-A0-0" in capsys.readouterr().err


def test_another_run_has_all_its_steps_and_one_of_other_sizes_those_of_its_own(fresh_clone, monkeypatch):
    for other in ({"seed": 1}, {"profile": "laptop"}, {"data": "dead-leaves"}):
        run = Run(SMOKE.model_copy(update=other))
        there, missing = published.needed(run)
        assert there == set() and missing and published.origin(run) == ""
    run = Run(SMOKE.model_copy(update={"N": (8, 12, 24)}))
    there, missing = published.needed(run)
    assert there == NAMES and {each.of for each in missing} == {("gan", 12)} and published.origin(run) == ""
    monkeypatch.setenv("RECOMPUTE", "1")
    run = Run(SMOKE)
    assert run.name == "smoke-simulated-recomputed" and published.needed(run)[0] == set()


@pytest.fixture
def of(fresh_clone, monkeypatch):
    """The graph of that book, which has one chapter."""
    project = fresh_clone.folder.parents[1]
    (project / "book").mkdir()
    toc = {"parts": [{"chapters": [{"file": "chapters/06_gan"}, {"file": "chapters/01_data"}]}]}
    (project / "book" / "_toc.yml").write_text(json.dumps(toc))
    (project / "notebooks").mkdir()
    write_json(project / "notebooks" / "06_gan.ipynb", {"metadata": {"families": ["gan"]}})
    plan = {name: {"name": name, "minutes": 4.0, "chapters": ["06_gan"]} for name in sorted(NAMES)}
    monkeypatch.setattr(Run, "plan", plan)
    for name in graph.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    return lambda: graph.Graph({"profile": "smoke"}, 1)


def test_no_step_stands_for_what_is_published_and_this_is_said(of, capsys):
    made = of()
    chapter = SimpleNamespace(run=made.book.name, chapter="06_gan")
    assert made.trainings(chapter) == [] == made.measured(chapter)
    assert made.of_book()[1].endswith("checked.json")
    made.announce()
    assert capsys.readouterr().err == "To be trained: nothing.\n"


def test_an_edited_question_is_measured_by_a_job_per_n_which_has_its_trainings(of, monkeypatch, capsys):
    edited(monkeypatch, latent_circle.function.__module__, "STEPS = 25", "STEPS = 26")
    made = of()
    chapter = SimpleNamespace(run=made.book.name, chapter="06_gan")
    folder = f"build/{made.book.name}"
    assert made.measured(chapter) == [f"{folder}/measured/gan-{N}" for N in (8, 24)]
    asked = made.asked(SimpleNamespace(run=made.book.name, family="gan", N="24"))
    assert asked == [f"{folder}/trainings/gan-N24-A0-0.json"]
    assert made.trainings(chapter) == [f"{folder}/trainings/gan-N{N}-A0-0.json" for N in (24, 8)]
    made.announce()
    said = capsys.readouterr().err.splitlines()
    assert re.match(r"To be trained: gan-N24-A0-0, gan-N8-A0-0, \d+ minutes at most\.$", said[0])
    assert said[1] == "2 measurements are of other code or missing: latent_circle; they are measured."
    assert steps.main(["measure", "gan", "8", "--profile", "smoke"]) == 0
    assert [run.summary["name"] for run in Store().runs("rows")] == ["gan-8"]
    made.announce()
    assert "1 measurements are of other code or missing" in capsys.readouterr().err
    assert published.origin(made.book).count(r"but for the rows of latent\_circle, which") == 1


def test_an_edited_network_is_trained_again_and_all_that_reads_it_is_measured(of, monkeypatch, capsys):
    edited(monkeypatch, "galgen.models.gan", ".mean()  # Eq. (9)", ".sum()")
    made = of()
    assert len(made.trainings(SimpleNamespace(run=made.book.name, chapter="06_gan"))) == 4
    made.announce()
    assert (
        "4 measurements are of other code or missing: latent_circle, training_losses"
        in capsys.readouterr().err
    )


def test_publishing_again_from_what_is_published_writes_the_same(fresh_clone):
    before = contents(packed.place().parent)
    published.publish(fresh_clone)
    assert contents(packed.place().parent) == before
    assert not list(Store().root.glob("gan/*[!d]/weights*")), "nothing was trained"


def test_the_trainings_of_another_run_are_kept_and_its_table_has_a_folder_of_its_own(fresh_clone):
    known = json.loads((packed.place() / "book.json").read_text())
    known["parameters"]["seed"] = 7
    write_json(packed.place() / "book.json", known)
    before = contents(packed.place())
    assert "keeps the trainings of another run" in published.publish(fresh_clone)
    assert contents(packed.place()) == before


def test_auto_is_the_published_precision_also_where_all_is_made_again(fresh_clone, monkeypatch):
    known = json.loads((packed.place() / "book.json").read_text())
    write_json(packed.place() / "book.json", known | {"precision": "bf16"})
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: False)
    monkeypatch.setenv("RECOMPUTE", "1")
    assert Run(SMOKE).parameters.precision == "bf16"
    assert Experiment(Parameters(profile="night"), Store()).precision == "fp32"


def test_a_check_tells_the_bound_pages_and_names_what_is_another(fresh_clone, monkeypatch):
    out = fresh_clone.folder / "checked.json"
    assert "checked here" in check.check(fresh_clone, out) and out.is_file()
    for name in check.PAGES:
        text = (fresh_clone.folder / "html" / name).read_text()
        assert re.fullmatch(rf"It is {check.BEGUN}checked here \(.*\): they do</span>\.", text)
    out.unlink()
    path = table.run_folder(SMOKE) / "measurements.csv"
    path.write_text(path.read_text().replace(",A0,", ",A9,"))
    known = json.loads((packed.place() / "book.json").read_text())
    known["begun"] = {name: losses[::-1] for name, losses in known["begun"].items()}
    write_json(packed.place() / "book.json", known)
    table._opened.cache_clear()
    told = r"20 steps of gan-N8-A0-0 have other losses; .* in measurements\.csv have changed"
    with pytest.raises(GalgenError, match=told):
        check.check(fresh_clone, out)
    assert "check failed" in (fresh_clone.folder / "html" / check.PAGES[0]).read_text() and not out.exists()


def test_the_outcome_stands_on_the_first_page_and_that_of_the_status_of_a_bound_book(small_html, tmp_path):
    (tmp_path / "chapters").mkdir()
    for name in check.PAGES:
        shutil.copy(small_html / name, tmp_path / name)
    for said in ("checked here", "the check failed: <b>"):
        check.tell(tmp_path, said)
        for name in check.PAGES:
            text = (tmp_path / name).read_text()
            assert "computed by this very code" in text
            assert text.count("being checked") == 0 and text.count(f"{check.BEGUN}{escape(said)}</span>") == 1


@pytest.mark.parametrize(
    ("found", "told", "same"),
    [
        ([{"a": 2.0}], [{"a": 2.0}], True),
        ([{"a": float("nan")}], [{"a": float("nan")}], True),
        ([{"a": 1.04}], [{"a": 1.0}], True),
        ([{"a": 1.06}], [{"a": 1.0}], False),
        ([{"a": 1.0}], [{"a": 1.0}, {"a": 1.0}], False),
        ([{"a": 1.0}], [{"b": 1.0}], False),
        ([{"a": float("inf")}], [{"a": 1.0}], False),
        ([{"a": 1.0}], [{"a": float("inf")}], False),
    ],
)
def test_losses_are_alike_to_a_tolerance(found, told, same):
    assert check._alike(found, told, check.STEPS_TOLERANCE) is same
    assert check._alike(told, told, 0.0)


def test_chapters_are_asked_for_by_their_numbers(of, monkeypatch):
    monkeypatch.setenv("CHAPTERS", "06")
    assert of().some == ["06_gan"]
    monkeypatch.setenv("CHAPTERS", "06 99")
    with pytest.raises(GalgenError, match="no chapter 99; there are 06, 01"):
        of()
