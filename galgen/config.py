"""Profiles: how large everything is, from a test of seconds to the paper's own sizes; what a run is asked.

`laptop` is the base (`galgen.settings`), which the others override; unknown names are refused.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from galgen.runs.errors import Closed, GalgenError, checked
from galgen.settings import (
    ClockSettings,
    ConditionalSettings,
    DiffusionSettings,
    GanSettings,
    GlowSettings,
    Profile,
    TrainingSettings,
)

__all__ = ["PROFILES", "Asked", "Parameters", "profile"]

Asked = Literal["auto", "fp32", "bf16"]  # precisions, of which `galgen.models.precision` makes one

PROFILES = {
    "smoke": Profile(
        name="smoke",
        purpose="seconds, for the tests: everything runs, nothing is learnt",
        image_size=16,  # the least that three poolings leave something of
        simulated=150,
        validation=32,
        samples=16,
        diffusion=DiffusionSettings(
            N=(8, 24), design_N=8, more_pairs={24: 3}, kernels=4, passes_per_image=64, images_cap=1024
        ),
        conditional=ConditionalSettings(N=(8, 24), design_N=8, kernels=4, images_cap=512),
        clock4=ClockSettings(N=(8, 24), kernels=3, passes_per_image=64, images_cap=512, milestones=4),
        clock8=ClockSettings(N=(8, 24), kernels=4, passes_per_image=64, images_cap=512, milestones=4),
        clock16=ClockSettings(kernels=4, passes_per_image=64, images_cap=512, milestones=4),
        glow=GlowSettings(N=(8, 24), design_N=8, deepening=0, width=8, images_cap=256, milestones=2),
        gan=GanSettings(N=(8, 24), generator_width=4, discriminator_width=4, images_cap=512, milestones=3),
    ),
    "laptop": Profile(name="laptop", purpose="an hour and a half on two cores; the default"),
    "night": Profile(
        name="night",
        purpose="ten hours of two cores, over as many sittings as it takes",
        samples=1024,
        diffusion=DiffusionSettings(
            N=(10, 100, 1000, 4000),
            design_N=4000,
            more_pairs={100: 3, 4000: 3},
            kernels=24,
            images_cap=144_000,
        ),
        conditional=ConditionalSettings(
            N=(10, 100, 1000, 4000),
            design_N=4000,
            more_pairs={4000: 3},
            foreign=("galaxies", "galaxies", "leaves"),
            kernels=24,
            passes_per_image=2400,
            images_cap=216_000,
        ),
        glow=GlowSettings(steps=4, images_cap=60_000),
        gan=GanSettings(N=(30, 300, 4000), more_pairs={30: 3, 4000: 3}, images_cap=40_000),
    ),
    "paper": Profile(
        name="paper",
        purpose="the paper's sizes, on a GPU",
        image_size=64,
        simulated=250_000,
        validation=10_000,
        samples=1000,
        diffusion=DiffusionSettings(
            N=(100, 1000, 10_000, 100_000),
            design_N=1000,
            pairs=3,  # the paper has one, of which no verdict is made
            more_pairs={},
            kernels=64,  # 7.66 M parameters
            batch_size=512,
            optimizer="adam",
            learning_rate=1e-3,
            schedule="halving",
            loss="paper",
            passes_per_image=250_000,  # the budget is the cap whatever N, as in the paper
            images_cap=25_000_000,  # 100 epochs of 250 000
            sampler_steps=50,
        ),
        conditional=ConditionalSettings(  # in the sizes of the blind one: it is not in the paper
            N=(100, 1000, 10_000, 100_000),
            design_N=1000,
            pairs=3,
            kernels=64,
            batch_size=512,
            passes_per_image=250_000,
            images_cap=25_000_000,
        ),
        glow=GlowSettings(
            N=(1000, 10_000, 100_000),
            design_N=1000,
            steps=32,
            deepening=0,
            width=512,  # 44.1 M parameters
            bits=5,
            channels=3,
            batch_size=32,
            optimizer="adam",
            learning_rate=1e-4,
            images_cap=6_400_000,  # 200 000 iterations
        ),
        gan=GanSettings(
            N=(1000, 10_000, 100_000),
            design_N=1000,
            pairs=3,
            size=128,
            latent=256,  # with the widths below 35.8 M parameters
            generator_width=256,
            generator_widest=512,
            discriminator_width=128,
            discriminator_widest=512,
            decoders=1,
            attention=True,
            batch_size=40,  # 10, accumulated four times
            learning_rate=2e-4,
            discriminator_rate=1.0,
            penalty=10.0,  # of the package
            schedule="constant",
            images_cap=4_000_000,  # 100 000 iterations
            milestones=16,
        ),
    ),
}


def _trial(of: Profile) -> Profile:
    """The networks and images of a profile, five steps of eight images, as at the start of a warm-up."""
    small = {"simulated": 150, "validation": 32, "samples": 16, "report_every": 1, "save_every": 0.0}
    few = {"N": (8, 24), "batch_size": 8, "images_cap": 40, "milestones": 2, "passes_per_image": None}
    for part, settings in of:
        if not isinstance(settings, TrainingSettings):
            continue
        fewer = {name: getattr(settings, name) / 100 for name in ("learning_rate", "muon_rate")}
        fewer |= {"sampler_steps": 4} if "steps" in settings.sampler else {}
        ends = zip((8, 24), settings.N[:1] + settings.N[-1:], strict=False)
        fewer["more_pairs"] = {n: settings.pairs_at(N) for n, N in ends}
        fewer |= {"lengths": {}, "N": settings.N and (8, 24)} if isinstance(settings, ClockSettings) else {}
        small[part] = settings.model_copy(update=few | fewer | {"design_N": settings.design_N and 8})
    small |= {"name": f"{of.name}-trial", "purpose": f"whether `{of.name}` runs here"}
    return of.model_copy(update=small)


def profile(name: str) -> Profile:
    """The profile of that name; `paper-trial` has the sizes of `paper` for five steps, and so has any other.

    Raises:
        GalgenError: If there is none.
    """
    whole = name.removesuffix("-trial")
    if whole not in PROFILES:
        raise GalgenError(f"there is no profile '{name:.80}'; choose one of {', '.join(PROFILES)}")
    return PROFILES[whole] if whole == name else _trial(PROFILES[whole])


class Parameters(Closed):
    """The parameters of every chapter, JSON values all of them, and of every command that asks for models.

    Attributes:
        profile: Name of a profile.
        data: `simulated`, or the path of images or of a data set.
        N: Training images of each model, growing, one number or several; by default those of the profile.
        seed: Names the split, the initialisations, the orders and the latents.
        precision: In which wide networks are trained; `auto` is bf16 where the machine multiplies it.
    """

    profile: str = Field("laptop", description="; ".join(f"{k}: {p.purpose}" for k, p in PROFILES.items()))
    data: str = "simulated"
    N: tuple[Annotated[int, Field(lt=2**32)], ...] | None = None
    # a million times it names the first latent, below the seeds of what is drawn for controls (from 3e9 on)
    seed: int = Field(0, ge=0, lt=3000)
    precision: Asked = "auto"

    @field_validator("N", mode="before")
    @classmethod
    def _sizes(cls, N: object) -> object:
        return (N,) if isinstance(N, int) else tuple(N) if isinstance(N, list) else N

    def sizes(self, usual: tuple[int, ...], *, study: bool = False) -> tuple[int, ...]:
        """The N that are asked of a family, or those usual in its profile.

        A study keeps to its own as far as they are not beyond those asked, and has none where it has none.

        Raises:
            GalgenError: If they are impossible.
        """
        found = usual if self.N is None or not usual else self.N
        if study and found:
            found = tuple(n for n in usual if n <= max(found)) or found
        if self.N == () or min(found, default=2) < 2 or list(found) != sorted(set(found)):
            raise GalgenError(
                f"N must be a number above 1, or a growing list of such numbers, not {list(found)}"
            )
        return found

    def options(self) -> list[str]:
        """The same as options of the command line; a path may begin with a hyphen."""
        given = ["--profile", self.profile, f"--data={self.data}", "--seed", str(self.seed)]
        given += ["--precision", self.precision]
        return given + (["--N", *map(str, self.N)] if self.N else [])

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
            known = ", ".join(cls.model_fields)
            raise GalgenError(f"unknown parameter {', '.join(unknown)}; the parameters are {known}")
        return checked(cls, given, "parameters", strict=True)
