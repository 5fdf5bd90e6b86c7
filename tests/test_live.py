"""The live page in a browser, opened from disk: its samples agree with torch, and its labels are correct."""

import base64
import dataclasses
import hashlib
import io
import json
import re
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from browsing import Visit
from PIL import Image
from small_chapter import PARAMETERS as ELSEWHERE
from torch.nn import functional as F

from galbook.build import live
from galbook.measure.live_page import halved
from galgen.compare import similarity
from galgen.data import manifest
from galgen.models.sampling import noise, seeded
from galgen.profiles import Parameters
from galgen.published import published

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "book" / "_extra" / "live"
PARAMETERS = Parameters(profile="smoke", N=12)
LATENTS = 2
MARKUP = "<img src=x onerror='document.title=1'>"
DRAWN = "([file, seeds]) => { const t = told.find((m) => m.file === file), e = galgenEngine(); \
const d = new e.Denoiser(t, e.checked(t, LIVE[file])); \
return seeds.map((k) => [...[...d.walk(e.between(k, 0, 0, t.side ** 2))].at(-1).y]); }"


STEPS = """window.steps = new Set(); const bar = document.querySelector("progress");
new MutationObserver(() => steps.add(bar.value)).observe(bar, {attributes: true})"""  # what the bar shows


def small_page(folder, parameters=PARAMETERS):
    """The live part of a book, in a page of its own; returns the page and what it is told."""
    (folder / "_generated").mkdir()
    live.write(folder, parameters)
    part = (folder / "_generated" / "live.md").read_text()
    part = part.removeprefix("```{raw} html\n").removesuffix("```\n")
    for path in FOLDER.iterdir():
        (folder / "_extra" / "live" / path.name).write_bytes(path.read_bytes())
    page = folder / "_extra" / "chapters" / "live.html"
    page.parent.mkdir()
    page.write_text(f"<!doctype html><html lang=en><title>live</title><meta charset=utf-8><body>{part}")
    return page, json.loads(re.search(r'id="live-models">(.*)</script>', part)[1])


@pytest.fixture
def own(trained, monkeypatch):
    """The tests' own models are those of the run."""
    monkeypatch.setenv("GALGEN_STORE", str(trained.root))


@contextmanager
def opened(browser, path, **options):
    """A visit to a page, and at its end nothing it complained of."""
    visit = Visit(browser, **options)
    asked = []
    visit.page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    yield visit.open(path), asked
    visit.context.close()
    assert visit.complaints == []


def drawn(page, seconds=120):
    """Wait for the end of a walk; what the page says then."""
    page.wait_for_selector("#live[data-seconds]", timeout=1000 * seconds)
    return page.locator("#live .said").inner_text()


def picture(page, name):
    """The gray levels (H, W) of a canvas."""
    pixels = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    found = np.array(page.locator(f'canvas[data-name="{name}"]').evaluate(pixels), np.uint8)[::4]
    return found.reshape(round(len(found) ** 0.5), -1)


def reference(model, seeds):
    """What torch draws with the same weights in half precision, (n, H, W)."""
    return model.family.draw({"net": model.network()}, seeds, model.start, chunk=len(seeds))[:, 0].numpy()


def test_the_noise_of_a_seed_is_torchs_and_a_sum_is_that_of_the_bytes(browser, tmp_path):
    engine = (FOLDER / "engine.js").read_text()
    (tmp_path / "page.html").write_text(f"<title>a</title><script>{engine}</script>")
    seeds = [0, 1, 255, 1_000_007, 2**32 - 1]
    with opened(browser, tmp_path / "page.html") as (page, _):
        ask = "seeds => seeds.map(k => [...galgenEngine().between(k, 0, 0, 1024)])"
        found = np.array(page.evaluate(ask, seeds), np.float32)
        assert np.abs(found - noise(seeded(seeds), (1024,)).numpy()).max() < 2e-6
        halfway = np.array(page.evaluate("[...galgenEngine().between(3, 4, 0.5, 1024)]"))
        ends = noise(seeded([3, 4]), (1024,)).numpy()
        assert np.allclose(halfway, (ends[0] + ends[1]) / 2**0.5, atol=2e-6)
        for text in ("", "YWJj", "A" * 76):  # nothing, abc, and two blocks
            digest = hashlib.sha256(base64.b64decode(text)).hexdigest()
            told = [{"file": "f", "sha256": digest}, text]
            assert page.evaluate("([file, text]) => galgenEngine().checked(file, text).length", told) >= 0


def test_every_model_that_the_book_ships_draws_what_torch_draws(small_html, browser):
    """The published ones here; of N = 10 the flow branches, and a rounding may lead to another image."""
    models, seeds = live.models(ELSEWHERE), list(range(LATENTS))
    assert {model.N for model in models} >= {10, 4000} and len(models) >= 8
    with opened(browser, small_html / "chapters" / "00_headline.html") as (page, _):
        page.add_script_tag(url="../live/engine.js")
        page.evaluate("window.told = JSON.parse(document.getElementById('live-models').textContent)")
        for model in models:
            name = model.run.summary["name"]
            page.add_script_tag(url=f"../live/{name}.js")
            found = np.array(page.evaluate(DRAWN, [name, seeds]), np.float32)
            off = np.abs(found - reference(model, range(LATENTS)).reshape(LATENTS, -1)).max(1)
            print(f"{name}: {off.max():.1e}, of the median latent {np.median(off):.1e}")
            assert off.max() <= 1e-3, name


def test_the_page_draws_both_models_and_finds_their_nearest_images(own, browser, tmp_path):
    page_path, told = small_page(tmp_path)
    models = [model for model in live.models(PARAMETERS) if model.family.name == "conditional"]
    assert [m["stamp"] for m in told] == [""] * 4 and [m.half for m in models] == ["A", "B"]
    with opened(browser, page_path) as (page, asked):
        assert not [name for name in asked if name.endswith(".js") and name != "page.js"], "not yet asked"
        page.get_by_text("More choices").click()
        page.get_by_label("kind of model").select_option("conditional")
        page.get_by_label("latent", exact=True).fill("5")
        page.get_by_role("button", name=re.compile("^Generate")).click()
        said = drawn(page)
        assert {"engine.js", "images-A-12.js", "conditional-N12-B1-1.js"} <= set(asked)
        for model in models:
            image = reference(model, range(5, 6))
            shown = picture(page, model.half)
            assert np.abs(shown - 255 * image[0].clip(0, 1)).max() <= 1
            query, known = torch.from_numpy(image)[:, None], model.images[:, None]
            near = similarity.nearest(query, known, kind="anomaly", mean=model.average)
            assert (picture(page, f"near {model.half}") == near.first(known)[0, 0]).all()
            words = page.locator(f'[data-note="near {model.half}"]').inner_text()
            said_of = float(re.search(r"12\): (-?[\d.]+),", words)[1])
            assert said_of == pytest.approx(near.cosine[0, 0], abs=0.006)
        pair = [torch.from_numpy(reference(model, range(5, 6)))[:, None] for model in models]
        cosine = similarity.cosine(*pair, kind="anomaly", mean=models[0].average)[0]
        assert f"{cosine:.2f}" in said or f"{cosine:.1f}" in said
        details = page.locator("#live .details").inner_text()
        assert "conditional-N12-A0-0, trained by this run, commit " in details and "Profile smoke" in details


def test_until_a_click_and_without_scripts_a_still_of_the_first_pair_is_there(own, browser, tmp_path):
    path, _ = small_page(tmp_path)
    pair = [model for model in live.models(PARAMETERS) if model.family.name == "diffusion"]
    with opened(browser, path, java_script_enabled=False) as (page, asked):
        assert asked == ["live.html"]
        for model in pair:
            canvas = page.locator(f'canvas[data-name="{model.half}"]')
            coded = re.search(r"base64,([^)\"]+)", canvas.get_attribute("style"))[1]
            still = np.array(Image.open(io.BytesIO(base64.b64decode(coded))))
            assert np.abs(still - 255 * reference(model, [model.first])[0].clip(0, 1)).max() <= 1
            assert f"N = {model.N}" in page.locator(f'[data-note="{model.half}"]').inner_text()
        assert page.locator("form").is_hidden() and "switched off" in page.locator("#live").inner_text()


def test_published_models_are_stamped_so_and_a_runs_own_are_not(own, browser, tmp_path):
    for name, parameters, stamped in (("own", PARAMETERS, False), ("other", ELSEWHERE, True)):
        (tmp_path / name).mkdir()
        with opened(browser, small_page(tmp_path / name, parameters)[0]) as (page, _):
            assert page.locator(".stamp").is_visible() is stamped
            assert ("Published models" in page.locator(".stamp").inner_text()) is stamped


def test_a_reader_who_wants_no_motion_sees_the_end_alone(own, browser, tmp_path):
    with opened(browser, small_page(tmp_path)[0], reduced_motion="reduce") as (page, _):
        page.evaluate(STEPS)
        page.get_by_role("button", name=re.compile("^Generate")).click()
        drawn(page)
        assert set(page.evaluate("[...steps]")) <= {0, 30}


def test_a_keyboard_alone_loads_draws_step_by_step_and_moves_along_the_circle(own, browser, tmp_path):
    with opened(browser, small_page(tmp_path)[0]) as (page, _):
        page.evaluate(STEPS)
        names = []
        for _ in range(3):
            page.keyboard.press("Tab")
            names.append(page.evaluate("document.activeElement.name || document.activeElement.type"))
        assert names == ["N", "submit", "another"]
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        drawn(page)
        assert page.evaluate("steps.size") > 20
        before = picture(page, "A")
        page.locator("summary").focus()
        page.keyboard.press("Enter")
        for _ in range(3):
            page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.name") == "turned"
        page.keyboard.press("End")
        deadline = time.monotonic() + 60
        while (picture(page, "A") == before).all():
            assert time.monotonic() < deadline
        drawn(page)
        assert "sample" in page.locator('canvas[data-name="A"]').get_attribute("aria-label")


def test_a_file_that_was_tampered_with_is_refused_in_a_sentence(own, browser, tmp_path):
    path, _ = small_page(tmp_path)
    with opened(browser, path) as (page, _):
        load = page.get_by_role("button", name=re.compile("^Generate"))
        for file in ("diffusion-N12-B1-1", "images-A-12"):
            script = path.parents[1] / "live" / f"{file}.js"
            text = script.read_text()
            script.write_text(text[:40] + ("B" if text[40] == "A" else "A") + text[41:])
            load.click()
            page.get_by_text(f"{file} is not the file this book was made with").wait_for()
            assert page.locator("#live[data-seconds]").count() == 0
            script.write_text(text)
        load.click()
        drawn(page)


def test_markup_is_text_and_images_that_may_not_be_passed_on_stay_here(own, browser, tmp_path, monkeypatch):
    sources = manifest.load_manifest().sources.items()
    closed = {name: source.model_copy(update={"redistribute": False}) for name, source in sources}
    closed = manifest.Manifest(sources=closed)
    monkeypatch.setattr(live, "load_manifest", lambda: closed)
    found = [dataclasses.replace(model, data=MARKUP) for model in live.models(PARAMETERS)]
    assert [model.images for model in found] == [None] * 4
    monkeypatch.setattr(live, "models", lambda parameters: found)
    path, _ = small_page(tmp_path)
    assert not list((path.parents[1] / "live").glob("images-*")) and MARKUP not in path.read_text()
    with opened(browser, path) as (page, _):
        page.get_by_role("button", name=re.compile("^Generate")).click()
        assert "identical galaxies have 1" in drawn(page)
        assert MARKUP in page.locator("#live .details").inner_text()
        assert page.locator("#live img").count() == 0
        assert not page.locator('[data-figure="near A"]').is_visible() and page.title() == "live"


def test_the_page_of_the_book_after_a_walk_fits_and_has_no_finding(html, browser):
    visit = Visit(browser, viewport={"width": 390, "height": 900}, color_scheme="dark")
    page = visit.open(html / "chapters" / "00_headline.html")
    page.get_by_role("button", name=re.compile("^Generate")).click()
    assert "A and B" in drawn(page)
    print(f"{page.locator('#live').get_attribute('data-seconds')} s from the click to the last step")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390 and visit.complaints == []
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    visit.context.close()
    assert not [node["html"] for rule in found for node in rule["nodes"] if "#live" in str(node["target"])]


def test_small_images_are_means_over_blocks():
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32), np.uint8)
    wanted = F.avg_pool2d(torch.from_numpy(images).float(), 2)[:, 0].round()
    assert (halved(images) == wanted.numpy()).all()
    assert halved(np.zeros((1, 1, 64, 64), np.uint8)).shape == (1, 16, 16)


def test_a_published_model_that_is_not_what_was_published_is_left_out(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "results" / "models", tmp_path / "models")
    path = next((tmp_path / "models" / "diffusion").glob("*/weights-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    whole = live._published()
    monkeypatch.setattr(live, "published", lambda: published(tmp_path / "models"))
    found = live.models(ELSEWHERE)
    assert len(found) == len(whole) - 2, "its partner alone makes no pair"
    assert "has changed" in capsys.readouterr().err


def test_without_models_of_these_galaxies_the_published_stand_in():
    found = live.models(ELSEWHERE)
    assert found and all("published" in model.run.record and model.images is None for model in found)
    A, B = ({(m.family.name, m.N) for m in found if m.half == half} for half in "AB")
    assert A == B
