"""From number to verdict: gates in their order, rules at their margins, and networks that know nothing."""

import re
from math import inf
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from galbook import compared as chapter_11
from galbook.claims import claims
from galbook.claims.findings import Findings, Pair
from galbook.claims.message import moved_margins
from galbook.claims.verdicts import (
    CONFOUNDED,
    HELD,
    NOT_HELD,
    NOT_TESTABLE,
    ONE_PAIR,
    UNDERPOWERED,
    Range,
    Ruling,
    rule,
    stopped,
    within,
)
from galbook.clock.crossing import Elapsed
from galbook.morphology import Change, Fit
from galbook.share.scale import Scale
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES
from galgen.profiles import PROFILES, Parameters

CLAIM = {claim.key: claim for claim in claims.CLAIMS}


def about(value, half=0.01):
    return Estimate(value, value - half, value + half, 256)


def denoiser(
    closer=None, agree=None, *, pairs=3, onsets=5.0, share=0.95, gained=-4.0, missed=(), scatter=0.0
):
    """Findings of a denoiser, by N of P(train closer) and agreement."""
    closer, agree = closer or {100: 0.9, 4000: 0.5}, agree or {100: 0.5, 4000: 0.97}
    of_each = {"pairs": np.array([0.97]), "same": np.array([0.98]), "foreign": {"leaves": np.array([0.8])}}
    marks = (
        {"pair": about(0.97), "floor": about(0.8), "ceiling": about(0.98), "share": about(share)}
        if share
        else {}
    )
    predicted = {100: 72_000 / onsets} if onsets else {}
    return SimpleNamespace(
        label="diffusion",
        sizes=tuple(closer),
        models=dict.fromkeys(closer, 2 * pairs),
        pairs={n: [Pair(about(agree[n]), about(closer[n]), about(0.52, scatter))] * pairs for n in closer},
        time=Elapsed(4000, 72_000, about(0.0), None, predicted, "some words."),
        scale=Scale(**of_each, kind="leaves", beside={}, missing="one model", **marks),
        gaussians=0.99,
        missed=lambda question: list(missed),
        gained=lambda N: {f"diffusion-N{N}-A0-0": [about(gained)] * 3},
        fit=lambda N: Fit({"A": 0.8}, {"A": 0.9}, None),
        kept=lambda N, blur: {"diffusion-N4000-A0-0": about(0.1)},
        experiment=SimpleNamespace(family=SimpleNamespace(name="diffusion")),
    )


def of(closer, agree=0.9, N=4000, **more):
    return denoiser({N: closer}, {N: agree}, **more)


def one_copies():
    """One pair of three."""
    found = denoiser()
    found.pairs[4000] = [*found.pairs[4000][:2], Pair(about(0.97), about(0.9), about(0.52, 0))]
    return found


def one_like_its_gaussian():
    """Three pairs that favour their images alike, one of which no more than its Gaussians do."""
    found = of(0.6)
    found.pairs[4000] = [*found.pairs[4000][:2], Pair(about(0.97), about(0.6), about(0.62, 0))]
    return found


def samples(*, nearer=0.1, gains=0.2, farther=(0.0,), models=6, missed=(), label="Glow", **more):
    names = [f"glow-N4000-{k}" for k in "ABC"]
    auc = dict.fromkeys(names, 0.8)
    found = {
        "label": label,
        "sizes": (1000, 4000),
        "models": {1000: models, 4000: models},
        "fit": lambda N: Fit(auc, {name: a + gains for name, a in auc.items()}, about(gains)),
        "kept": lambda N, blur: (
            nearer if nearer is None else {name: about(nearer + blur - 1) for name in names}
        ),
        "change": lambda small, large: Change([about(f) for f in farther], 0.2),
        "missed": lambda question: list(missed),
        "experiment": SimpleNamespace(family=SimpleNamespace(name=label.lower())),
    }
    return SimpleNamespace(**found | more)


FLAT, HIGH, LOW = [0.049, 0.05, 0.05, 0.051], [0.1, 0.11, 0.12, 0.13], [0.02, 0.03, 0.04, 0.05]
WIDE = [0.035, 0.05, 0.05, 0.065]  # as FLAT, but for its scatter
TWO = [FLAT[:2], HIGH[:2], HIGH[:2]], [FLAT[:2], LOW[:2], LOW[:2]]  # pairs are too few


def flows(small=(FLAT,) * 3, large=(FLAT,) * 3, *, ratio=1.0, p=0.03, likelihood=1.0, echo=1e-7, **more):
    def latents(apart):
        ratios = [about(ratio, 0.05)] * len(apart)
        found = {"apart": apart, "ratio": ratios, "joint": p}
        return SimpleNamespace(**found, likelihood=about(likelihood, 0.05), echo=[echo], floor=[1e-3])

    return samples(latents={1000: latents(small), 4000: latents(large)}, **more)


def at_largest(found):
    """The same, of models of the paper's largest N."""
    for by_size in (found.models, found.latents):
        by_size[100_000] = by_size.pop(4000)
    found.sizes = (1000, 100_000)
    return found


def gans(small, large):
    found, sizes = samples(label="GAN"), (1000, 100_000)
    found.sizes, found.models = sizes, dict.fromkeys(sizes, 6)
    courses = (SimpleNamespace(distance=0.5, verdict=verdict) for verdict in (small, large))
    found.courses = dict(zip(sizes, courses, strict=True))
    return found


COPIES = {"missed": ["empirical denoiser"]}
VERDICTS = [
    # memorization at the small N, new and equal images at the large: the gates first, in their order
    ("transition", denoiser(), HELD),
    ("transition", denoiser({10: 0.9, 30: 0.5}, {10: 0.5, 30: 0.9}), NOT_TESTABLE),  # below the paper's N
    ("transition", denoiser({100: 0.9}, {100: 0.5}), NOT_TESTABLE),  # a single N
    ("transition", denoiser(onsets=2.9), CONFOUNDED),
    ("transition", denoiser(onsets=None), CONFOUNDED),
    ("transition", denoiser(onsets=2.9, **COPIES), CONFOUNDED),
    ("transition", denoiser(**COPIES), UNDERPOWERED),
    ("transition", denoiser(pairs=1), ONE_PAIR),
    (
        "transition",
        denoiser({100: 0.9, 4000: 0.9}),
        NOT_TESTABLE,
    ),  # the large one still copies: as in the paper
    ("transition", denoiser({100: 0.9, 100_000: 0.9}, {100: 0.5, 100_000: 0.97}), NOT_HELD),
    ("transition", denoiser({100: 0.5, 4000: 0.5}), NOT_HELD),
    ("transition", denoiser(agree={100: 0.9, 4000: 0.5}), NOT_HELD),
    ("transition", denoiser({100: 0.575, 4000: 0.5}), UNDERPOWERED),  # its interval holds the margin
    # no more than a tenth can be copies
    ("new", of(0.5), HELD),
    ("new", of(0.555), HELD),
    ("new", of(0.535, scatter=0.03), HELD),  # within the margin of 1/2, whatever the Gaussians
    ("new", of(0.565, scatter=0.0), UNDERPOWERED),
    ("new", of(0.6, N=100_000, scatter=0.03), UNDERPOWERED),  # the Gaussians may favour their images as much
    ("new", of(0.6), NOT_TESTABLE),  # the paper says it of 100 000
    ("new", of(0.6, N=100_000), NOT_HELD),
    ("new", of(0.6, pairs=1), ONE_PAIR),
    ("new", of(0.4), HELD),
    ("new", one_copies(), UNDERPOWERED),
    ("new", one_like_its_gaussian(), UNDERPOWERED),
    # four fifths of the way from the floor to the ceiling
    ("same", denoiser(share=0.95), HELD),
    ("same", denoiser(share=0.815), HELD),
    ("same", denoiser(share=0.8), UNDERPOWERED),
    ("same", denoiser(share=0.7), NOT_TESTABLE),
    ("same", of(0.5, N=100_000, share=0.7), NOT_HELD),
    ("same", denoiser(share=None), UNDERPOWERED),
    ("same", denoiser(pairs=1), ONE_PAIR),
    # that a hundred thousand are required is contradicted by a smaller N alone
    ("required", denoiser(), NOT_HELD),
    ("required", denoiser({100: 0.9, 4000: 0.8}), HELD),
    ("required", denoiser(share=0.5), HELD),
    ("required", denoiser(share=0.8), UNDERPOWERED),
    ("required", denoiser(onsets=1.0), CONFOUNDED),
    # morphology is kept where it is nearer than a pixel of blur, of models nearer than a Gaussian
    ("kept", samples(), HELD),
    ("kept", samples(nearer=-0.1), NOT_TESTABLE),  # of Glow the paper says the contrary below 100 000
    ("kept", samples(nearer=-0.1, label="GAN"), NOT_HELD),
    ("kept", samples(nearer=0.0), UNDERPOWERED),
    ("kept", samples(nearer=None), NOT_TESTABLE),
    ("kept", samples(gains=-0.1), NOT_TESTABLE),
    ("kept", samples(gains=0.0), NOT_TESTABLE),
    ("kept", samples(missed=["blurred"]), UNDERPOWERED),
    ("kept", samples(models=2), ONE_PAIR),
    ("kept", samples(models=2, gains=-0.1), NOT_TESTABLE),
    # and changes with N by no more than that
    ("unchanged", samples(farther=(0.0, 0.1), label="GAN"), HELD),
    ("unchanged", samples(farther=(0.3, 0.4), label="GAN"), NOT_HELD),
    ("unchanged", samples(farther=(0.0, 0.3), label="GAN"), UNDERPOWERED),
    ("unchanged", samples(farther=(-0.3, 0.3), label="GAN"), NOT_HELD),
    # distances fall at the deep levels and stay at the finest
    ("table1", flows([FLAT, HIGH, HIGH], [FLAT, LOW, LOW]), HELD),
    ("table1", flows([FLAT, HIGH, LOW], [FLAT, LOW, LOW]), UNDERPOWERED),
    ("table1", flows([WIDE, HIGH, HIGH], [FLAT, LOW, LOW]), UNDERPOWERED),  # its interval holds the margin
    ("table1", flows([FLAT, LOW, HIGH], [FLAT, HIGH, LOW]), NOT_HELD),  # grows at a deep level
    ("table1", flows([HIGH, HIGH, HIGH], [LOW, LOW, LOW]), NOT_HELD),  # falls at the finest too
    ("table1", flows(*TWO), UNDERPOWERED),
    # one density, beside Glows of the same images
    ("density", flows(), HELD),
    ("density", flows(ratio=1.22), UNDERPOWERED),
    ("density", flows(ratio=1.5), NOT_TESTABLE),
    ("density", at_largest(flows(ratio=1.5)), NOT_HELD),
    ("density", flows(likelihood=1.22), UNDERPOWERED),
    ("density", at_largest(flows(likelihood=1.5)), NOT_HELD),
    ("density", flows(p=0.2), UNDERPOWERED),  # the smallest N does not show it either
    # judges part at small N, and have power where they do not
    ("judges", gans("separates", "passes"), HELD),
    ("judges", gans("separates", "separates"), NOT_HELD),
    ("judges", gans("passes", "passes"), NOT_HELD),
    ("judges", gans("separates", "no power"), UNDERPOWERED),
    # the plateau makes the least noise worse
    ("plateau", denoiser(gained=-4.0), HELD),
    ("plateau", denoiser(gained=-1.0), UNDERPOWERED),
    ("plateau", denoiser(gained=2.0), NOT_HELD),
    # a flow is a bijection, whatever gates there are
    ("echo", flows(models=2), HELD),
    ("echo", flows(models=2, echo=1e-2), NOT_HELD),
]


@pytest.mark.parametrize(("key", "found", "verdict"), VERDICTS, ids=[f"{k}, {v}" for k, _, v in VERDICTS])
def test_a_verdict_follows_from_the_numbers(key, found, verdict):
    ruling = rule(CLAIM[key], found)
    assert ruling.verdict == verdict and ruling.reason


def test_there_are_eleven_claims_each_with_a_source_a_figure_a_margin_and_both_verdicts_above():
    assert len(CLAIM) == len(claims.CLAIMS) == 11
    for claim in claims.CLAIMS:
        assert claim.source and claim.figure.startswith("fig-") and claim.reason and claim.margin > 0
        assert {HELD, NOT_HELD} <= {verdict for key, _, verdict in VERDICTS if key == claim.key}
    assert [claim.key for claim in claims.CLAIMS if claim.by_construction] == ["echo"]


def test_the_top_of_a_page_shows_its_first_claims_each_of_all_its_families(monkeypatch):
    glued = {}
    monkeypatch.setattr(claims, "glue", lambda key, table, display: glued.update({key: table.data}))
    four = [(CLAIM["kept"], label) for label in CLAIM["kept"].families]
    said = dict.fromkeys([*four, (CLAIM["unchanged"], "GAN")], Ruling(HELD, "so", "1.00"))
    table = claims.answer(said).data
    assert "| The morphology does not change" in table and table.count("**held**") == len(four) + 1 == 5
    assert glued["answer"].count("| The morphology is kept | ") == 4 and "not change" not in glued["answer"]


def test_margins_are_moved_where_a_verdict_rests_on_one_and_no_gate_decides():
    said = moved_margins([denoiser(onsets=2.9, share=0.85)])  # too little time; a share within .2 and not .1
    assert said.startswith("Verdicts that rest on a margin which can be moved: 3.")
    assert said.endswith(f"changes: “{CLAIM['same'].text}” (diffusion, to not testable here, at half).")
    assert moved_margins([denoiser(onsets=2.9)]).endswith("changes: none.")
    said = moved_margins([samples(label="GAN")])  # nearer than a pixel of blur, and not than half of one
    assert said.endswith(f"changes: “{CLAIM['kept'].text}” (GAN, to not held, at half).")


def test_a_claim_is_compared_at_the_ns_of_the_paper_the_least_first_and_the_largest_last():
    assert CLAIM["transition"].compared((10, 100, 1000, 4000)) == [100, 4000]
    assert CLAIM["unchanged"].compared((10, 100, 4000)) is None  # one N in the paper's range
    assert CLAIM["unchanged"].compared((1000, 2000, 4000)) == [1000, 4000]
    assert CLAIM["judges"].compared((1000, 4000)) is None
    assert CLAIM["judges"].compared((1000, 100_000)) == [1000, 100_000]
    assert CLAIM["plateau"].compared((10, 100, 4000)) == [100] and CLAIM["plateau"].compared((10,)) is None
    assert str(Range(1000, inf)).startswith("N of 1") and str(Range(100, 100)) == "N = 100"


@pytest.mark.parametrize(
    ("claim", "label"), [(claim, label) for claim in claims.CLAIMS for label in claim.families]
)
def test_every_claim_can_be_held_by_some_profile_and_not_by_one_pair_or_too_short_a_training(claim, label):
    (family,) = (name for name, kind in FAMILIES.items() if kind.label == label)
    asked = [getattr(each, family) for each in PROFILES.values()]
    (own, *_) = able = [settings for settings in asked if not stopped(claim, settings)]
    assert able and stopped(claim, own.model_copy(update={"N": (3, 7)})) == "range"
    short = own.model_copy(update={"images_cap": 100})
    assert stopped(claim, short) == "time" * ("time" in claim.gates)
    single = own.model_copy(update={"pairs": 1, "more_pairs": {}})
    assert stopped(claim, single) == "trainings" * (not claim.by_construction)


def test_a_verdict_takes_every_interval_within_or_every_one_wholly_outside():
    def verdict(*values):
        return within("", values, 0.0, 1.0, ("in", "out")).verdict

    inside, above, below, astride = (about(value, 0.1) for value in (0.5, 1.5, -0.5, 0.95))
    assert verdict(inside, inside) == HELD and verdict(above, below) == NOT_HELD
    assert verdict(inside, above) == verdict(astride) == UNDERPOWERED
    assert verdict() == verdict(None) == NOT_TESTABLE


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
    assert passed or early is Early, "of few latents an untrained pair passes nothing"
    assert passed <= rest_on_gates() <= set(CLAIM)
    assert {claim.key for claim in asked if rule(claim, found).verdict == HELD} <= {"echo"}


def test_controls_that_are_missed_are_named_by_the_question_that_misses_them(monkeypatch):
    answers = {
        "blurred": {"morphology": Outcome(0.1, 0, 1, 0.5)},
        "Gaussian": {"morphology": Outcome(0.1, 0, 1, 0.001)},
    }
    monkeypatch.setattr("galbook.claims.findings.checks", lambda experiment: answers)
    found = Findings.__new__(Findings)
    found.experiment = None
    assert found.missed("morphology") == ["blurred"] and found.missed("memorization") == []


def test_the_interval_of_fit_decides_where_there_are_three_pairs_and_every_model_else():
    models, gaussians = {"a": 0.7, "b": 0.8}, {"a": 0.9, "b": 0.79}
    assert Fit(models, gaussians, about(0.1)).nearer and not Fit(models, gaussians, about(0.0)).nearer
    assert not Fit(models, gaussians, None).nearer and Fit(models, {"a": 0.9, "b": 0.9}, None).nearer


def test_runs_agree_where_their_verdicts_are_the_same_and_no_gate_made_them_so():
    def kept(key, verdict, gate="", text=""):
        words = {"claim": text or key, "family": "Glow", "numbers": ""}
        return {"key": key, "verdict": verdict, "gate": gate} | words

    stopped = kept("new", CONFOUNDED, "time")  # of one budget, whatever the galaxies
    certain = kept("echo", HELD)  # by construction
    open_ = kept("table1", UNDERPOWERED)
    one = [stopped, kept("same", HELD), kept("kept", HELD), kept("density", HELD), open_, certain]
    other = [
        stopped,
        kept("same", HELD, text="in other words"),
        kept("kept", NOT_HELD),
        open_,
        kept("density", ONE_PAIR, "trainings"),
        certain,
    ]
    said = chapter_11.alike({"a": one, "b": other})
    assert said.startswith("Of 5 claims") and "3 come past" in said
    assert said.endswith("held or not held in every run: 2; the runs agree in 1 of those.")
    assert (
        "| held, by construction | held, by construction |" in chapter_11.beside({"a": one, "b": other}).data
    )
