"""The recording of the page that opens, in the README: one noise, at the smallest and the largest N.

    .venv/bin/python benchmarks/recording.py build/laptop-simulated/html

Chromium opens a finished book from disk and draws. What the workers say is held back and handed to the page
step by step, and of each step a picture is taken: an animated WebP of at most a megabyte.
"""

import argparse
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

MOST = 1_000_000  # bytes
FIRST, EACH, LAST = 700, 130, 3000  # milliseconds that the noise, a step and the galaxies are shown
HELD = """
window.held = [];
window.Worker = class extends Worker {
  set onmessage(f) { super.onmessage = (e) => (e.data.y ? held.push([e.data.step, () => f(e)]) : f(e)); }
};
window.let_go = (step) => held.filter(([k]) => k === step).forEach(([, go]) => go());
"""


def walked(page: Page, end: int) -> Iterator[Image.Image]:
    """Pictures of the stage along a walk at the smallest (0) or the largest (-1) N."""
    sizes = page.locator("#live select[name=N]")
    sizes.select_option(index=end % sizes.locator("option").count())
    page.evaluate("held.length = 0")
    page.locator("#live button[type=submit]").click()
    steps = page.wait_for_function("held.length && document.querySelector('#live progress').max").json_value()
    page.wait_for_function(f"held.length === {2 * steps}")
    for step in range(steps):
        page.evaluate(f"let_go({step})")
        shot = io.BytesIO(page.locator("#live .stage").screenshot())
        yield Image.open(shot, formats=("PNG",)).convert("RGB")


def main() -> None:
    """Record, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("html", type=Path, help="the folder of a finished book")
    parser.add_argument("--out", type=Path, default=Path("book/_static/live.webp"))
    parser.add_argument("--latent", type=int, default=0)
    given = parser.parse_args()
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        options = {"executable_path": browser_path, "args": ["--no-sandbox", "--disable-gpu"]}
        browser = playwright.chromium.launch(**options)
        page = browser.new_page(viewport={"width": 760, "height": 1000}, color_scheme="light")
        page.add_init_script(HELD)
        page.goto((given.html.absolute() / "index.html").as_uri())
        page.locator("#live input[name=seed]").fill(str(given.latent))
        frames, shown = [], []
        for end in (0, -1):
            walk = list(walked(page, end))
            frames += walk
            shown += [FIRST, *[EACH] * (len(walk) - 2), LAST]
        browser.close()
    height = max(frame.height for frame in frames)  # the last have the nearest training images below
    sheets = [Image.new("RGB", (frame.width, height), "white") for frame in frames]
    for sheet, frame in zip(sheets, frames, strict=True):
        sheet.paste(frame)
    for quality in (80, 60, 40, 20):
        options = {"save_all": True, "append_images": sheets[1:], "duration": shown, "loop": 0}
        sheets[0].save(given.out, "WEBP", quality=quality, method=6, **options)
        if given.out.stat().st_size <= MOST:
            break
    print(f"{given.out}: {len(sheets)} steps, {given.out.stat().st_size} bytes, quality {quality}")


if __name__ == "__main__":
    main()
