import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from blobs import galaxies
from conftest import floats
from scipy import ndimage, stats

from galgen.compare.discriminator import (
    ALIKE,
    GRADES,
    WRONG,
    DiscriminatorTest,
    contrast,
    discriminator_test,
    evaluate,
    hinge,
    image_sets,
    score,
)
from galgen.data.split import Split


def drawn(n, seed):
    return floats(galaxies(n, seed))


def sharpness(x):
    """A discriminator with power: the light of neighbours, over how much they differ."""
    step = x[..., 1:] - x[..., :-1]
    return (x.square().mean((1, 2, 3)) / step.square().mean((1, 2, 3)) - 2.5) / 5


def blind(x):
    """A discriminator before its training, at its best: it finds nothing."""
    return torch.zeros(len(x))


def judgement(D, own, other, train, held_out, seed=0, before=blind, permutations=399):
    sets = image_sets(own, other, train, held_out, seed=seed)
    scores, known = ({name: score(f, images) for name, images in sets.items()} for f in (D, before))
    return evaluate(scores, known, permutations=permutations)


def both(D, own, other, seed=0):
    A = judgement(D, own, other, galaxies(300, 3), galaxies(400, 5), seed)
    B = judgement(D, other, own, galaxies(300, 4), galaxies(400, 5), seed)
    return DiscriminatorTest(A, B)


def test_the_test_of_a_pair_gives_each_judge_its_own_samples_and_training_images():
    images, rows = galaxies(1000, 9), np.arange(1000)
    sets = Split(rows[:300], rows[300:600], rows[600:])
    samples = drawn(60, 1), drawn(60, 2)
    found = discriminator_test((sharpness,) * 2, (blind,) * 2, samples, images, sets)
    A = judgement(sharpness, *samples, images[:300], images[600:], permutations=1000)
    B = judgement(sharpness, *samples[::-1], images[300:600], images[600:], permutations=1000)
    assert found.apart() == DiscriminatorTest(A, B).apart()
    assert found.apart("held_out") == DiscriminatorTest(A, B).apart("held_out")


def test_the_hinge_loss_at_its_corners():
    a, b = np.array([1.0, -1, 1, -1, 0, 3, -3]), np.array([-1.0, 1, 1, -1, 0, 3, -3])
    assert hinge(a, b).tolist() == [0, 4, 2, 2, 2, 4, 4]


def test_a_constant_discriminator_has_mean_two_and_no_power():
    test = both(lambda x: torch.full((len(x),), 0.3), drawn(200, 1), drawn(200, 2))
    for D in (test.A, test.B):
        for curve in D.curves.values():
            assert curve.mean.value == curve.low == curve.high == pytest.approx(2) and curve.sd < 1e-12
        assert all(c.distance == 0 and c.p == 1 and c.auc.value == 0.5 for c in D.contrasts.values())
        assert not D.has_power()
    assert (test.verdict(), test.apart().value, test.apart().p) == ("no power", 0, 1)


def test_a_fault_is_seen_from_the_least_grade_on_from_which_all_are_found():
    A = judgement(sharpness, drawn(200, 1), drawn(200, 2), galaxies(300, 3), galaxies(400, 5))
    seen = {kind: A.sees(kind) for kind in WRONG}
    assert seen["blurred"] == 0.5 and seen["noise"] <= 0.05 and seen["dropped"] <= 0.75
    assert all(A.sees(kind, trained=False) == np.inf for kind in WRONG)
    missed = replace(A.contrasts["held_out", ("blurred", 1.0)], p=0.4)
    A.contrasts["held_out", ("blurred", 1.0)] = missed  # what is found below does not count
    assert A.sees("blurred") == 2.0
    A.contrasts["held_out", ("blurred", 2.0)] = missed
    assert A.sees("blurred") == np.inf and not A.has_power()


def test_power_is_what_training_added():
    images = drawn(200, 1), drawn(200, 2), galaxies(300, 3), galaxies(400, 5)
    assert judgement(sharpness, *images).has_power()
    # what the untrained one sees as early, it has not learnt
    assert not judgement(sharpness, *images, before=sharpness).has_power()


def test_with_power_good_generators_pass_and_blurred_ones_separate():
    good, blurred = drawn(200, 1), torch.from_numpy(ndimage.gaussian_filter(drawn(200, 1), (0, 0, 0.6, 0.6)))
    test = both(sharpness, good, drawn(200, 2))
    assert test.verdict() == "passes" and test.A.has_power() and test.apart().value < 0.3
    assert test.A.contrasts["held_out", ("noise", 0.1)].auc.low > 0.5
    assert test.A.contrasts["held_out", ("dropped", 0.75)].p < 0.05
    assert test.A.memory.low < 0.5 < test.A.memory.high
    wrong = both(sharpness, blurred, drawn(200, 2))
    assert wrong.verdict() == "separates" and wrong.apart().p < 0.05 and wrong.apart().value > 0.5


def test_a_discriminator_that_knows_its_training_images_is_told_from_a_bad_generator():
    train = galaxies(300, 3)
    known = {image.tobytes() for image in train}

    def D(x):
        bytes_of = ((255 * x).round().to(torch.uint8).numpy()[i].tobytes() for i in range(len(x)))
        return sharpness(x) + 3 * torch.tensor([b in known for b in bytes_of]).float()

    A = judgement(D, drawn(200, 1), drawn(200, 2), train, galaxies(400, 5))
    assert A.memory.low > 0.9 and A.contrasts["own", "train"].p < 0.01
    assert A.contrasts["own", "held_out"].p > 0.05


def test_the_mean_loss_is_two_and_the_gap_of_the_scores_in_the_papers_order():
    rng = np.random.default_rng(0)
    scores = {name: rng.uniform(-1, 1, 100) * 0.5 for name in (*ALIKE, *GRADES)}
    scores["own"] -= 0.4
    found = evaluate(scores, scores, permutations=9)
    for name, curve in found.curves.items():
        assert curve.mean.value == pytest.approx(2 + scores[name].mean() - scores["own"].mean())
    assert found.curves["train"].mean.low > 2


def test_the_distance_is_the_wasserstein_distance_over_the_width_in_any_units():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=37), rng.normal(0.5, 2, 58)
    want = stats.wasserstein_distance(x, y) / np.concatenate([x, y]).std()
    found = [contrast(a * x + b, a * y + b, permutations=50) for a, b in ((1, 0), (0.01, -5))]
    assert [f.distance for f in found] == pytest.approx([want, want]) and found[0].p == found[1].p
    assert contrast(x, y).auc.value == pytest.approx(np.mean(x[:, None] > y))


def test_pairs_are_exchanged_and_not_permuted():
    # a shift by a tenth of what the latent does: seen only where the latent's part drops out
    rng = np.random.default_rng(3)
    x = rng.normal(size=100)
    y = x + 0.1 + 0.05 * rng.normal(size=100)
    assert contrast(x, y, paired=True).p < 0.01 and contrast(x, y).p > 0.1


def test_the_sets_are_what_they_say():
    own, other, train, held_out = drawn(30, 1), drawn(30, 2), galaxies(20, 3), galaxies(90, 4)
    sets = image_sets(own, other, train, held_out, seed=1)
    assert set(sets) == {*ALIKE, *GRADES} and all(x.dtype == torch.float32 for x in sets.values())
    assert [len(sets[name]) for name in ALIKE] == [30, 30, 20, 30]
    assert [len(sets[name]) for name in GRADES] == [30] * 6 + [22, 15, 8]

    def keys(x):
        return {image.tobytes() for image in (255 * x).round().to(torch.uint8).numpy()}

    assert keys(sets["train"]) == {image.tobytes() for image in train}
    few, half = sets["dropped", 0.75], sets["dropped", 0.5]
    assert len(keys(few)) == 8 and len(keys(half)) == 15 and keys(few) < keys(half)  # none twice
    assert not keys(half) & keys(sets["held_out"]) and keys(half) <= {image.tobytes() for image in held_out}
    assert half.sum((1, 2, 3)).max() <= sets["blurred", 0.5].sum((1, 2, 3)).median() + 0.1
    little, much = (sets["blurred", pixels].flatten(1) for pixels in (0.5, 2.0))
    torch.testing.assert_close(little.mean(1), much.mean(1), atol=2e-3, rtol=0)  # of the same galaxies
    noisy = sets["noise", 0.1].flatten(1).std(1)
    assert (noisy > little.std(1)).all() and (little.std(1) > much.std(1)).all()
    again, another = (image_sets(own, other, train, held_out, seed=s) for s in (1, 2))
    assert all(torch.equal(sets[name], again[name]) for name in sets)
    assert not torch.equal(sets["held_out"], another["held_out"])


def test_scores_do_not_depend_on_the_chunk():
    torch.manual_seed(0)
    D = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(784, 1))
    D.append(torch.nn.Flatten(0)).eval()
    x = drawn(50, 1)
    found = [score(D, x, chunk=chunk) for chunk in (1, 7, 64)]
    for one, two in itertools.pairwise(found):
        np.testing.assert_allclose(one, two, atol=1.1e-5)
