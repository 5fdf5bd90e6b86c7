"""Was a model trained on this image? Two models that are named, images, and others that neither has seen.

What it does is in `galgen.compare.membership`. Beside the answer stands what can be found of such models at
all: the AUC of own against held-out images of the published pairs, by N, which `benchmarks/membership.py`
measured and which lies with them; it counts for a pair as long as its models are those.
"""

from pathlib import Path

import numpy as np

from galgen.compare.membership import NOISES, SIGMA, Membership, membership
from galgen.inference.denoising import trained_range
from galgen.inference.loading import Model
from galgen.published import published
from galgen.runs.errors import GalgenError, printable, reading
from galgen.runs.files import check_replaceable, has_fields, plain, read_json, write_json

__all__ = ["KNOWN", "check_output_path", "measured_pairs", "trained_on", "written"]

KNOWN = "membership.json"  # in the folder of a published set
MOST = 20  # images that are listed


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
        trained_range(each.family)  # refuses what is no denoiser
        if {images.shape[1:], held_out.shape[1:]} != {(1, each.size, each.size)}:
            raise GalgenError(
                f"{each.name} was trained on images of {each.size} x {each.size} pixels (--size)"
            )
    a, b = (each.family.denoiser(each.networks()) for each in (model, other))
    return membership(a, b, images, held_out)


def measured_pairs(models: Path | None = None) -> list[str]:
    """What can be found of the published pairs, a line each.

    Raises:
        GalgenError: If what was measured cannot be read.
    """
    place = published(models)
    path = place.root / KNOWN
    if not path.exists():
        return []
    with reading(path):
        told = "{model} beside {other_model}: AUC {auc[0]:.2f} [{auc[1]:.2f}, {auc[2]:.2f}]"
        return [told.format(**of) for of in read_json(path)]


def check_output_path(out: Path) -> Path:
    """OUT.json, if nothing is there but such an answer."""
    path = out.with_name(f"{out.name.removesuffix('.json')}.json")
    check_replaceable(
        path, lambda file: has_fields(file, {"model", "other_model", "score", "rate", "held_out"})
    )
    return path


def written(found: Membership, pair: tuple[Model, Model], models: Path | None, out: Path) -> str:
    """Write the answer as JSON, and say it in words."""
    told = {"model": pair[0].name, "other_model": pair[1].name, "sigma": SIGMA, "noises": NOISES}
    told |= {"score": found.score.tolist(), "rate": found.rate.tolist(), "held_out": found.held_out.tolist()}
    write_json(out, plain(told))
    lines = [f"Loss of {pair[1].name} minus that of {pair[0].name}, noise {SIGMA}, mean of {NOISES} noises:"]
    lines += ["image       score   false-positive rate"]
    rows = list(enumerate(zip(found.score, found.rate, strict=True)))
    lines += [f"{k:5d}  {score:+10.6f}   {rate:.4f}" for k, (score, rate) in rows[:MOST]]
    lines += [f"and {len(rows) - MOST} more, in {out}"] * (len(rows) > MOST)
    lines += [f"AUC of these images against {len(found.held_out)} held-out ones: {found.auc}"] * (
        len(rows) > 1
    )
    pairs = measured_pairs(models) or [f"(not measured for {published(models).root})"]
    lines += ["Of published models, own images against held-out ones:", *pairs]
    return "\n".join(map(printable, lines))
