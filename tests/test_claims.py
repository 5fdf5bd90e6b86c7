"""From number to word: parts, rows, and every row on inputs whose truth is known."""

import json
import re
from math import inf
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from galbook import compared as chapter_11
from galbook import judgement as judged
from galbook.claims import claims, opening, rules
from galbook.claims.findings import Findings, later
from galbook.judgement import IN_PART, LIMITS, NOISY, NOT_ASKED, NOT_SEEN, SEEN, Limit, Part, over_cells
from galbook.morphology import Shaped
from galbook.results import load, measured
from galgen.compare.flow_pairs import _ratio
from galgen.compare.twosample import auc
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment
from galgen.figures.words import spaced
from galgen.profiles import Parameters

ROOT = Path(__file__).parents[1]
CLAIM = {claim.key: claim for claim in claims.CLAIMS}
SIZES = (100, 1000, 4000)


def about(value, half=0.01, n=3):
    return Estimate(value, value - half, value + half, n)


# Parts and rows


@pytest.mark.parametrize(
    ("limit", "seen", "not_seen", "noisy"),
    [
        (Limit("effect", 1.0, inf, "", ""), (1.2, 1.6), (0.2, 0.9), (0.9, 1.1)),
        (Limit("effect", -inf, -1.0, "", ""), (-3.0, -1.0), (-0.9, 2.0), (-1.1, 0.0)),
        (Limit("equality", -1.0, 1.0, "", ""), (-1.0, 0.5), (1.1, 3.0), (-2.0, 2.0)),
        (Limit("equality", -inf, 0.5, "", ""), (-9.0, 0.5), (0.6, 0.7), (0.4, 0.6)),
    ],
)
def test_each_kind_of_claim_comes_out_in_all_three_words(limit, seen, not_seen, noisy):
    assert [limit.word(*ends) for ends in (seen, not_seen, noisy)] == [SEEN, NOT_SEEN, NOISY]


def test_a_row_has_the_word_of_its_parts_is_seen_in_part_or_too_noisy():
    said = {
        (SEEN, SEEN): SEEN,
        (NOT_SEEN,): NOT_SEEN,
        (SEEN, NOISY, NOT_SEEN): IN_PART,
        (SEEN, NOISY): NOISY,
        (NOT_SEEN, NOISY): NOISY,
        (): NOT_ASKED,
    }
    assert {words: judged.row_word(words) for words in said} == said


def test_scatter_is_pooled_over_cells_as_an_analysis_of_variance_has_it():
    cells = {10: [1.0, 2.0], 100: [5.0, 7.0, 9.0], 4000: [3.0]}
    sd, freedom = judged.pooled(cells.values())
    assert freedom == 3 and sd == pytest.approx(np.sqrt((0.5 + 8.0) / 3))
    part = over_cells("Glow", "less", cells, 100, 10)
    half = stats.t.ppf(0.975, 3) * sd * np.sqrt(1 / 3 + 1 / 2)
    assert part.found.value == pytest.approx(5.5) and part.half == pytest.approx(half)
    assert part.found.n == 2 and part.freedom == 3 and part.note == ""


def test_scatter_is_that_of_all_families_or_borrowed_or_else_the_interval_is_over_latents():
    beside = [{4000: [1.0, 1.2]}, {4000: [2.0, 2.0]}]
    part = over_cells("GAN", "one", {4000: [0.1, 0.3]}, 4000, beside=beside)
    assert part.freedom == 3 and part.note == "scatter of all families"
    one = {100: [about(0.5, 0.02)], 4000: [about(0.9, 0.03)]}
    assert over_cells("GAN", "one", one, 4000, beside=beside).freedom == 0
    part = over_cells("conditional diffusion", "one", one, 4000, statistic="agree")
    sd, freedom, run = judged.BORROWED["agree", "conditional diffusion"]
    assert part.half == pytest.approx(np.hypot(stats.t.ppf(0.975, freedom) * sd, 0.03)) and run in part.note
    part = over_cells("GAN", "one", one, 4000, 100, statistic="agree")
    assert part.freedom == 0 and part.half == pytest.approx(np.hypot(0.02, 0.03))
    assert "over latents" in part.note and part.more is None
    assert not claims.Row("different", part.word, [part], "").counted


def test_the_trainings_that_are_lacking_narrow_the_interval_to_the_nearest_margin():
    part = Part("", about(0.30, 0.3, n=4), "less", 6.0)

    def half(k):
        return 0.3 * stats.t.ppf(0.975, 6 + k) / stats.t.ppf(0.975, 6) * np.sqrt(4 / (4 + k))

    assert part.word == NOISY and half(part.more) <= 0.2 < half(part.more - 1)
    assert f"takes {part.more} more" in str(part)
    assert Part("", about(0.5, 0.3, n=4), "less", 6.0).more == judged.MOST  # at the margin
    assert "takes 20 or more" in str(Part("", about(0.499, 0.3, n=4), "less", 6.0))


def test_how_often_a_second_run_has_the_same_word_is_that_of_second_runs():
    rng, n, sd = np.random.default_rng(0), 4, 0.3
    repeated, told = [], []
    for truth in rng.uniform(-1.5, 2.5, 400):  # wherever it lies, on average
        first, second = (over_cells("", "less", {1: rng.normal(truth, sd, n)}, 1) for _ in range(2))
        repeated.append(first.word == second.word)
        told.append(judged.again([first], draws=500)[first.word])
    assert np.mean(told) == pytest.approx(np.mean(repeated), abs=0.05)
    sure = judged.again([Part("", about(9.0), "less", 5.0), Part("", about(-9.0), "less", 5.0)], draws=50)
    assert sure[IN_PART] == 1.0 and sum(sure.values()) == 1.0


# Every row, on made-up numbers of either kind


def family(label, sizes=SIZES, share=None, gaussians=0.99, latents=None, off=None, **cells):
    """What a family might have found: by statistic and N, values of three trainings."""
    found = {what: {n: of[n] for n in sizes if n in of} for what, of in cells.items()}
    marks = {"floor": about(0.9)}
    return SimpleNamespace(
        label=label,
        sizes=sizes,
        small=sizes[0],
        large=sizes[-1],
        at=lambda N: "18 passes",
        cells=lambda what: found.get(what, {}),
        share=SimpleNamespace(share=share, marks=marks, missing=""),
        scale=SimpleNamespace(gaussians=gaussians),
        latents=latents or {},
        shapes=lambda N: Shaped({"A0": 0.1}, [0.0, 0.01, 0.1, 0.2, 0.3], {"A0": ("gini", 0.3)}, 99),
        off=lambda run: off,
    )


def three(*means, sd=0.01, sizes=SIZES):
    """Three values about a mean at each N, or at all of them the same."""
    means = means * len(sizes) if len(means) == 1 else means
    return {n: [mean - sd, mean, mean + sd] for n, mean in zip(sizes, means, strict=True)}


BLIND, TOLD, GLOW, GAN = rules.EVERY


def every(labels=rules.EVERY, **cells):
    return [family(label, **cells) for label in labels]


def biases(**quantities):
    return {what: {label: [x - 1, x + 1] for label in rules.EVERY} for what, x in quantities.items()}


def flow(levels, likelihood=1.0, ratio=1.0):
    latents = {
        n: SimpleNamespace(
            apart=[three(mean[k], sd=0.02 * mean[k])[100] for mean in levels],
            ratio=[about(ratio, 0.05, 8)] * len(levels),
            likelihood=about(likelihood, 0.05, 8),
        )
        for k, n in enumerate(SIZES)
    }
    return [family(GLOW, latents=latents)]


EITHER = {  # of each row a run of which it is true, and one of which it is not
    "copied": (every(closer=three(0.4)), every(closer=three(0.0))),
    "new": (every(closer=three(0.0)), every(closer=three(0.4))),
    "same": (
        every(agree=three(0.98), share=about(0.97, n=6)),
        every(agree=three(0.2), share=about(0.1, n=6)),
    ),
    "galaxies": (every(agree=three(0.98), gaussians=0.5), every(agree=three(0.98), gaussians=0.999)),
    "required": (
        every(closer=three(0.4), agree=three(0.5)),
        every(closer=three(0.0), agree=three(0.98)),
    ),
    "plateau": (every(gained=three(-4.0, 3.0, 3.0)), every(gained=three(2.0))),
    "real": (every(told=three(0.5)), every(told=three(0.8))),
    "kept": (every(shape=three(0.2)), every(shape=three(3.0))),
    "right": (every(off=biases(flux=0.0, size=1.0)), every(off=biases(flux=30.0, size=-40.0))),
    "round": (every(off=biases(ellipticity=-20.0)), every(off=biases(ellipticity=20.0))),
    "unchanged": (every(shape=three(3.0, 1.0, 1.0)), every(shape=three(1.0, 4.0, 1.0))),
    "unseen": (
        every(closer=three(0.4), shape=three(1.0, 1.0, 4.0)),
        every(closer=three(0.0), shape=three(9.0, 1.0, 1.0)),
    ),
    "degrades": (every(shape=three(9.0, 2.0, 1.0)), every(shape=three(1.0, 2.0, 9.0))),
    "different": (every(agree=three(0.1)), every(agree=three(0.9))),
    "table1": (
        flow([(0.05, 0.05, 0.05), (0.3, 0.2, 0.1), (0.3, 0.2, 0.1)]),
        flow([(0.05, 0.01, 0.05), (0.1, 0.1, 0.3), (0.1, 0.1, 0.3)]),
    ),
    "density": (flow([(1, 1, 1)]), flow([(1, 1, 1)], likelihood=2.0, ratio=2.0)),
    "judges": (every(knows=three(0.9, 0.7, 0.5)), every(knows=three(0.5, 0.5, 0.9))),
    "longer": (every(gap=three(2.0)), every(gap=three(0.1))),
}


@pytest.mark.parametrize("key", EITHER)
def test_a_row_is_seen_of_numbers_of_which_it_is_true_and_not_seen_of_others(key):
    true, false = (claims.rulings(run, key)[0] for run in EITHER[key])
    assert (true.word, false.word) == (SEEN, NOT_SEEN), [list(map(str, row.parts)) for row in (true, false)]
    assert true.counted and true.why and {part.limit for part in true.parts} <= {*CLAIM[key].limits}
    assert max(true.repeats, key=true.repeats.get) == SEEN


class Line:
    """A gap that grows with the logarithm of what was shown, from so many dB at the first doubling."""

    def __init__(self, end, shown, per_doubling):
        self.shown, self.end, self.slope = np.array([2048.0, shown]), end, per_doubling

    def at(self, shown):
        return about(self.end + self.slope * np.log2(shown / self.shown[-1]))


def test_what_a_gap_gains_from_a_quarter_on_is_known_of_long_trainings_alone():
    assert later(Line(3.0, 2**20, 0.5)) == pytest.approx(1.0)
    assert later(Line(3.0, 4096, 0.5)) is None


def committed(small, large, growth):
    """Two widths, four trainings each, of N = 100 and 1 000."""
    cells = []
    for kernels, N, end in ((k, N, end) for k in (4, 8) for N, end in ((100, small), (1000, large))):
        gaps = [Line(end + off * k, 4000 * N, growth) for k, off in enumerate((-0.05, 0.05, 0.0, 0.0), 1)]
        load = 8.0 if N == 1000 else 0.8
        cells.append(
            SimpleNamespace(seed=0, cell=SimpleNamespace(kernels=kernels, N=N, gaps=gaps, load=load))
        )
    return {"simulated": cells}


def test_that_N_decides_is_seen_not_seen_or_in_part_by_the_committed_clock(monkeypatch):
    for given, word in (
        ((4.0, 0.5, 0.01), SEEN),
        ((1.0, 1.0, 1.0), NOT_SEEN),
        ((4.0, 0.5, 1.0), IN_PART),
    ):
        monkeypatch.setattr(rules.clock, "committed", lambda given=given: committed(*given))
        (row,) = claims.rulings([], "transition")
        assert row.word == word and len(row.parts) == 4 and row.why == "N and time; of simulated galaxies"
        assert not row.counted, "of every run it is the same"
    cells = committed(4.0, 0.5, 0.01)
    for one in (one for one in cells["simulated"] if one.cell.kernels == 8 and one.cell.N == 1000):
        one.cell.gaps = [Line(3.0, 4_000_000, 0.01) for _ in range(2)]
    monkeypatch.setattr(rules.clock, "committed", lambda: cells)
    assert claims.rulings([], "transition")[0].why == "N, time and capacity; of simulated galaxies"
    for one in cells["simulated"]:
        one.cell.load = 0.4
    assert claims.rulings([], "transition")[0].why == "N and time; of simulated galaxies"


def test_the_committed_clock_says_that_N_decides_in_part():
    (row,) = claims.rulings([], "transition")
    assert row.word == IN_PART and {part.name.split(",")[0] for part in row.parts} >= {
        "4 kernels",
        "8 kernels",
    }


MARGINS = [(name, m) for name, of in LIMITS.items() for m in (of.low, of.high) if np.isfinite(m)]


@pytest.mark.parametrize(("name", "margin"), MARGINS)
def test_at_a_margin_a_word_is_decided_in_one_of_twenty(name, margin):
    rng, decided = np.random.default_rng(0), []
    for _ in range(500):
        cells = {
            n: rng.normal(margin, 0.1 * abs(margin) or 0.1, k) for n, k in ((10, 2), (100, 2), (4000, 3))
        }
        decided.append(over_cells("", name, cells, 4000).word != NOISY)
    assert np.mean(decided) < 0.08  # 5 % +- 3 standard errors


def shares(key, runs):
    """How often the row of runs gets each word."""
    said = [claims.rulings(run, key)[0].word for run in runs]
    return {word: said.count(word) / len(said) for word in judged.WORDS}


def of_normal_latents(rng):
    """Pairs of flows whose latents are normals, of whatever images."""
    z = [rng.normal(size=k) for k in (1500, 700, 700)]
    latents = {
        n: SimpleNamespace(
            apart=[
                [stats.wasserstein_distance(level, rng.normal(size=len(level))) for _ in range(4)]
                for level in z
            ]
        )
        for n in SIZES
    }
    return [family(GLOW, latents=latents)]


def of_equal_likelihoods(rng):
    """Eight flows that differ as much whatever their images."""
    apart = np.arange(8)[:, None] // 4 != np.arange(8) // 4
    alike = ~apart & ~np.eye(8, dtype=bool)
    ratios = [_ratio(np.exp(rng.normal(0, 0.15, (8, 8))), apart, alike) for _ in range(4)]
    return [family(GLOW, latents={4000: SimpleNamespace(ratio=ratios[:3], likelihood=ratios[3])})]


def of_a_judge_that_cannot_tell(rng):
    """Two D of each N, whose scores are noise."""
    cells = {
        n: [auc(rng.normal(size=256), rng.normal(size=min(n, 256))) for _ in range(2)] for n in (30, 4000)
    }
    return [family(GAN, sizes=(30, 4000), knows=cells)]


def of_a_denoiser_that_does_nothing(rng):
    """What it gains at the least noise, in dB, on two hundred images of three models of each N."""
    return every(gained={n: list(rng.normal(0, 0.4, 3)) for n in SIZES})


def of_gaps_that_stand_still(rng):
    return every(gap={n: list(rng.normal(0, 0.2, 2)) for n in SIZES})


def of_pairs_no_better_than_gaussians(rng):
    return every(agree={n: list(rng.normal(0.97, 0.004, 3)) for n in SIZES}, gaussians=0.98)


MADE = {  # of made-up inputs whose truth is known: the word that is right
    "table1": (of_normal_latents, IN_PART),  # no level falls: by how little lies at the margin
    "density": (of_equal_likelihoods, SEEN),
    "judges": (of_a_judge_that_cannot_tell, IN_PART),
    "plateau": (of_a_denoiser_that_does_nothing, NOT_SEEN),
    "longer": (of_gaps_that_stand_still, NOT_SEEN),
    "galaxies": (of_pairs_no_better_than_gaussians, NOT_SEEN),
}


@pytest.mark.parametrize("key", MADE)
def test_of_made_up_inputs_a_wrong_word_is_decided_in_one_of_twenty(key):
    make, right = MADE[key]
    rng = np.random.default_rng(1)
    found = shares(key, (make(rng) for _ in range(200)))
    print(key, found)
    assert sum(share for word, share in found.items() if word not in (right, NOISY, NOT_ASKED)) <= 0.05
    assert found[NOISY] < 0.95 or key == "table1"


def test_every_row_has_a_text_a_figure_limits_with_reasons_and_no_gate():
    assert {*EITHER, "transition"} == set(CLAIM)
    used = {name for claim in claims.CLAIMS for name in claim.limits}
    assert used | {"told", "scored"} == set(LIMITS) and all(limit.reason for limit in LIMITS.values())
    assert all(claim.text and claim.figure.startswith("fig-") and claim.rule for claim in claims.CLAIMS)
    table = claims.limits_table().data
    assert all(claim.text in table for claim in claims.CLAIMS)


@pytest.mark.parametrize(
    ("sizes", "small", "large"),
    [((10,), True, False), ((10, 100), True, False), ((1000, 4000), False, True)],
)
def test_of_a_large_set_a_run_of_small_ones_says_nothing_nor_the_other_way_round(sizes, small, large):
    cells = {what: three(0.4, sizes=sizes) for what in ("closer", "agree", "gained", "gap", "knows", "shape")}
    run = every(sizes=sizes, share=about(0.5, n=6), **cells)
    rows = claims.rulings(run, "copied", "new", "same", "galaxies", "required", "plateau", "unseen", "judges")
    asked = {row.key: row.word != NOT_ASKED for row in rows}
    assert {asked[key] for key in ("copied", "plateau")} == {small}
    assert {asked[key] for key in ("new", "same", "galaxies", "required", "judges")} == {large}
    assert asked["unseen"] == (small and len(sizes) > 1)
    said = opening.three_sentences(rows, {"diffusion": run[0]})
    N = run[0].large if large else run[0].small
    assert said.startswith(("Networks", "Whether")) and said.count("networks that saw") <= 1
    assert f"etworks that saw {spaced(N)} galaxies" in said


def test_a_run_of_one_N_is_asked_at_it_and_says_where_it_takes_two():
    run = every(sizes=(500,), closer={500: [0.0, 0.01]}, agree={500: [0.9, 0.91]}, shape={500: [1.0, 1.1]})
    copied, unchanged = claims.rulings(run, "copied", "unchanged")
    assert copied.word == NOT_SEEN and "N = 500" in str(copied.parts[0])
    assert unchanged.word == NOT_ASKED and not unchanged.counted and not unchanged.why
    assert "takes another N" in claims.claims_table([unchanged]).data


def test_the_top_of_a_page_shows_its_first_rows(monkeypatch):
    glued = {}
    monkeypatch.setattr(claims, "glue", lambda key, shown, display: glued.update({key: shown.data}))
    rows = [claims.rulings(EITHER[key][0], key)[0] for key in ("copied", "new", "real", "kept")]
    assert claims.answer(rows).data.count("**seen**") == 4 and glued["answer"].count("**seen**") == 4
    assert claims.first_rows(rows, 2).data.count("**seen**") == 2


def test_each_word_has_its_wording_and_what_was_not_asked_takes_its_clause_out():
    run = {"diffusion": SimpleNamespace(small=100, large=4000)}
    keys = [key for key in opening.KEYS if key in EITHER]
    for key in keys:
        texts = {opening.three_sentences(claims.rulings(of, key), run) for of in EITHER[key]}
        assert len(texts) == 2 and "{" not in "".join(texts), key
    for wordings in opening.SAID.values():
        assert wordings.keys() == {SEEN, NOT_SEEN, IN_PART, NOISY} and len(set(wordings.values())) == 4
    rows = [claims.rulings(EITHER[key][0], key)[0] for key in keys]
    rows += claims.rulings([], "transition")
    assert opening.three_sentences(rows, run).count(".") == 3
    assert opening.three_sentences([rows[0], claims.Row("new", NOT_ASKED, [], "")], run).count(";") == 0
    assert "trained" in opening.opens([], {}).data


def test_the_readme_says_what_the_first_page_of_the_published_book_says():
    readme = " ".join((ROOT / "README.md").read_text().split())
    book = json.loads((ROOT / "results" / "laptop-simulated.json").read_text())
    rows = claims.from_kept(book["kept"]["10_conclusions"]["rows"])
    said = opening.three_sentences(rows, {"diffusion": SimpleNamespace(small=100, large=4000)})
    assert " ".join(said.split()) in readme
    again = chapter_11.foretold(load(), measured("expected")).replace("\\", "")
    (same, asked, told), real = (
        re.search(rf"{data}, profile laptop, seeds 0 and 7: (\d+) of (\d+), where (\S+) ", again).groups()
        for data in ("simulated", "sdss_real_9200_64")
    )
    assert f"the same word in {same} of {asked} rows ({told} were expected)" in readme
    assert "and in {} of {} ({});".format(*real) in readme
    assert again.count("none turned") == 2 and "none turned from seen to not seen" in readme


def test_the_readme_says_what_both_books_of_real_galaxies_say():
    readme = " ".join((ROOT / "README.md").read_text().split())
    books = [load()[f"laptop-sdss_real_9200_64{seed}"] for seed in ("", "-seed7")]
    rows = [{row.key: row for row in claims.from_kept(b["kept"]["10_conclusions"]["rows"])} for b in books]
    assert all(
        [r[key].word for key in ("new", "required", "real")] == [SEEN, NOT_SEEN, NOT_SEEN] for r in rows
    )
    told = [part.found.value for r in rows for part in r["real"].parts]
    assert f"in {100 * min(told):.0f} to {100 * max(told):.0f} % of the cases" in readme


def test_rows_are_kept_and_read_again():
    rows = [claims.rulings(run, key)[0] for key, runs in EITHER.items() for run in runs]
    assert claims.from_kept(claims.kept_rows(rows)) == rows


def test_words_of_two_seeds_are_counted_beside_those_that_were_foretold():
    rows = [claims.rulings(EITHER[key][0], key)[0] for key in ("copied", "real")]
    other = [rows[0], claims.rulings(EITHER["real"][1], "real")[0]]
    told = [
        one | {"counted": row.counted, "repeats": {SEEN: 0.75}}
        for one, row in zip(claims.kept_rows(rows), rows, strict=True)
    ]
    runs = {
        name: {
            "run": {"data": "simulated", "profile": "laptop", "seed": seed},
            "kept": {"10_conclusions": {"rows": claims.kept_rows(some)}},
        }
        for seed, (name, some) in enumerate({"a": rows, "b": other}.items())
    }
    expected = {"a": {"rows": told}}
    said = chapter_11.foretold(runs, expected)
    assert "seeds 0 and 1: 1 of 2, where 1.5 ± 0.6 were expected, and 1 turned" in said
    same = chapter_11.foretold({"a": runs["a"], "b": runs["b"] | {"kept": runs["a"]["kept"]}}, expected)
    assert "2 of 2" in same and "none turned" in same
    told = chapter_11.decided(runs)
    assert CLAIM["copied"].text in told and CLAIM["real"].text not in told and not chapter_11.decided({})
    assert "1.5 of 2" in chapter_11.foretold({}, expected)
    shown = chapter_11.words(runs, expected).data
    assert f"| {CLAIM['real'].text} | seen | not seen |" in shown and said in shown


# Networks that know nothing, or little, and perfect models


class Early(Experiment):
    """An experiment whose models are as they were before their training, or at their first milestone."""

    shown = 0

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        if self.family.name in ("diffusion", "conditional"):  # one pair leans to a set by chance
            self.models.settings = self.settings.model_copy(update={"pairs": 3, "more_pairs": {}})

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


KINDS = {"untrained": Early, "few": First}
ASKED = {  # of networks; what takes a second N, or more latents than a test has, is asked of made-up numbers
    "diffusion": ("copied", "new", "real", "required"),
    "conditional": ("copied", "new", "real", "required"),
    "glow": ("real",),
    "gan": ("real", "judges"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ASKED)
def test_networks_that_know_nothing_get_the_right_word_or_none(kind, name, trained, monkeypatch):
    given = Parameters(profile="smoke", N=None if name == "gan" else 24)  # of which 512 images are few passes
    found = Findings(KINDS[kind](given, trained, family=name))
    rows = claims.rulings([found], *ASKED[name])
    monkeypatch.setattr(rules, "MANY", 24)
    for row in rows + claims.rulings([found], *ASKED[name]):
        right = CLAIM[row.key].right.get(kind)
        assert right is None or row.word in (right, NOISY, NOT_ASKED), (row.key, list(map(str, row.parts)))
