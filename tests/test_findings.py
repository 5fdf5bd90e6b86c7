"""Each sentence of the chapters on diffusion, on both sides of what it depends on."""

import pytest

from galgen.compare.memorization import Exchange, Memorization
from galgen.compare.portraits import Portrait
from galgen.compare.twosample import C2ST
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.config import PROFILES, ConditionalSettings
from galgen.figures import findings


def around(value, width=0.1):
    return Estimate(value, value - width, value + width, 64)


def test_sizes_are_listed_with_their_thousands_apart():
    assert findings.at_sizes((10, 4000)) == "N = 10, 4\N{NO-BREAK SPACE}000"


@pytest.mark.parametrize("gaussians, text", [(0.3, "agree beyond that"), (0.9, "converged, on something")])
def test_networks_that_agree_no_more_than_gaussians_have_only_converged(gaussians, text):
    assert text in findings.convergence(around(0.8), around(gaussians))


@pytest.mark.parametrize("deviation, share, short", [(1.7, 0.6, True), (1.7, 0.9, False), (0.5, 0.6, False)])
def test_noise_is_too_little_where_galaxies_spread_more_and_samples_less(deviation, share, short):
    text = findings.first_component(deviation, share)
    assert text.startswith(f"Galaxies spread by {deviation:.1f} along")
    assert ("too little" in text) is short and (f"to {share:.2f} of what it should be." in text) is short


@pytest.mark.parametrize("difference, text", [(0.12, "control is +0.12."), (-0.05, "do **not** agree more")])
def test_agreement_beyond_the_stronger_control(difference, text):
    assert text in findings.beyond(difference)


def asked(closer, p, width=0.1):
    """A test of memorization with that P(train closer) and that p-value."""
    models = Exchange(around(closer, width), Outcome(0.3, -0.1, 0.1, 0.001))
    return Memorization(models, Exchange(around(0.6), Outcome(0.1, -0.1, 0.1, 0.001)), p)


def test_a_pair_has_memorised_after_the_first_passes_that_show_it_or_never():
    history = {10: {100: asked(0.9, 0.5), 20_000: asked(0.9, 0.001), 40_000: asked(0.95, 0.001)}}
    history[4000] = {100: asked(0.5, 0.5)}
    assert findings.onset(history) == {10: 2000}
    when = ["at N = 10 after 2\N{NO-BREAK SPACE}000 passes", "at N = 4\N{NO-BREAK SPACE}000 never"]
    assert findings.passes(history) == f"The pair memorises (p < 0.01) {', '.join(when)}"


def judged(fine, coarse, p=(0.001, 0.5), spread=(1.0, 1.0)):
    """A portrait with those areas under the curve at 16 and at 8 pixels."""
    tests = {
        side: C2ST(around(auc, 0.05), Outcome(auc, 0.45, 0.55, value))
        for side, auc, value in zip((16, 8), (fine, coarse), p, strict=True)
    }
    return Portrait(1.0, dict(zip(("component 1", "components 2-5"), spread, strict=True)), tests, None, 1.0)


@pytest.mark.parametrize(
    "p, spread, text",
    [
        (
            (0.001, 0.5),
            (1.0, 1.3),
            "at 16 pixels a side, and not at 8. Of the galaxies' variance they have 0.75",
        ),
        (
            (0.001, 0.001),
            (1.5, 0.7),
            "at 16, 8 pixels a side. Of the galaxies' variance they have 1.50 in comp",
        ),
        (
            (0.5, 0.5),
            (1.0, 0.7),
            "at no number of pixels a side. Of the galaxies' variance they have 0.70 in",
        ),
    ],
)
def test_what_gives_samples_away_is_named_by_scale(p, spread, text):
    assert text in findings.gives_away(judged(0.9, 0.6, p, spread))


@pytest.mark.parametrize(
    "coarse, text",
    [(0.7, "the way of this book."), (0.84, "no clear difference"), (0.95, "a clear difference")],
)
def test_the_best_way_to_sample_is_named_and_how_far_ours_is_from_it(coarse, text):
    ways = {"ours": judged(0.9, coarse), "another": judged(0.99, 0.8)}
    found = findings.best_of(ways, "ours")
    assert f" are those of *{'ours' if coarse < 0.8 else 'another'}*" in found and text in found


def test_the_optimizer_is_named_with_its_rates():
    muon = ConditionalSettings(batch_size=16, muon_rate=0.02, learning_rate=0.004)
    said = "Muon at 0.02 (Adam at 0.004 for gains and both ends) and batches of 16"
    assert findings.optimizer(muon) == said
    assert findings.optimizer(PROFILES["paper"].denoiser) == "Adam at 0.001 and batches of 512"


def test_what_a_denoiser_loses_to_the_linear_filter_is_named_by_scale():
    linear = {"component 1": 0.9, "components 2-5": 1.0, "all": 2.0, "bias": 0.5}
    worse = {"component 1": 0.8, "components 2-5": 1.6, "all": 2.5, "bias": 0.1}
    text = findings.lost(worse, linear)
    assert "above that of the linear filter by 0.50; most of that, 0.60, is in components 2-5." in text
    assert text.endswith("In component 1, brightness and size, it errs less (-0.10).")
    assert (
        findings.lost(linear, worse) == "Its squared error is below that of the linear filter by 0.50 in all."
    )
