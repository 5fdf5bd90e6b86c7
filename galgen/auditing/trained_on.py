"""Was a model trained on this image? Two models that are named, images, and others that neither has seen.

What it does is in `galgen.compare.membership`. Beside the answer stands what can be found of such models at
all: the AUC of own against held-out images of the published pairs, by N, which `benchmarks/membership.py`
measured and which lies with them; it counts for a pair as long as its models are those.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from galgen.compare.membership import NOISES, SIGMA, Membership, membership
from galgen.published import listed, published
from galgen.runs.errors import GalgenError, checked, printable
from galgen.runs.files import check_replaceable, has_fields, plain, read_json, write_json
from galgen.using.denoising import trained_range
from galgen.using.opening import Model

__all__ = ["KNOWN", "free", "known", "trained_on", "written"]

KNOWN = "membership.json"  # in the folder of a published set
_FIELDS = {"model", "other_model", "score", "rate", "held_out"}
MOST = 20  # images that are listed


class _Area(BaseModel, strict=True, allow_inf_nan=False):
    """What was measured of a pair: the keys of A and B, and the AUC of A with its interval."""

    model: str
    other_model: str
    auc: Annotated[list[float], Field(min_length=3, max_length=3)]
    images: int
    held_out: int


def trained_on(model: Model, other: Model, images: np.ndarray, held_out: np.ndarray) -> Membership:
    """Ask two models of images uint8 (n, 1, H, W), beside others that neither has seen.

    Raises:
        GalgenError: If they are no two denoisers of such images.
    """
    if model.weights == other.weights:
        raise GalgenError(
            f"{model.name} is asked beside itself: name a model of other images (--other-model)"
        )
    for each in (model, other):
        low, high, _ = trained_range(each.family)
        if not low <= SIGMA <= high:
            raise GalgenError(
                f"{each.name} was trained on noise of {low:g} to {high:g}, and is asked at {SIGMA:g}"
            )
        for name, part in (("images", images), ("held-out images", held_out)):
            if part.shape[1:] != (1, each.size, each.size):
                found = " x ".join(map(str, part.shape[1:]))
                raise GalgenError(
                    f"the {name} are {found}, and {each.name} was trained on 1 x {each.size} x {each.size}"
                )
    a, b = (each.family.denoiser(each.networks()) for each in (model, other))
    return membership(a, b, images, held_out)


def known(models: Path | None = None) -> Iterator[str]:
    """What can be found of the published pairs, a line each.

    Raises:
        GalgenError: If what was measured cannot be read.
    """
    place = published(models)
    path, there = place.root / KNOWN, {record["key"]: record for _, record in listed(place)}
    with contextlib.suppress(FileNotFoundError):
        try:
            areas = checked(list[_Area], read_json(path), "what was measured")
        except ValueError as error:
            raise GalgenError(f"{path} cannot be read ({error})") from error
        for area in areas:
            if area.model in there and area.other_model in there:
                names = [there[key]["summary"]["name"] for key in (area.model, area.other_model)]
                value, low, high = area.auc
                said = f"{names[0]} beside {names[1]}: AUC {value:.2f} [{low:.2f}, {high:.2f}]"
                told = ", own images are not told from others" * (low <= 0.5 <= high)
                yield f"{said} of {area.images} own and {area.held_out} held-out images{told}"


def free(out: Path) -> Path:
    """OUT.json, if nothing is there but such an answer."""
    path = out.with_name(f"{out.name.removesuffix('.json')}.json")
    check_replaceable(path, lambda file: has_fields(file, _FIELDS))
    return path


def written(found: Membership, pair: tuple[Model, Model], models: Path | None, out: Path) -> str:
    """Write the answer as JSON, and say it in words."""
    n, m = len(found.score), len(found.held_out)
    told = {"model": pair[0].name, "other_model": pair[1].name, "sigma": SIGMA, "noises": NOISES}
    told |= {"score": found.score.tolist(), "rate": found.rate.tolist(), "held_out": found.held_out.tolist()}
    write_json(out, plain(told))
    above = [f"{round(rate * (m + 1) - 1):5d} of {m}" for rate in found.rate]
    rows = zip(range(n), found.score, above, found.rate, strict=True)
    lines = [f"Loss of {pair[1].name} less that of {pair[0].name}, noise {SIGMA}, mean of {NOISES} noises:"]
    lines += ["image       score   held-out images above   false-positive rate"]
    lines += [f"{k:5d}  {score:+10.6f}   {place:>21}   {rate:.4f}" for k, score, place, rate in rows][:MOST]
    lines += [f"and {n - MOST} more, in {out}"] * (n > MOST)
    lines += [f"AUC of these images against held-out ones: {found.auc}"] * (n > 1)
    pairs = list(known(models)) or [f"(not measured for {published(models).root})"]
    lines += ["What can be found at all, own images of published models against held-out ones:", *pairs]
    return "\n".join(map(printable, lines))
