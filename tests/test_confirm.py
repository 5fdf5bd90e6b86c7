"""Confirmation of a change of code: which differences are found, what is recorded and removed."""

from collections import Counter

import numpy as np
import pytest
from test_publish import book, fresh_clone, surroundings

from galbook import publishing, table
from galbook.build import confirm
from galbook.measure.interpolation import latent_circle
from galbook.table import Measurement, Published, row
from galgen.published import published
from galgen.runs.errors import GalgenError
from galgen.runs.files import read_json

__all__ = ["book", "fresh_clone", "surroundings"]


def measurement(scale=1.0, *, more=(), **changed):
    values = {"value": 0.5, "low": 0.4, "high": 0.6 * scale, "n": 8, "model": "A0"} | changed
    rows = table._table([{"statistic": "agreement"} | values, *more])
    return Measurement(rows, {"x": np.array([1.0, np.nan]) * scale})


DIFFERENCES = [
    (measurement(), []),
    (measurement(1 + 1e-9), []),
    (measurement(1.001), ["agreement (model A0): high is 0.6006, not 0.6", "array x differs"]),
    (measurement(n=9), ["agreement (model A0): n is 9, not 8"]),
    (measurement(p=0.5), ["agreement (model A0): p is 0.5, not nan"]),
    (measurement(model="B1"), ["agreement (model A0) is gone", "agreement (model B1) is new"]),
    (measurement(more=[row("agreement", 1.0)]), ["agreement () is new"]),
]


@pytest.mark.parametrize(("now", "lines"), DIFFERENCES)
def test_differences_are_named_to_eight_digits(now, lines):
    assert sorted(confirm.differences(measurement(), now)) == lines


def test_rows_of_a_statistic_that_is_no_longer_defined_are_no_difference(monkeypatch):
    before = measurement(more=[row("images", 1.0)])
    monkeypatch.delitem(table.STATISTICS, "images")
    assert confirm.differences(before, measurement()) == []


@pytest.fixture
def edited_clone(fresh_clone, monkeypatch):
    """A project whose published rows and models were made with another version of the code."""
    monkeypatch.setattr(confirm, "every_family", lambda *_, **__: dict(enumerate(fresh_clone.experiments)))
    monkeypatch.setattr(confirm, "version", lambda modules: "0123456789abcdef")
    monkeypatch.setattr(confirm, "_git", lambda *_: "")
    return fresh_clone


def test_the_new_version_is_recorded_with_the_number_of_rows_measured_again(edited_clone):
    wanted, models = confirm.stale(), confirm.stale_models()
    (run,) = wanted
    assert len(wanted[run]) == 4 and len(models) == 2
    text = confirm.record(wanted, models, Counter({f"{run}/latent_circle/gan-24": 3}))
    about = read_json(edited_clone.parameters.folder / "run.json")["files"]
    assert {origin["code"] for origin in about.values()} == {"0123456789abcdef"}
    rows = {file: origin["confirmed"] for file, origin in about.items()}
    assert (
        rows["latent_circle/gan-24"].startswith("smoke, and 3 of")
        and "smoke, and 0 of" in rows["latent_circle/gan-8"]
    )
    assert text.startswith("confirmed: smoke, and 3 of") and text.endswith("2 models")
    assert {r.record["published"]["code"] for r in published().runs()} == {"0123456789abcdef"}
    assert not any(confirm.stale().values()) and not confirm.stale_models()
    assert confirm.confirm().startswith("nothing to confirm")


def test_rows_of_removed_statistics_and_questions_are_removed_and_no_others(edited_clone, monkeypatch):
    before = Published(edited_clone.parameters.folder)
    monkeypatch.setattr(publishing, "questions", lambda: [latent_circle])
    gone = before.rows[before.rows.question == "training_losses"]
    assert len(gone) and confirm.prune().startswith(f"{len(gone)} rows of")
    after = Published(edited_clone.parameters.folder)
    assert after.rows.equals(before.rows.drop(gone.index).reset_index(drop=True))
    assert {file.partition("/")[0] for file in after.about["files"]} == {"latent_circle"}
    assert confirm.prune() == ""


def test_changes_of_results_that_are_not_committed_are_refused(edited_clone, monkeypatch):
    monkeypatch.setattr(confirm, "_git", lambda *_: " M results/x/run.json")
    with pytest.raises(GalgenError, match="not committed; commit them, then make confirm"):
        confirm.confirm()
