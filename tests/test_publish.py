"""What is published of a book: chosen, packed, held against today's code and checked, and the steps left."""

import json
import re
import shutil
import zipfile
from hashlib import sha256
from html import escape
from types import SimpleNamespace

import pytest
from test_code import edited
from test_packed import without

from galbook import scoreboard, walk
from galbook.claims import findings
from galbook.press import check, graph, published
from galbook.press.runs import Run
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs import packed
from galgen.runs import store as store_module
from galgen.runs.errors import GalgenError
from galgen.runs.files import write_json
from galgen.runs.store import Store

PARAMETERS = Parameters(profile="smoke", N=12)


@pytest.fixture(scope="module")
def book(trained, tmp_path_factory):
    """A project, with the store and a bound run of two GANs, of which one chapter asked two questions."""
    folder = tmp_path_factory.mktemp("book")
    shutil.copytree(trained.root / "dataset", folder / "store" / "dataset")
    shutil.copytree(trained.root / "gan", folder / "store" / "gan")
    with pytest.MonkeyPatch.context() as patch:
        surroundings(patch, folder)
        run = Run(PARAMETERS)
        run.begin()
        (run.folder / "asked").mkdir()
        patch.setenv("GALGEN_ASKED", str((run.folder / "asked" / "06_gan.jsonl").absolute()))
        (experiment,) = run.experiments
        scoreboard.likeness(experiment)  # reads samples
        walk.circle(experiment)  # reads networks
        patch.delenv("GALGEN_ASKED")
        for name in check.PAGES:
            (run.folder / "html" / name).parent.mkdir(parents=True, exist_ok=True)
            (run.folder / "html" / name).write_text(f"It is {check.BEGUN}being checked</span>.")
        write_json(run.folder / "results.json", {})
        published.publish(run)
    return folder


def surroundings(patch, folder):
    """Stand in a project of that folder, whose book has GANs alone."""
    patch.chdir(folder)
    patch.setenv("GALGEN_STORE", str(folder / "store"))
    patch.setattr(store_module, "_REFUSED", set())
    patch.setattr(packed, "project", lambda: folder)
    of = property(lambda run: [Experiment(run.parameters, family="gan")])
    patch.setattr(Run, "experiments", of)
    patch.setattr("galgen.experiment.Models.trainings", lambda models: list(models.pair(12)))
    patch.setattr(check, "IN_FULL", ("gan",))


@pytest.fixture
def fresh_clone(book, tmp_path, monkeypatch):
    """A copy of that project without its store."""
    for name in ("results", "build"):
        shutil.copytree(book / name, tmp_path / name)
    surroundings(monkeypatch, tmp_path)
    return Run(PARAMETERS)


def test_a_book_is_packed_and_nothing_of_it_needs_a_step_in_a_fresh_clone(book, fresh_clone, monkeypatch):
    known = packed.about(Store().packed)
    assert known["parameters"]["N"] == [12] and known["precision"] == fresh_clone.parameters.precision
    questions = {of["question"]: of["needs"] for of in known["answers"].values()}
    assert questions["galbook.walk.circle"] == ["gan-N12-A0-0"], "as its weights are not packed"
    kinds = {path.parent.name for path in Store().packed.glob("*/*.zip")}
    assert kinds == {"answers", "dataset", "gan", "samples"}
    there, old = published.needed(fresh_clone, Store())
    assert findings.where_whole(fresh_clone.experiments), "the first page has its answer"
    assert there == {"gan-N12-A0-0", "gan-N12-B1-1"} and old == {}
    stamps = published.stamps(fresh_clone, ())
    assert {stamp["name"] for stamp in stamps} == there
    assert all(Store().get(stamp["key"]).record["kind"] == "gan" for stamp in stamps), "for the status page"
    (experiment,) = fresh_clone.experiments
    monkeypatch.setattr(Experiment, "networks", lambda *given: pytest.fail("networks are asked for"))
    assert walk.circle(experiment) is not None and scoreboard.likeness(experiment)
    said = published.origin(fresh_clone)
    assert "computed by this very code" in said and known["commit"] in said and check.BEGUN in said


def test_another_run_has_all_its_steps(fresh_clone, monkeypatch):
    for other in ({"seed": 1}, {"N": (13,)}, {"profile": "laptop"}):
        run = Run(PARAMETERS.model_copy(update=other))
        assert published.needed(run, Store()) == (set(), {}) and published.origin(run) == ""
    monkeypatch.setenv("RECOMPUTE", "1")
    run = Run(PARAMETERS)
    assert run.name == "smoke-simulated-N12-recomputed" and published.needed(run, Store()) == (set(), {})


@pytest.fixture
def of(fresh_clone, monkeypatch):
    """The graph of that book, which has one chapter."""
    (fresh_clone.folder.parents[1] / "book").mkdir()
    toc = {"parts": [{"chapters": [{"file": "chapters/06_gan"}, {"file": "chapters/01_data"}]}]}
    (fresh_clone.folder.parents[1] / "book" / "_toc.yml").write_text(json.dumps(toc))
    names = [model.name for model in fresh_clone.experiments[0].models.trainings()]
    plan = {name: {"name": name, "minutes": 4.0, "chapters": ["06_gan"]} for name in names}
    monkeypatch.setattr(Run, "plan", plan)
    for name in graph.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    return lambda: graph.Graph({"profile": "smoke", "sizes": "12"}, 1)


def test_no_step_stands_for_what_is_published_and_this_is_said(of, capsys):
    made = of()
    chapter = SimpleNamespace(run=made.book.name, chapter="06_gan")
    assert made.trainings(chapter) == [] and made.of_book()[1].endswith("checked.json")
    made.announce()
    assert capsys.readouterr().err == "To be trained: nothing.\n"


def test_an_edited_question_is_named_and_has_its_trainings_and_no_other_is(of, monkeypatch, capsys):
    edited(monkeypatch, "galbook.walk", "def circle(", "def other(): ...\n\n\n@once\ndef circle(*more, ")
    published._version.cache_clear()
    made = of()
    chapter = SimpleNamespace(run=made.book.name, chapter="06_gan")
    assert made.trainings(chapter) == [f"build/{made.book.name}/trainings/gan-N12-A0-0.json"]
    made.announce()
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("To be trained: gan-N12-A0-0, ") and "minutes at most" in said[0]
    assert said[1].startswith("1 published answers are of other code: walk.circle.")
    published._version.cache_clear()


def test_an_edited_network_is_trained_again_and_all_that_asks_it_is_stale(of, monkeypatch, capsys):
    edited(monkeypatch, "galgen.models.gan", ".mean()  # Eq. (9)", ".sum()")
    published._version.cache_clear()
    made = of()
    assert len(made.trainings(SimpleNamespace(run=made.book.name, chapter="06_gan"))) == 2
    made.announce()
    said = capsys.readouterr().err
    assert "gan-N12-A0-0, gan-N12-B1-1" in said and "walk.circle" in said
    published._version.cache_clear()


def test_an_edited_sentence_voids_nothing(of, monkeypatch):
    edited(monkeypatch, "galbook.sentences", "def listed(", "def listed(*more, ")
    published._version.cache_clear()
    assert of().published[1] == {}
    published._version.cache_clear()


def test_publishing_again_from_what_is_published_packs_the_same(fresh_clone, monkeypatch):
    (fresh_clone.folder / "asked").rename(fresh_clone.folder / "before")
    (fresh_clone.folder / "asked").mkdir()
    monkeypatch.setenv("GALGEN_ASKED", str((fresh_clone.folder / "asked" / "06_gan.jsonl").absolute()))
    (experiment,) = fresh_clone.experiments
    scoreboard.likeness(experiment)
    walk.circle(experiment)
    experiment.ensure(experiment.models.trainings())
    monkeypatch.delenv("GALGEN_ASKED")
    before = {path.name: path.read_bytes() for path in Store().packed.rglob("*.zip")}
    published.publish(fresh_clone)
    assert before == {path.name: path.read_bytes() for path in Store().packed.rglob("*.zip")}
    assert not list(Store().root.glob("gan/*[!d].published/weights*")), "nothing was trained"
    monkeypatch.setattr(published, "LARGEST", 1e-6)
    with pytest.raises(GalgenError, match=r"MB are more than 1e-06: .*samples .*publish less"):
        published.publish(fresh_clone)
    assert before == {path.name: path.read_bytes() for path in Store().packed.rglob("*.zip")}, "it is kept"
    (fresh_clone.folder / "results.json").unlink()
    with pytest.raises(GalgenError, match="no finished book to publish"):
        published.publish(fresh_clone)


def test_a_check_makes_again_tells_the_bound_pages_and_is_kept(fresh_clone, monkeypatch, tmp_path):
    out = fresh_clone.folder / "checked.json"
    assert "checked here" in check.check(fresh_clone, out)
    for name in check.PAGES:
        text = (fresh_clone.folder / "html" / name).read_text()
        assert re.fullmatch(rf"It is {check.BEGUN}checked here \(.*\): they do</span>\.", text)
    monkeypatch.setattr(check, "_trainings", lambda *given: pytest.fail("it is checked again"))
    out.unlink()
    check.check(fresh_clone, out)
    assert out.is_file()


def test_the_outcome_stands_on_the_first_page_and_that_of_the_status_of_a_bound_book(small_html, tmp_path):
    (tmp_path / "chapters").mkdir()
    for name in check.PAGES:
        shutil.copy(small_html / name, tmp_path / name)
    for said in ("checked here", "the check failed: <b>"):
        check.tell(tmp_path, said)
        for name in check.PAGES:
            text = (tmp_path / name).read_text()
            assert "computed by this very code" in text and "but for the answers to" in text
            assert text.count("being checked") == 0 and text.count(f"{check.BEGUN}{escape(said)}</span>") == 1


def resealed(file, name, text):
    """Have a packed entry say something else, in a way that its checksums cannot show."""
    with zipfile.ZipFile(file) as old:
        record = json.loads(old.read("record.json"))
    record["sha256"][name] = sha256(text.encode()).hexdigest()
    without(name, text)(file)
    without("record.json", json.dumps(record))(file)


def test_a_check_finds_a_training_that_is_another_and_names_it_on_the_first_page(fresh_clone):
    (experiment,), out = fresh_clone.experiments, fresh_clone.folder / "checked.json"
    model = experiment.models.pair(12)[0]
    text = '{"images": 512, "hinge": 0.0}\n'
    resealed(Store().packed / "gan" / f"{experiment.key(model)}.zip", "losses.jsonl", text)
    shutil.rmtree(Store().root)  # where the other is unpacked
    for _ in range(2):
        with pytest.raises(GalgenError, match=f"{model.name}, retrained, is another model"):
            check.check(fresh_clone, out)
    assert "check failed" in (fresh_clone.folder / "html" / check.PAGES[0]).read_text() and not out.exists()


def test_a_check_elsewhere_compares_first_steps_and_finds_other_losses(fresh_clone, monkeypatch):
    known = dict(packed.about(Store().packed))
    monkeypatch.setattr(check, "_same_class", lambda known: False)
    monkeypatch.setattr(check.published, "verify", lambda: [])
    assert [*check._trainings(fresh_clone, known, None)] == []
    (experiment,) = fresh_clone.experiments
    other = experiment.begun(experiment.models.pair(12)[1], published.STEPS)
    known["begun"] = dict.fromkeys(known["begun"], other)
    assert "other losses" in next(check._trainings(fresh_clone, known, None))


def test_an_answer_that_is_asked_again_and_is_another_is_named(fresh_clone, tmp_path):
    known = packed.about(Store().packed)
    known["answers"] = {key: of | {"needs": []} for key, of in known["answers"].items()}
    assert [*check._answers(fresh_clone, known, True, tmp_path / "a")] == []
    for file in Store().packed.glob("answers/*.zip"):
        resealed(file, "answer.json", "{}")
    again = [*check._answers(fresh_clone, known, True, tmp_path / "b")]
    assert len(again) == len(known["answers"]) and all("asked again, has another" in each for each in again)


@pytest.mark.parametrize(
    ("found", "told", "same"),
    [
        ([1, {"a": 2.0}], [1, {"a": 2.0}], True),
        ([1.0, float("nan")], [1.0, float("nan")], True),
        ([1.0005], [1.0], True),
        ([1000.5], [1000.0], True),
        ([1.002], [1.0], False),
        ([1.0], [1.0, 2.0], False),
        ({"a": 1}, {"b": 1}, False),
        ("yes", "no", False),
        (float("inf"), 1.0, False),
        (1.0, float("inf"), False),
    ],
)
def test_numbers_are_alike_to_a_tolerance(found, told, same):
    assert check._alike(found, told, check.TOLERANCE) is same
    assert check._alike(told, told, 0.0)


def test_chapters_are_asked_for_by_their_numbers(of, monkeypatch):
    monkeypatch.setenv("CHAPTERS", "06")
    assert of().some == ["06_gan"]
    monkeypatch.setenv("CHAPTERS", "06 99")
    with pytest.raises(GalgenError, match="no chapter 99; there are 06, 01"):
        of()
