import json
import re
from dataclasses import replace

import pytest

from galgen.compare.scoreboard import QUESTIONS
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures import claims
from galgen.figures.claims import (
    CONFOUNDED,
    HELD,
    NOT_HELD,
    NOT_TESTABLE,
    UNDERPOWERED,
    VERDICTS,
    Findings,
    Ruling,
)
from galgen.figures.results import load
from galgen.figures.rules import CLAIMS
from galgen.figures.scoreboard import findings_of, kept, kept_findings

RULES = {claim.text: claim.rule for claim in CLAIMS}
SIZES = {"diffusion": (10, 4000), "Glow": (100, 4000), "GAN": (30, 4000)}


def found(p, value=0.5):
    return Outcome(value, 0.4, 0.6, p)


def abroad(p, value):
    return {"foreign": {"diffusion": found(p, value)}}


def share(value, width=0.03):
    return Estimate(value, value - width, value + width, 256)


def run(**changed):
    """Findings for which every claim holds; `changed` as family_N_question=Outcome or None, or a field."""
    scores = {
        (family, n): {
            "agreement": found(0.001, 0.9 if n == 4000 else 0.2),
            "memorization": found(0.5 if n == 4000 else 0.001, 0.1),
            "distribution": found(0.5),
            "coarse distribution": found(0.5),
            "morphology": found(0.001 if (family, n) == ("Glow", 100) else 0.5, 40 / n),
        }
        for family, ns in SIZES.items()
        for n in ns
    }
    own = {(family, n): found(0.001 if n != 4000 else 0.5, 0.1) for family, n in scores}
    own["diffusion", 4000] = found(0.001, 0.88)
    fields = {
        "separation": {30: "separates", 4000: "passes"},
        "losses": [2.1, 1.9, 2.0, 2.2],
        "closer": {key: share(0.95 if key[1] == 10 else 0.5) for key in scores},
        "linear": dict.fromkeys(scores, 0.5),
        "passes": dict.fromkeys(scores, 3000.0),
        "onset": dict.fromkeys(SIZES, 2400.0),
        "foreign": {"diffusion": found(0.001, 0.07)},
        "between": {"GAN": found(0.5)},
        "farther": {"Glow": share(0.5)},
        "missed": {question: [] for question in QUESTIONS},
    }
    for name, value in changed.items():
        if name in fields:
            fields[name] = fields[name] | value if isinstance(value, dict) else value
            continue
        family, n, question = name.split("_")
        (own if question == "own" else scores[family, int(n)])[
            (family, int(n)) if question == "own" else question
        ] = value
    return Findings(scores, own, **fields)


def single(findings):
    """The same of the largest N alone."""
    only = {key: value for key, value in findings.scores.items() if key[1] == 4000}
    return replace(findings, scores=only, separation={4000: findings.separation[4000]})


def ruling(text, findings):
    (rule,) = [rule for known, rule in RULES.items() if known.startswith(text)]
    return rule(findings)


GOOD, FAULT = found(0.5), found(0.001)
# laptop: images_cap over N
HURRIED = {"passes": {("diffusion", 10): 3600.0, ("diffusion", 4000): 18.0}}
WIDE = {"closer": {("GAN", 4000): share(0.6)}}
BLIND = {"missed": {"morphology": ["blurred"], "distribution": ["blurred", "Gaussian"]}}
CASES = [
    ("All models keep", {}, HELD, "p of the energy distance, diffusion, Glow, GAN: 0.500, 0.500, 0.500"),
    ("All models keep", {"Glow_4000_morphology": FAULT}, NOT_HELD, "0.500, 0.001, 0.500"),
    ("All models keep", BLIND, UNDERPOWERED, "0.500, 0.500, 0.500"),
    ("All models keep", BLIND | {"Glow_4000_morphology": FAULT}, NOT_HELD, "0.500, 0.001, 0.500"),
    ("All models keep", {"GAN_4000_morphology": None}, NOT_TESTABLE, "0.500, 0.500, –"),
    ("The images of all", {}, HELD, "0.50, 0.50, 0.50; at 8 pixels a side 0.50, 0.50, 0.50"),
    ("The images of all", {"GAN_4000_distribution": found(0.001, 0.9)}, NOT_HELD, "0.50, 0.50, 0.90"),
    ("The images of all", BLIND, UNDERPOWERED, "0.50, 0.50, 0.50"),
    ("The images of all", {"GAN_4000_distribution": None}, NOT_TESTABLE, "0.50, 0.50, –"),
    ("Diffusion passes", {}, HELD, "P(train closer) 0.95, 0.50 and agreement 0.20, 0.90 at N = 10, 4"),
    ("Diffusion passes", {"diffusion_10_memorization": GOOD}, NOT_HELD, "P(train closer)"),
    ("Diffusion passes", {"diffusion_4000_memorization": FAULT}, NOT_HELD, "P(train closer)"),
    ("Diffusion passes", {"diffusion_4000_agreement": found(0.001, 0.1)}, NOT_HELD, "agreement 0.20, 0.10"),
    ("Diffusion passes", HURRIED, CONFOUNDED, "P(train closer) 0.95, 0.50"),
    ("Diffusion passes", {"onset": {"diffusion": 3000.1}}, CONFOUNDED, "P(train closer)"),
    ("Diffusion passes", {"onset": {"diffusion": 3000.0}}, HELD, "P(train closer)"),
    ("Diffusion passes", {"closer": {("diffusion", 4000): share(0.53)}}, UNDERPOWERED, "0.95, 0.53"),
    (
        "Large training sets",
        {},
        HELD,
        "agreement 0.90 at N = 4\xa0000, 0.88 of what Gaussians leave",
    ),
    ("Large training sets", {"diffusion_4000_own": found(0.5, 0.02)}, NOT_HELD, "0.02 of what Gaussians"),
    ("Large training sets", abroad(0.5, -0.03), NOT_HELD, "of other galaxies by -0.03"),
    # networks that have learnt nothing differ from each other by as little, and surely
    ("Large training sets", abroad(0.001, 0.01), NOT_HELD, "of other galaxies by +0.01"),
    ("Large training sets", {"foreign": {"diffusion": None}}, NOT_TESTABLE, "0.88 of what Gaussians leave"),
    ("Large training sets", {"diffusion_4000_agreement": found(0.5, 0.0)}, NOT_HELD, "agreement 0.00"),
    ("The images that diffusion", {}, HELD, "P(train closer) 0.50 [0.47, 0.53] at N = 4\xa0000"),
    ("The images that diffusion", {"diffusion_4000_memorization": FAULT}, NOT_HELD, "memorization 0.001"),
    ("The images that diffusion", HURRIED, CONFOUNDED, "0.50"),
    ("The images that diffusion", {"closer": {("diffusion", 4000): share(0.53)}}, UNDERPOWERED, "0.53"),
    ("Glow and the GAN do not", {}, HELD, "p of memorization: Glow 0.500, GAN 0.500"),
    ("Glow and the GAN do not", {"passes": {("GAN", 4000): 2.25}}, CONFOUNDED, "Glow 0.500"),
    ("Glow and the GAN do not", {"onset": {"Glow": None}}, CONFOUNDED, "Glow 0.500"),
    ("Glow and the GAN do not", {"closer": {("GAN", 4000): share(0.5, 0.06)}}, UNDERPOWERED, "[0.44, 0.56]"),
    # no nearer to their own images than Gaussians are
    ("Glow and the GAN do not", WIDE | {"linear": {("GAN", 4000): 0.6}}, HELD, "0.60 [0.57, 0.63]"),
    ("Glow and the GAN do not", {"linear": {("GAN", 4000): 0.96}}, UNDERPOWERED, "GAN 0.500"),
    ("Glow and the GAN do not", {"GAN_4000_memorization": found(1e-9)}, NOT_HELD, "GAN < 0.001"),
    (
        "Two Glows agree",
        {},
        HELD,
        "W1 at the deepest level 0.10, 0.10 at N = 100, 4\xa0000, p against models",
    ),
    ("Two Glows agree", {"Glow_4000_own": found(0.014)}, NOT_HELD, "0.001, 0.014"),
    ("Two Glows agree", {"Glow_100_own": found(0.06)}, UNDERPOWERED, "0.060, 0.500"),
    (
        "Glow's morphology",
        {},
        HELD,
        "0.40, 0.01 at N = 100, 4\xa0000; smallest N less largest 0.50",
    ),
    ("Glow's morphology", {"farther": {"Glow": share(0.02)}}, UNDERPOWERED, "largest 0.02 [-0.01, 0.05]"),
    ("Glow's morphology", {"farther": {"Glow": share(-0.2)}}, NOT_HELD, "largest -0.20"),
    ("Glow's morphology", {"farther": {"Glow": None}}, NOT_TESTABLE, "0.40, 0.01"),
    ("The mean hinge", {}, HELD, "2.10, 1.90, 2.00, 2.20 at N = 4\xa0000"),
    ("The mean hinge", {"losses": [2.0, 1.7, 2.0, 2.0]}, NOT_HELD, "2.00, 1.70"),
    ("The mean hinge", {"separation": {4000: "no power"}}, UNDERPOWERED, "2.10, 1.90"),
    ("The four distributions", {"separation": {4000: "no power"}}, UNDERPOWERED, "separates, no power"),
    ("The four distributions", {"separation": {30: "no power"}}, UNDERPOWERED, "no power, passes"),
    ("The four distributions", {}, HELD, "distance 0.10, 0.10 at N = 30, 4\xa0000: separates, passes"),
    ("The four distributions", {"separation": {30: "passes", 4000: "passes"}}, NOT_HELD, "passes, passes"),
    ("The four distributions", {"separation": {30: "separates", 4000: "separates"}}, NOT_HELD, "separates"),
    ("The GAN's morphology", {}, HELD, "N = 30, 4\xa0000: energy distance 0.50, p 0.500"),
    # far from galaxies, but the same at both N
    ("The GAN's morphology", {"GAN_30_morphology": FAULT, "GAN_4000_morphology": FAULT}, HELD, "p 0.500"),
    ("The GAN's morphology", {"between": {"GAN": FAULT}}, NOT_HELD, "p 0.001"),
    ("The GAN's morphology", BLIND, UNDERPOWERED, "p 0.500"),
    ("The GAN's morphology", {"between": {"GAN": None}}, NOT_TESTABLE, "–"),
    ("Training sets below", {}, NOT_TESTABLE, "`paper`"),
]


@pytest.mark.parametrize(("text", "changed", "verdict", "numbers"), CASES)
def test_each_claim_has_the_verdict_of_its_numbers(text, changed, verdict, numbers):
    given = ruling(text, run(**changed))
    assert given.verdict == verdict
    assert numbers in given.numbers
    assert given.verdict in VERDICTS and given.reason and "\n" not in given.reason


def test_training_time_is_derived_from_the_run():
    reason = ruling("Diffusion passes", run(**HURRIED)).reason
    assert reason == (
        "with training time: diffusion had 18 passes at N = 4\xa0000, and memorization sets in after 2\xa0400"
    )
    unknown = {"onset": {"Glow": None}, "passes": {("Glow", 100): 280.0, ("Glow", 4000): 7.0}}
    assert ruling("Glow and the GAN do not", run(**unknown)).reason == (
        "with training time: Glow had 7.0 passes at N = 4\xa0000, and no pair memorises within 280 passes, "
        "so when that sets in is not known"
    )


def test_the_controls_that_a_question_misses_are_named():
    reason = ruling("The images of all", run(**BLIND)).reason
    assert reason == "with as many images the test does not find: blurred, Gaussian"


def test_every_claim_has_a_case_of_each_verdict_it_can_have():
    seen = {claim.text: {case[2] for case in CASES if claim.text.startswith(case[0])} for claim in CLAIMS}
    assert all({HELD, NOT_HELD} <= verdicts for text, verdicts in seen.items() if "100 000" not in text)


@pytest.mark.parametrize(
    "text", ["Diffusion passes", "Two Glows", "Glow's morphology", "The four", "The GAN's morphology"]
)
def test_a_claim_that_compares_sizes_is_not_testable_at_one(text):
    given = ruling(text, single(run()))
    assert (given.verdict, given.reason) == (NOT_TESTABLE, "there is one N only")


def test_a_claim_says_where_the_paper_makes_it_and_which_figure_is_ours():
    assert len(CLAIMS) == len(RULES) == 12
    for claim in CLAIMS:
        assert re.search(r"abstract|section|figure|table", claim.source)
        assert claim.figure.startswith("fig-") and not claim.text.endswith(".")


def test_the_table_shows_verdict_reason_numbers_and_figure():
    rulings = {CLAIMS[0]: Ruling(HELD, "p 0.5", "as real"), CLAIMS[1]: Ruling(NOT_TESTABLE, "–", "too few")}
    lines = claims.claims_table(rulings).data.splitlines()
    assert lines[2].startswith(
        f"| {CLAIMS[0].text} | abstract, figure 4 | **held**: as real | p 0.5 | {{numref}}`fig-"
    )
    assert "**not testable here**: too few | – |" in lines[3]


def test_claims_of_several_runs_stand_beside_each_other():
    one = [{"claim": "a", "verdict": HELD, "numbers": "1"}, {"claim": "b", "verdict": HELD, "numbers": "2"}]
    other = [{"claim": "a", "verdict": HELD, "numbers": "3"}, {"claim": "c", "verdict": HELD, "numbers": "4"}]
    other.append({"claim": "b", "verdict": NOT_HELD, "numbers": "5"})
    text = claims.beside({"first": one, "second": other}).data
    assert "| claim | first | second |" in text
    assert "| a | **held**: 1 | **held**: 3 |" in text
    assert "| c |  | **held**: 4 |" in text
    assert text.endswith("The verdict is the same for all runs in 2 of 3 claims.")


def conclusions(findings):
    """What chapter 10 keeps of findings, through JSON."""
    own = [{"pair": name, "N": n, **vars(answer)} for (name, n), answer in findings.own.items()]
    said = {"scores": kept(findings.scores, "family"), "own": own, "findings": kept_findings(findings)}
    return json.loads(json.dumps(said))


@pytest.mark.parametrize("changed", [{}, HURRIED, BLIND])
def test_findings_that_were_kept_give_their_rulings_again(changed):
    findings = run(**changed)
    again = findings_of(conclusions(findings))
    assert [rule(again) for rule in RULES.values()] == [rule(findings) for rule in RULES.values()]


@pytest.mark.parametrize("name", sorted(load()))
def test_the_committed_numbers_of_a_run_give_its_verdicts_again(name):
    committed = load()[name]["kept"]["10_conclusions"]
    if "findings" not in committed:
        pytest.skip("made before a run kept what its verdicts rest on: copy its results.json anew")
    findings, verdicts = findings_of(committed), {claim["claim"]: claim for claim in committed["claims"]}
    for claim in CLAIMS:
        given, before = claim.rule(findings), verdicts[claim.text]
        assert vars(given) == {key: before[key] for key in ("verdict", "reason", "numbers")}
