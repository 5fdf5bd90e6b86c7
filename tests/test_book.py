"""The rendered book in a browser without network access, and the steps that build it.

The book has the project's prose around one small chapter. With GALGEN_BOOK=build/RUN/html, the browser opens
the pages of a finished book instead.
"""

import inspect
import os
import re
import shutil
from html import unescape
from pathlib import Path
from textwrap import dedent

import nbformat
import pandas as pd
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from browsing import Visit, pages
from bs4 import BeautifulSoup
from small_chapter import HOSTILE, NOTE, PARAMETERS, chapter

from galbook.build import assemble as book
from galbook.build import chapters
from galbook.build import pages as written
from galbook.build.runs import Run
from galbook.page import NumberedTable
from galgen.models.diffusion import DenoiserLearner
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError

ROOT = Path(__file__).parents[1]


# Rules of axe-core that are broken outside this project, each with its reason.
EXCUSED = {"aria-required-children": "roles of references", "definition-list": "markup of autodoc"}
AXE = {"rules": {name: {"enabled": False} for name in EXCUSED}, "resultTypes": ["violations"]}


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1200, "light")])
def test_no_page_asks_the_network_complains_scrolls_or_shuts_a_reader_out(html, browser, width, scheme):
    """By the rules of axe-core there is no finding of serious or critical impact."""
    visit = Visit(browser, viewport={"width": width, "height": 844}, color_scheme=scheme)
    visit.page.goto((html / "index.html").as_uri())
    visit.page.wait_for_url("**/chapters/00_headline.html")
    assert len(pages(html)) >= 7
    for path in pages(html):
        page = visit.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path.name} scrolls sideways"
        for code in page.query_selector_all("div.highlight pre"):
            assert code.evaluate("e => e.scrollWidth <= e.clientWidth"), f"{path.name}: code scrolls"
        assert page.evaluate("document.documentElement.dataset.theme") in (scheme, None), path.name
        for image in page.query_selector_all("article img"):
            assert image.get_attribute("alt"), f"{path.name}: a picture without a text"
            assert image.evaluate("e => e.complete && e.naturalWidth > 0"), f"{path.name}: one is missing"
    assert visit.complaints == []
    copies = [] if "GALGEN_BOOK" in os.environ else sorted(html.glob("chapters/*.html"))[1:]
    found = set()
    for path in sorted({*pages(html)} - {*copies}):  # after that, as axe itself complains of files
        for rule in Axe().run(visit.open(path), options=AXE).response["violations"]:
            if rule["impact"] in ("serious", "critical"):
                found |= {f"{path.name}: {rule['id']}: {node['html'][:200]}" for node in rule["nodes"]}
    assert not found, "\n".join(sorted(found))


def test_mathematics_is_typeset_in_its_own_fonts(html, browser):
    visit = Visit(browser)
    page = visit.open(html / "glossary.html")
    assert page.locator("mjx-container").count() > 10
    assert page.locator("mjx-merror").count() == 0
    loaded = page.evaluate("[...document.fonts].filter(f => f.status == 'loaded').map(f => f.family)")
    assert any("MJXTEX" in family for family in loaded)


def provenance(page):
    """What is folded at the end of a page."""
    return re.search(r'<details[^>]*class="[^"]*provenance.*?</details>', page, re.DOTALL)[0]


def test_a_chapter_says_what_it_was_computed_with(small_html):
    page = (small_html / "chapters" / f"{chapters.names(ROOT / 'book' / '_toc.yml')[1]}.html").read_text()
    header = provenance(page)
    for text in ("smoke", "150 images", "01234567", "8, 24", "seed", "commit", ".ipynb"):
        assert text in header
    assert "<td><p>8</p></td>" in page, "a Markdown table that a cell returns is a table"
    shown = re.findall(r"<td><p>(a&lt;b.*?)</p></td>|<em>(a&lt;b.*?)</em>", page)
    assert [unescape(a or b) for a, b in shown] == [HOSTILE] * 2, "and a name in it, and below it, is a name"
    assert "profile = &quot;" not in page, "parameter cells are hidden"


def test_a_caption_of_a_table_may_refer_to_another_table():
    frame = pd.DataFrame({"a": [-1.5], "b": ["-0.00, -0.05"]})
    table = NumberedTable(frame, "As in {numref}`tab-b`.", "tab-a")
    said = table._repr_mimebundle_()["text/markdown"].splitlines()
    assert said[:2] == [":::{table} As in {numref}`tab-b`.", ":name: tab-a"] and said[-1] == ":::"
    assert "\N{MINUS SIGN}1.50" in said[-2] and " 0.00, \N{MINUS SIGN}0.05" in said[-2]


def test_the_code_that_a_chapter_shows_is_that_which_runs(small_html):
    page = (small_html / "chapters" / "02_diffusion.html").read_text()
    text = unescape(re.sub(r"<[^>]+>", "", page))
    assert dedent(inspect.getsource(DenoiserLearner.loss)) in text


def test_a_name_is_shown_letter_by_letter(small_html):
    page = (small_html / "chapters" / f"{chapters.names(ROOT / 'book' / '_toc.yml')[1]}.html").read_text()
    assert HOSTILE in unescape(re.sub(r"<[^>]+>", "", provenance(page)))


def test_dates_are_set_as_dates(small_html):
    assert re.search(r">\d{4}-\d\d-\d\d \d\d:\d\d<", (small_html / "workflow.html").read_text())


def test_a_negative_number_of_a_page_has_a_minus_sign(html):
    """Of text, numbered tables and captions; code, identifiers, ranges and dates apart."""
    for path in html.glob("chapters/*.html"):
        article = BeautifulSoup(path.read_text(), "html.parser").find("article")
        for part in article.select("pre, code, script, style, .provenance, a"):
            part.decompose()
        assert not re.findall(r"(?<![\w)\]/#.])-\d[\d.]*", article.get_text(" ")), path.name


def test_what_a_template_is_given_is_escaped():
    found = {"machine": "<i>`|]{x}\n```, 2 cores", "matrix_gflops": 1.0, "commit": "`0", "rows": {}}
    told = written.rendered("bench.md.j2", timings=found, sizes=[], labels={})
    assert r"\<i\>\`\|\]\{x\}" in told and "commit `0`" in told


def test_each_chapter_ends_with_its_provenance_folded_and_its_notebook_there(html):
    for name in chapters.names(ROOT / "book" / "_toc.yml"):
        page = (html / "chapters" / f"{name}.html").read_text()
        told = provenance(page)
        assert told.count("<strong>This page</strong>") == 1
        notebook = re.search(r'href="([^"]+\.ipynb)"', told)[1]
        assert notebook.endswith(f"/{name}.ipynb") and (html / "chapters" / notebook).is_file()
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", told))
        assert re.search(r"drawn by commit \w+\+? on .* \(.*\), \d{4}-\d\d-\d\d, in \d+ s", text)
        assert re.search(r"laptop-simulated: [0-9]+.[0-9]{3} rows .* were measured on Linux", text)


def test_a_repository_that_the_citation_names_is_on_the_pages(tmp_path, executed, rendering):
    source = tmp_path / "book"
    shutil.copytree(ROOT / "book", source)
    toc = {"format": "jb-book", "root": "bibliography", "chapters": [{"file": "chapters/executed"}]}
    (source / "_toc.yml").write_text(yaml.safe_dump(toc))
    (tmp_path / "CITATION.cff").write_text("repository-code: https://github.com/some/where\n")
    (tmp_path / "build" / "chapters").mkdir(parents=True)
    shutil.copy(executed, tmp_path / "build" / "chapters")
    book.render(source, executed.parent, tmp_path / "build")
    config = yaml.safe_load((tmp_path / "build" / "book" / "_config.yml").read_text())
    assert config["repository"]["url"] == "https://github.com/some/where"
    assert config["html"]["use_repository_button"] and "mybinder" in config["launch_buttons"]["binderhub_url"]
    if rendering:
        page = (tmp_path / "build" / "html" / "chapters" / "executed.html").read_text()
        assert 'href="https://github.com/some/where"' in page
        assert "mybinder.org/v2/gh/some/where/HEAD?urlpath=lab/tree/notebooks/executed.ipynb" in page


def test_a_failing_chapter_is_named_with_its_error_and_leaves_no_output(tmp_path):
    nbformat.write(chapter("1 / 0"), tmp_path / "broken.ipynb")
    with pytest.raises(GalgenError, match=r"broken\.ipynb, cell \d+: ZeroDivisionError"):
        chapters.execute(tmp_path / "broken.ipynb", tmp_path / "out" / "broken.ipynb", PARAMETERS, NOTE)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["unfinished-broken.ipynb"]


def test_a_chapter_that_warns_or_has_no_title_is_refused_and_a_progress_bar_is_no_warning(executed, tmp_path):
    notebook, path = nbformat.read(executed, as_version=4), tmp_path / "a.ipynb"

    def page():
        nbformat.write(notebook, path)
        return chapters.page(path)

    def says(text):
        return [nbformat.v4.new_output("stream", name="stderr", text=text)]

    notebook.cells[-1].outputs = says("100%|####| 3/3 [00:01<00:00]\n")
    assert page().cells
    notebook.cells[-1].outputs = says("x.py:1: UserWarning: no\n  x()\n")
    with pytest.raises(GalgenError, match="UserWarning: no"):
        page()
    del notebook.cells[0]
    with pytest.raises(GalgenError, match=r"a\.ipynb: the first cell must open with the title"):
        page()


def test_a_warning_of_the_renderer_is_an_error(tmp_path, executed):
    source = tmp_path / "prose"
    shutil.copytree(ROOT / "book", source)
    toc = {"format": "jb-book", "root": "intro", "chapters": [{"file": "chapters/executed"}]}
    (source / "_toc.yml").write_text(yaml.safe_dump(toc))
    (source / "intro.md").write_text("# Title\n\n{doc}`nowhere`\n")
    (tmp_path / "chapters").mkdir()
    shutil.copy(executed, tmp_path / "chapters")
    with pytest.raises(GalgenError) as told:
        book.render(source, executed.parent, tmp_path)
    assert "nowhere" in str(told.value)


FOLDERS = [
    ({"profile": "laptop", "N": 10, "seed": 2}, r"laptop-simulated-N10-seed2"),
    ({"data": "some where/my galaxies.npz", "N": [10, 30]}, r"laptop-my-galaxies-[0-9a-f]{8}-N10-30"),
    ({"data": "g$(id>X);`id` {a}|'.npz"}, r"laptop-g-id-X-id-a-[0-9a-f]{8}"),
    ({"data": ".."}, r"laptop-data-[0-9a-f]{8}"),
]


@pytest.mark.parametrize("parameters, name", FOLDERS)
def test_a_run_of_the_book_has_a_folder_of_its_own_in_letters_that_no_shell_minds(parameters, name):
    assert re.fullmatch(name, Run(Parameters(**parameters)).name)


def test_two_data_sets_of_one_name_have_two_folders_and_one_has_one_however_it_is_written():
    names = [Run(Parameters(data=data)).name for data in ("a/x.npz", "b/x.npz", "./a/x.npz")]
    assert names[0] == names[2] != names[1]


def test_what_was_measured_is_shown_and_what_was_not_is_told(tmp_path):
    assert "| --- |" in written.bench(ROOT / "results" / "bench.json")
    assert "has not been recorded" in written.bench(tmp_path / "bench.json")


SHOWN = [
    ("00_headline", ["near_copies"], True),
    ("03c_onset", ["isolation", "near_copies"], True),
    ("11_real_and_simulated", ["resolution"], True),
    ("12_power", ["power"], False),
]


@pytest.mark.parametrize(("chapter", "shown", "tables"), SHOWN)
def test_a_chapter_is_made_again_when_the_results_that_it_shows_change(chapter, shown, tables):
    found = chapters.committed(ROOT / "notebooks" / f"{chapter}.ipynb", ROOT / "results")
    expected = {ROOT / "results" / f"{name}.json" for name in shown}
    if tables:
        expected |= {
            path for name in ("measurements.csv", "run.json") for path in ROOT.glob(f"results/*/{name}")
        }
    assert set(found) == expected
