from types import SimpleNamespace

import numpy as np
import pytest

from galgen.figures.evidence import before_memory

RNG = np.random.default_rng(0)
UNSEEN, A, B = (RNG.integers(low, low + 100, (60, 1, 8, 8), dtype=np.uint8) for low in (0, 50, 100))


def experiment(known):
    """One whose D scores brightness, and so the training images higher, from so many images shown on."""

    def networks(model, shown):
        sign = 1 if shown >= known[model] else -1
        return {"discriminator": lambda x: sign * x.mean((1, 2, 3))}

    return SimpleNamespace(
        pair=lambda n: ("A", "B"),
        train=lambda model: SimpleNamespace(summary={"weights": [8, 16, 32, 64]}),
        networks=networks,
        images={"A": A, "B": B}.get,
        unseen=UNSEEN,
    )


@pytest.mark.parametrize(
    ("known", "last"),
    [
        ({"A": 32, "B": 64}, 16),
        ({"A": 64, "B": 16}, 8),
        ({"A": 100, "B": 100}, 64),  # never
        ({"A": 8, "B": 100}, 8),  # from the first on
    ],
)
def test_the_reading_before_memory_is_the_last_at_which_neither_judge_knows_its_images(known, last):
    assert before_memory(experiment(known), 60) == last


def test_a_judge_of_images_it_cannot_know_has_no_memory():
    same = experiment({"A": 0, "B": 0})
    same.images = lambda model: np.roll(UNSEEN, 7, 0)
    assert before_memory(same, 60) == 64
