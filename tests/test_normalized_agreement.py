"""Normalized agreement with known values: closed forms, and synthetic models with retraining variance."""

import numpy as np
import pytest
import torch

from galbook.normalized_agreement import agreement_matrix, normalize
from galgen.compare.similarity import cosine

LABELS = ["A"] * 3 + ["B"] * 3 + ["galaxies"] * 2 + ["leaves"]
MEAN = np.zeros((1, 8, 8))
MEAN[:, 4:] = 1


def table(pair, same, galaxies, leaves, scatter=0.0, seed=0):
    """What c is if trainings move it by so much at most."""
    halves = np.array(LABELS)[:, None], np.array(LABELS)[None]
    c = np.where(halves[0] == halves[1], same, pair)
    for kind, value in (("galaxies", galaxies), ("leaves", leaves)):
        c = np.where((halves[0] == kind) | (halves[1] == kind), value, c)
    moved = scatter * np.random.default_rng(seed).standard_normal(len(LABELS))
    return c + moved[:, None] + moved


class World:
    """Models of which each draws, of a latent, what all share, what its images share, and what is its own.

    The strength of its own part is that of its training. An out-of-domain kind has some of what all share.
    """

    def __init__(self, rng, common, data, kinds, spread, foreign_spread, latents=24, of_each=36):
        def noise():
            return rng.standard_normal((latents, 1, 8, 8))

        shared, self.labels, models = noise(), [], []
        parts = {half: (common, data) for half in "AB"}
        parts |= {kind: (weight, 1 - weight) for kind, weight in kinds.items()}
        for label, (of_all, of_these) in parts.items():
            these = noise()
            for _ in range(of_each):
                scatter = spread if label in "AB" else foreign_spread
                strength = 0.03 * np.exp(scatter * rng.standard_normal())
                own = noise()
                models.append(of_all**0.5 * shared + of_these**0.5 * these + strength**0.5 * own)
                self.labels.append(label)
        self.c = agreement_matrix([torch.from_numpy(each).float() for each in models], mean=MEAN)
        self.rows = {label: np.flatnonzero(np.array(self.labels) == label) for label in parts}
        self.share, self.moved = self.true_values()

    def true_values(self):
        """Of all trainings."""
        a, b = self.rows["A"], self.rows["B"]
        pair = self.c[np.ix_(a, b)].mean()
        ceiling = np.mean([self.c[np.ix_(x, x)][np.triu_indices(len(x), 1)].mean() for x in (a, b)])
        both = np.concatenate([a, b])
        floor = max(self.c[np.ix_(both, self.rows[k])].mean() for k in self.rows if k not in "AB")
        return (pair - floor) / (ceiling - floor), ceiling - pair

    def some(self, rng):
        """Three of A, three of B, two of the first other kind and one of the second."""
        taken = [rng.choice(self.rows[k], n, False) for k, n in zip(self.rows, (3, 3, 2, 1), strict=True)]
        rows = np.concatenate(taken)
        return normalize(self.c[np.ix_(rows, rows)], np.array(self.labels)[rows])


@pytest.mark.parametrize("pair, wanted", [(0.95, 0.5), (0.98, 0.8), (0.9, 0.0), (1.0, 1.0)])
def test_trainings_that_do_not_scatter_have_the_share_that_their_cosines_say(pair, wanted):
    found = normalize(table(pair, 1.0, 0.9, 0.6), LABELS)
    assert found.value.value == pytest.approx(wanted) and found.value.n == 6
    assert found.value.low == pytest.approx(wanted) == found.value.high
    assert (found.pair.value, found.floor.value, found.ceiling.value) == pytest.approx((pair, 0.9, 1.0))
    assert len(found.pairs) == 9 and len(found.same) == 6 and found.kind == "galaxies" and not found.missing
    assert found.by_kind == pytest.approx({"galaxies": wanted, "leaves": (pair - 0.6) / 0.4})


def test_the_floor_is_the_kind_that_agrees_best_and_its_scatter_that_of_two_of_one_kind():
    """Also where the best kind has one network, which alone shows no scatter."""
    for galaxies, leaves in ((0.8, 0.7), (0.7, 0.8)):
        c = table(0.95, 1.0, galaxies, leaves)
        c[6, :6] = c[:6, 6] = galaxies + 0.004
        found = normalize(c, LABELS)
        variance = 0.004**2 / 2 / (2 if found.kind == "galaxies" else 1)
        assert found.floor.high - found.floor.value == pytest.approx(12.706 * variance**0.5, rel=1e-4)
        assert found.floor.value == pytest.approx(0.802 if found.kind == "galaxies" else 0.8)


def test_of_independent_trainings_the_mean_has_the_interval_of_six_and_four_degrees():
    """With effects a_i and b_j of the trainings, V of the pair is s_a^2 / 3 + s_b^2 / 3."""
    moved = np.array([1.0, 2.0, 6.0, -1.0, 0.0, 4.0]) / 100
    c = np.full((9, 9), 0.5)
    c[:6, :6] += moved[:, None] + moved
    found = normalize(c, LABELS)
    error = ((moved[:3].var(ddof=1) + moved[3:].var(ddof=1)) / 3) ** 0.5
    assert found.pair.high - found.pair.value == pytest.approx(2.7764 * error, rel=1e-4)
    assert found.ceiling.high - found.ceiling.value == pytest.approx(2.7764 * error, rel=1e-4)


def test_agreements_are_medians_of_anomaly_cosines():
    rng = np.random.default_rng(0)
    x = [torch.from_numpy(rng.standard_normal((7, 1, 8, 8))).float() for _ in range(3)]
    found = agreement_matrix(x, mean=MEAN)
    assert np.allclose(found, found.T) and np.allclose(found.diagonal(), 1)
    wanted = np.median(cosine(x[2], x[0], kind="anomaly", mean=MEAN))
    assert found[0, 2] == pytest.approx(wanted, abs=1e-6)


MISSING = [
    (["A", "B", *LABELS[6:]], "3 models of A and 3 of B, but there are 1 and 1"),
    (["A", "A", "B", "B", "B", *LABELS[6:]], "of A and 3 of B, but there are 2 and 3"),
    (LABELS[:6], "two of one kind"),
    ([*LABELS[:7], "leaves"], "two of one kind"),
]


@pytest.mark.parametrize("labels, said", MISSING)
def test_what_is_missing_is_said_and_what_there_is_stands(labels, said):
    rows = [LABELS.index(label) for label in labels]
    c = table(0.95, 1.0, 0.9, 0.6)[np.ix_(rows, rows)]
    found = normalize(c, labels)
    assert found.value is None and said in found.missing
    assert np.allclose(found.pairs, 0.95) and (found.pair is None) == ("of A" in said)
    assert set(found.by_kind) == (set(labels) - {"A", "B"} if len(found.same) else set())


@pytest.mark.parametrize("floor", [1.0, 1.1])
def test_no_share_is_printed_where_the_ceiling_is_not_above_the_floor(floor):
    found = normalize(table(0.95, 1.0, floor, 0.6), LABELS)
    assert found.value is None and "includes 0" in found.missing and found.ceiling.value == 1.0
    moved = table(0.95, 1.0, 0.999, 0.6, scatter=0.01)
    assert normalize(moved, LABELS).value is None


WORLDS = [
    ((0.9, 0.002, {"galaxies": 0.7, "leaves": 0.5}, 0.3, 0.3), 0.95),  # a share of .99
    ((0.9, 0.02, {"galaxies": 0.7, "leaves": 0.5}, 0.3, 0.3), 0.95),  # .87
    ((0.5, 0.4, {"galaxies": 0.3, "leaves": 0.1}, 0.3, 1.5), 0.93),  # .25, the controls scatter
]


@pytest.mark.parametrize("world, least", WORLDS)
def test_intervals_over_trainings_hold_the_share_of_all_trainings(world, least):
    inside, moved = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        made = World(rng, *world)
        some = [made.some(rng) for _ in range(150)]
        inside += [found.value.low <= made.share <= found.value.high for found in some if found.value]
        moved += [found.moved.low <= made.moved <= found.moved.high for found in some]
    assert len(inside) > 270 and least < np.mean(inside)
    assert 0.93 < np.mean(moved)


def test_networks_of_one_kind_seldom_have_a_share_whatever_they_agree_at():
    """The floor is then the ceiling: an interval of 95 % that lies above 0 errs in 2.5 % at most."""
    printed = [normalize(table(0.99, 0.99, 0.99, 0.99, 0.001, seed), LABELS).value for seed in range(400)]
    assert np.mean([share is not None for share in printed]) < 0.03
