"""Search for the nearest images at the size of the paper's data set: seconds and peak memory.

    python benchmarks/similarity.py [--queries 1000] [--images 100000] [--size 64] [--threads 2] [--flips]

Images of noise in a memory map on disk stand in for the data set: the cost does not depend on what they show.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from galgen.data.similarity import mean_image, nearest


def main() -> None:
    """Build the memory map, search it, print one line for each kind of cosine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--k", type=int, default=2)
    parser.add_argument("--flips", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    shape = (args.images, 1, args.size, args.size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        for i in range(0, args.images, 4096):
            images[i : i + 4096] = rng.integers(0, 256, images[i : i + 4096].shape, dtype=np.uint8)
        queries = torch.from_numpy(images[: args.queries].astype(np.float32) / 255)
        del images
        images = np.load(path, mmap_mode="r")
        mean = mean_image(images)
        for kind in ("raw", "anomaly"):
            began = time.perf_counter()
            found = nearest(queries, images, args.k, kind=kind, mean=mean, flips=args.flips)
            seconds = time.perf_counter() - began
            if not (found.index[:, 0] == np.arange(args.queries)).all():
                raise SystemExit("a query did not find itself")
            flops = 2 * args.queries * (4 if args.flips else 1) * args.images * args.size**2
            print(
                f"{kind}: {args.queries} queries against {args.images} images of {args.size}x{args.size}, "
                f"{args.threads} threads: {seconds:.1f} s ({flops / seconds / 1e9:.0f} GFLOP/s)"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB, with the pages of the map")


if __name__ == "__main__":
    main()
