"""What two models' agreement is worth: its share of the way from a floor to a ceiling.

A cosine alone says little: untrained networks agree at .99, as they pass the noise through. So agreement is
held between what any training leaves and the most that two trainings can have. Let c(i, j) be the median over
the latents of the anomaly cosine of models i and j, which have seen equally many images, and share neither
initialisation, order nor noise.

    pair     mean of c(A_i, B_j): other images of one data set; of three and three there are nine
    ceiling  mean of c(A_i, A_j) and of c(B_i, B_j): the same images, another training; six
    floor    mean of c(F_k, A_i) and of c(F_k, B_i): F_k has seen images of another kind altogether;
             of several kinds, the one that agrees best

    share  = (pair - floor) / (ceiling - floor)

It is 1 if other images of the data set cost nothing, and 0 if they might be of that other kind.

**Interval**, over trainings. Each model is left out in turn, and of theta = (pair, floor, ceiling) the
jackknife's

    V_g = (m_g - 1) / m_g  sum_i (theta_(g, i) - mean) (theta_(g, i) - mean)^T

of group g is added up over A, B and the networks of the floor's kind. That kind is chosen once and held (the
best single network would be a maximum), and how networks of a kind scatter is pooled over the kinds.

The share has Fieller's interval (`galgen.compare.uncertainty.ratio`), with Student's t of (m_A - 1) +
(m_B - 1) degrees of freedom: 4. Three out-of-domain networks of two kinds have a degree of their own, 1,
whose t is 12.7 in the place of 2.8. As (Banerjee)

    P[(sum_g error_g)^2 <= sum_g t_g^2 V_g] >= .95        whatever the variances,

V_F counts (t_1 / t_4)^2 times. For simulated models with a known share (tests/test_normalized_agreement.py)
the intervals hold it in 99 % where all trainings scatter alike, and in 93 to 98 % where out-of-domain ones
scatter five times as much; there V_F as it is would leave 81 to 92 %. The interval never covers another
split; other latents, 256 of them, move the share of simulated galaxies by .01. None is printed where the interval of ceiling - floor
reaches down to 0, nor with fewer than three models of A or of B: of two, leaving one out leaves no pair.

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

__all__ = ["LEAST", "Scale", "agreements", "scale"]

LEAST = 3  # models of A, and of B, that an interval takes


@dataclass(frozen=True)
class Scale:
    """Agreement of models that have seen equally many images, between its floor and its ceiling.

    Attributes:
        pairs: c of each A and each B, (a b,).
        same: c of each two models of the same images, (k,).
        out_of_domain: By kind, c of each out-of-domain network and the models A and B, (m,).
        kind: The kind that is the floor; "" if there is none.
        pair: Mean of the pairs; this and the next three are None where they have no interval.
        floor: Mean of the networks of that kind.
        ceiling: Mean of those of the same images.
        share: (pair - floor) / (ceiling - floor).
        beside: By kind, what the share would be if that kind were the floor.
        missing: Why there is no share; "" if there is.
        moved: ceiling - pair: what it does that the images are the same.
    """

    pairs: np.ndarray
    same: np.ndarray
    out_of_domain: Mapping[str, np.ndarray]
    kind: str
    beside: Mapping[str, float]
    missing: str
    pair: Estimate | None = None
    floor: Estimate | None = None
    ceiling: Estimate | None = None
    share: Estimate | None = None
    moved: Estimate | None = None

    @property
    def marks(self) -> dict[str, Estimate | float]:
        """Floor, pair and ceiling as far as there are any: with an interval over trainings, or the mean."""
        every = {"floor": self.out_of_domain.get(self.kind, ()), "pair": self.pairs, "ceiling": self.same}
        return {k: getattr(self, k) or float(np.mean(each)) for k, each in every.items() if len(each)}


def agreements(models: Sequence[Tensor], *, mean: np.ndarray) -> np.ndarray:
    """The median anomaly cosine of each two models, (m, m).

    Args:
        models: Of each the images, or their residuals, of the same latents, (n, C, H, W).
        mean: The data set's mean image, (C, H, W).

    Raises:
        GalgenError: If some are not finite.
    """
    found, options = np.ones((len(models), len(models))), {"kind": "anomaly", "mean": mean}
    for i, one in enumerate(models[:-1]):
        others = models[i + 1 :]
        cosines = similarity.cosine(torch.cat([one] * len(others)), torch.cat([*others]), **options)
        found[i, i + 1 :] = found[i + 1 :, i] = np.median(finite(cosines).reshape(len(others), -1), axis=1)
    return found


def scale(c: np.ndarray, labels: Sequence[str]) -> Scale:
    """The share of agreement, with all that it rests on.

    Args:
        c: `agreements` of all models, (m, m).
        labels: Of each model, "A" or "B" if it has seen those images, or else which other kind.

    Raises:
        GalgenError: If a label is missing, or there is no model of A or none of B.
    """
    if c.shape != (len(labels),) * 2 or not {"A", "B"} <= {*labels}:
        raise GalgenError(f"agreement {c.shape}, models {', '.join(labels)}: name each, A and B among them")
    rows = {label: np.flatnonzero(np.asarray(labels) == label) for label in dict.fromkeys(labels)}
    a, b = rows.pop("A"), rows.pop("B")
    out_of_domain = {k: (c[np.ix_(a, f)].mean(0) + c[np.ix_(b, f)].mean(0)) / 2 for k, f in rows.items()}
    floors = {kind: values.mean() for kind, values in out_of_domain.items()}
    kind = max(floors, key=floors.get, default="")
    f = rows.get(kind, a[:0])
    theta = pair, _, ceiling = _theta(c, a, b, f)
    same, beside = np.concatenate([_within(c, a), _within(c, b)]), {}
    if len(same):
        beside = {k: float((pair - low) / (ceiling - low)) for k, low in floors.items() if low != ceiling}
    known = {"pairs": c[np.ix_(a, b)].ravel(), "same": same}
    known |= {"out_of_domain": out_of_domain, "kind": kind, "beside": beside}
    if min(len(a), len(b)) < LEAST:
        takes = f"an interval over trainings takes {LEAST} models of A and {LEAST} of B"
        return Scale(**known, missing=f"{takes}, and there are {len(a)} and {len(b)}")

    freedom, own = len(a) + len(b) - 2, sum(len(values) - 1 for values in out_of_domain.values())
    t, t_own = stats.t.ppf(0.975, [freedom, max(own, 1)])
    V = _jackknife(c, a, b, f, 0) + _jackknife(c, a, b, f, 1)
    scatter = sum(np.square(values - values.mean()).sum() for values in out_of_domain.values())
    V[1, 1] += (t_own / t) ** 2 * scatter / own / len(f) if own else np.nan
    apart = V[2, 2] + V[0, 0] - 2 * V[0, 2]  # both have the same models, so that errors are shared
    errors = np.sqrt([*V.diagonal(), max(apart, 0.0)])
    *marks, moved = (
        Estimate(float(value), float(value - t * error), float(value + t * error), len(a) + len(b))
        for value, error in zip([*theta, ceiling - pair], errors, strict=True)
    )
    known |= {"pair": marks[0], "ceiling": marks[2], "moved": moved}
    if not own:
        return Scale(**known, missing="how out-of-domain networks scatter takes two of one kind")
    known |= {"floor": marks[1]}
    less = np.array([[1, -1, 0], [0, -1, 1]])  # pair - floor, ceiling - floor
    (top, bottom), covariance = less @ theta, less @ V @ less.T
    share = ratio(top, bottom, covariance, freedom=freedom, n=len(a) + len(b)) if bottom > 0 else None
    missing = "" if share else "the interval of ceiling less floor reaches down to 0"
    return Scale(**known, share=share, missing=missing)


def _within(c: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of each two of these models."""
    return c[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]


def _theta(c: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Pair, floor and ceiling, NaN where there is none; A and B weigh alike, also where one is left out."""
    floor = (c[np.ix_(a, f)].mean() + c[np.ix_(b, f)].mean()) / 2 if len(f) else np.nan
    same = [_within(c, half).mean() for half in (a, b) if len(half) > 1]
    return np.array([c[np.ix_(a, b)].mean(), floor, np.mean(same) if same else np.nan])


def _jackknife(c: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, half: int) -> np.ndarray:
    """Covariance of theta by the trainings of one half, (3, 3)."""
    m, theta = len((a, b)[half]), []
    for i in range(m):
        halves = [np.delete(rows, i) if k == half else rows for k, rows in enumerate((a, b))]
        theta.append(_theta(c, *halves, f))
    apart = theta - np.mean(theta, axis=0)
    return (m - 1) / m * apart.T @ apart
