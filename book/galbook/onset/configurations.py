"""Configurations of the onset study: PSNR along the trainings of one width, N and learning rate.

PSNR of single images is stored with a resolution of 0.01 dB, compressed, so that the gap can be recomputed
from any t_0.
"""

import base64
import functools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from galbook.onset.bits import approximated, memorized
from galbook.onset.gap import SIGMAS, Gap, memory_gap, settled
from galgen.figures.words import spaced
from galgen.runs.errors import GalgenError, reading
from galgen.runs.files import atomic_path, project, visible

__all__ = ["CommittedConfiguration", "Configuration", "Trace", "committed", "key_of", "read", "write"]


def _pack(values: np.ndarray) -> dict:
    steps = np.diff(
        np.round(100 * values).astype("<i2"), axis=0, prepend=np.zeros((1, values.shape[1]), "<i2")
    )
    packed = base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()
    return {"shape": list(values.shape), "hundredths": packed}


def _unpack(packed: object) -> np.ndarray:
    if isinstance(packed, np.ndarray):
        return packed
    steps = np.frombuffer(zlib.decompress(base64.b64decode(packed["hundredths"])), "<i2")
    return steps.reshape(packed["shape"]).cumsum(0) / 100


Array = Annotated[np.ndarray, PlainValidator(np.asarray), PlainSerializer(np.ndarray.tolist)]
Packed = Annotated[np.ndarray, PlainValidator(_unpack), PlainSerializer(_pack)]


@dataclass(frozen=True)
class Trace:
    """PSNR and squared errors at the milestones of one training.

    Attributes:
        shown: Images shown, (T,).
        own: PSNR of training images at sigma = 0.1, (T, n_own), in dB, up to a constant of each image.
        held_out: PSNR of held-out images, (T, n_held).
        own_errors: Squared error of training images, summed over pixels, mean over images, (L, T), at
            `galbook.onset.gap.SIGMAS`; None if it was measured at 0.1 only.
        held_out_errors: Squared error of held-out images, (L, T).
    """

    shown: Array
    own: Packed
    held_out: Packed
    own_errors: Array | None = None
    held_out_errors: Array | None = None

    @classmethod
    def of(cls, shown: np.ndarray, own: np.ndarray, held_out: np.ndarray, pixels: int) -> "Trace":
        """Create a trace from PSNR (L, T, n) at all of `SIGMAS`, or at 0.1 only (`psnr_along`)."""
        at, sides = len(own) // 2, (own, held_out)
        errors = [pixels * (10 ** (-psnr / 10)).mean(-1) for psnr in sides if len(psnr) == len(SIGMAS)]
        return cls(shown, *(psnr[at].round(2) for psnr in sides), *errors)


@dataclass(frozen=True)
class Configuration:
    """Trainings of one network on sets of one size, with one recipe.

    Attributes:
        base_channels: Width of the network.
        N: Training images.
        load: Training pixels per parameter.
        traces: One per training, on disjoint sets (A, B).
        rate: Learning rate relative to the standard one.
    """

    base_channels: int
    N: int
    load: float
    traces: Sequence[Trace]
    rate: float = 1.0

    def __str__(self) -> str:
        slow = f" at {self.rate:g} of the learning rate" if self.rate != 1 else ""
        return f"{self.base_channels} base channels at N = {spaced(self.N)}{slow}"

    @functools.cached_property
    def gaps(self) -> list[Gap]:
        """Denoising gap of each training, from t_0 on."""
        return [
            memory_gap(trace.shown, trace.own, trace.held_out, start=settled(self.N, trace.shown))
            for trace in self.traces
        ]

    def bits(self, epochs: float, pixels: int = 256) -> list[float]:
        """Bits per parameter memorized since t_0, by the given number of epochs, for each training.

        Linear in log t between milestones; `approximated` from the gap if only one noise level was measured.
        """
        bits, weights = [], self.N * pixels / self.load
        for trace, gap in zip(self.traces, self.gaps, strict=True):
            if trace.own_errors is None:
                values = approximated(gap.value, self.N, pixels)
            else:
                values = memorized(trace.own_errors, trace.held_out_errors, self.N)[-len(gap.shown) :]
                values = values - values[0]
            if not gap.shown[0] <= epochs * self.N <= gap.shown[-1]:
                raise GalgenError(f"{self} has no measurement after {epochs:g} epochs")
            at = np.interp(np.log(epochs * self.N), np.log(gap.shown), values)
            bits.append(float(at / weights))
        return bits


@dataclass(frozen=True)
class CommittedConfiguration:
    """A configuration with its provenance, as stored by `benchmarks/onset.py`; one seed.

    Attributes:
        configuration: Its trainings.
        seed: Seed of galaxies, sets and models.
        images: Images shown to each model.
        trainings: Their keys in the run store.
        minutes: CPU time of each, in core minutes.
        made: Date, commit and machine.
    """

    configuration: Configuration
    seed: int
    images: int
    trainings: list[str]
    minutes: list[float]
    made: Mapping[str, object] = field(default_factory=dict)


def key_of(one: CommittedConfiguration) -> tuple[int, int, int, int, float]:
    """Identifying tuple of a committed configuration: base channels, N, seed, images shown, rate."""
    return one.configuration.base_channels, one.configuration.N, one.seed, one.images, one.configuration.rate


def read(path: Path) -> list[CommittedConfiguration]:
    """Read the configurations stored in a file.

    Raises:
        GalgenError: If the file has another format.
    """
    with reading(path, "restore it from the repository"):
        return TypeAdapter(list[CommittedConfiguration]).validate_json(path.read_bytes())


def write(path: Path, cells: list[CommittedConfiguration]) -> None:
    """Write configurations to a file."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(TypeAdapter(list[CommittedConfiguration]).dump_json(cells))


def committed(folder: str | Path | None = None) -> dict[str, list[CommittedConfiguration]]:
    """Load all committed configurations by data set, simulated first; by default from `results/clock`.

    Raises:
        GalgenError: If the folder has no such files.
    """
    folder = Path(folder or project() / "results" / "clock")
    files = sorted(visible(folder, "*.json"), key=lambda path: (path.stem != "simulated", path.stem))
    files = [path for path in files if path.stem != "foretold"]
    if not files:
        raise GalgenError(f"{folder} has no files of the onset study; restore it from the repository")
    return {path.stem: read(path) for path in files}
