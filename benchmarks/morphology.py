"""Core seconds that `galgen.compare.morphology` takes per image, compared with plain statmorph.

    python benchmarks/morphology.py [--count 48]

Processor time, so that other load hardly matters. The shares come from a profiled run, in which functions
that make many small calls appear longer than they are.
"""

import argparse
import cProfile
import os
import pstats
import time
import warnings

import numpy as np
import statmorph

from galgen.compare.morphology import measure, report, segment
from galgen.data.simulate.images import simulate

# The steps of a measurement: function of statmorph -> what it is for.
STEPS = {
    "_asymmetry_center": "centre of least asymmetry (about 120 rotations by 180 degrees)",
    "_rpetro_circ_generic": "circular Petrosian radii (one of the two within the first)",
    "_rpetro_ellip_generic": "elliptical Petrosian radius",
    "_radius_at_fraction_of_total_circ": "r20, r80",
    "_segmap_mid": "the second segment, for the flag",
}


def plain(images: np.ndarray) -> None:
    """All measurements of statmorph for images (n, 1, H, W)."""
    for image in images[:, 0]:
        subtracted, galaxy, _ = segment(image)
        statmorph.SourceMorphology(subtracted, galaxy.astype(int), 1, gain=10_000)


def ours(images: np.ndarray) -> None:
    """The measurements that galgen makes of them."""
    measure(images, workers=1, progress=False)


def shares(images: np.ndarray) -> None:
    """Print what part of our time goes into each step."""
    profile = cProfile.Profile()
    profile.runcall(ours, images)
    stats = pstats.Stats(profile).stats
    total = next(row[3] for (_, _, name), row in stats.items() if name == "ours")
    for step, what in STEPS.items():
        spent = sum(row[3] for (file, _, name), row in stats.items() if name == step and "statmorph" in file)
        print(f"    {spent / total:4.0%}  {what}")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=48, help="galaxies of each size")
    count = parser.parse_args().count
    warnings.simplefilter("ignore")  # statmorph's, of the plain run
    for size in (32, 64):
        images = simulate(count, size=size)[0] / 255
        ours(images[:2])
        seconds = {}
        for function in (plain, ours):
            began = time.process_time()
            function(images)
            seconds[function.__name__] = (time.process_time() - began) / count
        took = ", ".join(f"{name} {value:.3f} s" for name, value in seconds.items())
        print(f"{count} galaxies of {size} pixels: {took} a stamp and core")
        shares(images)
    images = simulate(10 * count, size=32)[0]
    for workers in (1, os.cpu_count()):
        began = time.perf_counter()
        table = measure(images, workers=workers, progress=False)
        each = (time.perf_counter() - began) / len(images)
        print(f"{len(images)} of 32 pixels, {workers} workers: {each:.3f} s each, start included")
    print(report(table))


if __name__ == "__main__":
    main()
