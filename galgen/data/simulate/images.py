r"""Simulated Legacy Survey images of the SDSS main galaxy sample, with a truth catalogue.

A galaxy is a sum of components c (bulge, bar, disc, young stars, neighbors) of total flux F_cb in band b and
a common shape P_c in all bands, convolved with one point-spread function, plus noise:

    image_b = sum_c F_cb (P_c * PSF) + noise_b,      b in g, r, z, in nanomaggies per pixel of 0.262 arcsec

The PSF is a Moffat profile, equal in the three bands: slightly worse seeing in one band would cause dark
nuclei after the Lupton stretch. GalSim renders Sersic profiles, stars and the PSF's transfer function,
`galgen.data.simulate.discs` the discs. The noise is that of the sky at the survey's depth (Dey et al. 2019)
and of the photons. All random numbers of galaxy i are drawn from generators seeded by (seed, i).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial

import galsim
import numpy as np
from astropy.table import Table, vstack
from scipy.fft import ifftshift, irfft2, rfft2
from tqdm import tqdm

from galgen.data.preprocess import flux_to_gray
from galgen.data.simulate.discs import draw_disc, dust_lane
from galgen.data.simulate.population import DUST, draw_galaxies
from galgen.parallel import parallel_map
from galgen.runs.errors import GalgenError

__all__ = ["PIXEL", "draw_flux", "simulate", "simulate_flux"]

PIXEL = 0.262  # arcsec, the Legacy Survey's cut-outs
CHUNK = 128  # galaxies per call of the preprocessing
MARGIN = 16  # pixels rendered around the frame, so that the PSF spreads light from outside into it

# 5-sigma point-source depths 24.7, 24.1, 23.2 in g, r, z, relative to r. Two of three exposures reach 24.0,
# 23.4, 22.5 for a galaxy of 0.45 arcsec (Dey et al. 2019); our estimate: +0.2 for a third, +0.5 for a point.
DEPTH_OFFSET = np.array([0.6, 0.0, -0.9])
ELECTRONS = 1.1e4  # per nanomaggy, 250 s of DECam: for photon noise

# Accurate to 0.1 % of the flux, far below the noise, and several times faster than GalSim's default.
ACCURACY = galsim.GSParams(folding_threshold=1e-2, maxk_threshold=5e-3, kvalue_accuracy=1e-4)


def simulate(
    count: int,
    *,
    seed: int = 0,
    start: int = 0,
    workers: int = 1,
    size: int = 32,
    crop: int = 64,
    population: str = "main",
    progress: bool = False,
) -> tuple[np.ndarray, Table]:
    """Simulate galaxies `start` to `start + count - 1` of the catalogue with a given seed.

    Args:
        count: Number of galaxies.
        seed: Random seed of the catalogue, 0 or more.
        start: Index of the first galaxy; galaxy i does not depend on start, count and workers.
        workers: Number of processes.
        size: Side of the images in pixels.
        crop: Side of the frame in pixels of 0.262 arcsec, averaged over areas to `size`.
        population: "main", or "ellipticals", an out-of-domain control.
        progress: Display a progress bar.

    Returns:
        uint8 images of shape (count, 1, size, size), and the truth: a table of `count` rows with units and
        the column `id`.

    Raises:
        GalgenError: If an argument is invalid, or the operating system kills a process.
    """
    for least, numbers in enumerate([{"seed": seed, "start": start}, {"count": count, "workers": workers}]):
        for name, value in numbers.items():
            if not isinstance(value, int | np.integer) or not least <= value < 2**63:
                raise GalgenError(f"{name} must be an integer of at least {least}, not {value!r}")
    if not 8 <= size <= crop <= 256:
        raise GalgenError(f"size and crop must satisfy 8 <= size <= crop <= 256, not {size} and {crop}")
    chunks = [range(first, min(first + CHUNK, start + count)) for first in range(start, start + count, CHUNK)]
    make = partial(_simulate_chunk, seed=seed, size=size, crop=crop, population=population)
    bar = partial(
        tqdm, total=len(chunks), desc="simulate", unit_scale=CHUNK, unit="galaxies", disable=not progress
    )
    images, tables = zip(*bar(parallel_map(make, chunks, workers)), strict=True)
    return np.concatenate(images), vstack(tables, metadata_conflicts="error")


def _simulate_chunk(
    chunk: range, *, seed: int, size: int, crop: int, population: str
) -> tuple[np.ndarray, Table]:
    flux, truth = simulate_flux(len(chunk), seed=seed, start=chunk[0], crop=crop, population=population)
    return flux_to_gray(flux, size=size, crop=crop), truth


def simulate_flux(
    count: int,
    *,
    seed: int = 0,
    start: int = 0,
    crop: int = 64,
    population: str = "main",
    alter: Callable[[Table], None] | None = None,
) -> tuple[np.ndarray, Table]:
    """Simulate the flux images that `simulate` converts to gray, as a cut-out service would deliver them.

    `alter` modifies the truth before rendering, for galaxies with a known bias; the other arguments are those
    of `simulate`.

    Returns:
        float32 array (count, 3, crop, crop) of g, r and z in nanomaggies per pixel, and the truth table.
    """
    truth, fluxes = draw_galaxies(start, count, seed=seed, population=population, area=(crop * PIXEL) ** 2)
    if alter:
        alter(truth)
    columns = {name: truth[name].tolist() for name in truth.colnames}  # Table rows are slow
    flux = np.empty((count, 3, crop, crop), dtype=np.float32)
    for i in range(count):
        galaxy = {name: column[i] for name, column in columns.items()}
        rng = np.random.default_rng([seed, start + i, 1])
        flux[i] = _add_noise(galaxy, draw_flux(galaxy, fluxes[i], rng, crop), rng)
    return flux, truth


def draw_flux(galaxy: Mapping, fluxes: np.ndarray, rng: np.random.Generator, crop: int) -> np.ndarray:
    """Render one galaxy and its neighbors, convolved with the PSF, without noise.

    Args:
        galaxy: A row of the truth catalogue.
        fluxes: Nanomaggies of its components in each band, shape (4, 3), from `draw_galaxies`.
        rng: Random generator of the galaxy.
        crop: Side of the frame in pixels.

    Returns:
        float32 array of shape (3, crop, crop), nanomaggies per pixel.
    """
    psf = _psf(galaxy["psf_fwhm"])
    center = rng.uniform(-0.5, 0.5, 2) * PIXEL
    angle = np.radians(galaxy["position_angle"])
    if galaxy["type"] == "elliptical":
        flux = np.zeros((3, crop, crop), dtype=np.float32)
        flattening = galaxy["axis_ratio"]
    else:
        flux = _disc(galaxy, fluxes, center, rng, crop)
        # Bulges are rounder than their discs: intrinsic axis ratio 0.65.
        flattening = np.sqrt(1 - (1 - 0.65**2) * np.sin(np.radians(galaxy["inclination"])) ** 2)
    if fluxes[0].any():
        bulge = _sersic(galaxy["bulge_n"], galaxy["bulge_radius"], flattening, angle)
        flux += _draw(galsim.Convolve(bulge, psf), center, crop) * fluxes[0, :, None, None].astype(np.float32)
    for _ in range(galaxy["neighbours"]):
        flux += _neighbor(psf, rng, crop)
    return flux


def _disc(
    galaxy: Mapping, fluxes: np.ndarray, center: np.ndarray, rng: np.random.Generator, crop: int
) -> np.ndarray:
    side = crop + 2 * MARGIN
    steps = (np.arange(side) - (side - 1) / 2) * PIXEL
    across, up = steps - center[0], steps - center[1]
    layers = draw_disc(galaxy, across, up, rng)
    bands = (layers[:, None] * fluxes[1:, :, None, None].astype(np.float32)).sum(axis=0)
    if galaxy["inclination"] > 70 and galaxy["type"] == "spiral":
        total = bands.sum(axis=(1, 2), keepdims=True)
        bands *= np.exp(-DUST.astype(np.float32)[:, None, None] * dust_lane(galaxy, across, up, rng))
        # The lane only redistributes light; the fluxes already include the extinction of the disc.
        bands *= total / bands.sum(axis=(1, 2), keepdims=True)
    blurred = irfft2(rfft2(bands) * _transfer(galaxy["psf_fwhm"], side), s=(side, side))
    return blurred[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def _neighbor(psf: galsim.GSObject, rng: np.random.Generator, crop: int) -> np.ndarray:
    """Render a star or a galaxy anywhere in the frame, 16.5 < r < 23.3; galaxy counts grow as 10^(0.35 r)."""
    place = rng.uniform(-0.5, 0.5, 2) * crop * PIXEL
    place *= max(1, 2.5 / np.hypot(*place))  # closer ones would be blended with the galaxy
    star = rng.random() < 0.25
    slope = 0.12 if star else 0.35
    r_mag = 23.3 + np.log10(1 - rng.random() * (1 - 10 ** (-6.8 * slope))) / slope
    g_r = rng.uniform(0.3, 1.4) if star else rng.normal(0.7, 0.3)
    r_z = 0.6 * g_r - 0.05 if star else rng.normal(0.5, 0.2)  # the stellar locus
    bands = 10 ** (0.4 * (22.5 - r_mag + np.array([-g_r, 0.0, r_z])))
    if star:
        image = _draw(psf, place, crop, method="no_pixel")
    else:
        radius = 0.5 * 10 ** (-0.12 * (r_mag - 22)) * rng.lognormal(0, 0.3)
        shape = _sersic(rng.choice([1.0, 1.0, 2.5]), radius, rng.uniform(0.3, 1), rng.uniform(0, np.pi))
        image = _draw(galsim.Convolve(shape, psf), place, crop)
    return image * bands[:, None, None].astype(np.float32)


def _add_noise(galaxy: Mapping, flux: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add sky noise, for which a point source at the survey's depth has 5 sigma, and photon noise."""
    faintest = 10 ** (0.4 * (22.5 - galaxy["depth_r"] - DEPTH_OFFSET))
    effective = np.sqrt(_psf_pixels(galaxy["psf_fwhm"]))
    sky = (faintest / (5 * effective)).astype(np.float32)[:, None, None]
    noise = rng.standard_normal(flux.shape, dtype=np.float32)
    return flux + noise * np.sqrt(sky**2 + np.maximum(flux, 0) / np.float32(ELECTRONS))


def _sersic(n: float, radius: float, axis_ratio: float, angle: float) -> galsim.GSObject:
    # Truncated at eight half-light radii, as SDSS de Vaucouleurs models; radius is along the major axis.
    profile = galsim.Sersic(
        n,
        half_light_radius=radius * axis_ratio**0.5,
        trunc=0 if n < 2 else 8 * radius * axis_ratio**0.5,
        gsparams=ACCURACY,
    )
    return profile.shear(q=axis_ratio, beta=angle * galsim.radians)


def _draw(profile: galsim.GSObject, center: np.ndarray, crop: int, method: str = "auto") -> np.ndarray:
    image = galsim.ImageF(crop, crop, scale=PIXEL)
    return profile.shift(*center).drawImage(image, method=method).array


def _psf(fwhm: float) -> galsim.GSObject:
    return galsim.Moffat(beta=3.5, fwhm=fwhm, gsparams=ACCURACY)


@lru_cache(maxsize=64)  # the seeing comes in steps of 0.05 arcsec
def _transfer(fwhm: float, side: int) -> np.ndarray:
    """Return the transfer function of PSF and pixel for a real FFT of `side` x `side` pixels."""
    response = galsim.Convolve(_psf(fwhm), galsim.Pixel(PIXEL))
    image = response.drawKImage(nx=side, ny=side, scale=2 * np.pi / (side * PIXEL)).array.real
    return ifftshift(image)[:, : side // 2 + 1].astype(np.float32)


@lru_cache(maxsize=64)
def _psf_pixels(fwhm: float) -> float:
    """Return the noise-equivalent area of the PSF in pixels, 1 / sum of P^2."""
    return float(1 / (_draw(_psf(fwhm), np.zeros(2), 64) ** 2).sum())
