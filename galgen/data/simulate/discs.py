r"""Discs with bars, spiral arms, star-forming knots and dust lanes, which GalSim lacks, on a pixel grid.

In the plane of the disc, with rho the radius in exponential scale lengths and theta the azimuth,

    old stars     exp(-rho - t max(0, rho - rho_b)) * exp(0.5 S)       bent down or up beyond the break rho_b
    young stars   exp(-0.85 rho - (t + 0.3) max(0, rho - rho_b)) * rho^2 / (rho^2 + 0.2) * exp(S)    a hole
    S(rho, theta) logarithm of the contrast of the arms: m logarithmic spirals of pitch p whose crests wander,
                  A exp(kappa [cos m(theta - ln(rho / rho_0) / tan p) - 1]), and flocculent ones, a sum of
                  waves of other orders and pitches with random phases

A bar is a boxy ellipse; the arms start at its ends (rho_0). Knots are Gaussians placed with probability
proportional to exp(1.5 S), along the arms. The plane is projected with an axis ratio q; towards edge-on the
isophotes sharpen to the diamonds of a thin exponential sheet. The fraction of the light inside the frame is
the integral over the plane, with d = rho / g(theta) the distance there, of d^2 d(ln rho) d(theta).
"""

from collections.abc import Callable, Mapping

import numpy as np

__all__ = ["draw_disc", "dust_lane"]


def draw_disc(galaxy: Mapping, across: np.ndarray, up: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Render the bar, the old disc and the young disc before seeing.

    Args:
        galaxy: A row of the truth catalogue of `galgen.data.simulate.population.draw_galaxies`.
        across: Arcsec to the right of the galaxy's center, evenly spaced, shape (G,).
        up: Arcsec above it, with the same spacing, shape (G,).
        rng: Random generator of the galaxy, for the phases of the arms and positions of the knots.

    Returns:
        float32 array of shape (3, G, G): the fraction of the flux of bar, disc and young stars in each pixel.
    """
    scale = galaxy["disc_scale"]
    # A thinner minor axis is indistinguishable after seeing and would be undersampled.
    q = min(1.0, max(galaxy["axis_ratio"], 0.22 / scale))
    exponent = 2 - 0.6 * np.clip((0.4 - q) / 0.25, 0, 1)
    x, y = _axes(galaxy, across, up)
    along, aside = x / scale, y / (q * scale)
    contrast = _arms(galaxy, rng)

    def norm(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (
            np.hypot(a, b) if exponent == 2 else (abs(a) ** exponent + abs(b) ** exponent) ** (1 / exponent)
        )

    layers = _layers(galaxy, contrast, rng)
    image = layers(norm(along, aside), np.arctan2(aside, along))

    # The integral gives the fraction of the light in the frame, the pixels its distribution.
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False, dtype=np.float32)
    ln_rho = np.linspace(np.log(0.02), np.log(12), 40, dtype=np.float32)[:, None]
    distance = np.exp(ln_rho) / norm(np.cos(turn), np.sin(turn))
    light = layers(*np.broadcast_arrays(np.exp(ln_rho), turn)) * distance**2
    right, top = _to_sky(galaxy, scale * distance * np.cos(turn), q * scale * distance * np.sin(turn))
    inside = (right > across[0]) & (right < across[-1]) & (top > up[0]) & (top < up[-1])
    fraction = (light * inside).sum(axis=(1, 2)) / np.maximum(light.sum(axis=(1, 2)), 1e-9)
    image *= (fraction / np.maximum(image.sum(axis=(1, 2)), 1e-9))[:, None, None]

    if galaxy["knots"]:
        share = rng.uniform(0.1, 0.3)
        image[2] = (1 - share) * image[2] + share * _knots(galaxy, contrast, q, across, up, rng)
    return image


def _arms(galaxy: Mapping, rng: np.random.Generator) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return S(rho, theta) with random phases; zero for lenticulars."""
    if galaxy["type"] == "lenticular":
        return lambda rho, theta: np.zeros_like(rho)
    arms, irregular = galaxy["arms"], galaxy["type"] == "irregular"
    pitch = np.radians(galaxy["pitch"] or rng.uniform(40, 80))
    handed = rng.choice([-1, 1])
    amplitude, kappa = rng.uniform(1.6, 3.2), rng.uniform(1.0, 2.5)
    inner = _bar_length(galaxy) if galaxy["bar_fraction"] > 0 else rng.uniform(0.3, 0.7)
    ring = rng.uniform(0.5, 1.5) * (rng.random() < 0.15) * (not irregular)
    orders = np.arange(1, 8)
    phases, wander = rng.uniform(0, 2 * np.pi, 7), rng.uniform(0, 2 * np.pi, 3)
    windings = handed * orders / np.tan(np.clip(pitch * rng.lognormal(0, 0.25, 7), 0.1, 1.4))
    flocculence = 0.5 if irregular else (0.22 if arms else 0.38)
    heights = flocculence * rng.normal(0, 1, 7) * np.sqrt(4 / (3 + orders))

    def contrast(rho: np.ndarray, theta: np.ndarray) -> np.ndarray:
        ln_rho = np.log((rho + 0.12) / inner)
        log_contrast = np.zeros_like(rho)
        for order, winding, phase, height in zip(orders, windings, phases, heights, strict=True):
            log_contrast += height * np.cos(order * theta - winding * ln_rho + phase)
        if arms:
            crest = arms * theta - handed * arms / np.tan(pitch) * ln_rho
            crest += 0.5 * np.cos(theta + wander[0]) + 0.6 * np.cos(2.5 * ln_rho + wander[1])
            strength = amplitude * (1 + 0.3 * np.cos(theta + wander[2]))
            log_contrast += strength * (np.exp(kappa * (np.cos(crest) - 1)) - 0.3)
        if ring:
            log_contrast += ring * np.exp(-(((rho - inner) / 0.2) ** 2))
        return log_contrast * (rho**2 / (rho**2 + 0.5 * inner**2))

    return contrast


def _bar_length(galaxy: Mapping) -> float:
    """Return the semi-axis in scale lengths: about one, longer for stronger bars (Erwin 2005)."""
    return 0.7 + 4 * galaxy["bar_fraction"]


def _layers(
    galaxy: Mapping, contrast: Callable, rng: np.random.Generator
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the surface brightness of bar, disc and young stars at (rho, theta), not normalized."""
    edge, taper = rng.uniform(2.0, 4.5), rng.uniform(-0.3, 0.9)  # types I to III of Erwin et al. (2008)
    lopsided = abs(rng.normal(0, 0.25 if galaxy["type"] == "irregular" else 0.07))
    heavy_side = rng.uniform(0, 2 * np.pi)
    length = _bar_length(galaxy)

    def layers(rho: np.ndarray, theta: np.ndarray) -> np.ndarray:
        image = np.zeros((3, *rho.shape), dtype=np.float32)
        if galaxy["bar_fraction"] > 0:
            bar = (abs(np.cos(theta)) ** 3 + abs(np.sin(theta) / 0.28) ** 3) ** (1 / 3) * rho / length
            image[0] = np.exp(-(bar**2))
        rho = rho * (1 + min(lopsided, 0.5) * np.cos(theta - heavy_side))
        beyond = np.maximum(rho - edge, 0)
        log_contrast = contrast(rho, theta)
        image[1] = np.exp(0.5 * log_contrast - rho - taper * beyond)
        if galaxy["young_fraction"] > 0:
            image[2] = np.exp(log_contrast - 0.85 * rho - (taper + 0.3) * beyond) * rho**2 / (rho**2 + 0.2)
        return image

    return layers


def _knots(
    galaxy: Mapping,
    contrast: Callable,
    q: float,
    across: np.ndarray,
    up: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Render Gaussian knots of unit total flux.

    Each knot takes one of 12 positions with probability ~ exp(1.5 S): the maximum of 1.5 S + Gumbel noise.
    """
    count, scale = galaxy["knots"], galaxy["disc_scale"]
    rho = rng.gamma(3.0, 0.55, (count, 12)).astype(np.float32)
    theta = rng.uniform(0, 2 * np.pi, (count, 12)).astype(np.float32)
    best = (1.5 * contrast(rho, theta) + rng.gumbel(size=rho.shape)).argmax(axis=1)[:, None]
    rho, theta = np.take_along_axis(rho, best, 1), np.take_along_axis(theta, best, 1)
    flux = rng.lognormal(0, 0.8, (count, 1))
    width = np.clip(scale * rng.uniform(0.05, 0.12, (count, 1)), 0.2, 0.6)
    right, top = _to_sky(galaxy, scale * rho * np.cos(theta), q * scale * rho * np.sin(theta))
    columns = np.exp(-0.5 * ((across - right) / width) ** 2)
    rows = np.exp(-0.5 * ((up - top) / width) ** 2)
    peak = flux / flux.sum() * (across[1] - across[0]) ** 2 / (2 * np.pi * width**2)
    return (rows * peak).T @ columns


def dust_lane(galaxy: Mapping, across: np.ndarray, up: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the optical depth in r, (G, G), of the dust lane on the near side of a nearly edge-on disc."""
    x, y = _axes(galaxy, across, up)
    depth, side = rng.uniform(0.4, 1.6), rng.choice([-1, 1])
    scale = galaxy["disc_scale"]
    offset = 0.3 * scale * np.cos(np.radians(galaxy["inclination"]))
    return depth * np.exp(-0.5 * ((y - side * offset) / (0.09 * scale)) ** 2 - (x / (2 * scale)) ** 2)


def _axes(galaxy: Mapping, across: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates along the major and the minor axis on the pixel grid, in arcsec."""
    turn = np.radians(galaxy["position_angle"])
    x = across * np.cos(turn) + up[:, None] * np.sin(turn)
    y = up[:, None] * np.cos(turn) - across * np.sin(turn)
    return x.astype(np.float32), y.astype(np.float32)


def _to_sky(galaxy: Mapping, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Invert `_axes`: return arcsec to the right and up."""
    turn = np.radians(galaxy["position_angle"])
    return x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
