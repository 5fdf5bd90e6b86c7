"""Morphology of samples compared with galaxies.

Concentration, asymmetry, smoothness, Gini and M20 (`galgen.compare.morphology`) of samples are compared with
those of twice as many held-out galaxies, all rounded to the gray levels of the family: the Wasserstein
distance of each coefficient, and the energy distance of all five, with permuted labels as the null
(`galgen.compare.distances`). Coefficients with one value for half of the galaxies are left out. Rows in which
a coefficient is undefined or flagged are left out, so the fraction of valid ones is compared too.

*Equivalent blur*: the blur of galaxies with the same energy distance. Here the distance is the unbiased one,
and on simulated data some 1 500 further galaxies join the reference. The distance of galaxies blurred by one
pixel is the unit of the *relative* energy distance.
"""

import functools
import hashlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.table import Table
from scipy import stats

from galbook.measure.scoreboard import controls_of, named, no_models
from galbook.table import each_size, largest_size, question, row
from galgen.compare.controls import blurred, rounded
from galgen.compare.distances import energy, with_spread
from galgen.compare.equivalent_blur import CalibrationCurve
from galgen.compare.morphology import COEFFICIENTS, measure, valid
from galgen.compare.scoreboard import morphology_distances, same_fraction
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, Training

__all__ = ["gray_levels", "morphology", "morphology_baselines"]

BLURS = (0.0, 0.5, 1.0, 1.5, 2.0)  # pixels
FEWEST = 10  # valid rows of each set, for the equivalent blur
MANY = 100  # images per set above which further galaxies are measured
MORE = 2000  # further galaxies, including those that are blurred
GRAY_LEVELS = 5  # bits of the paper's Glow


def _measured(experiment: Experiment, images: np.ndarray, bits: int | None = None) -> Table:
    """Coefficients of images at a number of bits, cached in the store: half a CPU second per image."""
    images = rounded(images, bits or experiment.family.bits)
    versions = {name: importlib.metadata.version(name) for name in ("statmorph", "photutils")}
    content = hashlib.sha256(f"{images.dtype} {images.shape}".encode() + images.tobytes()).hexdigest()

    def make(work: Path) -> dict:
        table = measure(images, progress=False)
        table.write(work / "morphology.ecsv", format="ascii.ecsv")
        return {"images": len(table), "valid": len(valid(table))}

    run = experiment.store.run("morphology", versions, make, data=content, code=[measure.__module__])
    # ECSV reads "" as missing
    return Table.read(run.path / "morphology.ecsv", format="ascii.ecsv").filled("")


@functools.cache
def _reference(experiment: Experiment) -> Table:
    return _measured(experiment, controls_of(experiment)[0])


def _samples(experiment: Experiment, training: Training) -> Table:
    return _measured(experiment, experiment.samples(training)[: experiment.images.compared])


def _columns(rows: Table) -> np.ndarray:
    """Coefficients, (n, 5), NaN in rows that are not valid."""
    values = np.stack([np.asarray(rows[name], np.float32) for name in COEFFICIENTS], axis=1)
    values[np.asarray(rows["reason"]) != ""] = np.nan
    return values


def _valid(rows: Table, reference: Table | None, **where: object) -> list[dict]:
    """Rows with the fraction of valid coefficients; Fisher's test compares it with the reference."""
    p = {} if reference is None else {"p": same_fraction(rows, reference)}
    return [row("valid_fraction", len(valid(rows)) / len(rows), n=len(rows), **p, **where)]


def _distances(experiment: Experiment, reference: Table, rows: Table, **where: object) -> Iterator[dict]:
    used = with_spread(valid(reference), COEFFICIENTS)
    if distance := morphology_distances(reference, rows, used, seed=experiment.parameters.seed):
        yield row("energy_distance", distance.energy, n=distance.n, **where)


@functools.cache
def _calibration(experiment: Experiment) -> tuple[Table, list[str], CalibrationCurve | None]:
    """Valid rows of galaxies, the coefficients used, and the energy distance as a function of the blur."""
    reference, pairs = controls_of(experiment)
    sharp, n = pairs["held-out"][0], experiment.images.compared
    if n >= MANY and (more := experiment.images.more(MORE)) is not None:
        sharp, reference = more[-2 * n :], np.concatenate([reference, rounded(more[: -2 * n])])
    galaxies = valid(_measured(experiment, reference))
    degraded = [valid(_measured(experiment, blurred(sharp, pixels))) for pixels in BLURS]
    used = with_spread(galaxies, COEFFICIENTS)
    if not used or min(map(len, (galaxies, *degraded))) < FEWEST:
        return galaxies, used, None
    curve = np.maximum.accumulate([energy(galaxies, rows, used) for rows in degraded])
    return galaxies, used, CalibrationCurve(np.array(BLURS), curve) if curve[BLURS.index(1.0)] > 0 else None


def _blurs(experiment: Experiment, rows: Table, **where: object) -> Iterator[dict]:
    """Rows of the unbiased distance, and the shift of each coefficient."""
    (galaxies, used, curve), rows = _calibration(experiment), valid(rows)
    if curve is None or len(rows) < FEWEST:
        return
    distance, n = energy(galaxies, rows, used), len(rows)
    yield row("energy_distance_unbiased", distance, n=n, **where)
    yield row("relative_energy_distance", distance / curve.areas[BLURS.index(1.0)], n=n, **where)
    for name in used:
        x, y = (np.asarray(part[name], np.float64) for part in (galaxies, rows))
        shift = (np.median(y) - np.median(x)) / stats.median_abs_deviation(x, scale="normal")
        yield row(f"{name}_shift", shift, n=n, **where)


def _models(experiment: Experiment, N: int) -> list[Training]:
    """Models A and B of the first pair, and A of the second."""
    (a, b), *more = experiment.models.pairs(N)
    return [a, b, *(pair[0] for pair in more[:1])]


@question(families=FAMILIES, arguments=each_size, models=_models)
def morphology(experiment: Experiment, N: int) -> tuple[list, dict]:
    """Distances of the samples of each model; arrays of coefficients, by model.

    If N is at most the size of a set, also distances of the training images of A, resampled.
    """
    reference, rows, tables = _reference(experiment), [], {}
    for training in _models(experiment, N):
        tables[training.label] = table = _samples(experiment, training)
        where = named(experiment, training)
        rows += _valid(table, reference, **where)
        rows += _distances(experiment, reference, table, **where)
        rows += _blurs(experiment, table, **where)
    if N <= (count := experiment.images.compared):
        own = valid(_measured(experiment, experiment.images.of(experiment.models.pair(N)[0])))
        if len(own):
            resampled = np.random.default_rng(experiment.parameters.seed).integers(0, len(own), count)
            rows += _distances(experiment, reference, own[resampled], model="training-images")
            rows += _blurs(experiment, own[resampled], model="training-images")
    return rows, {label: _columns(table) for label, table in tables.items()}


@question(families=FAMILIES, arguments=largest_size, models=no_models)
def morphology_baselines(experiment: Experiment, N: int) -> tuple[list, dict]:
    """Distances of held-out galaxies and degraded images; array: coefficients of the reference."""
    (_, pairs), reference = controls_of(experiment), _reference(experiment)
    sets, n = {name: pair[0] for name, pair in pairs.items()}, experiment.images.compared
    other = experiment.images.out_of_domain("galaxies").images
    sets["other-galaxies"] = other[experiment.images.split(out_of_domain="galaxies").validation][:n]
    tables = {name: _measured(experiment, images) for name, images in sets.items()}
    rows = _valid(reference, None, model="reference")
    for name, table in tables.items():
        rows += _valid(table, reference, model=name)
        rows += _distances(experiment, reference, table, model=name)
        rows += _blurs(experiment, table, model=name)
    galaxies, _, curve = _calibration(experiment)
    for blur, far in zip(curve.amounts, curve.areas, strict=True) if curve else ():
        rows.append(row("energy_distance_unbiased", far, model="blurred", at=blur, n=len(galaxies)))
    return rows, {"reference": _columns(reference)}


@question(families=("diffusion",), arguments=lambda _: [()], models=no_models)
def gray_levels(experiment: Experiment) -> tuple[list, dict]:
    """Distances of held-out galaxies at 5 bits from reference galaxies at 5 and at 8 bits (`at`)."""
    reference, pairs = controls_of(experiment)
    tables, rows = {bits: _measured(experiment, reference, bits) for bits in (GRAY_LEVELS, 8)}, []
    rows += _valid(tables[GRAY_LEVELS], None, model="reference-5-bits")
    for name in ("held-out", "blurred-0.5"):
        table, where = _measured(experiment, pairs[name][0], GRAY_LEVELS), {"model": f"{name}-5-bits"}
        rows += _valid(table, tables[GRAY_LEVELS], at=GRAY_LEVELS, **where)
        for bits in tables if name == "held-out" else (GRAY_LEVELS,):
            rows += _distances(experiment, tables[bits], table, at=bits, **where)
    return rows, {}
