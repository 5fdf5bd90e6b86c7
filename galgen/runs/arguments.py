"""Arguments of the functions that users call: checked by their annotations, refused in one line."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

import numpy as np
import torch
from pydantic import BeforeValidator, ConfigDict, ValidationError, validate_call

from galgen.runs.errors import GalgenError, refused

__all__ = ["Images", "OptionalImages", "validated"]

P, T = ParamSpec("P"), TypeVar("T")


def _array(images: object) -> np.ndarray | None:
    """Images as an array of numbers; None, for images that are optional, stays None.

    Raises:
        ValueError: If they are masked, or no dense array of numbers.
    """
    if isinstance(images, np.ma.MaskedArray):
        raise ValueError("a masked array; fill what is masked, as .filled(0) does, or leave it out")
    try:
        if isinstance(images, torch.Tensor):  # numpy knows neither bfloat16 nor gradients
            images = images.detach().cpu()
            images = images.float() if images.is_floating_point() else images
        array = None if images is None else np.asarray(images)
    except Exception as error:  # of a ragged list or a sparse tensor it may be anything
        raise ValueError(f"no array of images ({error})") from error
    if array is not None and array.dtype.kind not in "buif":
        raise ValueError(f"an array of {array.dtype}; give one of numbers")
    return array


Images = Annotated[np.ndarray, BeforeValidator(_array)]
OptionalImages = Annotated[np.ndarray | None, BeforeValidator(_array)]


def validated(function: Callable[P, T]) -> Callable[P, T]:
    """Check the arguments of a function by their annotations, as pydantic does.

    Raises:
        GalgenError: When it is called: names the function, and each argument that does not fit.
    """
    config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    check, signature = validate_call(config=config)(function), inspect.signature(function)
    what = f"galgen.{function.__name__}"

    @functools.wraps(function)
    def called(*positional: P.args, **named: P.kwargs) -> T:
        try:
            given = signature.bind(*positional, **named).arguments
        except TypeError as error:  # an argument is missing or unknown
            raise GalgenError(f"{what}: {error}") from error
        try:
            return check(**given)
        except ValidationError as error:
            raise GalgenError(" ".join(str(refused(error, what)).split())) from error

    return called
