"""Images a second of `galgen.data.simulate`, with one and with two processes, start-up included.

Run: python benchmarks/simulate.py [count]
"""

import os
import sys
import time

from galgen.data.simulate import simulate


def main() -> None:
    """Print images a second for 64 x 64 native pixels, given as 32 x 32."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    print(f"{count} galaxies, 64 x 64 native pixels, {os.cpu_count()} cores")
    simulate(128)  # fills GalSim's tables of Sersic profiles
    for workers in (1, 2):
        began = time.perf_counter()
        simulate(count, workers=workers)
        print(f"{workers} workers: {count / (time.perf_counter() - began):6.0f} images/s")


if __name__ == "__main__":
    main()
