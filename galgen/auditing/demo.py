"""Demonstration of the audit on simulated galaxies: a clean generator and one with planted near-copies.

The clean generator returns new simulated galaxies. In the other one's samples, one in ten is a training image
with noise of standard deviation 0.005. With 0.02, two in twenty would be near-copies by their definition.
"""

from pathlib import Path

import numpy as np

from galgen.auditing.audit import audit
from galgen.auditing.report import check_output_path, write_report
from galgen.data.preprocess import to_uint8
from galgen.data.simulate.images import simulate

__all__ = ["demonstration"]


def demonstration(out: Path) -> None:
    """Audit both generators, print the summaries, and write OUT-clean and OUT-near-copies."""
    train, held_out, clean = np.split(simulate(700)[0], [250, 500])
    noise = np.random.default_rng(0).normal(scale=0.005, size=train[:20].shape)
    copied = np.concatenate([to_uint8(train[:20] / 255 + noise), clean[20:]])
    for kind, samples in {"clean": clean, "near-copies": copied}.items():
        pages = check_output_path(out.with_name(f"{out.name}-{kind}"))
        result = audit(samples, train, held_out, morphology=0)
        write_report(result, {name: f"demo, {kind}" for name in result.counts}, pages)
        print(f"{result}\n{pages[0]} and {pages[1].name}\n")
