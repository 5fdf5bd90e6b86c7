import re
from dataclasses import replace

import pytest

from galgen.compare.uncertainty import Outcome
from galgen.figures import claims
from galgen.figures.claims import CLAIMS, HELD, NOT_HELD, NOT_TESTABLE, Findings, Ruling
from galgen.figures.results import load
from galgen.figures.scoreboard import from_kept

RULES = {claim.text: claim.rule for claim in CLAIMS}
SIZES = {"diffusion": (10, 4000), "Glow": (100, 4000), "GAN": (30, 4000)}


def found(p, value=0.5):
    return Outcome(value, 0.4, 0.6, p)


def run(**changed):
    """Findings for which every claim holds; `changed` as family_N_question=Outcome or None, or a field."""
    scores = {
        (family, n): {
            "agreement": found(0.001, 0.9 if n == 4000 else 0.2),
            "memorization": found(0.5 if n == 4000 else 0.001, 0.5),
            "distribution": found(0.5),
            "coarse distribution": found(0.5),
            "morphology": found(0.001 if (family, n) == ("Glow", 100) else 0.5, 40 / n),
        }
        for family, ns in SIZES.items()
        for n in ns
    }
    own = {(family, n): found(0.001 if n != 4000 else 0.5, 0.1) for family, n in scores}
    own["diffusion", 4000] = found(0.001, 0.1)
    fields = {"separation": {30: "separates", 4000: "passes"}, "losses": [2.1, 1.9, 2.0, 2.2]}
    for name, value in changed.items():
        if name in ("separation", "losses"):
            fields[name] = value
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
CASES = [
    ("All models keep", {}, HELD, "p of the energy distance, diffusion, Glow, GAN: 0.500, 0.500, 0.500"),
    ("All models keep", {"Glow_4000_morphology": FAULT}, NOT_HELD, "0.500, 0.001, 0.500"),
    ("All models keep", {"GAN_4000_morphology": None}, NOT_TESTABLE, "0.500, 0.500, –"),
    ("The images of all", {}, HELD, "0.50, 0.50, 0.50; at 8 pixels a side 0.50, 0.50, 0.50"),
    ("The images of all", {"GAN_4000_distribution": found(0.001, 0.9)}, NOT_HELD, "0.50, 0.50, 0.90"),
    ("The images of all", {"GAN_4000_distribution": None}, NOT_TESTABLE, "0.50, 0.50, –"),
    ("Diffusion passes", {}, HELD, "P(train closer) 0.50, 0.50 and agreement 0.20, 0.90 at N = 10, 4"),
    ("Diffusion passes", {"diffusion_10_memorization": GOOD}, NOT_HELD, "P(train closer)"),
    ("Diffusion passes", {"diffusion_4000_memorization": FAULT}, NOT_HELD, "P(train closer)"),
    ("Diffusion passes", {"diffusion_4000_agreement": found(0.001, 0.1)}, NOT_HELD, "agreement 0.20, 0.10"),
    ("Large training sets", {}, HELD, "agreement 0.90 at N = 4\xa0000, beyond the linear control by +0.10"),
    ("Large training sets", {"diffusion_4000_own": found(0.5, -0.03)}, NOT_HELD, "control by -0.03"),
    ("Large training sets", {"diffusion_4000_agreement": found(0.5, 0.0)}, NOT_HELD, "agreement 0.00"),
    ("Glow and the GAN do not", {}, HELD, "p of memorization: Glow 0.500, GAN 0.500"),
    ("Glow and the GAN do not", {"GAN_4000_memorization": found(1e-9)}, NOT_HELD, "GAN < 0.001"),
    (
        "Two Glows agree",
        {},
        HELD,
        "W1 at the deepest level 0.10, 0.10 at N = 100, 4\xa0000, p against models",
    ),
    ("Two Glows agree", {"Glow_4000_own": found(0.014)}, NOT_HELD, "0.001, 0.014"),
    ("Two Glows agree", {"Glow_100_own": found(0.06)}, NOT_HELD, "0.060, 0.500"),
    ("Glow's morphology", {}, HELD, "energy distance 0.40, 0.01 at N = 100, 4\xa0000"),
    ("Glow's morphology", {"Glow_100_morphology": found(0.5, 0.4)}, NOT_HELD, "0.40, 0.01"),
    ("Glow's morphology", {"Glow_4000_morphology": found(0.5, 0.8)}, NOT_HELD, "0.40, 0.80"),
    ("Glow's morphology", {"Glow_100_morphology": None}, NOT_TESTABLE, "–, 0.01"),
    ("The mean hinge", {}, HELD, "2.10, 1.90, 2.00, 2.20 at N = 4\xa0000"),
    ("The mean hinge", {"losses": [2.0, 1.7, 2.0, 2.0]}, NOT_HELD, "2.00, 1.70"),
    ("The four distributions", {}, HELD, "distance 0.10, 0.10 at N = 30, 4\xa0000: separates, passes"),
    ("The four distributions", {"separation": {30: "passes", 4000: "passes"}}, NOT_HELD, "passes, passes"),
    ("The four distributions", {"separation": {30: "separates", 4000: "separates"}}, NOT_HELD, "separates"),
    ("The GAN's morphology", {}, HELD, "p 0.500, 0.500 at N = 30, 4\xa0000"),
    ("The GAN's morphology", {"GAN_30_morphology": FAULT}, NOT_HELD, "p 0.001, 0.500"),
    ("The GAN's morphology", {"GAN_30_morphology": None}, NOT_TESTABLE, "p –, 0.500"),
    ("Training sets below", {}, NOT_TESTABLE, "`paper`"),
]


@pytest.mark.parametrize(("text", "changed", "verdict", "numbers"), CASES)
def test_each_claim_has_the_verdict_of_its_numbers(text, changed, verdict, numbers):
    given = ruling(text, run(**changed))
    assert given.verdict == verdict
    assert numbers in given.numbers
    assert bool(given.reason) == (verdict == NOT_TESTABLE)


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
    assert len(CLAIMS) == len(RULES) == 11
    for claim in CLAIMS:
        assert re.search(r"abstract|section|figure|table", claim.source)
        assert claim.figure.startswith("fig-") and not claim.text.endswith(".")


def test_the_table_shows_verdict_reason_numbers_and_figure():
    rulings = {CLAIMS[0]: Ruling(HELD, "p 0.5"), CLAIMS[1]: Ruling(NOT_TESTABLE, "–", "too few")}
    lines = claims.claims_table(rulings).data.splitlines()
    assert lines[2].startswith(
        f"| {CLAIMS[0].text} | abstract, figure 4 | **held** | p 0.5 | {{numref}}`fig-"
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


@pytest.mark.parametrize("name", sorted(load()))
def test_the_committed_numbers_of_a_run_give_its_verdicts_again(name):
    kept = load()[name]["kept"]["10_conclusions"]
    own = from_kept([record | {"question": "own", "kind": "own"} for record in kept["own"]], "own")
    verdicts = {claim["claim"]: claim for claim in kept["claims"]}
    # What is not kept beside the claims: the hinge losses and what the discriminator test says.
    hinge, separate = (
        re.split(r" at N|: ", verdicts[text]["numbers"])
        for text in (
            "The mean hinge losses of the discriminator test end at 2",
            "The four distributions separate at small N and not at large N",
        )
    )
    scores = from_kept(kept["scores"], "family")
    ns = [n for family, n in scores if family == "GAN"]
    findings = Findings(
        scores,
        {key: found["own"] for key, found in own.items()},
        separation=dict(zip(ns, separate[-1].split(", "), strict=True)),
        losses=[float(x) for x in hinge[0].split(", ")],
    )
    known = [claim for claim in CLAIMS if claim.text in verdicts]
    assert known
    for claim in known:
        given, before = claim.rule(findings), verdicts[claim.text]
        assert (given.verdict, given.numbers) == (before["verdict"], before["numbers"])
