"""Normalized agreement: agreement of two models between an out-of-domain floor and a same-data ceiling.

A cosine alone is hard to interpret: untrained networks agree at 0.99, as samples retain the noise. Agreement
is therefore compared with that of out-of-domain networks and with that of two trainings on the same images.
Let c(i, j) be the median over the latents of the anomaly cosine of models i and j, which were trained with
equally many images shown, and share neither initialization, order nor noise.

    pair     mean of c(A_i, B_j): disjoint sets of one data set; nine for three and three models
    ceiling  mean of c(A_i, A_j) and of c(B_i, B_j): the same images, another training; six
    floor    mean of c(F_k, A_i) and of c(F_k, B_i): F_k is trained on out-of-domain images;
             of several kinds, the one that agrees best

    normalized agreement  = (pair - floor) / (ceiling - floor)

It is 1 if disjoint sets agree as well as the same images, and 0 if no better than out-of-domain networks.

**Interval**, over trainings. Each model is left out in turn, and the jackknife covariance of theta = (pair,
floor, ceiling),

    V_g = (m_g - 1) / m_g  sum_i (theta_(g, i) - mean) (theta_(g, i) - mean)^T

for group g, is summed over A, B and the networks of the floor's kind. That kind is chosen once and fixed (the
best single network would be a maximum), and the scatter of networks of a kind is pooled over the kinds.

The normalized agreement has Fieller's interval (`galgen.compare.uncertainty.ratio`), with Student's t of
(m_A - 1) + (m_B - 1) degrees of freedom: 4. Three out-of-domain networks of two kinds have one degree of
freedom, whose t is 12.7 instead of 2.8. As (Banerjee)

    P[(sum_g error_g)^2 <= sum_g t_g^2 V_g] >= 0.95        whatever the variances,

V_F has the weight (t_1 / t_4)^2. For simulated models with a known value (tests/test_normalized_agreement.py)
the intervals cover it in 99 % of cases if all trainings scatter alike, and in 93 to 98 % if out-of-domain
ones scatter five times as much; without the weight, coverage would be 81 to 92 %. The interval does not cover
another split; another set of 256 latents moves the value for simulated galaxies by 0.01. No interval is given
if that of ceiling - floor includes 0, or with fewer than three models of A or of B: leaving one of two out
leaves no pair.

References:
    Fieller 1954, J. R. Stat. Soc. B 16, 175. Efron & Stein 1981, The jackknife estimate of variance,
    https://doi.org/10.1214/aos/1176345462. Banerjee 1960, Approximate confidence interval for linear
    functions of means of k populations when the population variances are not equal, Sankhya 22, 357.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from galgen.compare import similarity
from galgen.compare.uncertainty import Estimate, finite, ratio
from galgen.runs.errors import GalgenError

__all__ = ["LEAST", "NormalizedAgreement", "agreement_matrix", "normalize"]

LEAST = 3  # models of A, and of B, needed for an interval


@dataclass(frozen=True)
class NormalizedAgreement:
    """Agreement of models after equally many images shown, between its floor and its ceiling.

    Attributes:
        pairs: c of each A and each B, (a b,).
        same: c of each two models of the same images, (k,).
        out_of_domain: By kind, c of each out-of-domain network and the models A and B, (m,).
        kind: The kind that is the floor; "" without out-of-domain networks.
        pair: Mean over pairs; this and the next three are None without an interval.
        floor: Mean over networks of that kind.
        ceiling: Mean over models of the same images.
        value: (pair - floor) / (ceiling - floor).
        by_kind: By kind, the normalized agreement with that kind as the floor.
        missing: Why there is no value; "" if there is one.
        moved: ceiling - pair, the effect of training on the same images.
    """

    pairs: np.ndarray
    same: np.ndarray
    out_of_domain: Mapping[str, np.ndarray]
    kind: str
    by_kind: Mapping[str, float]
    missing: str
    pair: Estimate | None = None
    floor: Estimate | None = None
    ceiling: Estimate | None = None
    value: Estimate | None = None
    moved: Estimate | None = None

    @property
    def marks(self) -> dict[str, Estimate | float]:
        """Floor, pair and ceiling where available: with an interval over trainings, or the mean."""
        every = {"floor": self.out_of_domain.get(self.kind, ()), "pair": self.pairs, "ceiling": self.same}
        return {k: getattr(self, k) or float(np.mean(values)) for k, values in every.items() if len(values)}


def agreement_matrix(models: Sequence[Tensor], *, mean: np.ndarray) -> np.ndarray:
    """Median anomaly cosine of each two models, (m, m).

    Args:
        models: For each model, samples of the same latents, or their residuals, (n, C, H, W).
        mean: Mean image of the data set, (C, H, W).

    Raises:
        GalgenError: If some samples are not finite.
    """
    c, options = np.ones((len(models), len(models))), {"kind": "anomaly", "mean": mean}
    for i, one in enumerate(models[:-1]):
        others = models[i + 1 :]
        cosines = similarity.cosine(torch.cat([one] * len(others)), torch.cat([*others]), **options)
        c[i, i + 1 :] = c[i + 1 :, i] = np.median(finite(cosines).reshape(len(others), -1), axis=1)
    return c


def normalize(c: np.ndarray, labels: Sequence[str]) -> NormalizedAgreement:
    """Compute the normalized agreement, with floor, ceiling and intervals.

    Args:
        c: `agreement_matrix` of all models, (m, m).
        labels: For each model, "A" or "B" for its training set, or the kind of an out-of-domain one.

    Raises:
        GalgenError: If a label is missing, or A or B has no model.
    """
    if c.shape != (len(labels),) * 2 or not {"A", "B"} <= {*labels}:
        raise GalgenError(f"agreement {c.shape} needs one label per model, with A and B: {', '.join(labels)}")
    rows = {label: np.flatnonzero(np.asarray(labels) == label) for label in dict.fromkeys(labels)}
    a, b = rows.pop("A"), rows.pop("B")
    out_of_domain = {k: (c[np.ix_(a, f)].mean(0) + c[np.ix_(b, f)].mean(0)) / 2 for k, f in rows.items()}
    floors = {kind: values.mean() for kind, values in out_of_domain.items()}
    kind = max(floors, key=floors.get, default="")
    f = rows.get(kind, a[:0])
    theta = pair, _, ceiling = _theta(c, a, b, f)
    same, by_kind = np.concatenate([_within(c, a), _within(c, b)]), {}
    if len(same):
        by_kind = {k: float((pair - low) / (ceiling - low)) for k, low in floors.items() if low != ceiling}
    fields = {"pairs": c[np.ix_(a, b)].ravel(), "same": same}
    fields |= {"out_of_domain": out_of_domain, "kind": kind, "by_kind": by_kind}
    if min(len(a), len(b)) < LEAST:
        takes = f"an interval over trainings needs {LEAST} models of A and {LEAST} of B"
        return NormalizedAgreement(**fields, missing=f"{takes}, but there are {len(a)} and {len(b)}")

    freedom, own = len(a) + len(b) - 2, sum(len(values) - 1 for values in out_of_domain.values())
    t, t_own = stats.t.ppf(0.975, [freedom, max(own, 1)])
    V = _jackknife(c, a, b, f, 0) + _jackknife(c, a, b, f, 1)
    scatter = sum(np.square(values - values.mean()).sum() for values in out_of_domain.values())
    V[1, 1] += (t_own / t) ** 2 * scatter / own / len(f) if own else np.nan
    apart = V[2, 2] + V[0, 0] - 2 * V[0, 2]  # both contain the same models, so errors are correlated
    errors = np.sqrt([*V.diagonal(), max(apart, 0.0)])
    *marks, moved = (
        Estimate(float(value), float(value - t * error), float(value + t * error), len(a) + len(b))
        for value, error in zip([*theta, ceiling - pair], errors, strict=True)
    )
    fields |= {"pair": marks[0], "ceiling": marks[2], "moved": moved}
    if not own:
        return NormalizedAgreement(**fields, missing="a floor with an interval needs two of one kind")
    fields |= {"floor": marks[1]}
    contrasts = np.array([[1, -1, 0], [0, -1, 1]])  # pair - floor, ceiling - floor
    (top, bottom), covariance = contrasts @ theta, contrasts @ V @ contrasts.T
    value = ratio(top, bottom, covariance, freedom=freedom, n=len(a) + len(b)) if bottom > 0 else None
    missing = "" if value else "the interval of ceiling minus floor includes 0"
    return NormalizedAgreement(**fields, value=value, missing=missing)


def _within(c: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Agreement of each two of these models."""
    return c[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]


def _theta(c: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Pair, floor and ceiling, NaN if undefined; A and B have equal weight, also in the jackknife."""
    floor = (c[np.ix_(a, f)].mean() + c[np.ix_(b, f)].mean()) / 2 if len(f) else np.nan
    same = [_within(c, half).mean() for half in (a, b) if len(half) > 1]
    return np.array([c[np.ix_(a, b)].mean(), floor, np.mean(same) if same else np.nan])


def _jackknife(c: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, half: int) -> np.ndarray:
    """Jackknife covariance of theta over the trainings of one half, (3, 3)."""
    m, theta = len((a, b)[half]), []
    for i in range(m):
        halves = [np.delete(rows, i) if k == half else rows for k, rows in enumerate((a, b))]
        theta.append(_theta(c, *halves, f))
    apart = theta - np.mean(theta, axis=0)
    return (m - 1) / m * apart.T @ apart
