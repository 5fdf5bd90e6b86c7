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


def of_judges(one, other):
    sizes = (1000, 100_000)
    courses = {n: SimpleNamespace(distance=0.5, verdict=v) for n, v in zip(sizes, (one, other), strict=True)}
    found = vars(of_samples(label="GAN")) | {"sizes": sizes, "models": dict.fromkeys(sizes, 6)}
    return SimpleNamespace(**found | {"courses": courses})


def of_density(**change):
    return of_flows([FLAT] * 3, [FLAT] * 3, **change)


def of_change(*farther):
    return of_samples(farther=farther, label="GAN")


def of_copies(closer):
    return of_denoiser({4000: closer}, {4000: 0.9})


def of_copier():
    """One pair of three that copies."""
    found = of_denoiser()
    found.pairs[4000] = [*found.pairs[4000][:2], Pair(about(0.97), about(0.9), 0.52)]
    return found


BELOW = {"closer": {10: 0.9, 30: 0.5}, "agree": {10: 0.5, 30: 0.9}}
MISSED = ["empirical denoiser"]


@pytest.mark.parametrize(
    ("key", "found", "verdict"),
    [
        ("transition", of_denoiser(), HELD),
        ("transition", of_denoiser(**BELOW), NOT_TESTABLE),  # below the paper's N
        ("transition", of_denoiser({100: 0.9}, {100: 0.5}), NOT_TESTABLE),  # a single N
        ("transition", of_denoiser(onsets=2.9), CONFOUNDED),
        ("transition", of_denoiser(onsets=None), CONFOUNDED),
        ("transition", of_denoiser(onsets=2.9, missed=MISSED), CONFOUNDED),  # the first gate that applies
        ("transition", of_denoiser(missed=MISSED), UNDERPOWERED),
        ("transition", of_denoiser(pairs=1), ONE_PAIR),
        ("transition", of_denoiser({100: 0.9, 4000: 0.9}), NOT_HELD),  # the large one copies as well
        ("transition", of_denoiser({100: 0.5, 4000: 0.5}), NOT_HELD),
        ("transition", of_denoiser(agree={100: 0.9, 4000: 0.5}), NOT_HELD),
        ("transition", of_denoiser({100: 0.575, 4000: 0.5}), UNDERPOWERED),  # its interval holds the margin
        ("new", of_copies(0.5), HELD),
        ("new", of_copies(0.56), HELD),
        ("new", of_copies(0.565), UNDERPOWERED),
        ("new", of_copies(0.6), NOT_HELD),
        ("new", of_copies(0.4), HELD),
        ("new", of_copier(), UNDERPOWERED),
        ("same", of_denoiser(share=0.95), HELD),
        ("same", of_denoiser(share=0.815), HELD),
        ("same", of_denoiser(share=0.8), UNDERPOWERED),
        ("same", of_denoiser(share=0.7), NOT_HELD),
        ("same", of_denoiser(share=None), UNDERPOWERED),
        ("required", of_denoiser(), NOT_HELD),  # 4 000 are past the transition already
        ("required", of_denoiser({100: 0.9, 4000: 0.8}), HELD),
        ("required", of_denoiser(share=0.5), HELD),
        ("required", of_denoiser(share=0.8), UNDERPOWERED),
        ("required", of_denoiser(onsets=1.0), CONFOUNDED),
        ("kept", of_samples(), HELD),
        ("kept", of_samples(nearer=-0.1), NOT_HELD),
        ("kept", of_samples(nearer=0.0), UNDERPOWERED),
        ("kept", of_samples(nearer=None), NOT_TESTABLE),
        ("kept", of_samples(gains=-0.1), NOT_TESTABLE),  # no nearer to galaxies than a Gaussian
        ("kept", of_samples(gains=0.0), NOT_TESTABLE),
        ("kept", of_samples(missed=["blurred"]), UNDERPOWERED),
        ("kept", of_samples(models=2), ONE_PAIR),
        ("kept", of_samples(models=2, gains=-0.1), NOT_TESTABLE),
        ("unchanged", of_change(0.0, 0.1), HELD),
        ("unchanged", of_change(0.3, 0.4), NOT_HELD),
        ("unchanged", of_change(0.0, 0.3), UNDERPOWERED),
        ("unchanged", of_change(-0.3, 0.3), NOT_HELD),
        ("table1", of_flows([FLAT, HIGH, HIGH], [FLAT, LOW, LOW]), HELD),
        ("table1", of_flows([FLAT, HIGH, LOW], [FLAT, LOW, LOW]), UNDERPOWERED),
        ("table1", of_flows([FLAT, LOW, HIGH], [FLAT, HIGH, LOW]), NOT_HELD),  # grows at a deep level
        ("table1", of_flows([HIGH, HIGH, HIGH], [LOW, LOW, LOW]), NOT_HELD),  # falls at the finest too
        (
            "table1",
            of_flows([FLAT[:2], *[HIGH[:2]] * 2], [FLAT[:2], *[LOW[:2]] * 2]),
            UNDERPOWERED,
        ),  # few pairs
        ("density", of_density(), HELD),
        ("density", of_density(ratio=1.22), UNDERPOWERED),
        ("density", of_density(ratio=1.5), NOT_HELD),
        ("density", of_density(auc=1.0), NOT_HELD),  # better than Glows of the same images are parted
        ("density", of_density(p=0.2), UNDERPOWERED),  # the smallest N does not show it either
        ("judges", of_judges("separates", "passes"), HELD),
        ("judges", of_judges("separates", "separates"), NOT_HELD),
        ("judges", of_judges("passes", "passes"), NOT_HELD),
        ("judges", of_judges("separates", "no power"), UNDERPOWERED),
        ("plateau", of_denoiser(gained=-4.0), HELD),
        ("plateau", of_denoiser(gained=-1.0), UNDERPOWERED),
        ("plateau", of_denoiser(gained=2.0), NOT_HELD),
    ],
)
def test_a_claim_is_decided_by_its_gates_and_its_rule(key, found, verdict):
    ruling = rule(CLAIM[key], found)
    assert ruling.reason and ruling.verdict == verdict


def test_the_same_image_of_one_pair_has_no_verdict_and_the_table_says_who_has_enough():
    ruling = rule(CLAIM["same"], of_denoiser(pairs=1))
    assert ruling.verdict == ONE_PAIR and "laptop or night" in ruling.reason and ruling.gate == "trainings"


def test_a_flow_is_a_bijection_whatever_gates_there_are():
    found = of_flows([FLAT] * 3, [FLAT] * 3)
    found.models = dict.fromkeys(found.sizes, 2)
    assert rule(CLAIM["echo"], found).verdict == HELD
    found.latents[4000].echo[0] = 1e-2
    assert rule(CLAIM["echo"], found).verdict == NOT_HELD


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
