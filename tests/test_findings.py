"""Each sentence of the chapters on diffusion, on both sides of what it depends on."""

import pytest

from galgen.compare.exchange import Exchange, Memorization
from galgen.compare.uncertainty import Estimate, Outcome
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
    models = Exchange(around(closer, width), Outcome(0.3, -0.1, 0.1, 0.001), 64)
    return Memorization(models, Exchange(around(0.6), Outcome(0.1, -0.1, 0.1, 0.001), 64), p)


def test_a_pair_has_memorised_after_the_first_passes_that_show_it_or_never():
    history = {10: {100: asked(0.9, 0.5), 20_000: asked(0.9, 0.001), 40_000: asked(0.95, 0.001)}}
    history[4000] = {100: asked(0.5, 0.5)}
    assert findings.onset(history) == {10: 2000}
    when = ["at N = 10 after 2\N{NO-BREAK SPACE}000 passes", "at N = 4\N{NO-BREAK SPACE}000 never"]
    assert findings.passes(history) == f"The pair memorises (p < 0.01) {', '.join(when)}"
