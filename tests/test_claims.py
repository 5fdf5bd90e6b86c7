"""From number to verdict: gates in their order, rules at their margins, and networks that know nothing."""

import re
from math import comb, inf
from pathlib import Path
from types import SimpleNamespace

import pytest

from galgen.compare.clock_size import Elapsed
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.config import Parameters
from galgen.evidence.findings import Findings, Pair
from galgen.evidence.shapes import Change, Fit
from galgen.experiment import Experiment
from galgen.figures import chapter_10, chapter_11, claims
from galgen.figures.verdicts import (
    CONFOUNDED,
    HELD,
    NOT_HELD,
    NOT_TESTABLE,
    ONE_PAIR,
    UNDERPOWERED,
    Range,
    rule,
    within,
)

CLAIM = {claim.key: claim for claim in claims.CLAIMS}


def about(value, half=0.01, n=256):
    return Estimate(value, value - half, value + half, n)


def elapsed(onsets):
    predicted = {100: 72_000 / onsets} if onsets else {}
    return Elapsed(4000, 72_000, about(0.0), None, predicted, "some words.")


def of_denoiser(closer=None, agree=None, *, pairs=3, onsets=5.0, share=0.95, label="diffusion", **more):
    """Findings of a denoiser, by N of P(train closer) and agreement."""
    closer, agree = closer or {100: 0.9, 4000: 0.5}, agree or {100: 0.5, 4000: 0.97}
    scale = SimpleNamespace(
        pair=about(0.97),
        floor=about(0.8),
        ceiling=about(0.98),
        share=None if share is None else about(share),
        missing="one model",
    )
    return SimpleNamespace(
        label=label,
        sizes=tuple(closer),
        models=dict.fromkeys(closer, 2 * pairs),
        pairs={n: [Pair(about(agree[n]), about(closer[n]), 0.52)] * pairs for n in closer},
        time=elapsed(onsets),
        scale=scale,
        missed=lambda question: more.get("missed", []),
        gained=lambda N: {"A0": [about(more.get("gained", -4.0))] * 3},
        fit=lambda N: None,
        kept=lambda N: {"A0": about(0.1)},
        experiment=SimpleNamespace(family=SimpleNamespace(name="diffusion")),
    )


def said(key, found, **options):
    ruling = rule(CLAIM[key], found, **options)
    assert ruling.reason
    return ruling.verdict


def test_there_are_eleven_claims_each_with_a_source_a_figure_and_a_margin_with_its_reason():
    assert len(CLAIM) == len(claims.CLAIMS) == 11
    for claim in claims.CLAIMS:
        assert claim.source and claim.figure.startswith("fig-") and claim.reason and claim.margin > 0
        assert set(claim.gates) <= {"fit", "time", "power"}
    assert [claim.key for claim in claims.CLAIMS if claim.by_construction] == ["echo"]


def test_a_claim_is_compared_at_the_ns_of_the_paper_the_least_first_and_the_largest_last():
    assert CLAIM["transition"].compared((10, 100, 1000, 4000)) == [100, 4000]
    assert CLAIM["unchanged"].compared((10, 100, 4000)) is None  # one N in the paper's range
    assert CLAIM["unchanged"].compared((1000, 2000, 4000)) == [1000, 4000]
    assert CLAIM["judges"].compared((1000, 4000)) is None
    assert CLAIM["judges"].compared((1000, 100_000)) == [1000, 100_000]
    assert CLAIM["plateau"].compared((10, 100, 4000)) == [100] and CLAIM["plateau"].compared((10,)) is None
    assert str(Range(1000, inf)).startswith("N of 1") and str(Range(100, 100)) == "N = 100"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, HELD),
        ({"closer": {10: 0.9, 30: 0.5}, "agree": {10: 0.5, 30: 0.9}}, NOT_TESTABLE),  # below the paper's N
        ({"closer": {100: 0.9}, "agree": {100: 0.5}}, NOT_TESTABLE),  # a single N
        ({"onsets": 2.9}, CONFOUNDED),
        ({"onsets": None}, CONFOUNDED),
        ({"onsets": 2.9, "missed": ["empirical denoiser"]}, CONFOUNDED),  # the first gate that applies
        ({"missed": ["empirical denoiser"]}, UNDERPOWERED),
        ({"pairs": 1}, ONE_PAIR),
        ({"closer": {100: 0.9, 4000: 0.9}}, NOT_HELD),  # the large one copies as well
        ({"closer": {100: 0.5, 4000: 0.5}}, NOT_HELD),
        ({"agree": {100: 0.9, 4000: 0.5}}, NOT_HELD),
        ({"closer": {100: 0.575, 4000: 0.5}}, UNDERPOWERED),  # its interval holds the margin
    ],
)
def test_the_transition_by_its_gates_and_its_rule(change, verdict):
    assert said("transition", of_denoiser(**change)) == verdict


@pytest.mark.parametrize(
    ("closer", "verdict"), [(0.5, HELD), (0.56, HELD), (0.565, UNDERPOWERED), (0.6, NOT_HELD), (0.4, HELD)]
)
def test_new_is_held_where_no_more_than_a_tenth_can_be_copies(closer, verdict):
    assert said("new", of_denoiser({4000: closer}, {4000: 0.9})) == verdict


def test_one_pair_of_three_that_copies_leaves_the_claim_undecided():
    found = of_denoiser()
    found.pairs[4000] = [*found.pairs[4000][:2], Pair(about(0.97), about(0.9), 0.52)]
    assert said("new", found) == UNDERPOWERED


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0.95, HELD), (0.815, HELD), (0.8, UNDERPOWERED), (0.7, NOT_HELD), (None, UNDERPOWERED)],
)
def test_the_same_image_is_four_fifths_of_the_way_to_the_ceiling(share, verdict):
    assert said("same", of_denoiser(share=share)) == verdict


def test_the_same_image_of_one_pair_has_no_verdict_and_the_table_says_who_has_enough():
    found = of_denoiser(pairs=1)
    ruling = rule(CLAIM["same"], found)
    assert ruling.verdict == ONE_PAIR and "laptop or night" in ruling.reason and ruling.gate == "trainings"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, NOT_HELD),  # 4 000 are past the transition already
        ({"closer": {100: 0.9, 4000: 0.8}}, HELD),
        ({"share": 0.5}, HELD),
        ({"share": 0.8}, UNDERPOWERED),
        ({"onsets": 1.0}, CONFOUNDED),
    ],
)
def test_that_a_hundred_thousand_are_required_is_contradicted_by_a_smaller_n_alone(change, verdict):
    assert said("required", of_denoiser(**change)) == verdict


def of_samples(*, nearer=0.1, gains=0.2, farther=(0.0,), models=6, missed=(), label="Glow"):
    names = [f"glow-N4000-{k}" for k in "ABC"]
    auc = dict.fromkeys(names, 0.8)
    return SimpleNamespace(
        label=label,
        sizes=(1000, 4000),
        models={1000: models, 4000: models},
        fit=lambda N: Fit(auc, {name: a + gains for name, a in auc.items()}, about(gains)),
        kept=lambda N: nearer if nearer is None else {name: about(nearer) for name in names},
        change=lambda small, large: Change([about(f) for f in farther], 0.2),
        missed=lambda question: list(missed),
        experiment=SimpleNamespace(family=SimpleNamespace(name=label.lower())),
    )


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, HELD),
        ({"nearer": -0.1}, NOT_HELD),
        ({"nearer": 0.0}, UNDERPOWERED),
        ({"nearer": None}, NOT_TESTABLE),
        ({"gains": -0.1}, NOT_TESTABLE),  # no nearer to galaxies than a Gaussian
        ({"gains": 0.0}, NOT_TESTABLE),
        ({"missed": ["blurred"]}, UNDERPOWERED),
        ({"models": 2}, ONE_PAIR),
        ({"models": 2, "gains": -0.1}, NOT_TESTABLE),
    ],
)
def test_the_morphology_is_kept_where_it_is_nearer_than_a_pixel_of_blur(change, verdict):
    assert said("kept", of_samples(**change)) == verdict


@pytest.mark.parametrize(
    ("farther", "verdict"),
    [((0.0, 0.1), HELD), ((0.3, 0.4), NOT_HELD), ((0.0, 0.3), UNDERPOWERED), ((-0.3, 0.3), NOT_HELD)],
)
def test_the_morphology_changes_with_n_by_more_than_that_blur_or_does_not(farther, verdict):
    assert said("unchanged", of_samples(farther=farther, label="GAN")) == verdict


def latents(apart, ratio=1.0, p=0.03, auc=0.9, half=0.05):
    return SimpleNamespace(
        apart=apart,
        ratio=[about(ratio, half)] * len(apart),
        p=[p] * len(apart),
        auc=about(auc),
        auc_same=about(0.9),
        echo=[1e-7],
        floor=[1e-3],
    )


def of_flows(small, large, **more):
    sizes = {1000: latents(small, **more), 4000: latents(large, **more)}
    found = of_samples()
    return SimpleNamespace(**vars(found) | {"latents": sizes})


FLAT, HIGH, LOW = [0.05] * 4, [0.1, 0.11, 0.12, 0.13], [0.02, 0.03, 0.04, 0.05]


@pytest.mark.parametrize(
    ("small", "large", "verdict"),
    [
        ([FLAT, HIGH, HIGH], [FLAT, LOW, LOW], HELD),
        ([FLAT, HIGH, LOW], [FLAT, LOW, LOW], UNDERPOWERED),
        ([FLAT, LOW, HIGH], [FLAT, HIGH, LOW], NOT_HELD),  # grows at a deep level
        ([HIGH, HIGH, HIGH], [LOW, LOW, LOW], NOT_HELD),  # falls at the finest too
        ([FLAT[:2], HIGH[:2], HIGH[:2]], [FLAT[:2], LOW[:2], LOW[:2]], UNDERPOWERED),  # too few pairs
    ],
)
def test_table_1_falls_at_the_deep_levels_and_stays_at_the_finest(small, large, verdict):
    assert said("table1", of_flows(small, large)) == verdict


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, HELD),
        ({"ratio": 1.22}, UNDERPOWERED),
        ({"ratio": 1.5}, NOT_HELD),
        ({"auc": 1.0}, NOT_HELD),  # better than Glows of the same images are parted
        ({"p": 0.2}, UNDERPOWERED),  # the smallest N does not show it either
    ],
)
def test_one_density_is_beside_glows_of_the_same_images(change, verdict):
    assert said("density", of_flows([FLAT] * 3, [FLAT] * 3, **change)) == verdict


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        (("separates", "passes"), HELD),
        (("separates", "separates"), NOT_HELD),
        (("passes", "passes"), NOT_HELD),
        (("separates", "no power"), UNDERPOWERED),
    ],
)
def test_judges_part_at_small_n_and_have_power_where_they_do_not(verdicts, wanted):
    sizes = (1000, 100_000)
    courses = {n: SimpleNamespace(distance=0.5, verdict=v) for n, v in zip(sizes, verdicts, strict=True)}
    found = of_samples(label="GAN")
    found.sizes, found.models, found.courses = sizes, dict.fromkeys(sizes, 6), courses
    assert said("judges", found) == wanted


@pytest.mark.parametrize(("gained", "verdict"), [(-4.0, HELD), (-1.0, UNDERPOWERED), (2.0, NOT_HELD)])
def test_the_plateau_makes_the_least_noise_worse(gained, verdict):
    assert said("plateau", of_denoiser(gained=gained)) == verdict


def test_a_flow_is_a_bijection_whatever_gates_there_are():
    found = of_flows([FLAT] * 3, [FLAT] * 3)
    found.models = dict.fromkeys(found.sizes, 2)
    assert said("echo", found) == HELD
    found.latents[4000].echo[0] = 1e-2
    assert said("echo", found) == NOT_HELD


def test_a_verdict_takes_every_interval_within_or_every_one_wholly_outside():
    words = "in", "out"

    def verdict(*values, low=0.0, high=1.0):
        return within("", [about(v, 0.1) for v in values], low, high, words).verdict

    assert verdict(0.5, 0.5) == HELD and verdict(1.5, -0.5) == NOT_HELD
    assert verdict(0.5, 1.5) == verdict(0.95) == UNDERPOWERED
    assert within("", [], 0, 1, words).verdict == within("", [None], 0, 1, words).verdict == NOT_TESTABLE


def test_the_tables_name_each_family_and_what_another_margin_would_change():
    found = claims.rulings(
        [of_denoiser(), of_denoiser(share=0.86, label="conditional diffusion")], "same", "new"
    )
    assert [(c.key, label) for c, label in found] == [
        ("new", "diffusion"),
        ("new", "conditional diffusion"),
        ("same", "diffusion"),
        ("same", "conditional diffusion"),
    ]
    text = claims.claims_table(found).data
    assert text.count(CLAIM["same"].text) == 1 and "{numref}`fig-scale`" in text
    margins = chapter_10.margins_table([of_denoiser(share=0.86)]).data
    row = next(line for line in margins.splitlines() if CLAIM["same"].text in line)
    assert "diffusion: not held | nothing" in row  # a tenth in the place of a fifth


def test_runs_are_alike_where_all_have_a_claim_of_a_family_and_say_the_same():
    one = chapter_10.kept_claims(claims.rulings([of_denoiser()], "same", "new"))
    other = chapter_10.kept_claims(claims.rulings([of_denoiser(share=0.5)], "same", "new"))
    assert "in 1 of the 2 places" in chapter_11.alike({"a": one, "b": other})
    older = chapter_11.alike({"a": one, "b": other, "c": [{"claim": "x", "verdict": "held"}]})
    assert "in 1 of the 2 places" in older and older.endswith("with other claims: c.")
    assert chapter_11.beside({"a": one, "b": other}).data.count("| diffusion |") == 2


class Early(Experiment):
    """An experiment whose models are as they were before their training, or at their first milestone."""

    shown = 0

    def samples(self, training, images_shown=None, count=None):
        return super().samples(training, self._early(training, images_shown), count)

    def networks(self, training, images_shown=None):
        return super().networks(training, self._early(training, images_shown))

    def keys(self):
        return {name: f"{key} {self.shown}" for name, key in super().keys().items()}

    def _early(self, training, images_shown):
        first = self.train(training).summary["weights"][0] if self.shown else 0
        return first if images_shown is None else images_shown


class First(Early):
    shown = 1


def rest_on_gates():
    """The claims that `book/statistics.md` lists as passed, without gates, by networks that know nothing."""
    page = (Path(__file__).parents[1] / "book" / "statistics.md").read_text()
    section = page.split("### What rests on its gates alone")[1]
    return set(re.findall(r"`(\w+)`", section))


@pytest.mark.parametrize("early", [Early, First])
@pytest.mark.parametrize("family", ["diffusion", "glow"])
def test_what_networks_that_know_nothing_pass_without_gates_is_listed(early, family, trained):
    found = Findings(early(Parameters(profile="smoke", N=12), trained, family=family))
    asked = [claim for claim in claims.CLAIMS if found.label in claim.families and len(claim.needs) == 1]
    passed = {claim.key for claim in asked if rule(claim, found, gates=False).verdict == HELD}
    assert passed and passed <= rest_on_gates() <= set(CLAIM)
    assert {claim.key for claim in asked if rule(claim, found).verdict == HELD} <= {"echo"}


def test_an_outcome_of_few_pairs_has_a_p_that_says_so():
    found = of_flows([FLAT[:2]] * 3, [FLAT[:2]] * 3)
    assert f"below {1 / comb(4, 2):.2f}" in rule(CLAIM["table1"], found).reason


def test_controls_that_are_missed_are_named_by_the_question_that_misses_them(monkeypatch):
    answers = {
        "blurred": {"morphology": Outcome(0.1, 0, 1, 0.5)},
        "Gaussian": {"morphology": Outcome(0.1, 0, 1, 0.001)},
    }
    monkeypatch.setattr("galgen.evidence.findings.checks", lambda experiment: answers)
    found = Findings.__new__(Findings)
    found.experiment = None
    assert found.missed("morphology") == ["blurred"] and found.missed("memorization") == []


def test_the_interval_of_fit_decides_where_there_are_three_pairs_and_every_model_else():
    models, gaussians = {"a": 0.7, "b": 0.8}, {"a": 0.9, "b": 0.79}
    assert Fit(models, gaussians, about(0.1)).nearer and not Fit(models, gaussians, about(0.0)).nearer
    assert not Fit(models, gaussians, None).nearer and Fit(models, {"a": 0.9, "b": 0.9}, None).nearer
