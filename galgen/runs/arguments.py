"""Validate the arguments of public functions by their annotations; report all mistakes in one line."""

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
    """Convert images to a numeric array; None (optional images) is returned unchanged.

    Raises:
        ValueError: If the array is masked, not dense or not numeric.
    """
    if isinstance(images, np.ma.MaskedArray):
        raise ValueError("masked arrays are not supported; fill masked values, for example with .filled(0)")
    try:
        if isinstance(images, torch.Tensor):  # numpy knows neither bfloat16 nor gradients
            images = images.detach().cpu()
            images = images.float() if images.is_floating_point() else images
        array = None if images is None else np.asarray(images)
    except Exception as error:  # ragged lists and sparse tensors can raise anything
        raise ValueError(f"not an array of images ({error})") from error
    if array is not None and array.dtype.kind not in "buif":
        raise ValueError(f"expected a numeric array, not {array.dtype}")
    return array


Images = Annotated[np.ndarray, BeforeValidator(_array)]
OptionalImages = Annotated[np.ndarray | None, BeforeValidator(_array)]


def validated(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function so that pydantic validates its arguments against their annotations.

    Raises:
        GalgenError: When the function is called; names the function and each invalid argument.
    """
    config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    check, signature = validate_call(config=config)(function), inspect.signature(function)
    name = f"galgen.{function.__name__}"

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError as error:  # an argument is missing or unknown
            raise GalgenError(f"{name}: {error}") from error
        try:
            return check(**arguments)
        except ValidationError as error:
            raise GalgenError(" ".join(str(refused(error, name)).split())) from error

    return wrapper
