"""What an audit is asked beside its images: one set of types, for the command line and for a call."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field, NonNegativeInt, StrictBool

from galgen.runs.errors import Closed

__all__ = ["OfModels", "Questions"]

SEEDS = 700_000_000  # as many: a seed of torch is below 2^32, and `galgen.auditing.copies` has the last


class Questions(Closed):
    """Fields are options of `galgen audit`.

    Attributes:
        flips: Look for flipped copies: it was trained with flips.
        morphology: Galaxies of each set to measure; 0: none.
        seed: Of permutations, and of what is drawn at random.
        progress: Told of each step before it is taken.
    """

    flips: StrictBool = False
    morphology: NonNegativeInt = Field(512, lt=2**32)
    seed: NonNegativeInt = Field(0, lt=SEEDS)
    progress: Annotated[Callable[[str], None], Parameter(parse=False)] = lambda step: None


class OfModels(Closed):
    """Where the models of `galgen audit --model` are looked for.

    Attributes:
        store: The run store that trainings are in.
        models: A folder of published models (default: the checkout's).
        profile: Of the book that a training of the store is of.
        data: Its images.
        N: Its sizes.
        book: Its seed.
    """

    store: Path | None = None
    models: Path | None = None
    profile: str = "laptop"
    data: str = "simulated"
    N: tuple[int, ...] | None = None
    book: NonNegativeInt = Field(0, lt=3000)
