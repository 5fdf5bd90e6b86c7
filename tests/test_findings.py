"""Each sentence of the chapters on diffusion, on both sides of what it depends on."""

import pytest

from galgen.compare.exchange import Exchange, Memorization
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


@pytest.mark.parametrize(
    "gaps, here", [((8.0, 0.4), True), ((8.0, 2.0), False), ((2.0, 0.1), False), ((4.0,), False)]
)
def test_a_transition_is_a_gap_that_closes(gaps, here):
    text = findings.gap(dict(zip((10, 4000), gaps, strict=False)))
    assert f"up to {gaps[0]:.1f} dB better" in text and text.endswith("is here.") is here


@pytest.mark.parametrize("psnr, flat", [([24.0, 23.5, 22.0], True), ([33.0, 30.0, 26.0], False)])
def test_a_plateau_is_within_three_decibels(psnr, flat):
    text = findings.plateau(psnr)
    assert f"{psnr[-1]:.1f} to {psnr[0]:.1f} dB" in text
    assert ("hardly better" in text) is flat and ("still better" in text) is not flat
    assert ("nearly a plateau, as in the paper, but at 24 dB" in text) is flat and (
        "not seen here" in text
    ) is not flat


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


@pytest.mark.parametrize(
    "large, fresh",
    [
        (asked(0.5, 0.5, 0.04), "at N = 300 P(train closer) is 0.55 at most."),
        (asked(0.5, 0.001, 0.04), "there is no N at which it can be excluded."),
        # its lower end is below 0.55, its upper end is not
        (asked(0.53, 0.5, 0.1), "there is no N at which it can be excluded."),
    ],
)
def test_sizes_at_which_memorization_is_found_are_named_and_sizes_at_which_it_is_excluded(large, fresh):
    text = findings.memorisation({10: asked(0.95, 0.001), 300: large})
    at = "N = 10, 300" if large.outcome.p < 0.01 else "N = 10"
    known = f"P(train closer) {around(0.95)} at N = 10, of Gaussians of the same images {around(0.6)}"
    assert text == f"**Memorisation.** At {at} the models memorise ({known}); {fresh}"
    # to favour one's own images no more than Gaussians do is not to memorise
    assert "No N memorises" in findings.memorisation({10: asked(0.95, 0.2)})


@pytest.mark.parametrize("large, text", [(0.9, ", the transition of the paper."), (0.15, ": no transition.")])
def test_a_transition_is_agreement_that_grows_beyond_its_interval(large, text):
    assert findings.agreement(around(0.1), around(large)).endswith(f"{around(0.1)} to {around(large)}{text}")


@pytest.mark.parametrize(
    "large, difference, last", [(0.9, 0.3, "exceed both controls."), (0.4, -0.2, "given above.")]
)
def test_the_controls_say_at_which_sizes_networks_agree_more(large, difference, last):
    gaussians = {10: around(0.2), 300: around(0.6)}
    text = findings.controls({10: around(0.2), 300: around(large)}, gaussians, difference)
    assert f"({around(0.2)} to {around(0.6)})" in text and text.endswith(last)
    ahead = f"more than they do at N = 300 ({around(0.9)} against {around(0.6)})."
    assert (ahead in text) is (large == 0.9) and ("At no N do" in text) is (large != 0.9)


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
    assert found.startswith(
        f"At 8 pixels the samples hardest to tell from galaxies are those of *{'ours' if coarse < 0.8 else 'another'}*"
    )
    assert text in found


def test_the_optimizer_is_named_with_its_rates():
    muon = ConditionalSettings(batch_size=16, muon_rate=0.02, learning_rate=0.004)
    said = "Muon at 0.02 (Adam at 0.004 for gains and both ends) and batches of 16"
    assert findings.optimizer(muon) == said
    assert findings.optimizer(PROFILES["paper"].denoiser) == "Adam at 0.001 and batches of 512"
