"""A book that is not finished: pages to come, and when; what is there is shown whole."""

from pathlib import Path

import nbformat
import pytest
from conftest import stand_in
from PIL import Image
from small_chapter import NOTE, PARAMETERS

from galbook.press import assemble, chapters, draft
from galbook.press.runs import HEADLINE, Run
from galgen.runs.files import write_json

ROOT = Path(__file__).parents[1]
NAMES = ["00_headline", "01_data", "02_diffusion", "06_gan"]
PLAN = {
    "diffusion-N8-A0-0": {"minutes": 4.0, "chapters": ["00_headline", "02_diffusion"]},
    "diffusion-N8-B1-1": {"minutes": 6.0, "chapters": ["00_headline", "02_diffusion"]},
    "gan-N8-A0-0": {"minutes": 10.0, "chapters": ["06_gan"]},
}


def test_a_page_to_come_is_due_when_the_trainings_before_it_and_its_own_are_made():
    found = draft.due(PLAN, set(), {"01_data"}, NAMES, cores=2)
    assert found == {"00_headline": 5 + 3, "02_diffusion": 5 + 6, "06_gan": 10 + 9}
    found = draft.due(PLAN, {"diffusion-N8-A0-0"}, {"00_headline", "01_data"}, NAMES, cores=1)
    assert found == {"02_diffusion": 6 + 3, "06_gan": 16 + 6}
    assert draft.due(PLAN, set(PLAN), set(NAMES), NAMES, cores=2) == {}


@pytest.fixture
def run(tmp_path, monkeypatch, executed):
    """A run of smoke with one chapter executed, in a folder of its own."""
    monkeypatch.setattr(Run, "folder", property(lambda self: tmp_path / "build" / self.name))
    made = Run(PARAMETERS.model_copy(update={"data": "simulated", "precision": "fp32"}))
    (made.folder / "trainings").mkdir(parents=True)
    (made.folder / "chapters").mkdir()
    nbformat.write(stand_in("01_data", executed), made.folder / "chapters" / "01_data.ipynb")
    write_json(made.folder / "data.json", {"dataset": NOTE})
    one = {"family": "gan", "N": 8, "minutes": 4.0, "chapters": ["02_diffusion"]}
    monkeypatch.setattr(Run, "plan", {"one": one})
    return made


def test_a_draft_has_what_is_there_and_says_of_every_other_page_when_it_will_be(run, rendering):
    (run.folder / "sheets").mkdir()
    Image.new("L", (9, 9)).save(run.folder / "sheets" / "gan-N8-A0-0.png")
    index = draft.bind(run, ROOT / "book", ROOT / "notebooks", cores=2)
    assert rendering.strict == [False], "a draft is bound whatever it warns of"
    html = index.parent
    assert "a rising line" in (html / "chapters" / "01_data.html").read_text()
    names = chapters.names(ROOT / "book" / "_toc.yml")
    opening = (html / "chapters" / f"{names[0]}.html").read_text()
    assert (names[0] == HEADLINE and "_generated/live.md" in opening) or 'id="live"' in opening
    assert "This book is being made" in opening and f"1 of {len(names)} chapters" in opening
    assert "eight latents at each milestone" in opening and "gan-N8-A0-0.png" in opening
    for name in names:
        page = (html / "chapters" / f"{name}.html").read_text()
        assert ("This page is to come" in page) is (name != "01_data")
    later = (html / "chapters" / "02_diffusion.html").read_text()
    assert "at most" in later and "UTC" in later and "pending.svg" in later
    write_json(run.folder / "results.json", {})
    assert draft.bind(run, ROOT / "book", ROOT / "notebooks", cores=2) is None, "a finished book stays"


def test_nobody_binds_what_another_binds(run):
    with assemble.binding(run.folder):
        assert draft.bind(run, ROOT / "book", ROOT / "notebooks", cores=2) is None
