"""The data manifest: all sources of images, their origin and how to credit them.

`data_manifest.yaml` in the project's root has one entry per source. The schema is closed: an unknown key or a
value of an invalid type is an error that names the file, the entry and the field.
"""

import string
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt, StringConstraints

from galgen.runs.errors import Closed, GalgenError, checked, reading
from galgen.runs.files import project

__all__ = ["Bands", "Manifest", "Template", "load_manifest"]

MANIFEST_NAME = "data_manifest.yaml"
REQUIRED_PLACEHOLDERS = {"ra", "dec", "bands"}
PLACEHOLDERS = REQUIRED_PLACEHOLDERS | {"size", "pixscale"}

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _split(names: object) -> object:
    """Split comma-separated names, as given on the command line."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return names
    return tuple(part for name in names for part in name.split(","))


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("the names must be different")
    return names


Bands = Annotated[tuple[Text, ...], BeforeValidator(_split), AfterValidator(_different)]


def check_template(template: str) -> str:
    """Return `template` if it is a valid URL template of cut-outs, filled by `str.format`.

    Raises:
        ValueError: If it is not http(s), lacks a required placeholder or has an unknown one.
    """
    if not template.startswith(("http://", "https://")):
        raise ValueError(f"{template!r} does not start with http:// or https://")
    fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    if any(form or conversion for _, _, form, conversion in fields):
        raise ValueError(f"{template!r} has a placeholder with a format; values are text: write {{ra}}")
    if not REQUIRED_PLACEHOLDERS <= {name for _, name, _, _ in fields} <= PLACEHOLDERS:
        raise ValueError(f"{template!r} must have {sorted(REQUIRED_PLACEHOLDERS)} of {sorted(PLACEHOLDERS)}")
    return template


Template = Annotated[Text, AfterValidator(check_template)]


class Source(Closed):
    """A source of images."""

    description: Text
    survey: Text
    bands: Bands = Field(description="Bands, from blue to red; empty if the user's files decide.")
    pixel_scale: PositiveFloat | None = Field(description="Arcseconds per pixel; null if it varies.")
    size: PositiveInt | None = Field(description="Side of the images, pixels; null if it varies.")
    count: PositiveInt | None = Field(description="Number of images; null if the user chooses it.")
    template: Template | None = Field(
        None, description="URL template of one object's cut-outs, all bands in a cube (`check_template`)."
    )
    query: Text | None = Field(None, description="Query that returns the catalogue of positions.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    bytes: PositiveInt | None = Field(None, description="Size of the file if the source is one fixed file.")
    redistribute: bool = Field(False, description="Whether a book may contain its images, downsampled.")
    licence: Text
    acknowledgement: Text
    citation: tuple[Text, ...] = Field(min_length=1)


class Manifest(Closed):
    """All sources, by name."""

    sources: dict[str, Source] = Field(min_length=1)

    def source(self, name: str) -> Source:
        """Return the entry called `name`, or raise `GalgenError` with the known names."""
        if name not in self.sources:
            raise GalgenError(f"no source {name!r} in the data manifest; choose from {sorted(self.sources)}")
        return self.sources[name]

    def name_of(self, sha256: str) -> str:
        """Return the name of the source whose file has this sha256, else `local`."""
        return next((name for name, source in self.sources.items() if source.sha256 == sha256), "local")


def load_manifest(path: str | Path | None = None) -> Manifest:
    """Read and validate a data manifest.

    Args:
        path: The file. By default the first `data_manifest.yaml` in the working directory or a folder above
            it, next to the package (a checkout), or in it (a wheel).

    Raises:
        GalgenError: If the file is missing, not YAML or invalid (names the file, entry and field).
    """
    if path is None:
        here = Path(__file__).resolve()
        places = [folder / MANIFEST_NAME for folder in (project(), here.parents[2], here.parent)]
        path = next((place for place in places if place.is_file()), places[0])
    with reading(path, "give its path"):
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    fields = ", ".join(Source.model_fields)
    return checked(Manifest, content, f"{path} is not a data manifest (entries have the fields {fields})")
