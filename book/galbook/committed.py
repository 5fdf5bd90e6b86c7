"""The types of what lies in results/, as far as a chapter reads it: books, benchmarks, strips of images."""

import base64
import io
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

import numpy as np
from PIL import Image
from pydantic import AfterValidator, Field, model_validator

from galbook.judgement import LIMITS, WORDS
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures.style import base64_image
from galgen.profiles import PROFILES
from galgen.runs.reading import Written

__all__ = ["MEASURED", "Book", "BookRun", "strip", "unstrip"]

T = TypeVar("T")
_Count = Annotated[int, Field(gt=0, lt=2**53)]
_P = Annotated[float, Field(gt=0, le=1)]
_Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d")]
_Commit = Annotated[str, Field(pattern=r"^\w{1,40}\+?$")]
_Machine = Annotated[str, Field(pattern=r"^[\w .()+-]*\w, [\w ]+(, [\w .()+-]+)?$", max_length=200)]
_Words = Annotated[str, Field(pattern=r"^[\w ,.()'-]*$")]
_Profile = Literal[*PROFILES]
_Some = Annotated[dict[Annotated[str, Field(min_length=1)], T], Field(min_length=1)]


def strip(images: np.ndarray) -> str:
    """Images (n, 1, H, W), uint8 or in [0, 1], side by side in one PNG, as text."""
    return base64_image(np.concatenate(np.asarray(images)[:, 0], axis=1), optimize=True)


def unstrip(text: str) -> np.ndarray:
    """The images (n, 1, H, W) of a strip, uint8; they are square.

    Raises:
        ValueError: If it is none.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]) as image:
            if image.mode != "L" or image.width % image.height or image.width * image.height > 2**22:
                raise ValueError("not gray, or not square")
            row = np.asarray(image)
    except Exception as error:  # of a damaged file Pillow may raise anything
        raise ValueError(f"no strip of images ({error})") from error
    return np.stack(np.split(row, row.shape[1] // row.shape[0], axis=1))[:, None]


_Strip = Annotated[str, AfterValidator(lambda text: text if unstrip(text).size else "")]


class BookRun(Written):
    """What `galbook.press.pages.record` says of a run: `run.json`, and `run` of a book's results."""

    profile: _Profile
    data: str
    source: str
    N: list[_Count]
    seed: int
    error: str
    minutes: float
    key: str
    trainings: dict[str, str]


class _Ran(Written):
    """A chapter: what `galbook.press.chapters.execute` notes of it."""

    commit: _Commit
    finished: _Day
    machine: _Machine
    images: _Count


class _Old(Written, extra="ignore"):
    """A ruling of a book from before the table, which is shown as it was."""

    claim: str
    verdict: str
    numbers: str
    key: str = ""
    family: str = ""


class _Part(Written, extra="forbid"):
    """A `galbook.judgement.Part`."""

    name: str
    found: Estimate
    limit: Literal[*LIMITS]
    freedom: Annotated[float, Field(ge=0)]
    note: str


class _Row(Written):
    """A row as `galbook.claims.claims.kept_rows` keeps it."""

    key: str
    text: str
    word: Literal[*WORDS]
    why: str
    parts: list[_Part]


@dataclass(frozen=True)
class _Score(Outcome):
    """An answer as `galbook.scoreboard.kept` keeps it."""

    pair: str
    N: _Count
    question: str
    kind: str


class _Conclusions(Written):
    """What chapter 10 keeps."""

    data: str
    claims: list[_Old] = Field(default_factory=list)
    rows: list[_Row] = Field(default_factory=list)
    scores: Annotated[list[_Score], Field(min_length=1)]
    samples: _Some[_Some[tuple[_Strip, _Strip]]]


class _Kept(Written):
    conclusions: _Conclusions = Field(None, alias="10_conclusions")  # of some books it is left out


class Book(Written):
    """The results of a book."""

    chapters: dict[str, _Ran]
    kept: _Kept
    run: BookRun

    @model_validator(mode="after")
    def _ran(self) -> "Book":
        if self.kept.conclusions and "10_conclusions" not in self.chapters:
            raise ValueError("it has no chapter 10_conclusions, whose numbers are kept")
        return self


class _Made(Written):
    """When, where and by which code a benchmark was made."""

    date: _Day
    commit: _Commit
    machine: _Machine


class _Pair(Written, Generic[T]):
    """Of model A and of model B."""

    A0: T
    B1: T


class _Scale(Written):
    floor: float
    pair: float
    ceiling: float


class _Scores(Written):
    morphology: Outcome | None = None


class _Resolution(_Made):
    """What `benchmarks/resolution.py` found of one size."""

    profile: _Profile
    N: _Count
    kernels: _Count
    latents: _Count
    images_shown: _Count
    minutes: _Pair[float]
    agreement: _Scale
    share: float | None
    closer: Estimate
    auc: _Pair[dict[_Count, Estimate]]
    biases: _Pair[dict[str, Estimate]]
    scores: _Scores
    samples: _Some[_Strip]


class _Tests(Written):
    """How many of some tests reject."""

    question: _Words
    alternative: _Words
    level: float
    N: _Count | None
    tests: _Count
    rejected: int


class _Tested(_Made):
    records: list[_Tests]


class _Power(Written):
    """What `benchmarks/power.py` found."""

    profile: _Profile
    alpha: _P
    count: _Count
    parts: Annotated[list[_Tested], Field(min_length=1)]


class _Foretold(_Row):
    """A row with the share of second runs that get each word."""

    counted: bool
    repeats: dict[Literal[*WORDS], Annotated[float, Field(ge=0, le=1)]]


class _Expected(_Made):
    """What `benchmarks/expected.py` found of one book's numbers."""

    profile: _Profile
    rows: list[_Foretold]


class _Worth(Written):
    """What the same images are worth to agreement, of some models."""

    twins: list[float]
    pairs: list[float]
    strangers: dict[str, list[float]]
    worth: Estimate
    shown: _Count | None = None
    onset: float | None = None


class _Agreement(_Made):
    """What `benchmarks/agreement.py` found."""

    found: _Some[_Worth]


MEASURED = {
    "agreement": _Some[_Agreement],
    "expected": _Some[_Expected],
    "resolution": _Some[_Some[_Resolution]],
    "power": _Some[_Power],
}
