from math import inf

import numpy as np
import pytest

from galgen.compare.scoreboard import Portrait
from galgen.compare.twosample import C2ST
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.config import PROFILES
from galgen.figures import readings, sentences
from galgen.figures.readings import Reading

GOOD, BAD = Outcome(0.1, 0.0, 0.2, 0.5), Outcome(0.7, 0.0, 0.2, 0.001)


def around(value, width=0.1):
    return Estimate(value, value - width, value + width, 64)


def judged(fine, coarse, p=(0.001, 0.5), spread=(1.0, 1.0)):
    """A portrait with those areas under the curve at 16 and at 8 pixels."""
    tests = {
        side: C2ST(around(auc, 0.05), Outcome(auc, 0.45, 0.55, value))
        for side, auc, value in zip((16, 8), (fine, coarse), p, strict=True)
    }
    return Portrait(1.0, dict(zip(("component 1", "components 2-5"), spread, strict=True)), tests, None, 1.0)


# Numbers


def test_numbers_and_ranges_are_written_as_the_chapters_have_them():
    assert sentences.listed([0.5, -0.25], "+.1f") == "+0.5, -0.2"
    assert sentences.span([0.3, 0.1, 0.2]) == "0.10 to 0.30"
    assert sentences.mean_span(np.array([0.1, 0.2, 0.6])) == "0.300 (0.100 to 0.600)"
    assert sentences.at_sizes((10, 4000)) == "N = 10, 4\N{NO-BREAK SPACE}000"
    assert sentences.spoken(GOOD) == "E = 0.100, p = 0.500"


def test_an_estimate_takes_the_format_of_a_number():
    estimate = around(0.125, 0.25)
    assert str(estimate) == f"{estimate}" == "0.12 [-0.12, 0.38]"
    assert f"{estimate:+.3f}" == "+0.125 [-0.125, +0.375]"


def test_the_optimizer_is_named_with_its_rates():
    laptop, paper = (PROFILES[name].diffusion for name in ("laptop", "paper"))
    assert sentences.optimizer(paper) == "Adam at 0.001 and batches of 512"
    said = sentences.optimizer(laptop)
    assert f"Muon at {laptop.muon_rate:g}" in said and f"batches of {laptop.batch_size}" in said


def test_two_sets_of_samples_are_compared_at_each_side_by_their_intervals():
    (fine, coarse) = sentences.against(judged(0.99, 0.6), judged(0.8, 0.65)).split(", at 8 pixels")
    assert fine.startswith("at 16 pixels 0.99 [") and "farther" in fine and "overlap" in coarse
    assert "nearer" in sentences.against(judged(0.8, 0.6), judged(0.99, 0.6))


# Readings


@pytest.mark.parametrize(
    ("value", "words"),
    [(-1, "low"), (0.7, "low"), (0.71, "right"), (1.3, "right"), (9, "high"), (None, "not")],
)
def test_a_value_reads_as_the_first_limit_that_it_does_not_exceed_and_both_are_seen(value, words):
    reading = Reading("share", value, ((0.7, "low"), (1.3, "right"), (inf, "high")))
    assert reading.words.startswith(words) and "limit 0.7 and 1.3" in str(reading)
    what, number, bold, rule = (
        readings.reading_table([reading]).data.splitlines()[-1].strip("| ").split(" | ")
    )
    assert (what, bold, rule) == ("share", f"**{reading.words}**", "low ≤ 0.7 < right ≤ 1.3 < high")
    assert number == ("–" if value is None else f"{value:.2f}")


def test_every_scale_grows_and_ends_open():
    scales = [value for name, value in vars(readings).items() if name.isupper() and isinstance(value, tuple)]
    assert len(scales) > 15
    for scale in scales:
        limits = [limit for limit, _ in scale]
        assert limits == sorted(limits) and limits[-1] == inf and all(words for _, words in scale)


def test_what_gives_samples_away_is_read_by_scale():
    found = readings.gives_away(judged(0.9, 0.6, (0.001, 0.5), (1.5, 0.7)), "blind: ")
    assert [r.words for r in found] == ["told from galaxies", "not told", "too much", "too little"]
    assert found[0].what == "blind: AUC at 16 pixels a side" and "p 0.001" in found[0].number


@pytest.mark.parametrize(
    ("coarse", "best", "clear"), [(0.7, "ours", False), (0.84, "other", False), (0.95, "other", True)]
)
def test_the_best_way_to_sample_is_named_and_whether_ours_is_clearly_worse(coarse, best, clear):
    (found,) = readings.ways({"ours": judged(0.9, coarse), "other": judged(0.99, 0.8)}, "ours")
    assert f"*{best}*" in found.what and found.words == f"{'a' if clear else 'no'} clear difference"


@pytest.mark.parametrize(
    ("ascent", "words"), [(0.91, "the flow"), (0.3, "the ascent does no"), (None, "not mea")]
)
def test_the_ascent_says_whether_the_range_of_noise_cuts_the_variance(ascent, words):
    other = judged(0.9, 0.8, spread=(ascent, 1.0)) if ascent else None
    assert readings.cut_by(judged(0.9, 0.8, spread=(0.28, 1.0)), other).words.startswith(words)


def test_the_measure_and_the_copies_are_read_by_their_p():
    rows = readings.measure(GOOD, {"a": BAD, "b": GOOD, "c": None}) + readings.copies(
        {10: BAD, 100: None}, GOOD
    )
    words = ["as it must", "seen", "missed", "not meas", "a memoriser fails", "not meas", "not told"]
    assert all(r.words.startswith(begin) for r, begin in zip(rows, words, strict=True))
    assert "diffusion of N = 10" in rows[-1].what
    assert [r.words for r in readings.copies({}, None)] == ["not measurable"]


def test_kinds_of_galaxies_are_counted_where_they_agree_beyond_shuffled_latents():
    found = {"gini": Outcome(0.6, -0.2, 0.2, 0.001), "m20": Outcome(0.1, -0.2, 0.2, 0.5)}
    turned = {"gini": Outcome(-0.6, -0.2, 0.2, 0.001)}  # far from the null, and yet no agreement
    one, none, nothing = (readings.kinds("Glow", each) for each in (found, turned, {}))
    assert (one.value, none.value, nothing.value) == (1, 0, None)
    assert one.number == "Gini (median correlation +0.35)"
