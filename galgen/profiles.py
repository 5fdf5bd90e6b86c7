"""Profiles, hyperparameters of each model family, and the parameters of a run.

A profile sets the sizes of the whole experiment, from tests of seconds to the paper's sizes. The defaults of
the settings are those of `laptop`, which the other profiles override; unknown names are rejected. The length
of a training is

    images shown = min(epochs * N, images_cap)

since memorization takes a number of epochs, which may depend on N: with one number of images for all N, only
models with small N would be trained long enough.

Everything that determines a training is in its recipe (`TrainingSettings.recipe`), a part of its store key;
the number of models and the comparisons between them are not.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from galgen.runs.errors import Closed, GalgenError, checked
from galgen.runs.files import in_place, project
from galgen.runs.schedules import log_spaced

__all__ = [
    "PROFILES",
    "ConditionalSettings",
    "DenoiserSettings",
    "DiffusionSettings",
    "GanSettings",
    "GlowSettings",
    "OnsetSettings",
    "Parameters",
    "PrecisionOption",
    "Profile",
    "TrainingSettings",
    "profile",
]

EARLY = (512, 2048, 8192)  # images shown; a denoiser generates galaxies only from 24 000 on

OutOfDomain = Literal["galaxies", "leaves"]  # galaxies unlike those of the data set, or dead leaves


class TrainingSettings(Closed, strict=True):
    """Settings common to all model families: sizes, optimizer and length of the trainings."""

    N: tuple[int, ...]  # training images per model
    design_N: int | None  # N of the 2x2 design of initialization and data; None: no design
    pairs: int = 1  # pairs of models at each N, on the same images
    more_pairs: dict[int, int] = Field({})  # number of pairs at an N, where it differs from `pairs`
    out_of_domain: tuple[OutOfDomain, ...] = ()  # training data of out-of-domain models, at the largest N
    batch_size: int
    learning_rate: float  # of Adam, for all parameters that Muon does not train
    optimizer: Literal["muon", "adam"] = "muon"  # of the inner convolutions
    muon_rate: float = 0.02
    schedule: str  # a name of `galgen.runs.schedules.SCHEDULES`
    epochs: int | None = None  # None: images_cap for all N
    images_cap: int
    milestones: int  # number of times weights are saved, log-spaced in images shown

    @property
    def wide(self) -> bool:
        """Whether the networks are wide enough to train faster in bfloat16 (`galgen.models.precision`)."""
        return False

    def images_shown(self, N: int) -> int:
        """Return the images shown to a model with N training images, a whole number of batches.

        >>> [DiffusionSettings().images_shown(N) for N in (10, 4000)]
        [24000, 72000]
        """
        wanted = min((self.epochs or self.images_cap) * N, self.images_cap)
        return max(wanted // self.batch_size, 1) * self.batch_size

    def pairs_at(self, N: int) -> int:
        """Return the number of pairs of models with N training images."""
        return self.more_pairs.get(N, self.pairs)

    def milestones_at(self, N: int) -> list[int]:
        """Return the milestones, in images shown, at which weights are saved."""
        end = self.images_shown(N)
        return log_spaced(max(self.batch_size, end // 128), end, self.milestones)

    @property
    def sampler(self) -> dict:
        """Sampler settings: those named `sampler_...`, without the prefix."""
        return {k.removeprefix("sampler_"): v for k, v in self if k.startswith("sampler_")}

    def recipe(self) -> dict:
        """Return all that determines a training except its images, seeds, length and precision (JSON)."""
        excluded = {"N", "design_N", "pairs", "more_pairs", "out_of_domain", "epochs", "images_cap"}
        excluded |= {"milestones", "lengths", "own"} | {f"sampler_{name}" for name in self.sampler}
        return self.model_dump(mode="json", exclude=excluded)


class DenoiserSettings(TrainingSettings):
    """Settings common to both denoisers, the blind and the noise-conditional one."""

    base_channels: int = 16  # 0.48 M parameters: trained in minutes on two cores
    blocks: int = 3  # as in the paper
    batch_size: int = 16  # with Muon a step of 16 costs what two of 8 cost with Adam
    learning_rate: float = 4e-3
    schedule: Literal["cosine", "halving", "late"] = "cosine"
    milestones: int = 0  # unused, see `milestones_at`
    sampler_steps: int = 30  # network evaluations per sample
    sampler_sigma_min: float = 0.006  # 1.5 gray levels of 8 bits; with 0.01 the samples are softer

    @property
    def wide(self) -> bool:
        """True from 16 base channels: a step takes two thirds of the time; with 8 as long as in float32."""
        return self.base_channels >= 16

    def milestones_at(self, N: int) -> list[int]:
        """Return milestones common to all N, up to the end of the training, and half of it."""
        end = self.images_shown(N)
        doubled = [24_000 * 2**k for k in range(end.bit_length())]
        return sorted({m for m in (*EARLY, *doubled, end // 2) if m < end} | {end})


class DiffusionSettings(DenoiserSettings):
    """Settings of the blind denoiser: network, training and sampler."""

    N: tuple[int, ...] = (10, 100, 4000)  # memorizing, intermediate, generalizing
    design_N: int | None = None  # only in the profile `paper`
    more_pairs: dict[int, int] = Field({4000: 3})  # for an interval over trainings
    out_of_domain: tuple[OutOfDomain, ...] = ("galaxies", "galaxies", "leaves")
    statistics: Literal["batch", "running"] = "batch"  # statistics used by the norms in training
    loss: Literal["weighted", "paper"] = "weighted"  # divided by (sigma + 0.02): +4.7 dB at low noise
    epochs: int | None = 2400  # N = 30 is memorized after about 900 at 16 pixels, with Muon
    images_cap: int = 72_000  # fits into an hour on two cores; with twice as many the samples are sharper
    sampler_sigma_max: float = 1.0  # the largest noise level in training


class OnsetSettings(DiffusionSettings):
    """Settings of the onset study: small blind denoisers of small images, trained until they memorize."""

    N: tuple[int, ...] = ()  # for simulated galaxies
    own: tuple[int, ...] = ()  # for your own galaxies, if the run includes the onset study
    design_N: int | None = None
    out_of_domain: tuple[OutOfDomain, ...] = ()
    image_size: int = 16  # pixels; images of the profile are averaged to this size
    base_channels: int = 8  # 0.12 M parameters
    schedule: Literal["late"] = "late"  # a schedule that scales with the length would determine the onset
    lengths: dict[int, int] = Field({})  # images shown by N; for other N set by epochs
    epochs: int | None = 4000
    images_cap: int = 200_000
    milestones: int = 17
    sampler_steps: int = 20

    @property
    def wide(self) -> bool:
        """False for all widths, which are compared; images of 16 pixels would gain nothing."""
        return False

    def images_shown(self, N: int) -> int:
        """Return the images shown: from `lengths` if N is there, else from epochs."""
        if N not in self.lengths:
            return super().images_shown(N)
        return self.lengths[N] // self.batch_size * self.batch_size

    def milestones_at(self, N: int) -> list[int]:
        """Return log-spaced milestones from 2 048, and the one at which the learning rate starts to fall."""
        end = self.images_shown(N)
        return sorted({*log_spaced(min(EARLY[1], end // 4), end, self.milestones), end * 9 // 10})


class ConditionalSettings(DenoiserSettings):
    """Settings of the noise-conditional denoiser: network, training and sampler."""

    N: tuple[int, ...] = (100, 4000)  # memorizing, generalizing
    design_N: int | None = None  # only in the profile `paper`
    out_of_domain: tuple[OutOfDomain, ...] = ("galaxies",)
    noise_mean: float = -2.2  # of log sigma; AUC 0.94, 0.85, 0.70 at 32, 16, 8 px; -1.6: 0.99, 0.89, 0.74
    noise_width: float = 1.5  # Karras's 1.2 leaves few above sigma = 1, which determines brightness
    noise_least: float = 0.005
    noise_most: float = 15.0
    epochs: int | None = 720  # 72 000 images at N = 100
    images_cap: int = 96_000  # about 260 core seconds in bf16
    sampler_sigma_max: float = 10.0  # several times the standard deviation of the first component, 1.7
    sampler_rho: float = 7.0


class GlowSettings(TrainingSettings):
    """Settings of Glow: network and training."""

    N: tuple[int, ...] = (100, 1000, 4000)  # the paper's three sizes, limited by the data set
    design_N: int | None = 100
    pairs: int = 4  # with four pairs a test over pairs can reach p < 0.05
    out_of_domain: tuple[OutOfDomain, ...] = ("galaxies",)
    steps: int = 2  # the paper's K; of level 0, which takes most of the time
    levels: int = 3  # the paper's L
    deepening: int = 4  # additional steps of each further level: large scales, four times cheaper
    width: int = 64  # channels of the coupling nets
    bits: int = 8  # with the paper's 5 the sky noise fills one bin, whose sharp edges a small flow blurs
    channels: Literal[1, 3] = 1  # 3: the gray image repeated, as the paper's latent shapes imply
    batch_size: int = 32  # 3.354 bits/dim, AUC 0.921 at 8 pixels; with 16 in equal time 3.360, 0.938
    learning_rate: float = 8e-3  # with 4e-3 and muon_rate 0.01: 3.360 bits/dim (means of three trainings)
    muon_rate: float = 0.015
    schedule: Literal["cosine", "halving"] = "cosine"
    images_cap: int = 19_200  # half a core minute in bf16, which allows four pairs at each N
    milestones: int = 4
    clip_value: float = 5.0  # of each component of the gradient, as in the paper
    clip_norm: float = 100.0  # of its norm after that
    sampler_temperature: float = 1.0

    @property
    def wide(self) -> bool:
        """True from 64 channels in the coupling networks, the only convolutions in bfloat16."""
        return self.width >= 64


class GanSettings(TrainingSettings):
    """Settings of the lightweight GAN: networks and training."""

    N: tuple[int, ...] = (30, 4000)  # the discriminator memorizes its images, or does not
    design_N: int | None = None  # latents and images are unrelated, whatever the initialization
    size: int = 32  # pixels of the networks; images of another size are resized before and after
    latent: int = 64
    generator_width: int = 16  # feature channels at 32 pixels
    generator_widest: int = 64
    discriminator_width: int = 32  # with 8, as cheap as the generator, it misses lattices and blobs
    discriminator_widest: int = 128
    decoders: Literal[1, 2] = 2
    kernel: Literal[3, 4] = 4
    attention: bool = False
    batch_size: int = 8  # more steps: cleaner samples than with 16 in the same time
    optimizer: Literal["adam"] = "adam"  # AUC at 8 pixels 0.94; Muon for G 0.94-0.96, for G and D 0.99
    learning_rate: float = 1e-3
    discriminator_rate: float = 2.0
    penalty: float = 0.05  # gradient penalty of D; with the package's 10 D distinguishes nothing at 32 pixels
    reconstruction: float = 1.0  # weight of the reconstruction loss of D's decoders
    share: float = 0.25  # fraction of each batch used for penalty and reconstruction
    decay: float = 0.995  # of the generator's moving average, per step
    collapse: float = 10.0  # limit of `mode_collapse`, beyond which the training stops
    schedule: Literal["constant", "falling"] = "falling"
    images_cap: int = 9_000
    milestones: int = 8


class Profile(Closed, strict=True):
    """Sizes and settings of a whole experiment."""

    name: str
    purpose: str
    image_size: int = 32  # pixels; a 64 x 64 image costs four times as much
    crop: int = 64  # pixels of 0.262 arcsec around the target, as in the paper
    simulated: int = 10_000  # simulated galaxies: at least twice the largest N, plus validation
    validation: int = Field(1000, ge=1)
    samples: int = 256  # latents shared by A and B; proportions are accurate to +-0.06
    claims_only: bool = False  # whether only what the verdicts need is measured
    report_every: int = 50  # steps between two lines of the loss log
    save_every: float = 60.0  # minimum time between two checkpoints, seconds
    diffusion: DiffusionSettings = DiffusionSettings()
    conditional: ConditionalSettings = ConditionalSettings()
    onset4: OnsetSettings = OnsetSettings(base_channels=4)
    onset8: OnsetSettings = OnsetSettings(  # twice as long as memorization takes at 300
        N=(300,), own=(10, 100, 300), lengths={10: 40_000, 100: 200_000, 300: 700_000}
    )
    onset16: OnsetSettings = OnsetSettings(base_channels=16)
    onset32: OnsetSettings = OnsetSettings(base_channels=32)
    glow: GlowSettings = GlowSettings()
    gan: GanSettings = GanSettings()


PrecisionOption = Literal["auto", "fp32", "bf16"]  # precisions, resolved by `galgen.models.precision`

PROFILES = {
    "smoke": Profile(
        name="smoke",
        purpose="seconds, for the tests: everything runs, nothing is learned",
        image_size=16,  # the minimum for three poolings
        simulated=150,
        validation=32,
        samples=16,
        diffusion=DiffusionSettings(
            N=(8, 24), design_N=8, more_pairs={24: 3}, base_channels=4, epochs=64, images_cap=1024
        ),
        conditional=ConditionalSettings(N=(8, 24), design_N=8, base_channels=4, images_cap=512),
        onset4=OnsetSettings(base_channels=3, epochs=64, images_cap=512, milestones=4),
        onset8=OnsetSettings(N=(24,), own=(8, 24), base_channels=4, epochs=64, images_cap=512, milestones=4),
        onset16=OnsetSettings(base_channels=4, epochs=64, images_cap=512, milestones=4),
        onset32=OnsetSettings(base_channels=4, epochs=64, images_cap=512, milestones=4),
        glow=GlowSettings(N=(8, 24), design_N=8, deepening=0, width=8, images_cap=256, milestones=2),
        gan=GanSettings(N=(8, 24), generator_width=4, discriminator_width=4, images_cap=512, milestones=3),
    ),
    "laptop": Profile(name="laptop", purpose="an hour and a half on two cores; the default"),
    "seeds": Profile(
        name="seeds",
        purpose="the trainings of `laptop` on which verdicts depend, with more latents; for fresh seeds",
        validation=768,  # three times as many as in morphology; all others of SDSS are for realism
        samples=2048,
        claims_only=True,
        diffusion=DiffusionSettings(more_pairs={4000: 2}, out_of_domain=("galaxies",)),
        conditional=ConditionalSettings(more_pairs={4000: 2}),
        onset8=OnsetSettings(),
        glow=GlowSettings(design_N=None, pairs=4, more_pairs={100: 2}, out_of_domain=()),
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
            pairs=3,  # the paper has one, which allows no verdict
            more_pairs={},
            base_channels=64,  # 7.66 M parameters
            batch_size=512,
            optimizer="adam",
            learning_rate=1e-3,
            schedule="halving",
            loss="paper",
            epochs=250_000,  # images_cap for all N, as in the paper
            images_cap=25_000_000,  # 100 epochs of 250 000
            sampler_steps=50,
        ),
        conditional=ConditionalSettings(  # not in the paper: same sizes as the blind one
            N=(100, 1000, 10_000, 100_000),
            design_N=1000,
            pairs=3,
            base_channels=64,
            batch_size=512,
            epochs=250_000,
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
            latent=256,  # 35.8 M parameters with the widths below
            generator_width=256,
            generator_widest=512,
            discriminator_width=128,
            discriminator_widest=512,
            decoders=1,
            attention=True,
            batch_size=40,  # 10, accumulated four times
            learning_rate=2e-4,
            discriminator_rate=1.0,
            penalty=10.0,  # the package's value
            schedule="constant",
            images_cap=4_000_000,  # 100 000 iterations
            milestones=16,
        ),
    ),
}


def _trial(base: Profile) -> Profile:
    """Return a trial profile: same networks and images, five steps of eight images, low learning rates."""
    small = {"simulated": 150, "validation": 32, "samples": 16, "report_every": 1, "save_every": 0.0}
    few = {"N": (8, 24), "batch_size": 8, "images_cap": 40, "milestones": 2, "epochs": None}
    for part, settings in base:
        if not isinstance(settings, TrainingSettings):
            continue
        fewer = {name: getattr(settings, name) / 100 for name in ("learning_rate", "muon_rate")}
        fewer |= {"sampler_steps": 4} if "steps" in settings.sampler else {}
        sizes = zip((8, 24), settings.N[:1] + settings.N[-1:], strict=False)
        fewer["more_pairs"] = {n: settings.pairs_at(N) for n, N in sizes}
        if isinstance(settings, OnsetSettings):
            fewer |= {name: getattr(settings, name) and (8, 24) for name in ("N", "own")} | {"lengths": {}}
        small[part] = settings.model_copy(update=few | fewer | {"design_N": settings.design_N and 8})
    small |= {"name": f"{base.name}-trial", "purpose": f"tests whether `{base.name}` runs on this machine"}
    return base.model_copy(update=small)


def profile(name: str) -> Profile:
    """Return a profile by name; `paper-trial` runs five steps at the sizes of `paper`, as for all profiles.

    Raises:
        GalgenError: If the profile does not exist.
    """
    base = name.removesuffix("-trial")
    if base not in PROFILES:
        raise GalgenError(f"unknown profile '{name:.80}'; choose one of {', '.join(PROFILES)}")
    return PROFILES[base] if base == name else _trial(PROFILES[base])


class Parameters(Closed):
    """Parameters of every chapter and of every command that uses models; all are JSON values.

    Attributes:
        profile: Name of a profile.
        data: `simulated`, or the path of images or of a data set.
        N: Training images per model, one number or several in ascending order, by default those of the
            profile: `--N 10 100` in commands, `-p N "10 100"` in papermill.
        seed: Random seed of the split, initializations, data orders and latents.
        precision: Precision for training wide networks; `auto` is that of a published run with this profile,
            data and seed, otherwise bf16 if the processor supports it.
        onset_study: Whether to measure the onset of the denoising gap on your own galaxies as well.
    """

    profile: str = Field("laptop", description="; ".join(f"{k}: {p.purpose}" for k, p in PROFILES.items()))
    data: str = "simulated"
    N: tuple[Annotated[int, Field(lt=10**7)], ...] | None = None
    # a million times the seed is the first latent; seeds of controls start at 3e9
    seed: int = Field(0, ge=0, lt=3000)
    precision: PrecisionOption = "auto"
    onset_study: bool = False

    @field_validator("N", mode="before")
    @classmethod
    def _sizes(cls, N: object) -> object:
        if isinstance(N, str):
            N = [int(size) if size.isdecimal() else size for size in N.replace(",", " ").split()]
        return (N,) if isinstance(N, int) else tuple(N) if isinstance(N, list) else N

    def sizes(self, usual: tuple[int, ...], *, study: bool = False) -> tuple[int, ...]:
        """Return the N of a family: those of the parameters, or by default the `usual` ones of its profile.

        A study uses its usual N up to the largest N of the parameters, and none if it has none.

        Raises:
            GalgenError: If they are invalid.
        """
        sizes = usual if self.N is None or not usual else self.N
        if study and sizes:
            sizes = tuple(n for n in usual if n <= max(sizes)) or sizes
        if self.N == () or min(sizes, default=2) < 2 or list(sizes) != sorted(set(sizes)):
            raise GalgenError(f"N must be above 1, or an ascending list of such numbers, not {list(sizes)}")
        return sizes

    @property
    def folder(self) -> Path:
        """Folder of the published table of the run, such as `results/laptop-simulated-seed7`."""
        name = f"{self.profile}-{Path(self.data).stem}" + f"-seed{self.seed}" * bool(self.seed)
        return in_place(project() / "results" / name)

    def options(self) -> list[str]:
        """Return the parameters as command-line options; the path may begin with a hyphen."""
        given = ["--profile", self.profile, f"--data={self.data}", "--seed", str(self.seed)]
        given += ["--precision", self.precision, *["--onset-study"] * self.onset_study]
        return given + (["--N", *map(str, self.N)] if self.N else [])

    @classmethod
    def of_notebook(cls, namespace: dict) -> "Parameters":
        """Validate parameters that papermill injected into the first cells of a notebook.

        papermill converts unknown types to strings and assigns misspelled names silently; both are rejected
        here.

        Args:
            namespace: The notebook's `globals()`, before anything else is defined.

        Raises:
            GalgenError: If a name is not a parameter, or a value has an invalid type.
        """
        values = (str, int, float, list, tuple, dict, type(None))
        given = {k: v for k, v in namespace.items() if isinstance(v, values) and not k.startswith("_")}
        given = {k: v for k, v in given.items() if k not in ("In", "Out")}  # the shell's
        if unknown := sorted(set(given) - set(cls.model_fields)):
            names = ", ".join(cls.model_fields)
            raise GalgenError(f"unknown parameter {', '.join(unknown)}; the parameters are {names}")
        return checked(cls, given, "parameters", strict=True)
