"""Profiles and settings: what decides how each family of models is trained, and what a run is asked.

A profile says how large everything is, from a test of seconds to the paper's own sizes. The defaults of the
settings are those of `laptop`, which the other profiles override; unknown names are refused. A training costs
images shown:

    images shown = min(passes_per_image * N, images_cap)

as memorising takes passes over the images, how many at each N is one of the questions: with one budget of
images for all N, only the small ones would have the time.

What decides how a training ends is its recipe (`TrainingSettings.recipe`), a part of its key in the run
store. How many models there are, and which others they are compared with, is not.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from galgen.runs.errors import Closed, GalgenError, checked
from galgen.runs.files import in_place, project
from galgen.runs.schedules import log_spaced

__all__ = [
    "PROFILES",
    "Asked",
    "ConditionalSettings",
    "DenoiserSettings",
    "DiffusionSettings",
    "GanSettings",
    "GlowSettings",
    "OnsetSettings",
    "Parameters",
    "Profile",
    "TrainingSettings",
    "profile",
]

EARLY = (512, 2048, 8192)  # images shown at which a denoiser knows little; from 24 000 on it draws galaxies

OutOfDomain = Literal["galaxies", "leaves"]  # other galaxies than the data's, or dead leaves, no kin of any


class TrainingSettings(Closed, strict=True):
    """What every family of models says: its sizes, and what its trainings cost."""

    N: tuple[int, ...]  # training images of each model
    design_N: int | None  # the size at which the 2x2 of initialisation and data is run, if it is
    pairs: int = 1  # of models at each N, on the same images
    more_pairs: dict[int, int] = Field({})  # by N, where there are others
    out_of_domain: tuple[OutOfDomain, ...] = ()  # data of control models, at the largest N
    batch_size: int
    learning_rate: float  # of Adam, which trains what Muon does not
    optimizer: Literal["muon", "adam"] = "muon"  # of the convolutions within
    muon_rate: float = 0.02
    schedule: str  # a name of `galgen.runs.schedules.SCHEDULES`
    passes_per_image: int | None = None  # None: the cap, whatever N
    images_cap: int
    milestones: int  # weights kept along the way, log-spaced in images shown

    @property
    def wide(self) -> bool:
        """Whether the networks are wide enough to train faster in bfloat16 (`galgen.models.precision`)."""
        return False

    def images_shown(self, N: int) -> int:
        """Images shown to a model with N training images, a whole number of batches.

        >>> [DiffusionSettings().images_shown(N) for N in (10, 4000)]
        [24000, 72000]
        """
        wanted = min((self.passes_per_image or self.images_cap) * N, self.images_cap)
        return max(wanted // self.batch_size, 1) * self.batch_size

    def pairs_at(self, N: int) -> int:
        """How many pairs of models there are of N images."""
        return self.more_pairs.get(N, self.pairs)

    def kept(self, N: int) -> list[int]:
        """Images shown at which weights are kept."""
        end = self.images_shown(N)
        return log_spaced(max(self.batch_size, end // 128), end, self.milestones)

    @property
    def sampler(self) -> dict:
        """What samples depend on beside the model: the settings named `sampler_...`, without that."""
        return {k.removeprefix("sampler_"): v for k, v in self if k.startswith("sampler_")}

    def recipe(self) -> dict:
        """What a training depends on beside its images, its seeds, its length and its precision (JSON)."""
        elsewhere = {"N", "design_N", "pairs", "more_pairs", "out_of_domain"}
        elsewhere |= {"passes_per_image", "images_cap"}
        elsewhere |= {"milestones", "lengths", "own"} | {f"sampler_{name}" for name in self.sampler}
        return self.model_dump(mode="json", exclude=elsewhere)


class DenoiserSettings(TrainingSettings):
    """What both denoisers say: the blind one, and the one that is told the noise level."""

    base_channels: int = 16  # 0.48 M parameters: what two cores can train in minutes
    blocks: int = 3  # as in the paper
    batch_size: int = 16  # with Muon a step of 16 costs what two of 8 cost with Adam
    learning_rate: float = 4e-3
    schedule: Literal["cosine", "halving", "late"] = "cosine"
    milestones: int = 0  # other ones, see below
    sampler_steps: int = 30  # calls of the network for a sample
    sampler_sigma_min: float = 0.006  # one and a half grey levels of 8 bits; from 0.01 the samples are softer

    @property
    def wide(self) -> bool:
        """From 16 kernels on: a step takes two thirds of the time; with 8 as long as in float32."""
        return self.base_channels >= 16

    def kept(self, N: int) -> list[int]:
        """The same numbers for every N, as far as its training goes, and half of it."""
        end = self.images_shown(N)
        doubled = [24_000 * 2**k for k in range(end.bit_length())]
        return sorted({m for m in (*EARLY, *doubled, end // 2) if m < end} | {end})


class DiffusionSettings(DenoiserSettings):
    """The blind denoiser: its network, training and sampler."""

    N: tuple[int, ...] = (10, 100, 4000)  # memorising, between, generalising
    design_N: int | None = None  # by night
    more_pairs: dict[int, int] = Field({4000: 3})  # an interval over trainings needs them
    out_of_domain: tuple[OutOfDomain, ...] = ("galaxies", "galaxies", "leaves")
    statistics: Literal["batch", "running"] = "batch"  # that the norms divide by in training
    loss: Literal["weighted", "paper"] = "weighted"  # divided by (sigma + 0.02): +4.7 dB at low noise
    passes_per_image: int | None = 2400  # N = 30 is memorized after some 900 at 16 pixels, with Muon
    images_cap: int = 72_000  # what two cores can train of an hour; at twice that the samples are sharper
    sampler_sigma_max: float = 1.0  # the largest noise that it is trained on


class OnsetSettings(DiffusionSettings):
    """Small blind denoisers of small images, trained on until they memorise: when do they begin to?"""

    N: tuple[int, ...] = ()  # of simulated galaxies
    own: tuple[int, ...] = ()  # of one's own, where a run asks for the onset study
    design_N: int | None = None
    out_of_domain: tuple[OutOfDomain, ...] = ()
    image_size: int = 16  # pixels, over which those of the profile are averaged
    base_channels: int = 8  # 0.12 M parameters
    schedule: Literal["late"] = "late"  # one that stretches with the length would decide the onset
    lengths: dict[int, int] = Field({})  # by N, images shown; of another N, those of the passes
    passes_per_image: int | None = 4000
    images_cap: int = 200_000
    milestones: int = 17
    sampler_steps: int = 20

    @property
    def wide(self) -> bool:
        """One precision for all widths: they are compared, and images of 16 pixels gain nothing."""
        return False

    def images_shown(self, N: int) -> int:
        """As long as the lengths say, or the passes."""
        if N not in self.lengths:
            return super().images_shown(N)
        return self.lengths[N] // self.batch_size * self.batch_size

    def kept(self, N: int) -> list[int]:
        """Log-spaced from 2 048 on, and where the rate begins to fall."""
        end = self.images_shown(N)
        return sorted({*log_spaced(min(EARLY[1], end // 4), end, self.milestones), end * 9 // 10})


class ConditionalSettings(DenoiserSettings):
    """The noise-conditional denoiser: its network, training and sampler."""

    N: tuple[int, ...] = (100, 4000)  # memorising, generalising
    design_N: int | None = None  # by night
    out_of_domain: tuple[OutOfDomain, ...] = ("galaxies",)
    noise_mean: float = -2.2  # of log sigma; AUC at 32, 16, 8 pixels .94, .85, .70; at -1.6 .99, .89, .74
    noise_width: float = 1.5  # Karras's 1.2 leaves little above sigma = 1, where brightness is decided
    noise_least: float = 0.005
    noise_most: float = 15.0
    passes_per_image: int | None = 720  # 72 000 images at N = 100
    images_cap: int = 96_000  # some 260 seconds of a core in bf16
    sampler_sigma_max: float = 10.0  # several times the deviation of the first component, 1.7
    sampler_rho: float = 7.0


class GlowSettings(TrainingSettings):
    """Glow: its network and training."""

    N: tuple[int, ...] = (100, 1000, 4000)  # the paper's three sizes, as far as the data set reaches
    design_N: int | None = 100
    pairs: int = 4  # with four a test over pairs reaches p < 0.05
    out_of_domain: tuple[OutOfDomain, ...] = ("galaxies",)
    steps: int = 2  # the paper's K; of level 0, where most of the time goes
    levels: int = 3  # the paper's L
    deepening: int = 4  # steps more of each further level: large scales, and maps four times as cheap
    width: int = 64  # channels of the coupling nets
    bits: int = 8  # at the paper's 5 the noise of the sky is one bin, whose sharp edges a small flow blurs
    channels: Literal[1, 3] = 1  # 3: the gray image fed three times, as the paper's latent shapes tell
    batch_size: int = 32  # at equal seconds 3.354 bits/dim, with 16 3.360; AUC at 8 pixels .921, .938
    learning_rate: float = 8e-3  # with 4e-3 and Muon's 0.01 3.360 bits/dim (each the mean of three trainings)
    muon_rate: float = 0.015
    schedule: Literal["cosine", "halving"] = "cosine"
    images_cap: int = 19_200  # half a minute of a core in bf16, so that there can be four pairs at each N
    milestones: int = 4
    clip_value: float = 5.0  # of each component of the gradient, as in the paper
    clip_norm: float = 100.0  # of its norm after that
    sampler_temperature: float = 1.0

    @property
    def wide(self) -> bool:
        """From 64 channels on in the couplings, whose convolutions alone are in bfloat16."""
        return self.width >= 64


class GanSettings(TrainingSettings):
    """The lightweight GAN: its networks and training."""

    N: tuple[int, ...] = (30, 4000)  # the discriminator knows its images by heart, or not at all
    design_N: int | None = None  # nothing ties a latent to an image, whatever the initialisation
    size: int = 32  # pixels of its networks; images of another side are resized on the way in and out
    latent: int = 64
    generator_width: int = 16  # feature channels at 32 pixels
    generator_widest: int = 64
    discriminator_width: int = 32  # with 8, as cheap as the generator, it lets lattices and blobs pass
    discriminator_widest: int = 128
    decoders: Literal[1, 2] = 2
    kernel: Literal[3, 4] = 4
    attention: bool = False
    batch_size: int = 8  # more steps: cleaner samples than 16 after the same minutes
    optimizer: Literal["adam"] = "adam"  # AUC at 8 pixels .94; Muon for G .94 to .96, for G and D .99
    learning_rate: float = 1e-3
    discriminator_rate: float = 2.0
    penalty: float = 0.05  # on the slope of D; with the package's 10 D distinguishes nothing at 32 pixels
    reconstruction: float = 1.0  # weight of what the decoders of D miss
    share: float = 0.25  # of each batch, on which penalty and reconstruction are computed
    decay: float = 0.995  # of the average of the generator, per step
    collapse: float = 10.0  # limit of `mode_collapse`, beyond which the training stops
    schedule: Literal["constant", "falling"] = "falling"
    images_cap: int = 9_000
    milestones: int = 8


class Profile(Closed, strict=True):
    """One size of the whole experiment."""

    name: str
    purpose: str
    image_size: int = 32  # pixels; a 64 x 64 image costs four times as much
    crop: int = 64  # pixels of 0.262 arcsec about the target, as in the paper
    simulated: int = 10_000  # galaxies of the embedded data set: two times the largest N, and validation
    validation: int = Field(1000, ge=1)
    samples: int = 256  # latents shared by A and B; a proportion is known to +-0.06
    report_every: int = 50  # steps between two lines of the log of a training
    save_every: float = 60.0  # seconds between two of its checkpoints, which come with a line
    diffusion: DiffusionSettings = DiffusionSettings()
    conditional: ConditionalSettings = ConditionalSettings()
    onset4: OnsetSettings = OnsetSettings(base_channels=4)
    onset8: OnsetSettings = OnsetSettings(  # twice as long as it takes at 300
        N=(300,), own=(10, 100, 300), lengths={10: 40_000, 100: 200_000, 300: 700_000}
    )
    onset16: OnsetSettings = OnsetSettings(base_channels=16)
    onset32: OnsetSettings = OnsetSettings(base_channels=32)
    glow: GlowSettings = GlowSettings()
    gan: GanSettings = GanSettings()


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
            N=(8, 24), design_N=8, more_pairs={24: 3}, base_channels=4, passes_per_image=64, images_cap=1024
        ),
        conditional=ConditionalSettings(N=(8, 24), design_N=8, base_channels=4, images_cap=512),
        onset4=OnsetSettings(base_channels=3, passes_per_image=64, images_cap=512, milestones=4),
        onset8=OnsetSettings(
            N=(24,), own=(8, 24), base_channels=4, passes_per_image=64, images_cap=512, milestones=4
        ),
        onset16=OnsetSettings(base_channels=4, passes_per_image=64, images_cap=512, milestones=4),
        onset32=OnsetSettings(base_channels=4, passes_per_image=64, images_cap=512, milestones=4),
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
            base_channels=24,
            images_cap=144_000,
        ),
        conditional=ConditionalSettings(
            N=(10, 100, 1000, 4000),
            design_N=4000,
            more_pairs={4000: 3},
            out_of_domain=("galaxies", "galaxies", "leaves"),
            base_channels=24,
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
            base_channels=64,  # 7.66 M parameters
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
            base_channels=64,
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
        if isinstance(settings, OnsetSettings):
            few_of = {name: getattr(settings, name) and (8, 24) for name in ("N", "own")}
            fewer |= few_of | {"lengths": {}}
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
        N: Training images of each model, growing, one number or several, also as a text, set apart by spaces
            or commas, as papermill's option `-p N "10 100"` has it; by default those of the profile.
        seed: Names the split, the initialisations, the orders and the latents.
        precision: In which wide networks are trained; `auto` is that of a published run with this profile,
            data and seed, or else bf16 where the machine multiplies it.
        onset_study: Whether the onset of the denoising gap is measured on galaxies of your own, too.
    """

    profile: str = Field("laptop", description="; ".join(f"{k}: {p.purpose}" for k, p in PROFILES.items()))
    data: str = "simulated"
    N: tuple[Annotated[int, Field(lt=10**7)], ...] | None = None
    # a million times it names the first latent, below the seeds of what is drawn for controls (from 3e9 on)
    seed: int = Field(0, ge=0, lt=3000)
    precision: Asked = "auto"
    onset_study: bool = False

    @field_validator("N", mode="before")
    @classmethod
    def _sizes(cls, N: object) -> object:
        if isinstance(N, str):
            N = [int(each) if each.isdecimal() else each for each in N.replace(",", " ").split()]
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

    @property
    def folder(self) -> Path:
        """Where the table of the run is published, as `results/laptop-simulated-seed7`."""
        name = f"{self.profile}-{Path(self.data).stem}" + f"-seed{self.seed}" * bool(self.seed)
        return in_place(project() / "results" / name)

    def options(self) -> list[str]:
        """The same as options of the command line; a path may begin with a hyphen."""
        given = ["--profile", self.profile, f"--data={self.data}", "--seed", str(self.seed)]
        given += ["--precision", self.precision, *["--onset-study"] * self.onset_study]
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
