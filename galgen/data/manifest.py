"""The data manifest: every source of images, where it comes from and how to credit it.

`data_manifest.yaml` in the project's root has one entry per source. The schema is closed: an unknown key or a
value of the wrong kind is an error that names the file, the entry and the field.
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
    """Names with commas between, as a command line has them, one by one."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return names
    return tuple(part for name in names for part in name.split(","))


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("the names must be different")
    return names


Bands = Annotated[tuple[Text, ...], BeforeValidator(_split), AfterValidator(_different)]


def check_template(template: str) -> str:
    """Return `template` if it is the URL of a cut-out with the placeholders that `str.format` will fill.

    Raises:
        ValueError: Not http(s), a placeholder without which all cut-outs would be one, or an unknown one.
    """
    if not template.startswith(("http://", "https://")):
        raise ValueError(f"{template!r} does not start with http:// or https://")
    fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    if any(form or conversion for _, _, form, conversion in fields):
        raise ValueError(f"{template!r} has a placeholder with a format: all values are text, as {{ra}}")
    if not REQUIRED_PLACEHOLDERS <= {name for _, name, _, _ in fields} <= PLACEHOLDERS:
        raise ValueError(f"{template!r} must have {sorted(REQUIRED_PLACEHOLDERS)} of {sorted(PLACEHOLDERS)}")
    return template


Template = Annotated[Text, AfterValidator(check_template)]


class Source(Closed):
    """One source of images."""

    description: Text
    survey: Text
    bands: Bands = Field(description="Bands, from blue to red; empty if the user's files decide.")
    pixel_scale: PositiveFloat | None = Field(description="Arcseconds per pixel; null if it varies.")
    size: PositiveInt | None = Field(description="Side of the images, pixels; null if it varies.")
    count: PositiveInt | None = Field(description="Number of images; null if it is the user's choice.")
    template: Template | None = Field(
        None, description="URL of the cut-outs of one object, all bands in one cube, see `check_template`."
    )
    query: Text | None = Field(None, description="The query that gives the catalogue of positions.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    bytes: PositiveInt | None = Field(None, description="Size of the file where it is one fixed file.")
    redistribute: bool = Field(False, description="Whether its images, made smaller, may lie in a book.")
    licence: Text
    acknowledgement: Text
    citation: tuple[Text, ...] = Field(min_length=1)


class Manifest(Closed):
    """All sources, by name."""

    sources: dict[str, Source] = Field(min_length=1)

    def source(self, name: str) -> Source:
        """Return the entry called `name`, or raise `GalgenError` with the names there are."""
        if name not in self.sources:
            raise GalgenError(f"no source {name!r} in the data manifest; there are {sorted(self.sources)}")
        return self.sources[name]

    def name_of(self, sha256: str) -> str:
        """Return the name of the source whose fixed file has this sha256, else `local`: whom to credit."""
        return next((name for name, source in self.sources.items() if source.sha256 == sha256), "local")


def load_manifest(path: str | Path | None = None) -> Manifest:
    """Read and check a data manifest.

    Args:
        path: The file. By default the first `data_manifest.yaml` in the working directory or a folder above
            it, beside the package (a checkout), or in it (a wheel).

    Raises:
        GalgenError: No file, no YAML, or a value that the schema refuses (file, entry and field are named).
    """
    if path is None:
        here = Path(__file__).resolve()
        places = [folder / MANIFEST_NAME for folder in (project(), here.parents[2], here.parent)]
        path = next((place for place in places if place.is_file()), places[0])
    with reading(path, "give its path"):
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    known = ", ".join(Source.model_fields)
    return checked(Manifest, content, f"{path} is no data manifest, whose entries have the fields {known}")
