"""Demonstration of the audit on simulated galaxies: a clean generator and one with planted near-copies.

The clean generator returns new simulated galaxies. In the other one's samples, one in ten is a training image
with noise of standard deviation 0.02.
"""

import sys
from pathlib import Path

import numpy as np

from galgen.auditing.audit import audit
from galgen.auditing.report import check_output_path, write_report
from galgen.data.preprocess import to_uint8
from galgen.data.simulate.images import simulate
from galgen.runs.errors import printable

__all__ = ["demonstration"]

TRAIN, HELD_OUT, SAMPLES = 250, 250, 200
COPIES, NOISE = SAMPLES // 10, 0.02


def demonstration(out: Path) -> None:
    """Audit both generators, print the summaries, and write OUT-clean and OUT-near-copies."""
    pages = {
        kind: check_output_path(out.with_name(f"{out.name}-{kind}")) for kind in ("clean", "near-copies")
    }
    print("galgen audit --demo: about 1 min on one core", file=sys.stderr)
    galaxies = simulate(TRAIN + HELD_OUT + SAMPLES)[0]
    train, held_out, clean = np.split(galaxies, [TRAIN, TRAIN + HELD_OUT])
    noise = NOISE * np.random.default_rng(0).standard_normal(train[:COPIES].shape)
    copied = np.concatenate([to_uint8(train[:COPIES] / 255 + noise), clean[COPIES:]])
    for (kind, paths), samples in zip(pages.items(), (clean, copied), strict=True):
        found = audit(samples, train, held_out, morphology=0)
        names = {"samples": f"a {kind} generator", "train": "simulated", "held_out": "simulated"}
        write_report(found, names, paths)
        print(f"\n{names['samples']}:\n{found}\n{printable(f'{paths[0]} and {paths[1].name}')}")
