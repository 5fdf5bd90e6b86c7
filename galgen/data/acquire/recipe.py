"""Preprocessing options of imported images, for the command line and the importer."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from galgen.data.manifest import Bands
from galgen.runs.errors import Closed

__all__ = ["Recipe"]


class Recipe(Closed):
    """Preprocessing of each imported image.

    Attributes:
        size: Side of the output images, pixels; None: no resizing.
        crop: Side of the central square to crop, pixels; by default 64 for flux, no crop for display images.
        bands: Names of one to three flux bands, from blue to red, separated by commas.
        kind: Kind of pixels; auto: by file format; arrays are display images if they are uint8 or floats
            that all lie in [0, 1], and flux otherwise.
        gray: Convert color display images to gray, the mean of their channels; otherwise they are an error.
        subtract_sky: Subtract from each flux band the median of the outer tenth of its frame.
        Q: Softening of the flux stretch.
        stretch: Scale of the flux stretch in nanomaggies per pixel; see `flux_to_gray` for other units.
        distinct: Remove near-duplicates: images with an anomaly cosine of at least this, for example 0.95.
    """

    size: PositiveInt | None = 32
    crop: PositiveInt | None = None
    bands: Bands = Field(("g", "r", "z"), min_length=1, max_length=3)
    kind: Literal["auto", "flux", "display"] = "auto"
    gray: bool = False
    subtract_sky: bool = False
    Q: PositiveFloat = 8.0
    stretch: PositiveFloat = 0.2
    distinct: float | None = Field(None, ge=-1, le=1)
