"""Membership inference for trained models by name: was a model trained on these images?

The method is in `galgen.compare.membership`. For comparison the result includes the AUC of training against
held-out images for the published pairs of models, by N, which was measured once and is stored with them.
"""

from pathlib import Path

import numpy as np

from galgen.compare.membership import NOISES, SIGMA, Membership, membership
from galgen.inference.denoising import trained_range
from galgen.inference.loading import Model
from galgen.published import published
from galgen.runs.errors import GalgenError, printable, reading
from galgen.runs.files import check_replaceable, has_fields, read_json, to_json_values, write_json

__all__ = ["KNOWN", "check_output_path", "measured_pairs", "trained_on", "written"]

KNOWN = "membership.json"  # in the directory of a published set
MOST = 20  # maximum number of images listed


def trained_on(model: Model, other: Model, images: np.ndarray, held_out: np.ndarray) -> Membership:
    """Score whether `model` was trained on images, uint8 (n, 1, H, W), relative to held-out ones.

    Raises:
        GalgenError: If the models are not two different denoisers for images of this size.
    """
    if model.weights == other.weights:
        raise GalgenError(
            f"{model.name} is compared with itself: choose a model of other images (--other-model)"
        )
    for each in (model, other):
        trained_range(each.family)  # refuses models that are not denoisers
        if {images.shape[1:], held_out.shape[1:]} != {(1, each.size, each.size)}:
            raise GalgenError(
                f"{each.name} was trained on images of {each.size} x {each.size} pixels (--size)"
            )
    a, b = (each.family.denoiser(each.networks()) for each in (model, other))
    return membership(a, b, images, held_out)


def measured_pairs(models: Path | None = None) -> list[str]:
    """Return the AUC of training against held-out images for each published pair, one line per pair.

    Raises:
        GalgenError: If the stored values cannot be read.
    """
    place = published(models)
    path = place.root / KNOWN
    if not path.exists():
        return []
    with reading(path):
        line = "{model} with {other_model}: AUC {auc[0]:.2f} [{auc[1]:.2f}, {auc[2]:.2f}]"
        return [line.format(**pair) for pair in read_json(path)]


def check_output_path(out: Path) -> Path:
    """Return OUT.json, if it does not exist or is an earlier result; refuse other files."""
    path = out.with_name(f"{out.name.removesuffix('.json')}.json")
    check_replaceable(
        path, lambda file: has_fields(file, {"model", "other_model", "score", "rate", "held_out"})
    )
    return path


def written(found: Membership, pair: tuple[Model, Model], models: Path | None, out: Path) -> str:
    """Write the result as JSON, and return it as text."""
    fields = {"model": pair[0].name, "other_model": pair[1].name, "sigma": SIGMA, "noises": NOISES}
    fields |= {key: getattr(found, key).tolist() for key in ("score", "rate", "held_out")}
    write_json(out, to_json_values(fields))
    lines = [f"Loss of {pair[1].name} minus that of {pair[0].name}, noise {SIGMA}, mean of {NOISES} noises:"]
    lines += ["image       score   false-positive rate"]
    rows = list(enumerate(zip(found.score, found.rate, strict=True)))
    lines += [f"{k:5d}  {score:+10.6f}   {rate:.4f}" for k, (score, rate) in rows[:MOST]]
    lines += [f"and {len(rows) - MOST} more, in {out}"] * (len(rows) > MOST)
    lines += [f"AUC of these images against {len(found.held_out)} held-out ones: {found.auc}"] * (
        len(rows) > 1
    )
    pairs = measured_pairs(models) or [f"(not measured for {published(models).root})"]
    lines += ["AUC of training against held-out images for published models:", *pairs]
    return "\n".join(map(printable, lines))
