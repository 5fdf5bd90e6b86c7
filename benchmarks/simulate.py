"""Images per second of `galgen.data.simulate.images`, with one and with two processes, including their start.

The processor time is printed too: on a busy machine it shows what an idle one would reach.

Run: python benchmarks/simulate.py [count]
"""

import os
import sys
import time

from galgen.data.simulate.images import simulate


def main() -> None:
    """Print images per second for 64 x 64 native pixels, averaged to 32 x 32."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    print(f"{count} galaxies, 64 x 64 native pixels, {os.cpu_count()} cores")
    simulate(128)  # fills GalSim's tables of Sersic profiles
    for workers in (1, 2):
        began, used = time.perf_counter(), sum(os.times()[:4])
        simulate(count, workers=workers)
        seconds, used = time.perf_counter() - began, sum(os.times()[:4]) - used
        print(f"{workers} workers: {count / seconds:4.0f} images/s, {1e3 * used / count:.1f} ms of CPU each")


if __name__ == "__main__":
    main()
