r"""Catalogue of simulated galaxies, drawn from published relations of the SDSS main galaxy sample.

Each galaxy is one row of uniform random numbers, transformed by the following relations in turn:

    r            counts grow as 10^(0.6 r) up to r = 17.77 (Euclidean; limit of Strauss et al. 2002)
    L / L*       gamma(alpha + 5/2): a Schechter function within a flux limit, where the volume is L^(3/2)
                 (Blanton et al. 2003: alpha = -1.05, M* = -20.44 + 5 log10 h in r)
    redshift     from r - M_r and the expansion d_L = c/H0 (z + (1 - q0) z^2 / 2), k-correction z
    type         with luminosity, more ellipticals and fewer irregulars (after Nakamura et al. 2003)
    R50(M_r)     log-normal around equations 14 to 16 of Shen et al. (2003) by type, cut at the sample's
                 surface brightness mu50 = 24.5 (Strauss et al. 2002)
    bulges       fraction, size and Sersic index fall from Sa to Sd (after Graham & Worley 2008), while pitch
                 angles (after Kennicutt 1981) and the fraction of young stars rise
    inclination  uniform in its cosine; apparent axis ratio q^2 = cos^2 i + q0^2 sin^2 i
    dust         the disc dims by 0.7 log10(1 / q) mag in r (after Unterborn & Ryden 2008), more in g
    colors       one g - r and r - z per stellar population, redder with redshift (after Strateva et al. 2001)

"After" means that we follow the trend with rounded numbers. The r magnitude is the observed one: dust changes
the colors and the flux fractions of components, not the total in r.
"""

import numpy as np
from astropy import units as u
from astropy.table import Table
from scipy.special import gammaincinv, ndtri
from scipy.stats import poisson

from galgen.runs.errors import GalgenError

__all__ = ["DUST", "draw_galaxies"]

BANDS = ("g", "r", "z")
POPULATIONS = ("main", "ellipticals")

R_BRIGHT, R_FAINT = 14.0, 17.77
DUST = np.array([1.43, 1.0, 0.55])  # A_b / A_r of the Galactic extinction curve (Cardelli et al. 1989)
NEIGHBORS = 16.0  # per arcmin^2, galaxies and stars of 16.5 < r < 23.3 at high latitude
C_H0 = 299792.458 / 70  # Mpc


class _Draws:
    """Random numbers, one per galaxy, taken column by column from a table of uniform ones."""

    def __init__(self, rows: np.ndarray):
        self.columns = iter(np.clip(rows.T, 1e-9, 1 - 1e-9))

    def uniform(self, low: float | np.ndarray = 0.0, high: float | np.ndarray = 1.0) -> np.ndarray:
        return low + (high - low) * next(self.columns)

    def normal(self) -> np.ndarray:
        return ndtri(next(self.columns))


def draw_galaxies(
    start: int, count: int, *, seed: int, population: str, area: float
) -> tuple[Table, np.ndarray]:
    """Draw galaxies `start` to `start + count - 1` of the catalogue with a given seed.

    Args:
        start: Index of the first galaxy; galaxy i does not depend on `start` and `count`.
        count: Number of galaxies.
        seed: Random seed of the catalogue.
        population: "main", or "ellipticals": the same magnitudes and redshifts, ellipticals only.
        area: Area of the frame in arcsec^2, for the number of neighbors.

    Returns:
        A table of `count` rows with units, and the fluxes in nanomaggies of each galaxy's components, shape
        (count, 4, 3) in the order bulge, bar, disc, young stars and of `BANDS`.

    Raises:
        GalgenError: If the population is unknown.
    """
    if population not in POPULATIONS:
        raise GalgenError(f"unknown population {population!r}; choose from {', '.join(POPULATIONS)}")
    indices = range(start, start + count)
    draws = _Draws(np.array([np.random.default_rng([seed, i, 0]).random(32) for i in indices]))
    truth = Table(meta={"seed": seed, "population": population})
    truth["id"] = [f"sim-{seed}-{i:07d}" for i in indices]
    _draw_luminosities(truth, draws, population)
    _draw_shapes(truth, draws)
    fluxes = _draw_light(truth, draws)
    # The seeing is rounded so that all galaxies share a few point-spread functions.
    truth["psf_fwhm"] = np.clip(np.round(24 * np.exp(0.1 * draws.normal())) / 20, 0.9, 1.7) * u.arcsec
    truth["depth_r"] = (24.1 + 0.2 * draws.normal()) * u.mag
    truth["neighbours"] = poisson.ppf(draws.uniform(), NEIGHBORS * area / 3600).astype(int)
    return truth, fluxes


def _draw_luminosities(truth: Table, draws: _Draws, population: str) -> None:
    r_mag = R_FAINT + np.log10(1 - draws.uniform() * (1 - 10 ** (0.6 * (R_BRIGHT - R_FAINT)))) / 0.6
    absolute = -20.44 + 5 * np.log10(0.7) - 2.5 * np.log10(gammaincinv(2.5 - 1.05, draws.uniform()))
    choice = draws.uniform()
    elliptical = 0.08 + 0.27 / (1 + np.exp((absolute + 21.6) / 0.5))
    irregular = 0.35 / (1 + np.exp(-(absolute + 19.0) / 0.5))
    conditions = [choice < elliptical, choice < elliptical + 0.18, choice > 1 - irregular]
    kind = np.select(conditions, ["elliptical", "lenticular", "irregular"], "spiral")
    truth["type"] = np.full_like(kind, "elliptical") if population == "ellipticals" else kind
    truth["r_mag"] = r_mag * u.mag
    truth["M_r"] = absolute * u.mag
    redshift = np.zeros(len(truth))
    for _ in range(12):  # r - M_r = 5 log10(d_L / 10 pc) + K(z) with K = z: a contraction
        hubble = 10 ** (0.2 * (r_mag - absolute - redshift) - 5) / C_H0
        redshift = (np.sqrt(1 + 3.1 * hubble) - 1) / 1.55  # q0 = -0.55
    truth["redshift"] = redshift


def _draw_shapes(truth: Table, draws: _Draws) -> None:
    kind, absolute = np.asarray(truth["type"]), truth["M_r"].value
    elliptical, lenticular, irregular = kind == "elliptical", kind == "lenticular", kind == "irregular"
    spiral = kind == "spiral"
    # Hubble stage: 0 is Sa, 1 is Sd and later, lenticulars are negative; luminous spirals are earlier.
    stage = np.clip(0.5 + 0.27 * draws.normal() + 0.12 * (absolute + 21), 0, 1)
    stage = np.select([spiral, irregular], [stage, 1.0], -0.5)
    radius = _half_light_radius(truth, ~spiral & ~irregular, draws.normal())

    # Oblate spheroids; the intrinsic flattening of ellipticals follows Padilla & Strauss (2008).
    cos_i = draws.uniform()
    mean, spread = np.select([elliptical, lenticular], [0.65, 0.28], 0.13), np.where(elliptical, 0.15, 0.035)
    flattening = np.clip(mean + spread * draws.normal(), 0.08, 0.95)
    axis_ratio = np.sqrt(cos_i**2 + flattening**2 * (1 - cos_i**2))

    by_stage = np.clip(0.42 * 10 ** (-1.2 * stage + 0.2 * draws.normal()), 0.004, 0.6)
    bulge = np.select([elliptical, lenticular, spiral], [1.0, draws.uniform(0.25, 0.6), by_stage], 0.0)
    index = np.where(elliptical, 4 - 0.7 * (absolute + 21), 1 + 5 * bulge + 0.6 * draws.normal())
    index = np.clip(index, np.where(elliptical, 2.5, 1), np.where(elliptical, 5.5, 4))
    disc_scale = np.where(elliptical, 0.0, radius / 1.678 * (1 + 0.5 * bulge))
    bulge_radius = disc_scale * (0.15 + 0.5 * bulge) * np.exp(0.2 * draws.normal())

    barred = draws.uniform() < np.select([spiral, lenticular, irregular], [0.45, 0.25, 0.3], 0.0)
    choice = draws.uniform()
    arms = np.select([choice < 0.6, choice < 0.75, choice < 0.85], [2, 3, 4], 0)
    pitch = np.clip(11 + 15 * stage + 3.5 * draws.normal(), 6, 38)
    knots = poisson.ppf(draws.uniform(), np.select([irregular, spiral], [14, 4 + 16 * stage], 0))

    truth["stage"] = stage
    truth["half_light_radius"] = radius * u.arcsec  # along the major axis, without seeing
    truth["disc_scale"] = disc_scale * u.arcsec
    truth["bulge_radius"] = np.where(elliptical, radius, bulge_radius) * u.arcsec
    truth["bulge_n"] = np.round(2 * index) / 2  # rounded, since GalSim tabulates each index once
    truth["bulge_fraction"] = bulge
    truth["bar_fraction"] = np.where(barred, draws.uniform(0.08, 0.22) * (1 - bulge), 0.0)
    truth["inclination"] = np.degrees(np.arccos(cos_i)) * u.deg
    truth["axis_ratio"] = axis_ratio
    truth["position_angle"] = draws.uniform(0, 180) * u.deg  # from the x axis towards the y axis
    truth["arms"] = np.where(spiral, arms, 0)
    truth["pitch"] = np.where(spiral & (arms > 0), pitch, 0.0) * u.deg
    truth["knots"] = knots.astype(int)


def _half_light_radius(truth: Table, early: np.ndarray, scatter: np.ndarray) -> np.ndarray:
    """Return R50 of Shen et al. (2003), table 1, in arcsec at angular-diameter distance d_L / (1 + z)^2."""
    absolute, redshift = truth["M_r"].value, np.asarray(truth["redshift"])
    bright = 10 ** (-0.4 * (absolute + 20.52))
    early_kpc = -0.4 * 0.60 * absolute - 4.63  # their equation 14, of log10 R
    late_kpc = -0.4 * 0.21 * absolute + (0.53 - 0.21) * np.log10(1 + bright) - 1.31  # their equation 15
    sigma = 0.25 + (0.48 - 0.25) / (1 + bright**2)  # their equation 16, of ln R
    kpc = 10 ** np.where(early, early_kpc, late_kpc) * np.exp(sigma * scatter)
    distance = C_H0 * (redshift + 0.775 * redshift**2) / (1 + redshift) ** 2
    arcsec = np.degrees(kpc / (1e3 * distance)) * 3600
    # mu50 = r + 2.5 log10(2 pi R^2)
    faintest = 10 ** (0.2 * (24.5 - truth["r_mag"].value)) / np.sqrt(2 * np.pi)
    # Those radii are circularized; the major axis of a flattened galaxy is longer, on average 1.2 times.
    return 1.2 * np.clip(arcsec, 0.5, faintest)


def _draw_light(truth: Table, draws: _Draws) -> np.ndarray:
    """Return component fluxes, (n, 4, 3); add colors and replace fractions by those after extinction."""
    names = ("type", "redshift", "stage", "bulge_fraction", "bar_fraction")
    kind, redshift, stage, bulge, bar = (np.asarray(truth[name]) for name in names)
    early = np.isin(kind, ["elliptical", "lenticular"])
    young = np.clip(0.22 + 0.38 * stage + 0.07 * draws.normal(), 0.1, 0.8)
    young = np.where(early, 0.0, young * (1 - bulge - bar))
    shares = np.stack([bulge, bar, 1 - bulge - bar - young, young], axis=1)

    # Rest-frame (g - r, r - z) of old, disc and young stars: those of E, Sb and Im galaxies.
    z, scatter = redshift[:, None], 0.04 * draws.normal()[:, None]
    old = [0.70, 0.55] + z * [1.6, 0.9] + scatter
    disc = [0.62, 0.48] - stage[:, None] * [0.14, 0.12] + z * [1.2, 0.6] + scatter
    fresh = [0.28, 0.12] + z * [0.6, 0.3] + scatter
    # A bulge as red as an elliptical would be dark in a blue disc: the Lupton stretch clips by the maximum.
    colors = np.stack([(old + disc) / 2, (old + disc) / 2, disc, fresh], axis=1)
    relative = 10 ** (0.4 * colors[..., [0, 0, 1]] * [-1, 0, 1])

    slope = np.select([kind == "elliptical", kind == "lenticular"], [0.0, 0.25], 0.7)
    dust = slope * np.log10(1 / np.asarray(truth["axis_ratio"]))
    thickness = np.array([0.3, 1.0, 1.0, 1.3])  # the bulge extends above the dust, young stars are in it
    fluxes = shares[..., None] * relative * 10 ** (-0.4 * dust[:, None, None] * np.outer(thickness, DUST))
    r_flux = 10 ** (0.4 * (22.5 - truth["r_mag"].value))
    fluxes *= (r_flux / fluxes[..., 1].sum(axis=1))[:, None, None]

    total = fluxes.sum(axis=1)
    shares = (fluxes[..., 1] / total[:, 1:2]).T
    truth["bulge_fraction"], truth["bar_fraction"], _, truth["young_fraction"] = shares
    truth["dust_r"] = dust * u.mag
    truth["g_r"], truth["r_z"] = (-2.5 * np.log10(total[:, :2] / total[:, 1:])).T * u.mag
    for band, flux in zip(BANDS, total.T, strict=True):
        truth[f"flux_{band}"] = flux * u.nmgy
    return fluxes
