import dataclasses

import numpy as np
import pytest
import torch
from test_inversion import SHAPES, latents

from galgen.compare.inversion import PAPER_TABLE1, Inversion, compare_levels, gathered
from galgen.compare.likelihood import ratio_auc
from galgen.compare.twosample import auc
from galgen.compare.uncertainty import Estimate
from galgen.figures import chapter_05 as figures


def inversion(n=40, seed=0, scale=1.3):
    z, other = ([level.numpy() for level in latents(n, s)] for s in (seed, seed + 100))
    x = np.linspace(-0.5, 0.5, n * 16, dtype=np.float32).reshape(n, 1, 4, 4)
    return Inversion(z, z, [scale * level for level in other], x, np.zeros(n), np.zeros(n))


@pytest.fixture(scope="module")
def tests():
    """Four tests at each of two sizes; the smaller has the wider latents."""
    return {
        n: [compare_levels(inversion(seed=k, scale=scale)) for k in range(4)]
        for n, scale in ((10, 2.0), (1000, 1.1))
    }


def test_a_statistic_is_gathered_by_size_level_and_test(tests):
    values = gathered(tests, "w1_b")
    assert values.shape == (2, len(SHAPES), 4)
    assert values[1, 0, 3] == tests[1000][3][0].w1_b.value
    assert (values[0].min(1) > values[1].max(1)).all()


def test_the_area_of_the_ratios_leaves_out_images_without_a_ratio():
    of_a, of_b = np.array([3.0, 2.0, np.nan, 1.0]), np.array([-1.5, np.inf, 2.0])
    assert ratio_auc(of_a, of_b) == auc(np.array([1.5, -np.inf, -2.0]), np.array([3.0, 2.0, 1.0]))


def test_table_1_has_our_sizes_and_the_papers_each_where_it_belongs(tests):
    text = figures.distance_table(tests, tests, "before").data
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[4:]]
    assert text.startswith("before\n\n")
    for level in range(2):
        found = [row for row in rows if row[0] == str(level)]
        sizes = [row[1].replace("\N{NO-BREAK SPACE}", "") for row in found]
        assert sizes == ["100000", "10000", "1000", "10"]
        w1 = gathered(tests, "w1_b")[1, level]
        assert found[2][3] == found[2][5] == f"{w1.mean():.3f} ({w1.min():.3f} to {w1.max():.3f})"
        first = tests[1000][0][level]
        assert found[2][4] == f"[{first.w1_b.low:.3f}, {first.w1_b.high:.3f}]"
        assert found[2][-1] == "{:.1e}, {:.3f}".format(*PAPER_TABLE1[level][1000])
        assert "".join(found[0][2:7]).strip() == ""  # the paper's alone


def test_the_distances_stand_at_their_sizes_beside_null_control_and_floor(tests):
    same = {
        n: [[dataclasses.replace(level, w1_b=Estimate(0.01, 0, 1, 9)) for level in test] for test in some]
        for n, some in tests.items()
    }
    axes = figures.distance_figure(tests, same, tests[10][0]).axes
    for level, axis in enumerate(axes):
        null, nulls, mean, dots, control, floor = axis.lines
        assert set(null.get_ydata()) | set(nulls.get_ydata()) == {0.01}
        assert np.allclose(mean.get_ydata(), gathered(tests, "w1_b")[:, level].mean(1))
        assert dots.get_xdata().tolist() == [10] * 4 + [1000] * 4
        assert np.allclose(dots.get_ydata(), gathered(tests, "w1_b")[:, level].ravel())
        assert (*control.get_xdata(), *control.get_ydata()) == (1000, tests[10][0][level].w1_b.value)
        assert floor.get_ydata()[0] == tests[1000][0][level].floor


class Plain:
    """A flow whose latents are the pixels of the image: the upper half is one level, the lower the other."""

    def encode(self, x):
        return list(x.chunk(2, 2)), None

    def decode(self, latents):
        return torch.cat(list(latents), 2)

    def image(self, x):
        return x


def test_a_walk_carries_one_level_over_and_keeps_the_others():
    ends = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    frames = figures.walks(Plain(), ends, steps=5)
    assert frames.shape == (3, 5, 4, 12)
    first, last = ends[:, 0].numpy()
    left, way, right = np.split(frames, 3, axis=3)
    assert (left == first).all() and (right == last).all()
    assert np.allclose(way[:, 0], first, atol=1e-6)
    assert np.allclose(way[2, -1], last, atol=1e-6)
    assert np.allclose(way[0, -1], np.vstack([last[:2], first[2:]]), atol=1e-6)
    assert np.allclose(way[1, -1], np.vstack([first[:2], last[2:]]), atol=1e-6)
    half = (first + last) / 2**0.5  # a great circle: the norm of independent normals is kept
    assert np.allclose(way[2, 2], half, atol=1e-6)
