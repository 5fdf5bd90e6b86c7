"""The parameters of a chapter: JSON values, validated in its first cell.

papermill turns what JSON does not know into strings and assigns misspelt names without complaint; here both
are errors that name the parameter.
"""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from galgen.config import explain
from galgen.errors import GalgenError

__all__ = ["Parameters"]


class Parameters(BaseModel):
    """The parameters of every chapter, JSON values all of them.

    Attributes:
        profile: Name of a profile (`galgen.config`).
        data: `simulated`, or the path of images or of a data set.
        N: Training images of each model: a number, a list, or None for the sizes of the profile.
        seed: Names the split, the initialisations, the orders and the latents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    profile: str = "laptop"
    data: str = "simulated"
    N: int | list[int] | None = None
    seed: int = Field(0, ge=0)

    @classmethod
    def of_notebook(cls, namespace: dict) -> "Parameters":
        """Validate what papermill injected into a notebook whose first cells hold nothing but parameters.

        papermill turns what it does not know into strings, and assigns misspelt names without complaint;
        both are refused here.

        Args:
            namespace: The notebook's `globals()`, before anything else is defined.

        Raises:
            GalgenError: If a name is not a parameter, or a value is of the wrong type.
        """
        values = (str, int, float, list, tuple, dict, type(None))
        given = {k: v for k, v in namespace.items() if isinstance(v, values) and not k.startswith("_")}
        given = {k: v for k, v in given.items() if k not in ("In", "Out")}  # the shell's
        if unknown := sorted(set(given) - set(cls.model_fields)):
            raise GalgenError(
                f"unknown parameter {', '.join(unknown)}; the parameters are {', '.join(cls.model_fields)}"
            )
        return cls.checked(**given)

    @classmethod
    def checked(cls, **values: object) -> "Parameters":
        """Build from values that a person gave; a mistake is a GalgenError that names the parameter."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise GalgenError(f"parameters: {explain(error)}") from error
