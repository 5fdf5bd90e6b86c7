import os

if WORKER := os.environ.get("PYTEST_XDIST_WORKER"):  # one of several processes: a thread each
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch as it is imported, here and in kernels
    os.cpu_count = lambda: 1  # so that galaxies are drawn and measured here: processes of their own cost more

import multiprocessing
import re
import shutil
import sys
import types
from pathlib import Path

import nbformat
import pytest
import torch
from browsing import CHROMIUM, FLAGS
from myst_nb.ext.glue import GLUE_PREFIX
from small_chapter import FIGURE, NOTE, PARAMETERS, TABLE, chapter

from galbook.build import assemble as book
from galbook.build import chapters
from galbook.build.pages import rendered
from galgen.experiment import Experiment, every_family
from galgen.profiles import Parameters
from galgen.published import publish
from galgen.runs.store import Store

ROOT = Path(__file__).parents[1]
torch.set_num_threads(1)  # networks as small as those of tests only wait for a second thread


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """What asks for the browser bears its mark: `make test-browser` runs these alone.

    On several cores each goes where one is free, but for those of a file that share what one of them made,
    and all that need a book, which have one. What takes longest begins: books, chapters, and Snakemake.
    """
    first = ["test_notebooks", "test_graph"]
    items.sort(key=lambda item: ("executed" not in item.fixturenames, item.path.stem not in first))
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker("browser")
        made = (found[-1].scope for found in item._fixtureinfo.name2fixturedefs.values())
        if "executed" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("book"))
        elif "module" in made:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(autouse=True)
def one_seed_and_no_figure_that_is_left_open():
    torch.manual_seed(0)
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """The folder of a run store that tests share, of all processes: what one has trained, none need again."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if WORKER else base) / "store"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def galaxies_of_smoke(store):
    """The folders in that store of the galaxies of smoke, and of what out-of-domain models see."""
    experiment = Experiment(Parameters(profile="smoke"), Store(store))
    images = experiment.images
    sets = [images.dataset, *map(images.out_of_domain, images.out_of_domain_kinds)]
    return [dataset.directory.parent for dataset in sets]


@pytest.fixture
def fresh(galaxies_of_smoke, tmp_path):
    """A store of a test's own that holds these galaxies and nothing else."""
    for folder in galaxies_of_smoke:
        shutil.copytree(folder, tmp_path / "store" / "dataset" / folder.name)
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def trained(store):
    """That store with both models of every family at smoke and N = 12."""
    for experiment in every_family(Parameters(profile="smoke", N=12), Store(store)).values():
        for training in experiment.models.pair(12):
            experiment.train(training)
    return Store(store)


@pytest.fixture(scope="session")
def smoke(trained):
    """The experiments of those models, by family."""
    return every_family(Parameters(profile="smoke", N=12), trained)


@pytest.fixture(scope="session")
def folder(smoke, tmp_path_factory):
    """These models, published."""
    folder = tmp_path_factory.mktemp("published")
    for experiment in smoke.values():
        for training in experiment.models.pair(12):
            publish(experiment, training, folder)
    return folder


@pytest.fixture(scope="session")
def forks():
    """Where processes come from that a test kills: of one that has imported torch, once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["galgen.models.diffusion", "galgen.runs.store"])
    return context


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chapter")
    nbformat.write(chapter(TABLE, FIGURE), folder / "source.ipynb")
    chapters.execute(folder / "source.ipynb", folder / "executed.ipynb", PARAMETERS, NOTE)
    assert not (folder / "unfinished-executed.ipynb").exists()
    return folder / "executed.ipynb"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A loaded module of a given source."""

    def load(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        loaded = types.ModuleType(name)
        loaded.__file__ = str(tmp_path / f"{name}.py")
        monkeypatch.setitem(sys.modules, name, loaded)
        return loaded

    return load


def floats(images):
    """What networks are given of 8-bit images."""
    return torch.from_numpy(images).float() / 255


# Our code, in a chapter.
SHOWN = r"```\{literalinclude\} (.+)\n:language: python\n:pyobject: (.+)\n"
SHOWN += r"(?::start-at: .+\n:dedent: \d\n)?```"
INCLUDED = r"(?:## .+\n\n)?```\{include\} .+\n```"  # and a page


def stand_in(name, executed):
    """The small chapter with the figures, glued texts and code of the real one: the prose refers to them."""
    notebook = nbformat.read(executed, 4)
    figure = notebook.cells.pop()
    for k, cell in enumerate(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells):
        for key in re.findall(r'^ *glue\(\s*"([^"]+)"', cell.source, re.MULTILINE):
            said = {"data": {f"{GLUE_PREFIX}text/plain": f"'what {name} glued as {key}'"}}
            note = {"metadata": {"scrapbook": {"name": key, "mime_prefix": GLUE_PREFIX}}}
            notebook.cells[-1].outputs.append(nbformat.v4.new_output("display_data", **said, **note))
        for key in re.findall(r'"(tab-[\w-]+)"', cell.source):
            one = f"```{{table}} What {name} tabulates\n:name: {key}\n\n| a |\n| --- |\n| 1 |\n```"
            notebook.cells.insert(1, nbformat.v4.new_markdown_cell(one))
        for part in re.finditer(f"{SHOWN}|{INCLUDED}", cell.source):
            notebook.cells.insert(1, nbformat.v4.new_markdown_cell(part[0]))  # the last takes what is glued
        if "figure" in cell.metadata.get("mystnb", {}):
            copy = {"id": f"figure-{k}", "metadata": cell.metadata}
            notebook.cells.append(nbformat.from_dict(figure | copy))
    return notebook


@pytest.fixture(scope="session")
def html(executed, tmp_path_factory):
    """The book, rendered: the project's own prose around the small chapter."""
    if "GALGEN_BOOK" in os.environ:
        return Path(os.environ["GALGEN_BOOK"]).resolve()
    build = tmp_path_factory.mktemp("build")
    names = chapters.names(ROOT / "book" / "_toc.yml")
    (build / "chapters").mkdir()
    (build / "notebooks").mkdir()
    for name in names:
        nbformat.write(stand_in(name, executed), build / "chapters" / f"{name}.ipynb")
        nbformat.write(chapter(), build / "notebooks" / f"{name}.ipynb")
    told = {"commit": ["0123456789ab"], "machine": ["Linux x86_64, 2 cores, AVX2"], "date": ["2026-11-30"]}
    found = {"again": 3, "rows": 9, "machine": "AVX2", "date": "2026-12-01", "commit": "ab", "outcome": "all"}
    origin = rendered("origin.md.j2", of=told, old=["latent_circle"], checked=found)
    return book.render(ROOT / "book", build / "notebooks", build, origin=origin).parent


@pytest.fixture(params=["assembled", pytest.param("rendered", marks=pytest.mark.slow)])
def rendering(request, monkeypatch):
    """How pages are made of what is assembled: taken as they are, or, by -m slow, by Jupyter Book.

    It finds any warning to be an error.
    """
    jupyter_book = book.jupyter_book

    def made(work, builder):
        if request.param == "rendered":
            return jupyter_book(work, builder)
        for path in [*work.glob("*.md"), *work.glob("chapters/*.ipynb")]:
            page = work / "_build" / builder / path.relative_to(work).with_suffix(".html")
            page.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, page)
        return work / "_build" / builder

    monkeypatch.setattr(book, "jupyter_book", made)
    return request.param == "rendered"


@pytest.fixture
def small_html(html):
    """That book, if it is the tests' own."""
    if "GALGEN_BOOK" in os.environ:
        pytest.skip("knows the small chapter and the published models only")
    return html


@pytest.fixture(scope="module")  # its event loop is in the way of papermill's
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no chromium on the PATH (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
