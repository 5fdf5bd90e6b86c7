"""The user's own image in the explorer: read as the importer reads, found among its like, and answered."""

import io
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from galgen.config import Parameters
from galgen.explorer import controls
from galgen.explorer.answers import Explorer
from galgen.explorer.own import answers, read
from galgen.runs.errors import GalgenError


@pytest.fixture(scope="module")
def explorer(trained):
    return Explorer(Parameters(profile="smoke", N=12), trained)


def file(pixels, kind):
    content = io.BytesIO()
    if kind == "npy":
        np.save(content, pixels)
    elif kind == "npz":
        np.savez(content, images=pixels[None])
    else:
        Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["png", "npy", "npz"])
def test_an_image_of_the_models_size_comes_as_it_is(explorer, kind):
    image = explorer.validation[0, 0]
    assert (read(f"mine.{kind}", file(image, kind), 16) == image).all()


def test_a_larger_image_in_colour_is_made_gray_and_small(explorer):
    colour = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    assert read("mine.png", file(colour, "png"), 16).shape == (1, 16, 16)


@pytest.mark.parametrize(
    ("name", "content"),
    [("mine.png", b"no picture"), ("mine.txt", b"1"), ("../../x.npy", b""), ("a.npz", b"")],
)
def test_what_is_no_image_is_a_sentence_that_names_the_file(name, content):
    with pytest.raises(GalgenError) as told:
        read(name, content, 16)
    assert name.rsplit("/", 1)[-1] in str(told.value) and "/tmp" not in str(told.value)


def test_a_training_image_is_found_again_and_an_odd_one_is_unlikely(explorer):
    own = explorer.training_images(12, "A")[3]
    rows = answers(explorer, own, "diffusion", 12, 0.1)
    assert [len(row.stamps) for row in rows] == [3, 0, 3, 3]
    assert (rows[0].stamps[1].image == own[0]).all() and "1.00" in rows[0].stamps[1].caption
    assert rows[2].label.endswith("which did not see it")
    noise = np.random.default_rng(0).integers(0, 256, own.shape, np.uint8)
    notes = [answers(explorer, image, "diffusion", 12, 0.1)[1].note for image in (own, noise)]
    costs = [float(re.search(r"A ([\d.]+) bits/dim", note)[1]) for note in notes]
    assert costs[0] < costs[1] and "(0 % of held-out galaxies" in notes[1].split(";")[0]


def test_the_control_asks_for_a_file_and_answers_for_it(explorer):
    box = controls.own(explorer)
    picture, upload = box.children[-2], box.children[1]
    assert "No image yet" in picture.value
    image = explorer.validation[0, 0]
    entry = {"name": "mine.png", "type": "image/png", "size": 1, "last_modified": datetime.now(UTC)}
    upload.set_trait("value", (entry | {"content": memoryview(file(image, "png"))},))
    assert "bits/dim" in picture.value and "yours" in picture.value
    upload.set_trait("value", (entry | {"content": memoryview(b"nothing")},))
    assert "No answer" in picture.value and "mine.png" in picture.value
