"""What is done to each of the user's images, as the command line and the importer are asked for it."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from galgen.data.manifest import Bands
from galgen.runs.errors import Closed

__all__ = ["Recipe"]


class Recipe(Closed):
    """What is done to each image.

    Attributes:
        size: Side of the images made, pixels; None leaves it as it is, or as it is cropped.
        crop: Side of the central square to keep, pixels; by default 64 of flux and all of a display image.
        bands: Names of one to three bands of flux, from blue to red, with commas between.
        kind: What the pixels are; auto: as the format says, and of arrays uint8 and floats that all lie in
            [0, 1] are display images, all else is flux.
        gray: Make colour display images gray, by the mean of their channels; otherwise they are an error.
        subtract_sky: Subtract from each band of flux the median of the outer tenth of its frame.
        Q: Softening of the stretch of flux.
        stretch: Scale of the stretch of flux, for nanomaggies a pixel; see `flux_to_gray` for other units.
        distinct: Keep one of images whose anomaly cosine is at least this (0.95), see `near_duplicates`.
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
