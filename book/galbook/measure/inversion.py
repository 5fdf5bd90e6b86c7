"""Inversion test and likelihood ratio: do two flows have the same density? Figures 10, 11 and Table 1.

Model i generates x = G_i(z) from z ~ N(0, I), and model j encodes it, z' = G_j^-1(x); the distribution of z'
for equal densities is in `galgen.compare.inversion`. Each model of N images generates once, and all others
encode its images. The numbers are for ordered pairs: those of `A0-B1` are of images of A0 encoded by B1.

Pairs trained on disjoint sets are compared with pairs trained on the same set by the ratio of the means of

    d(i, j) = median over images x of i of (log p_i(x) - log p_j(x)) / (D log 2)     bits per dimension,

D the pixels of x. The controls are the untrained first pair, and out-of-domain flows.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from torch import Tensor

from galbook.table import all_pairs, each_size, first_pair, largest_size, question, row
from galgen.compare.distances import iid_floor
from galgen.compare.flow_pairs import ratio_over_trainings
from galgen.compare.inversion import Inversion, LevelTest, clipped, compare_levels, finite_images, inversions
from galgen.compare.likelihood import ratio_auc
from galgen.experiment import Experiment
from galgen.models import glow_learner
from galgen.models.families import Training
from galgen.models.glow import Glow

__all__ = ["inversion", "inversion_controls"]

COUNT = 64  # least number of latents: with four pairs, eight models each encode the images of seven others
SCATTERED = 2000  # latents of a level in a figure
EDGES = np.linspace(-4, 4, 81)  # of the bins of the densities
TESTED = {  # statistics of a pair at a level, and their names in `galgen.compare.inversion.LevelTest`
    "latent_wasserstein": "w1_b",
    "latent_norm_spread": "norm_spread",
    "latent_correlation": "correlation",
    "latent_correlation_null": "correlation_null",
    "latent_multiple_correlation": "shared",
    "latent_multiple_correlation_null": "shared_null",
}


@question(families=("glow",), arguments=each_size, models=all_pairs)
def inversion(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Inversion test of every ordered pair of models of N images.

    Arrays, of the first pair, A to B: `latents_<level>`, some of z, z'_A and z'_B, (3, n), clipped to ±6; and
    `densities` of all z'_A and z'_B between `edges`, (levels, 2, bins), outliers in the outermost bins.
    """
    pairs = experiment.models.pairs(N)
    models = [pair[half] for half in (0, 1) for pair in pairs]  # all A, then all B
    flows, k = [experiment.networks(model)["net"] for model in models], len(pairs)
    z, rows, arrays, log_ratios = _latents(experiment, flows[0]), [], {}, {}
    w, d = np.zeros((len(z), 2 * k, 2 * k)), np.zeros((2 * k, 2 * k))  # generating model, encoding model
    for level, part in enumerate(z):
        rows.append(row("latent_wasserstein_floor", iid_floor(part.numel()), level=level))
    for i, flow in enumerate(flows):
        others = [j for j in range(2 * k) if j != i]
        for j, inverse in zip(others, inversions(flow, [flows[j] for j in others], z), strict=True):
            tests, where = compare_levels(inverse), _pair(models[i], models[j])
            rows += _tested(tests, where)
            w[:, i, j] = [test.w1_b.value for test in tests]
            if j == (i + k) % (2 * k):  # the other model of the pair
                arrays = arrays or _pictured(inverse)
            finite, log_ratios[i, j] = finite_images(inverse), inverse.log_ratio
            # with few images the median may be negative by chance; a ratio needs a positive one
            d[i, j] = max(np.median(inverse.log_ratio[finite]) / inverse.x[0].size / np.log(2), 1e-9)
            rows.append(row("log_likelihood_ratio", d[i, j], n=finite.sum(), **where))
    for i, j in combinations(range(2 * k), 2):
        auc = ratio_auc(log_ratios[i, j], log_ratios[j, i])
        rows.append(row("likelihood_ratio_auc", auc, **_pair(models[i], models[j])))
    for level, matrix in enumerate(w):
        both = (matrix + matrix.T).diagonal(k) / 2
        for pair, w1 in zip(pairs, both, strict=True):
            rows.append(row("latent_wasserstein_pair", w1, level=level, **_pair(*pair)))
    rows += _exchanged(d)
    shown = experiment.settings.images_shown(N)
    return [one | {"images_shown": shown} for one in rows], arrays


@question(
    families=("glow",),
    arguments=largest_size,
    models=lambda experiment, N: [*first_pair(experiment, N), *experiment.models.out_of_domain()],
)
def inversion_controls(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Inversion test of the untrained first pair, and of its model A with out-of-domain flows."""
    a, b = experiment.models.pair(N)
    before = {model: experiment.networks(model, 0)["net"] for model in (a, b)}
    z = _latents(experiment, before[a])
    ways = {(i, j): inversions(before[i], [before[j]], z)[0] for i, j in ((a, b), (b, a))}
    auc = ratio_auc(*(way.log_ratio for way in ways.values()))
    rows = [row("likelihood_ratio_auc", auc, **_pair(a, b))]
    for pair, inverse in ways.items():
        rows += _tested(compare_levels(inverse), _pair(*pair))
    rows = [one | {"images_shown": 0} for one in rows]
    other = experiment.models.out_of_domain()
    flow, *flows = (experiment.networks(model)["net"] for model in (a, *other))
    for model, inverse in zip(other, inversions(flow, flows, z), strict=True):
        where = _pair(a, model) | {"images_shown": experiment.settings.images_shown(N)}
        rows += _tested(compare_levels(inverse), where)
    return rows, {}


def _latents(experiment: Experiment, flow: Glow) -> list[Tensor]:
    """Latents from which all models generate."""
    samples = experiment.profile.samples
    return glow_learner.latents(flow, experiment.latents(max(min(COUNT, samples), 3 * samples // 16)))


def _name(model: Training) -> str:
    return f"{model.label}-{model.out_of_domain}" if model.out_of_domain else model.label


def _pair(i: Training, j: Training) -> dict[str, str]:
    """Columns that name a pair."""
    sets = (
        "out-of-domain" if i.out_of_domain != j.out_of_domain else "same" if i.half == j.half else "disjoint"
    )
    return {"training_sets": sets, "model": f"{_name(i)}-{_name(j)}"}


def _tested(tests: Sequence[LevelTest], where: Mapping[str, object]) -> list[dict]:
    """Rows of the test of one pair."""
    return [
        row(statistic, getattr(test, name), level=level, **where) | {"n": test.w1_b.n}
        for level, test in enumerate(tests)
        for statistic, name in TESTED.items()
    ]


def _pictured(inverse: Inversion) -> dict[str, np.ndarray]:
    """Arrays of figures 10 and 11: some latents by level, z, z'_A and z'_B, and densities of all z'."""
    rng, arrays, densities = np.random.default_rng(0), {}, []
    for level, parts in enumerate(zip(inverse.z, inverse.z_a, inverse.z_b, strict=True)):
        flat = [part.ravel() for part in parts]
        some = rng.choice(flat[0].size, min(SCATTERED, flat[0].size), replace=False)
        arrays[f"latents_{level}"] = clipped(np.array([part[some] for part in flat])).astype(np.float16)
        densities.append([np.histogram(np.clip(part, -4, 4), EDGES, density=True)[0] for part in flat[1:]])
    return arrays | {"densities": np.array(densities, np.float32), "edges": EDGES.astype(np.float32)}


def _exchanged(d: np.ndarray) -> Iterator[dict]:
    """Row that compares disjoint with same training sets, for models of which the first half are of A.

    Args:
        d: Log-likelihood ratio, by generating and encoding model.
    """
    if (count := len(d)) > 2:  # a single pair has no models of the same images
        of_A = np.arange(count) < count // 2
        disjoint = of_A[:, None] != of_A
        same = ~disjoint & ~np.eye(count, dtype=bool)
        yield row("log_likelihood_ratio_disjoint_over_same", ratio_over_trainings(d, disjoint, same))
