import base64
import io
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from galgen.figures import style as figures
from galgen.figures.slider import slider_figure
from galgen.runs.errors import GalgenError
from galgen.words import figure_note


def stamps(n, side=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), dtype=np.uint8)


def drawn(figure):
    """The one picture on a stamp sheet, as an array."""
    (image,) = figure.axes[0].images
    plt.close(figure)
    return np.asarray(image.get_array())


def test_every_stamp_is_on_the_sheet_in_reading_order():
    images = stamps(7)
    sheet = drawn(figures.stamp_sheet(images, columns=3))
    step = 9  # a stamp of 8 and a gap of 1
    for k in range(7):
        row, column = divmod(k, 3)
        found = sheet[row * step + 1 : row * step + 9, column * step : column * step + 8]
        np.testing.assert_array_equal(found, images[k] / 255)
    assert (sheet[2 * step + 1 :, step:] == 1).all(), "what is left of the last row is paper"


def test_a_stamp_sheet_takes_floats_colours_and_channels_and_clips_to_the_unit_range():
    assert drawn(figures.stamp_sheet(stamps(2)[:, None])).shape == drawn(figures.stamp_sheet(stamps(2))).shape
    assert drawn(figures.stamp_sheet(np.full((1, 4, 4), 1.7))).max() == 1
    assert drawn(figures.stamp_sheet(np.zeros((2, 4, 4, 3), np.uint8))).shape[-1] == 3


def test_the_note_names_profile_data_and_sizes():
    assert (
        figure_note("laptop", "simulated", [10, 4000])
        == "profile laptop · simulated · N = 10, 4\N{NO-BREAK SPACE}000"
    )
    assert figure_note("smoke", "mine", 8) == "profile smoke · mine · N = 8"
    assert figure_note("smoke", "mine") == "profile smoke · mine"


def test_a_shown_figure_is_closed_carries_its_text_and_its_note_takes_room():
    sizes = []
    for note in ("", "profile smoke · simulated"):
        figure, axes = plt.subplots(layout="constrained")
        axes.plot([0, 1])
        shown = figures.show(figure, alt="a line", note=note)
        assert not plt.fignum_exists(figure.number)
        data, metadata = shown._repr_mimebundle_()
        assert metadata["image/png"]["alt"] == data["text/plain"] == "a line"
        sizes.append(Image.open(io.BytesIO(data["image/png"])).size[1])
    assert sizes[1] > sizes[0]


def test_pixels_are_the_figure_at_its_size():
    figure = plt.figure(figsize=(2, 1))
    assert figures.pixels(figure, dpi=50).shape == (50, 100, 3)
    assert not plt.fignum_exists(figure.number)


def sprites(page):
    """The sheet of a slider figure, and what its script knows."""
    uri = re.search(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", page).group(1)
    data = json.loads(re.search(r"const figure = (\{.*\});", page).group(1))
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))).convert("RGB")), data


def page_of(shown):
    return shown.content["text/html"]


def two_sliders(**changes):
    arguments = {
        "sliders": {"Q": [1, 2, 4], "stretch": [0.1, 0.2]},
        "captions": [f"PSNR {k} dB" for k in range(6)],
        "title": "Colour scale",
        "alt": "a galaxy",
    }
    return slider_figure(stamps(6).reshape(3, 2, 8, 8), **(arguments | changes))


def test_the_position_of_every_frame_shows_that_frame():
    sheet, data = sprites(page_of(two_sliders()))
    assert len(data["positions"]) == 6
    for k, position in enumerate(data["positions"]):
        x, y = (float(p.rstrip("%")) / 100 for p in position.split())
        # CSS: p % of (container - background) is the offset of the background.
        left, top = round(x * (sheet.shape[1] - 8)), round(y * (sheet.shape[0] - 8))
        found = sheet[top : top + 8, left : left + 8, 0].astype(int)
        assert np.abs(found - stamps(6)[k]).mean() < 4, f"frame {k}"


def test_the_first_state_stands_in_the_page_without_a_script():
    page = page_of(two_sliders(start=(2, 1)))
    _, data = sprites(page)
    before_script = page.split("<script>")[0]
    assert f"background-position:{data['positions'][5]}" in before_script
    assert '<p aria-live="polite">PSNR 5 dB</p>' in before_script
    assert before_script.count('aria-valuetext="4"') == 1 and before_script.count('aria-valuetext="0.2"') == 1


def test_the_id_of_a_slider_figure_is_that_of_its_content():
    assert page_of(two_sliders()) == page_of(two_sliders())
    identifier = re.compile(r'id="(slider-[0-9a-f]{12})"')
    ids = {
        identifier.search(page_of(two_sliders(**c))).group(1) for c in ({}, {"alt": "b"}, {"start": (1, 0)})
    }
    assert len(ids) == 3


def test_no_text_can_break_out_of_the_page():
    page = page_of(two_sliders(captions=["</script><b>"] * 6, alt='"><i>', title="<u>"))
    assert page.count("</script>") == 1 and "<b>" not in page and "<i>" not in page and "<u>" not in page


def test_a_slider_figure_of_25_small_galaxies_is_small_and_loads_nothing():
    grid = np.hypot(*np.mgrid[-16:16, -16:16])
    frames = np.stack([255 * np.exp(-grid / (1 + k / 4)) for k in range(25)]).astype(np.uint8)
    shown = slider_figure(frames, sliders={"k": range(25)}, captions=[""] * 25, title="t", alt="a", width=320)
    page = page_of(shown)
    assert len(page) < 60_000
    assert not re.search(r"https?://|src=|@import", page)


def test_a_kernel_without_html_gets_a_sentence():
    data, _ = two_sliders()._repr_mimebundle_()
    assert data["text/plain"] == "Colour scale: Q x stretch, 6 frames. PSNR 0 dB"


def test_each_frame_has_a_caption():
    with pytest.raises(GalgenError, match="1 captions for 6 frames"):
        two_sliders(captions=["one"])


def test_gray_cuts_off_what_is_no_grey_and_leaves_bytes_alone():
    floats = np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]])
    with np.errstate(all="raise"):
        assert figures.gray(floats).tolist() == [[0, 0, 128, 255, 255, 0]]
    assert figures.gray(floats).dtype == np.uint8
    bytes_ = np.arange(6, dtype=np.uint8)
    assert figures.gray(bytes_) is bytes_
