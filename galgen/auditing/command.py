"""The command `galgen audit`: the images of anyone's generator, read, audited, and reported on."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from galgen.auditing.questions import OfModels, Questions
from galgen.cli import Place, Whole
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, printable

__all__ = ["audit"]


Asking = Parameter(group="Was this image trained on? (of a model that is named)")


def audit(
    *,
    samples: Annotated[
        Place | None, Parameter(help="Images of a model: a folder, a file, a data set.")
    ] = None,
    train: Annotated[Place | None, Parameter(help="The images that it was trained on.")] = None,
    held_out: Annotated[Place | None, Parameter(help="Others, a random part of the same pool.")] = None,
    other_samples: Annotated[Place | None, Parameter(help="Images of a second model, same latents.")] = None,
    other_train: Annotated[Place | None, Parameter(help="What the second model was trained on.")] = None,
    floor: Annotated[Place | None, Parameter(help="Same latents, a network of other images.")] = None,
    asked: Annotated[Questions, Parameter("*")] = Questions(),
    size: Annotated[Whole | None, Parameter(help="Average images down to so many pixels a side.")] = None,
    crop: Annotated[Whole | None, Parameter(help="Side of the central part to keep, pixels.")] = None,
    key: Annotated[str | None, Parameter(help="Name of the array in npz or HDF5 files.")] = None,
    out: Annotated[Place, Parameter(help="Name of the report, OUT.html and OUT.json.")] = Path("audit"),
    model: Annotated[str | None, Asking, Parameter(help="As `galgen models` lists it, or a file.")] = None,
    other_model: Annotated[str | None, Asking, Parameter(help="One of other images.")] = None,
    images: Annotated[Place | None, Asking, Parameter(help="The images in question.")] = None,
    of: Annotated[OfModels, Asking, Parameter("*")] = OfModels(),
) -> None:
    """Audit anyone's generator: are its samples copies of its training images, and are they right?

    With --model, --other-model, --images and --held-out instead: was a model trained on these images?
    """
    sets = {"samples": samples, "train": train, "held_out": held_out}
    if model or other_model or images:
        wanted = {"model": model, "other_model": other_model, "images": images, "held_out": held_out}
        _all(wanted, "to ask whether a model was trained on an image")
        _trained_on(model, other_model, images, held_out, of, size, crop, key, out)
        return
    _all(sets, "an audit of samples")
    from tqdm import tqdm

    import galgen
    from galgen import costs
    from galgen.auditing import report

    pages = report.free(out)  # before the work
    given = sets | {"other_samples": other_samples, "other_train": other_train, "floor": floor}
    # of latents that two models share none may be left out
    latents = {"samples", "other_samples", "floor"} if other_samples else set()
    keyed = {
        path for path in given.values() if path and path.suffix.lower() in (".npz", ".h5", ".hdf5", ".hdf")
    }
    if key and not keyed:
        raise GalgenError(f"--key {key} names an array of an npz or HDF5 file, and no set is one")
    with _begins_anew():
        keys = {path: key if path in keyed else None for path in given.values() if path}
        found = {name: _look(path, size, crop, keys[path]) for name, path in given.items() if path}
        shapes = {name: shape for name, (shape, _) in found.items()}
        told = costs.check_audit(shapes, flips=asked.flips, morphology=asked.morphology)
        print(f"galgen audit: {told}", file=sys.stderr)
        read = {
            name: _read(given[name], size, crop, key=keys[given[name]], kind=kind, strict=name in latents)
            for name, (_, kind) in found.items()
        }
        sets, names = ({name: each[k] for name, each in read.items()} for k in (0, 1))
        with tqdm(bar_format="galgen audit: {desc} ({elapsed})") as bar:
            found = galgen.audit(**sets, **dict(asked) | {"progress": bar.set_description_str})
        report.write_report(found, sets, names, pages)
    for title, text in report.words(found).items():
        print(title, text)
    print(printable(f"{pages[0]} and {pages[1].name}"))


def _all(wanted: dict[str, object], what: str) -> None:
    """Refuse what lacks an option."""
    if missing := [f"--{name.replace('_', '-')}" for name, given in wanted.items() if not given]:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in wanted)
        raise GalgenError(f"{what} needs {names}; {', '.join(missing)} is missing")


def _trained_on(
    model: str,
    other_model: str,
    images: Path,
    held_out: Path,
    of: OfModels,
    size: int | None,
    crop: int | None,
    key: str | None,
    out: Path,
) -> None:
    """Whether a model was trained on images."""
    import torch

    from galgen.auditing import trained_on
    from galgen.using.opening import opened

    torch.set_num_threads(1)
    page, asked = trained_on.free(out), Parameters(profile=of.profile, data=of.data, N=of.N, seed=of.book)
    pair = tuple(opened(name, asked, store=of.store, models=of.models) for name in (model, other_model))
    for each in pair:
        print(printable(str(each)), file=sys.stderr)
    with _begins_anew():
        sets = []
        for path in (images, held_out):
            keyed = key if path.suffix.lower() in (".npz", ".h5", ".hdf5", ".hdf") else None
            kind = _look(path, size, crop, keyed)[1]
            read = _read(path, size, crop, key=keyed, kind=kind, strict=True)[0]
            if not (read == read[:, :1]).all():
                raise GalgenError(f"{path} is in colour; the models know gray")
            sets.append(read[:, :1])
        found = trained_on.trained_on(*pair, *sets)
    print(trained_on.written(found, pair, of.models, page))


@contextlib.contextmanager
def _begins_anew() -> Iterator[None]:
    """An interrupted audit keeps nothing, and says so."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("the same command begins anew") from error


def _look(
    path: Path, size: int | None, crop: int | None, key: str | None
) -> tuple[tuple[int, int, int], str | None]:
    """The images, channels and pixels a side of a set, before it is read; and their kind.

    Floats of arrays are display images: one pixel that a model draws above 1 makes no flux of a set.
    """
    from galgen.data.acquire.readers import Refusal, open_source
    from galgen.data.acquire.recipe import Recipe
    from galgen.data.dataset import Dataset

    if (path / "meta.json").is_file():
        (count, *shape), kind = Dataset.open(path).images.shape, None
    else:
        shape = [0]
        with contextlib.ExitStack() as resources:
            source = open_source(path, Recipe().bands, key, resources)
            count, kind = len(source.names), source.kind or "display"
            with contextlib.suppress(Refusal):  # it will be refused by name when it is read for good
                shape = source.read(0)[1].shape
    channels = 3 if kind == "display" and len(shape) == 3 and min(shape) == 3 else 1
    return (count, channels, min(max(shape), crop or max(shape), size or max(shape))), kind


def _read(
    path: Path,
    size: int | None,
    crop: int | None,
    key: str | None = None,
    kind: str | None = None,
    strict: bool = False,
) -> tuple[np.ndarray, str]:
    """A set of images, uint8 (n, C, H, H), and what to call it; of a data set there is no kind."""
    from galgen.data.acquire.importing import import_images
    from galgen.data.dataset import Dataset
    from galgen.data.preprocess import averaged, crop_centre

    if kind is None:
        images = Dataset.open(path).images
        images = images if crop is None else crop_centre(images, crop)
        return images if size is None else averaged(images, size), str(path)
    asked = {"size": size, "crop": crop, "key": key, "strict": strict, "kind": kind}
    found = import_images(path, colour=True, progress=True, **asked)
    for name, reason in found.refused:
        print(printable(f"refused {name}: {reason}"), file=sys.stderr)
    left_out = f", {len(found.refused)} left out" if found.refused else ""
    return found.images, f"{path}{', flux, stretched' * (found.parameters['kind'] == 'flux')}{left_out}"
