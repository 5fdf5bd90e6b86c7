from math import inf

import pytest

from galgen.compare.agreement import Shared
from galgen.compare.scoreboard import Portrait
from galgen.compare.twosample import C2ST
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures import readings
from galgen.figures.readings import Reading


def around(value):
    return Estimate(value, value - 0.05, value + 0.05, 64)


def judged(fine, coarse):
    """A portrait with those areas under the curve at 16 and at 8 pixels."""
    null = Outcome(0.5, 0.45, 0.55, 0.01)
    tests = {side: C2ST(around(auc), null) for side, auc in ((16, fine), (8, coarse))}
    return Portrait(1.0, {}, tests, None, 1.0)


@pytest.mark.parametrize(
    ("value", "words"),
    [(-1, "low"), (0.7, "low"), (0.71, "right"), (1.3, "right"), (9, "high"), (None, "not")],
)
def test_a_value_reads_as_the_first_limit_that_it_does_not_exceed_and_both_are_seen(value, words):
    reading = Reading("share", value, ((0.7, "low"), (1.3, "right"), (inf, "high")))
    assert reading.words.startswith(words) and "limit 0.7 and 1.3" in str(reading)
    row = readings.reading_table([reading]).data.splitlines()[-1]
    what, number, bold, rule = row.strip("| ").split(" | ")
    assert (what, bold, rule) == ("share", f"**{reading.words}**", "low ≤ 0.7 < right ≤ 1.3 < high")
    assert number == ("–" if value is None else f"{value:.2f}")


def test_every_scale_grows_and_ends_open():
    scales = [value for name, value in vars(readings).items() if name.isupper() and isinstance(value, tuple)]
    assert len(scales) > 15
    for scale in scales:
        limits = [limit for limit, _ in scale]
        assert limits == sorted(limits) and limits[-1] == inf and all(words for _, words in scale)


@pytest.mark.parametrize(
    ("coarse", "best", "clear"), [(0.7, "ours", False), (0.84, "other", False), (0.95, "other", True)]
)
def test_the_best_way_to_sample_is_named_and_whether_ours_is_clearly_worse(coarse, best, clear):
    (found,) = readings.ways({"ours": judged(0.9, coarse), "other": judged(0.99, 0.8)}, "ours")
    assert f"*{best}*" in found.what and found.words == f"{'a' if clear else 'no'} clear difference"


def test_kinds_of_galaxies_are_counted_where_they_agree_beyond_shuffled_latents():
    found = {"gini": Shared(0.6, 0.2, 0.001, 50), "m20": Shared(0.1, 0.2, 0.5, 50)}
    turned = {"gini": Shared(-0.6, 0.2, 0.001, 50)}  # far from the null, and yet no agreement
    one, none, nothing = (readings.kinds("Glow", each) for each in (found, turned, {}))
    assert (one.value, none.value, nothing.value) == (1, 0, None)
    assert one.number == "Gini (median correlation +0.35)"
