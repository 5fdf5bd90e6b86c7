"""The table of measurements: measured once, published completely, read by key; errors in one line."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_code import edited

from galbook import publishing, table
from galbook.replication import HELD_OUT_OVER_TRAINING, confirmatory
from galbook.table import Published, each_size, first_pair, question, read_table, row
from galbook.verdicts import CLAIMS, cells_of_run
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs import files
from galgen.runs.errors import GalgenError
from galgen.runs.files import project

SMOKE = Parameters(profile="smoke")


@question(families=("gan",), arguments=each_size, models=lambda *_: ())
def brightness(experiment, N):
    """The mean of A's training images, which is noted where it is measured."""
    with open("measured", "a") as log:
        log.write(f"{N}\n")
    time.sleep(0.2)
    means = experiment.images.of(experiment.models.pair(N)[0]).mean((1, 2, 3))
    return [row("agreement", means.mean(), model="A0")], {"means": means}


@question(families=("gan",), arguments=each_size, models=first_pair)
def lost(experiment, N):
    """The number of reported losses of A and B."""
    runs = [experiment.train(model) for model in experiment.models.pair(N)]
    return [
        row("agreement", len((run.path / "losses.jsonl").read_text().split("\n"))) for run in runs[:1]
    ], {}


for _each in (brightness, lost):
    del table.QUESTIONS[_each.name]  # they are none of the book's


def measured():
    return Path("measured").read_text().split() if Path("measured").exists() else []


def experiment_of(store, **changed):
    return Experiment(SMOKE.model_copy(update=changed), store, family="gan")


@pytest.fixture
def here(fresh, tmp_path, monkeypatch):
    """A project with galaxies and no models, whose book asks one question of GANs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(publishing, "questions", lambda: [brightness])
    table._opened.cache_clear()
    yield experiment_of(fresh)
    table._opened.cache_clear()


@pytest.fixture
def there(here):
    """Its table, published; and nothing is kept of what was measured."""
    publishing.publish(SMOKE, [here])
    assert measured() == ["8", "24"]
    for entry in here.store.finished("rows"):
        here.store.remove(entry.name)
    return SMOKE.folder


def whole(folder):
    """The means of all published images, after all checks."""
    found = Published(folder)
    each = [found.get(name) for name in found.about["files"]]
    assert len(read_table(folder / "measurements.csv")) == sum(len(one.rows) for one in each)
    return [one.arrays["means"].mean() for one in each]


def test_what_is_published_is_measured_by_nobody_also_beside_other_sizes(here, there, capsys):
    assert folder_of(there) == ["arrays", "measurements.csv", "run.json"]
    means = [brightness(here, N).arrays["means"].mean() for N in (24, 8)]
    assert means == whole(there) and brightness.published(here, 8)
    beside = experiment_of(here.store, N=(8, 12, 24))
    assert len(brightness.every(beside)) == 3 and measured() == ["8", "24", "12"]
    assert brightness.size(beside, 12) == 12 and brightness.size(beside) == 24
    assert "galgen" not in capsys.readouterr().err
    assert not brightness.published(experiment_of(here.store, seed=1), 8)


def folder_of(path):
    return sorted(each.name for each in path.iterdir())


def test_recompute_measures_it(here, there, monkeypatch):
    monkeypatch.setenv("RECOMPUTE", "1")
    assert not brightness.published(here, 8)
    brightness(here, 8)
    assert measured() == ["8", "24", "8"]


def test_rows_of_another_key_are_measured_again_and_this_is_said(here, there, monkeypatch, capsys):
    edited(monkeypatch, "test_table", "mean((1, 2, 3))", "mean((3, 2, 1))")
    assert len(publishing.missing([here])) == 2 and capsys.readouterr().err == ""
    brightness(here, 8)
    said = capsys.readouterr().err
    assert "published rows brightness/gan-8 were measured with other code" in said and said.count("\n") == 1
    assert measured() == ["8", "24", "8"]


def test_another_version_of_a_question_makes_its_rows_invalid_and_no_others(here, there, monkeypatch):
    before = lost.origin(here, 8)["key"]
    monkeypatch.setattr(brightness, "version", 2)
    assert not brightness.published(here, 8) and lost.origin(here, 8)["key"] == before


def test_rows_of_a_statistic_that_is_no_longer_defined_are_ignored_and_make_nothing_invalid(
    here, there, monkeypatch
):
    monkeypatch.delitem(table.STATISTICS, "agreement")
    assert brightness.published(here, 8) and brightness(here, 8).rows.empty


def test_models_are_trained_by_processes_before_they_are_asked_where_rows_are_missing(trained, monkeypatch):
    asked, ensure = [], Experiment.ensure
    monkeypatch.setattr(Experiment, "ensure", lambda self, of: asked.append([*of]) or ensure(self, asked[-1]))
    monkeypatch.setenv("RECOMPUTE", "1")
    experiment = Experiment(SMOKE.model_copy(update={"N": (12,)}), trained, family="gan")
    for _ in range(2):
        assert len(lost(experiment, 12).rows) == 1
    assert asked == [[*experiment.models.pair(12)]]


def rewritten(name, old, new):
    """Replaces in a file what is there once or more."""

    def tamper(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return tamper


TAMPERED = {
    "a changed number": (
        rewritten("measurements.csv", "A0,,", "B0,,"),
        "measurements.csv is missing, or has changed",
    ),
    "another schema": (rewritten("run.json", '"schema": 2', '"schema": 1'), "run.json has schema 1, not 2"),
    "a damaged index": (rewritten("run.json", "{", "<<<<"), "run.json"),
    "no table": (lambda folder: (folder / "measurements.csv").unlink(), "measurements.csv is missing"),
    "no arrays": (
        lambda folder: (folder / "arrays" / "brightness.npz").unlink(),
        "brightness.npz is missing",
    ),
    "other arrays": (
        lambda folder: np.savez(folder / "arrays" / "brightness.npz", x=0),
        "brightness.npz is missing, or has changed",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_is_not_as_it_was_published_is_refused_in_one_line(here, there, how):
    tamper, told = TAMPERED[how]
    tamper(there)
    with pytest.raises(GalgenError, match="restore the folder from the repository") as said:
        brightness(here, 8)
    assert told in str(said.value) and str(there) in str(said.value) and "\n" not in str(said.value)


def test_a_row_that_is_there_twice_and_columns_that_are_others_are_refused(there):
    path = there / "measurements.csv"
    text = path.read_text()
    path.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(GalgenError, match=r"measurements\.csv has a duplicate row: .*'N': 8"):
        read_table(path)
    path.write_text(text.replace("training_sets", "sets", 1))
    with pytest.raises(
        GalgenError, match=r"measurements\.csv has the columns question, family, seed, N, sets"
    ):
        read_table(path)


@pytest.mark.parametrize("place", [2, 3, 4], ids=["written", "the other is moved away", "in its place"])
def test_who_publishes_may_be_killed_anywhere_and_leaves_it_whole(here, there, place):
    before, steps = whole(there), []

    def killed(step):
        def call(*given, **options):
            if len(steps) == place:
                os.kill(os.getpid(), signal.SIGKILL)
            steps.append(step)
            return step(*given, **options)

        return call

    if (child := os.fork()) == 0:
        os.rename, shutil.rmtree = killed(os.rename), killed(shutil.rmtree)
        publishing.publish(SMOKE, [here])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert folder_of(there.parent) != [there.name], "it was killed half-way"
    assert whole(SMOKE.folder) == before
    publishing.publish(SMOKE, [here])
    assert whole(there) == before and folder_of(there.parent) == [there.name]


def test_publishing_copies_what_was_published_with_where_it_is_from(here, there):
    about = json.loads((there / "run.json").read_text())
    about["files"]["brightness/gan-8"] |= {"commit": "0123456789ab", "machine": "another"}
    (there / "run.json").write_text(json.dumps(about))
    publishing.publish(SMOKE, [here])
    again = json.loads((there / "run.json").read_text())
    assert again == about and measured() == ["8", "24"] and not here.store.finished("rows")


def test_another_run_is_refused(here, there):
    before = whole(there)
    for other, told in (({"seed": 1}, "holds the table of the run"), ({"N": (8,)}, "leave N out")):
        with pytest.raises(GalgenError, match=told):
            publishing.publish(SMOKE.model_copy(update=other), [here], there)
    assert whole(there) == before


def test_no_array_of_galaxies_that_are_not_simulated_is_published(here, tmp_path):
    publishing.publish(SMOKE.model_copy(update={"data": "my/galaxies.npz"}), [here], tmp_path / "mine")
    about = Published(tmp_path / "mine").about
    assert (
        not any(of["arrays"] for of in about["files"].values()) and folder_of(tmp_path / "mine/arrays") == []
    )
    assert len(read_table(tmp_path / "mine/measurements.csv")) == 2


def test_of_two_processes_one_measures(here):
    children = []
    for _ in range(2):
        if (child := os.fork()) == 0:
            os._exit(len(brightness(here, 24).rows) - 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert measured() == ["24"]


def test_sizes_may_be_a_text_as_papermill_gives_them():
    for text in ("10 100 500", "10, 100,500"):
        assert Parameters.of_notebook({"N": text}).N == (10, 100, 500)
    with pytest.raises(GalgenError, match=r"N\[1\]|N\.1|N"):
        Parameters.of_notebook({"N": "10 x"})


def test_a_folder_takes_the_place_of_another_or_of_none(tmp_path):
    for text in ("1", "2"):
        with files.atomic_folder(tmp_path / "a") as new:
            (new / "b").write_text(text)
        assert (tmp_path / "a" / "b").read_text() == text
    with pytest.raises(ValueError, match="no"), files.atomic_folder(tmp_path / "a") as new:
        raise ValueError("no")
    assert (tmp_path / "a" / "b").read_text() == "2" and folder_of(tmp_path) == ["a"]


def test_prose_was_written_for_these_verdicts():
    """Chapters and the README state verdicts in words: where one has changed, read them and edit the file."""
    known = pd.read_csv(Path(__file__).with_name("prose_verdicts.csv"))
    runs = sorted(path.parent.name for path in (project() / "results").glob("laptop-*/run.json"))
    found = [cells_of_run(claim, run).assign(run=run) for run in runs for claim in CLAIMS]
    found += [confirmatory(data).assign(run=f"seeds-{data}") for data in HELD_OUT_OVER_TRAINING]
    found = pd.concat(found)
    before, now = ({*of[[*known]].itertuples(index=False, name=None)} for of in (known, found))
    assert before == now, "\n".join(map(str, sorted(before ^ now)))
