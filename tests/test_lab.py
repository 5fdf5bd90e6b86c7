"""The explorer in JupyterLab, by mouse and keyboard in a browser: each control changes the result.

The tests train models at N = 12 only. At N = 7, the explorer prints the commands that train them.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import nbformat
import pytest
from browsing import Visit
from playwright.sync_api import expect

from galgen.models.families import FAMILIES

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "explore.ipynb"
PARAMETERS = 'profile, data, N, seed = "smoke", "simulated", [7, 12], 0'
PATIENCE = 300  # seconds; a busy machine imports torch in a minute
PICTURES = "box => [...box.querySelectorAll('.galgen-row img')].map(image => image.src).join()"

PANEL = "xpath=ancestor::*[ancestor::*[contains(@class, 'jp-NotebookPanel ')]]"  # around a box, inside it


def address(server, runtime):
    """Where the server answers, once it does."""
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, ValueError):  # no such file, half a file, no answer
            url = json.loads((runtime / f"jpserver-{server.pid}.json").read_text())["url"]
            urlopen(f"{url}api", timeout=PATIENCE).close()
            return url
        time.sleep(0.1)
    raise AssertionError("JupyterLab did not start")


@contextmanager
def served(folder, store):
    """A JupyterLab before a copy of the explorer: its address, and its log, which is also the kernel's.

    It has nobody's settings, and asks nobody for news.
    """
    notebook = nbformat.read(NOTEBOOK, 4)
    next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])).source = PARAMETERS
    nbformat.write(notebook, folder / NOTEBOOK.name)
    homes = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    homes |= {"IPYTHONDIR": str(folder / "ipython"), "GALGEN_STORE": str(store)}
    options = ["--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token=galgen"]
    options += ["--LabApp.extension_manager=readonly"]
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (folder / "config" / "labconfig").mkdir(parents=True)
    (folder / "config" / "labconfig" / "page_config.json").write_text(json.dumps(quiet))
    command = [sys.executable, "-m", "jupyterlab", *options]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=os.environ | homes, stdout=log, stderr=log)
    try:
        yield address(server, folder / "runtime"), folder / "log"
    finally:
        server.terminate()  # it ends its kernel first, and a kernel whose server is gone ends itself
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()


def run_all(browser, url):
    """A visit to the notebook, all of whose cells were told to run."""
    visit = Visit(browser, allowed=(url, "data:", "blob:"), viewport={"width": 1200, "height": 900})
    visit.context.set_default_timeout(1000 * PATIENCE)
    visit.page.goto(f"{url}lab/tree/{NOTEBOOK.name}?token=galgen")
    visit.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # before that, Run does nothing
    for name in ("Run", "Run All Cells"):
        visit.page.get_by_role("menuitem", name=name, exact=True).click()
    return visit


@pytest.fixture(scope="module")
def lab(trained, tmp_path_factory):
    with served(tmp_path_factory.mktemp("lab"), trained.root) as running:
        yield running


@pytest.fixture(scope="module")
def visit(browser, lab):
    """The notebook, run."""
    visit = run_all(browser, lab[0])
    visit.page.locator(".galgen-live").nth(2).wait_for()
    visit.context.set_default_timeout(60_000)
    yield visit
    visit.context.close()


@pytest.fixture
def boxes(visit, lab):
    """The three explorers; at the end nothing may have gone wrong in the page, the notebook or the kernel."""
    yield visit.page.locator(".galgen-live")
    assert visit.complaints == []
    for kind in ("error", "stderr"):
        assert visit.page.locator(f'[data-mime-type="application/vnd.jupyter.{kind}"]').count() == 0
    assert "Traceback" not in lab[1].read_text()


@contextmanager
def changed(box):
    """Wait until the pictures of an explorer are others than before; one deed, one answer."""
    before = box.evaluate(PICTURES)
    yield
    arguments = [box.element_handle(), before]
    box.page.wait_for_function(f"([box, before]) => ({PICTURES})(box) != before", arg=arguments)


def slider(box, name):
    """The handle of the slider of that name."""
    label = box.page.get_by_text(name, exact=True)
    return box.locator(".widget-hslider").filter(has=label).get_by_role("slider")


def press(box, name, key):
    """Press a key on a slider; Home and End, which cannot go too far, again if a busy page has lost it."""
    handle = slider(box, name)
    value = handle.get_attribute("aria-valuenow")
    with changed(box):
        handle.press(key)
        if key in ("Home", "End"):
            with suppress(AssertionError):
                expect(handle).not_to_have_attribute("aria-valuenow", value, timeout=5000)
                return
            handle.press(key)


def drag(box, name, place):
    """Drag a slider with the mouse to a place between 0 and 1 of its track, at once: one answer follows."""
    handle, mouse = slider(box, name), box.page.mouse
    handle.scroll_into_view_if_needed()
    start, track = handle.bounding_box(), handle.locator("xpath=../..").bounding_box()
    with changed(box):
        mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
        mouse.down()
        mouse.move(track["x"] + place * track["width"], track["y"] + track["height"] / 2)
        mouse.up()


def move_N(box):
    """To the N without models and back, where everything is as before."""
    before = box.evaluate(PICTURES)
    press(box, "N", "Home")
    assert box.evaluate(PICTURES) == ""
    press(box, "N", "End")
    assert box.evaluate(PICTURES) == before


def test_a_latent_and_N_change_what_every_family_draws(boxes):
    box = boxes.nth(0)
    expect(box.locator("img")).to_have_count(4 * len(FAMILIES))
    press(box, "latent", "End")
    drag(box, "latent", 0.5)
    assert slider(box, "latent").get_attribute("aria-valuetext") in ("7", "8")
    move_N(box)


def test_the_denoiser_follows_image_noise_and_N(boxes):
    box = boxes.nth(1)
    for name in ("A's", "B's", "held out"):
        with changed(box):
            box.get_by_role("button", name=name).click()
    press(box, "image", "End")
    for place in (0.9, 0.1):
        drag(box, "noise sigma", place)
    move_N(box)


def test_the_flow_follows_every_weight_and_temperature(boxes):
    box = boxes.nth(2)
    for level in ("level 0 (finest)", "level 1", "level 2 (coarsest)"):
        for quantity, key in (("w", "Home"), ("T", "End")):
            press(box, f"{quantity}, {level}", key)
    for name in ("first", "second"):
        press(box, name, "End")
    for name in ("latents", "held-out images"):
        with changed(box):
            box.get_by_role("button", name=name).click()
    move_N(box)


def test_no_explorer_is_wider_than_a_narrow_window(boxes, visit):
    page = visit.page
    page.set_viewport_size({"width": 400, "height": 800})
    page.keyboard.press("Control+b")
    for box in boxes.all():
        box.scroll_into_view_if_needed()
        assert box.bounding_box()["width"] > 250, "the side bar is shut"
        for element in (box, *box.locator(PANEL).all()):
            assert element.evaluate("e => e.scrollWidth <= e.clientWidth"), element.get_attribute("class")
