"""Pictures and sentences of what `make beyond` keeps, of records made by hand."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from galgen.compare.calibrated import STATISTICS
from galgen.figures import beyond
from galgen.figures.results import strip


def estimate(value, n=9):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def memorizer(n, close, against="training set", far=1):
    record = {"N": 100, "n": n, "kind": "with repeats", "against": against, "tests": 8}
    return record | {"value": 0.5, "low": 0.4, "high": 0.6, "too far": far, "too close": close}


def record(name, statistic, far, close, space="pixels"):
    found = {"set": name, "N": 10, "against": "held-out galaxies", "space": space, "statistic": statistic}
    return found | {"value": 1.0, "low": 0.9, "high": 1.1, "far": far, "close": close}


DISTANCES = {
    "memorizer": [
        *(memorizer(10, 1), memorizer(100, 8)),
        *(memorizer(n, 0, "held-out galaxies", far) for n, far in ((10, 0), (100, 7))),
    ],
    "records": [
        *(record("Glow, N = 10", s, 0.01, 1.0) for s in STATISTICS),
        *(record("held out", s, 0.6, 0.4) for s in STATISTICS),
        *(record("GAN, N = 10", s, 0.9, 0.005) for s in STATISTICS[:1]),
        *(record("edm, N = 10", s, 0.3, 0.7) for s in STATISTICS[:1]),
        record("edm, N = 10", "PQMass", 0.005, 1.0, "features"),
    ],
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_nothing_is_shown_where_nothing_was_made_and_the_note_says_whose_numbers_these_are(tmp_path):
    assert beyond.committed("flow", tmp_path) == {}
    made = {"profile": "laptop", "date": "2026-11-26", "commit": "0123456789ab", "minutes": 3.2}
    (tmp_path / "beyond.json").write_text(json.dumps({"simulated": {"flow": made}, "real": {"maps": made}}))
    assert list(found := beyond.committed("flow", tmp_path)) == ["simulated"]
    assert beyond.note(found) == ("committed: profile laptop · simulated, 2026-11-26, commit 01234567, 3 min")


def test_a_set_too_far_is_of_one_colour_and_one_too_close_of_the_other():
    figure = beyond.verdict_figure(DISTANCES, "held-out galaxies")
    axis, _ = figure.axes
    shown = np.asarray(axis.images[0].get_array().filled(np.nan))
    assert [label.get_text() for label in axis.get_yticklabels()][:2] == ["Glow, N = 10", "held out"]
    assert np.allclose(shown[0, : len(STATISTICS)], -np.log10(0.02))
    assert np.allclose(np.abs(shown[1, : len(STATISTICS)]), -np.log10(0.8))
    assert shown[2, 0] == pytest.approx(np.log10(0.01)) and np.isnan(shown[2, 1])
    assert axis.patch.get_hatch(), "white would say that what was not measured is of one density"


def test_the_answer_says_when_a_memorizer_is_seen_and_how_many_models_differ():
    said = beyond.distances_answer({"simulated": DISTANCES})
    assert "of the models 2 of 3 in pixels and 1 of 1 in features differ from galaxies" in said
    assert (
        "a memorizer of 100 images is given away by 1 of 8 sets of 10 draws and by 8 of 8 sets of 100" in said
    )


def test_galaxies_that_are_found_by_chance_are_counted_and_named():
    said = beyond.chance_answer({"x": DISTANCES})
    assert "0 of 7 have p < 0.05, 0.3 would by chance (none)" in said
    odd = {"records": [*DISTANCES["records"], record("training images", "MMD", 1.0, 0.005)]}
    assert "1 of 8 have p < 0.05" in (said := beyond.chance_answer({"x": odd}))
    assert "training images, MMD of pixels: too close, p 0.01" in said


def test_w1_is_held_against_normals_that_are_correlated_alike():
    z, rest = np.random.default_rng(1).standard_normal((2, 32, 80))
    gap = np.abs(np.sort(z.ravel()) - np.sort((0.98 * z + 0.04**0.5 * rest).ravel())).mean()
    inverted = {"scale": "components 21-100", "correlation": estimate(0.98), "w1": estimate(gap)}
    (found,), (low, high) = beyond.over_null([inverted], 32)
    assert low[0] < 1 < high[0] and found.value == pytest.approx(1, abs=0.6)
    (wide,), _ = beyond.over_null([inverted | {"w1": estimate(5 * gap)}], 32)
    assert wide.value == pytest.approx(5 * found.value) and wide.value > high[0]


def test_the_eigen_images_of_each_denoiser_are_a_row_with_their_values():
    stamps = strip(np.linspace(0, 1, 5)[:, None, None, None] * np.ones((5, 1, 8, 8)))
    sheets = [
        {"sigma": 0.2, "model": m, "values": [0.9, v], "strip": stamps} for m, v in (("A", 0.5), ("B", 0.4))
    ]
    figure = beyond.eigen_sheet({"sheets": [*sheets, sheets[0] | {"sigma": 0.8}]}, 0.2)
    texts = [text.get_text() for text in figure.axes[0].texts]
    heads = ["galaxy", "noisy", "denoised", "0.90"]
    assert texts == [*heads, "0.50", *heads, "0.40", "A", "B"]


def test_sentences_name_the_numbers_of_each_data_set():
    inversion = [
        {"N": n, "who": "B", "scale": s, "correlation": estimate(v), "w1": estimate(0.9)}
        | {"null": 0.3, "echo": 0.001}
        for n in (10, 100)
        for s, v in (("component 1", 0.9), ("components 2-5", 0.3))
    ]
    said = beyond.flow_answer(found := {"x": {"inversion": inversion, "n": 32}})
    assert "N = 100, 32 latents; B: 0.900 [0.800, 1.000] at the largest scale, 0.300" in said
    assert "times its null (beyond it in all groups)" in said
    assert beyond.flow_figure(found).axes[0].get_title() == "x, N = 100, 32 latents"
    assert beyond.flow_figure({}).axes
    distances = [
        {"pair": "A-B", "scale": "all scales", "width": 4, "N": n, "value": estimate(v)}
        for n, v in ((10, 0.45), (1000, 0.05))
    ]
    run = {"distances": distances, "weights": {"4": 1000}, "pixels": 10}
    assert "N = 100 (1 a weight) with 1\N{NO-BREAK SPACE}000 weights, and is 0.05" in beyond.maps_answer(
        {"x": run}
    )
    overlap = [
        {"N": n, "sigma": 0.2, "with": "B", "overlap": [v, v + 0.2], "null": [0.2]}
        for n, v in ((10, 0.3), (100, 0.8))
    ]
    said = beyond.overlap_answer({"x": {"overlap": overlap, "kept": 16, "pixels": 256}})
    assert "N = 10, 0.40 [0.30, 0.50] with B" in said and "0.20 [0.20, 0.20] with B at another" in said
    assert said.endswith("two random spaces 0.06.")
    content = [
        {"scale": scale, "N": n, "share": estimate(0.3), "A-network of Gaussian": estimate(0.2)}
        | {"network of Gaussian-Gaussian": estimate(own), "A-B": estimate(0.1), "A-Gaussian": estimate(0.4)}
        for n, scale, own in ((10, "all scales", 0.5), (100, "component 1", 0.2), (100, "all scales", 0.05))
    ]
    said = beyond.content_answer({"x": {"content": content}})
    assert "*x*: N = 100, 0.30 [0.20, 0.40] in component 1, 0.30 [0.20, 0.40] in all scales; this" in said
    assert "not at its optimum in component 1: more than half" in said
    assert beyond.content_answer({"x": {"content": content[2:]}}).endswith("in all scales.")
    near = [content[2] | {"A-Gaussian": estimate(0.2)}, content[2] | {"share": None}]
    for record in near:  # the distances .2 and .1, each +- .1, leave nothing to share
        said = beyond.content_answer({"x": {"content": [record]}})
        assert "N = 100, none (nothing to share) in all scales" in said
    sd = {part: estimate(0.1) for part in ("latents", "training", "split", "wider")}
    assert "latents 0.100 [0.000, 0.200], training" in beyond.seeds_answer({"x": {"components": sd}})


def test_bits_below_the_error_of_the_integral_are_not_quoted():
    """A memory of .006 was, beside an error of .018 +- .015."""

    def record(model, N, gap, held_out):
        return {"model": model, "N": N, "gap": estimate(gap), "held out": held_out, "training": 3.0}

    exact = {"known": 4.2, "error": 0.018, "sd": 0.044, "n": 32}
    pairs = [(100, 0.25, 3.669), (4000, 0.006, 3.51)]
    bits = [record("conditional diffusion", *pair) for pair in pairs]
    bits += [record("Glow", 100, 1.13, 4.299), record("Glow", 4000, 0.004, 3.495)]
    rows = beyond.bits_rows({"bits": bits, "exact": exact})
    assert rows[0][2:] == ["3.67", "3.00", "0.250 [0.150, 0.350]"]
    assert rows[1][2:] == ["3.51, not told apart from Glow", "3.00", "not resolved (below 0.034)"]
    assert rows[3][2:] == ["3.495", "3.000", "0.004 [-0.096, 0.104]"]  # an exact density has no such error
    assert rows[4] == ["a Gaussian", "", "4.20", "", "error +0.018 ± 0.016"]


def test_values_are_estimates_or_means_with_their_range():
    first, second = beyond.values([{"v": estimate(0.5)}, {"v": [1.0, 2.0, 6.0]}], "v")
    assert first.high == 0.6 and (second.value, second.low, second.high, second.n) == (3.0, 1.0, 6.0, 3)
