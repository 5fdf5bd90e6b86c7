"""What the rows say of models that are perfect: held-out galaxies, by repeated disjoint draws."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from galbook import morphology
from galbook.claims import claims, rules
from galbook.judgement import NOISY, NOT_ASKED
from galgen.compare.agreement import two_models
from galgen.compare.biases import biases, photometry
from galgen.compare.controls import blurred, rounded
from galgen.compare.morphology import measure, valid
from galgen.compare.twosample import c2st, features
from galgen.data.dataset import Split
from galgen.data.simulate.images import simulate
from galgen.data.unit import mean_image

pytestmark = pytest.mark.slow

COUNT = 256  # samples of a model, as the laptop has
SIZES = (100, 4000)
LARGE, REPEATS = SIZES[-1], 20
CLAIM = {claim.key: claim for claim in claims.CLAIMS}


@pytest.fixture(scope="module")
def galaxies():
    """As many as the trainings, the reference and the models of a repetition take, with some to draw from."""
    images, _ = simulate(count=12_000, size=32, crop=64, seed=77, population="main", workers=1)
    return images


def stand_in(label, cells, off=None):
    """Findings of a family whose models drew held-out galaxies."""
    return SimpleNamespace(
        label=label,
        sizes=SIZES,
        small=SIZES[0],
        large=LARGE,
        at=lambda N: "perfect",
        cells=lambda what: cells.get(what, {}),
        share=SimpleNamespace(share=None, marks={}),
        scale=SimpleNamespace(gaussians=0.99),
        shapes=lambda N: cells.get("shaped"),
        off=lambda run: off,
    )


def words(keys, runs):
    """Of each row, how often it gets each word."""
    found = {key: [] for key in keys}
    for run in runs:
        for row in claims.rulings(run, *keys):
            found[row.key].append(row.word)
    return found


def agree_with_the_record(found):
    """A decided word that is not the right one comes at no more than 5 %."""
    for key, said in found.items():
        right = CLAIM[key].right["perfect"]
        wrong = [word for word in said if word not in (right, NOISY, NOT_ASKED)]
        print(key, right, {word: said.count(word) / len(said) for word in dict.fromkeys(said)})
        assert len(wrong) <= 0.05 * len(said), (key, said)


def test_of_pairs_that_draw_held_out_galaxies_nothing_is_copied_and_all_differ(galaxies):
    rng, mean, runs = np.random.default_rng(0), mean_image(galaxies), []
    for _ in range(REPEATS):
        rows = rng.permutation(len(galaxies))
        sets = {n: Split(rows[:n], rows[n : 2 * n], rows[8000:9000], rows[:0]) for n in SIZES}
        drawn = iter(rows[9000:].reshape(-1, 250))
        cells = {"agree": {n: [] for n in SIZES}, "closer": {n: [] for n in SIZES}}
        for n, pairs in ((SIZES[0], 1), (LARGE, 3)):
            for _ in range(pairs):
                pair = [torch.from_numpy(galaxies[next(drawn)] / np.float32(255)) for _ in range(2)]
                test = two_models(*pair, galaxies, sets[n], mean=mean)
                cells["agree"][n].append(test.agree)
                null = max(0.5, test.memorization.gaussians.closer.value)
                cells["closer"][n].append(test.closer.value - null)
        runs.append([stand_in(label, cells) for label in rules.EVERY])
    agree_with_the_record(words(("copied", "new", "same", "galaxies", "required", "different"), runs))


def test_of_held_out_galaxies_a_classifier_light_and_sizes_say_that_they_are_real(galaxies):
    rng, runs = np.random.default_rng(1), []
    light = photometry(rounded(galaxies))
    seen = features(rounded(galaxies), side=morphology.COARSE)

    def part(rows):
        return type(light)(**{name: values[rows] for name, values in vars(light).items()})

    for _ in range(REPEATS):
        rows = rng.permutation(len(galaxies))
        known, drawn = rows[: 2 * COUNT], iter(rows[2 * COUNT : 18 * COUNT].reshape(16, COUNT))
        off = {what: {} for what in ("flux", "size", "ellipticity")}
        told = {}
        for label in rules.EVERY:
            models = [next(drawn) for _ in range(4)]
            told[label] = {
                n: [c2st(seen[known[:COUNT]], seen[m], permutations=1).auc.value for m in pair]
                for n, pair in zip(SIZES, (models[:2], models[2:]), strict=True)
            }
            beside = [biases(part(m), part(known)) for m in models[2:]]
            for what in off:
                off[what][label] = [getattr(one, what) for one in beside]
        runs.append([stand_in(label, {"told": told[label]}, off) for label in rules.EVERY])
    agree_with_the_record(words(("real", "right", "round"), runs))


def test_of_held_out_galaxies_the_morphology_is_kept_and_does_not_change(galaxies):
    rng, pool, count = np.random.default_rng(2), galaxies[:2000], 200
    found = measure(rounded(pool), workers=1, progress=False)
    good = np.asarray(found["reason"]) == ""
    sharp = galaxies[2000 : 2000 + COUNT]
    wrong = [valid(measure(rounded(blurred(sharp, s)), workers=1, progress=False)) for s in morphology.BLURS]
    runs = []
    for _ in range(REPEATS):
        rows = rng.permutation(len(pool))
        reference = found[rows[:800]][good[rows[:800]]]
        drawn, cells = iter(rows[800:].reshape(6, count)), {}
        models = {n: [next(drawn) for _ in range(3)] for n in SIZES}
        for n, sets in models.items():
            of = {str(k): found[m][good[m]] for k, m in enumerate(sets)}
            shaped = morphology.distances_shaped(reference, wrong, of)
            cells.setdefault("shape", {})[n] = [far / shaped.pixel for far in shaped.energy.values()]
        cells |= {"shaped": shaped, "closer": {n: [0.0, 0.01] for n in SIZES}}
        runs.append([stand_in(label, cells) for label in rules.EVERY])
    agree_with_the_record(words(("kept", "unchanged", "unseen", "degrades"), runs))
