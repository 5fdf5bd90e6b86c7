"""Configurations of the onset study: PSNR along the trainings of one width, N and rate.

PSNR of single images is kept to .01 dB, deflated: what any reading needs, at another t_0 too.
"""

import base64
import functools
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from galbook.onset.bits import approximated, memorized
from galbook.onset.gap import LEVEL, SIGMAS, Gap, mean_onset, memory_gap, settled
from galgen.figures.words import spaced
from galgen.runs.errors import GalgenError, reading
from galgen.runs.files import atomic_path, project, visible

__all__ = ["Cell", "Committed", "Trace", "committed", "place", "read", "together", "write"]


def _pack(values: np.ndarray) -> dict:
    steps = np.diff(
        np.round(100 * values).astype("<i2"), axis=0, prepend=np.zeros((1, values.shape[1]), "<i2")
    )
    packed = base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()
    return {"shape": list(values.shape), "hundredths": packed}


def _unpack(given: object) -> np.ndarray:
    if isinstance(given, np.ndarray):
        return given
    steps = np.frombuffer(zlib.decompress(base64.b64decode(given["hundredths"])), "<i2")
    return steps.reshape(given["shape"]).cumsum(0) / 100


Array = Annotated[np.ndarray, PlainValidator(np.asarray), PlainSerializer(np.ndarray.tolist)]
Packed = Annotated[np.ndarray, PlainValidator(_unpack), PlainSerializer(_pack)]


@dataclass(frozen=True)
class Trace:
    """What was measured along one training, at milestones.

    Attributes:
        shown: Images shown, (T,).
        own: PSNR of own images at noise .1, (T, n_own), in dB, but for a constant of each image.
        held_out: The same of held-out images, (T, n_held).
        own_errors: Squared error of own images, summed over pixels, mean over images, (L, T), at
            `galbook.onset.gap.SIGMAS`; None where it was not asked.
        held_out_errors: The same of held-out images.
    """

    shown: Array
    own: Packed
    held_out: Packed
    own_errors: Array | None = None
    held_out_errors: Array | None = None

    @classmethod
    def of(cls, shown: np.ndarray, own: np.ndarray, held_out: np.ndarray, pixels: int) -> "Trace":
        """From PSNR at all of `SIGMAS`, or at .1 alone, (L, T, n) each (`galbook.onset.gap.psnr_along`)."""
        at, sides = len(own) // 2, (own, held_out)
        errors = [pixels * (10 ** (-psnr / 10)).mean(-1) for psnr in sides if len(psnr) == len(SIGMAS)]
        return cls(shown, *(psnr[at].round(2) for psnr in sides), *errors)


@dataclass(frozen=True)
class Cell:
    """Trainings of one network on sets of one size, all by one recipe.

    Attributes:
        base_channels: Width of the network.
        N: Training images.
        load: Pixels of the training set over weights of the network: what it is asked to keep.
        traces: Of each training, on disjoint sets (A, B).
        rate: Of learning, over the usual one.
    """

    base_channels: int
    N: int
    load: float
    traces: Sequence[Trace]
    rate: float = 1.0

    def __str__(self) -> str:
        slow = f" at {self.rate:g} of the rate" if self.rate != 1 else ""
        return f"{self.base_channels} base channels at N = {spaced(self.N)}{slow}"

    @functools.cached_property
    def gaps(self) -> list[Gap]:
        """G of each training, from t_0 on."""
        return [
            memory_gap(trace.shown, trace.own, trace.held_out, start=settled(self.N, trace.shown))
            for trace in self.traces
        ]

    def onset(self, level: float = LEVEL) -> float | None:
        """Images shown at the onset (`galbook.onset.gap.mean_onset`)."""
        return mean_onset(self.gaps, level)

    def bits(self, passes: float, pixels: int = 256) -> list[float]:
        """Bits a weight memorized after so many passes beyond t_0, of each training; linear in log t.

        Of cells of one noise level the approximation.
        """
        found, weights = [], self.N * pixels / self.load
        for trace, gap in zip(self.traces, self.gaps, strict=True):
            if trace.own_errors is None:
                values = approximated(gap.value, self.N, pixels)
            else:
                values = memorized(trace.own_errors, trace.held_out_errors, self.N)[-len(gap.shown) :]
                values = values - values[0]
            if not gap.shown[0] <= passes * self.N <= gap.shown[-1]:
                raise GalgenError(f"{self} is not known after {passes:g} passes")
            at = np.interp(np.log(passes * self.N), np.log(gap.shown), values)
            found.append(float(at / weights))
        return found


@dataclass(frozen=True)
class Committed:
    """A cell that `benchmarks/onset.py` kept, of one seed.

    Attributes:
        cell: Its trainings.
        seed: Of galaxies, sets and models.
        images: Shown to each.
        trainings: Their keys in the run store.
        minutes: Of a core, of each.
        made: When, at which commit and on what machine.
    """

    cell: Cell
    seed: int
    images: int
    trainings: list[str]
    minutes: list[float]
    made: Mapping[str, object] = field(default_factory=dict)


def place(one: Committed) -> tuple[int, int, int, int, float]:
    """What names a committed cell: base_channels, N, seed, images shown and rate."""
    return one.cell.base_channels, one.cell.N, one.seed, one.images, one.cell.rate


def read(path: Path) -> list[Committed]:
    """The cells that are kept in a file.

    Raises:
        GalgenError: If it holds something else.
    """
    with reading(path, "take it from the repository again"):
        return TypeAdapter(list[Committed]).validate_json(path.read_bytes())


def write(path: Path, cells: list[Committed]) -> None:
    """Keep cells in a file."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(TypeAdapter(list[Committed]).dump_json(cells))


def committed(folder: str | Path | None = None) -> dict[str, list[Committed]]:
    """All such cells by data set, simulated first; by default those of the project's `results/clock`.

    Raises:
        GalgenError: If there are none.
    """
    folder = Path(folder or project() / "results" / "clock")
    files = sorted(visible(folder, "*.json"), key=lambda path: (path.stem != "simulated", path.stem))
    files = [path for path in files if path.stem != "foretold"]
    if not files:
        raise GalgenError(f"{folder} has no configurations of the onset study; the project comes with them")
    return {path.stem: read(path) for path in files}


def together(kept: Iterable[Committed]) -> list[Cell]:
    """Cells of one width, N and rate as one, growing; the longest of trainings that one seed has twice."""
    found: dict[tuple, dict[int, Cell]] = {}
    for one in sorted(kept, key=lambda one: (place(one)[:2], one.images)):
        found.setdefault((one.cell.base_channels, one.cell.N, one.cell.rate), {})[one.seed] = one.cell
    return [
        Cell(width, N, next(iter(cells.values())).load, [t for c in cells.values() for t in c.traces], rate)
        for (width, N, rate), cells in found.items()
    ]
