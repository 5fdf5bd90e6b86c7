"""Profiles: how large everything is, from a test of seconds to the paper's own sizes.

`laptop` is the base; the others override it, with the reason beside each number. Unknown or misspelt names
are refused. What a training costs is counted in images shown:

    images shown = min(passes_per_image * N, images_cap)

because a denoiser memorises after a number of passes per image, so that a budget fixed whatever N (as the
paper's) would mix the threshold in N with training time.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from galgen.errors import GalgenError

__all__ = ["PROFILES", "Denoiser", "Profile", "explain", "profile"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Denoiser(_Settings):
    """The blind denoiser: its network, training and sampler."""

    kernels: int = 16  # 0.48 M parameters: what two cores can train in minutes
    blocks: int = 3  # as in the paper
    batch_size: int = 8  # small batches memorise and sharpen sooner for the same images shown
    learning_rate: float = 4e-3
    schedule: Literal["cosine", "halving"] = "cosine"
    loss: Literal["weighted", "paper"] = "weighted"  # divided by (sigma + 0.02): +4.7 dB at low noise
    passes_per_image: int = 3600  # a 3 dB gap between training and validation appears at 2400 to 3000
    images_cap: int = 120_000  # at 160 000 the samples have discs and companions; two cores allow this much
    milestones: int = 8  # weights kept along the way, log-spaced in images shown
    sampler_steps: int = 30  # calls of the network for a sample
    sampler_sigma_min: float = 0.01  # the noise of the data; from 0.02 the samples are softer than it

    def images_shown(self, N: int) -> int:
        """Images shown to a model with N training images, a whole number of batches."""
        return max(min(self.passes_per_image * N, self.images_cap) // self.batch_size, 1) * self.batch_size


class Profile(_Settings):
    """One size of the whole experiment."""

    name: Literal["smoke", "laptop", "desk", "paper"]
    purpose: str
    image_size: int = 32  # pixels; a 64 x 64 image costs four times as much
    crop: int = 64  # pixels of 0.262 arcsec about the target, as in the paper
    simulated: int = 10_000  # galaxies of the embedded data set: two times the largest N, and validation
    validation: int = Field(1000, ge=1)
    N: tuple[int, ...] = (10, 30, 100, 4000)  # memorising twice, between, generalising
    samples: int = 256  # latents shared by A and B; a proportion is known to +-0.06
    design_N: int = 10  # the size at which the 2x2 of initialisation and data is run
    denoiser: Denoiser = Denoiser()


_LAPTOP = Profile(name="laptop", purpose="an hour on two cores; the default")

PROFILES = {
    "smoke": Profile(
        name="smoke",
        purpose="seconds, for the tests: everything runs, nothing is learnt",
        image_size=16,  # the least that three poolings leave something of
        simulated=150,
        validation=32,
        N=(8, 24),
        samples=16,
        design_N=8,
        denoiser=Denoiser(kernels=4, passes_per_image=64, images_cap=1024, milestones=3),
    ),
    "laptop": _LAPTOP,
    "desk": Profile(
        name="desk",
        purpose="a night on two cores, or minutes on a GPU",
        simulated=34_000,
        validation=2000,
        N=(10, 100, 1000, 16_000),  # N = 100 as in the paper: memorised at 8e5 images shown
        samples=1000,  # as in the paper
        denoiser=Denoiser(kernels=32, passes_per_image=8000, images_cap=1_000_000, milestones=12),
    ),
    "paper": Profile(
        name="paper",
        purpose="the paper's sizes, on a GPU",
        image_size=64,
        simulated=250_000,
        validation=10_000,
        N=(100, 1000, 10_000, 100_000),
        samples=1000,
        design_N=1000,
        denoiser=Denoiser(
            kernels=64,  # 7.66 M parameters
            batch_size=512,
            learning_rate=1e-3,
            schedule="halving",
            loss="paper",
            passes_per_image=250_000,  # the budget is the cap whatever N, as in the paper
            images_cap=25_000_000,  # 100 epochs of 250 000
            milestones=16,
            sampler_steps=50,
        ),
    ),
}


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        GalgenError: If there is none.
    """
    if name not in PROFILES:
        raise GalgenError(f"there is no profile '{name}'; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]


def explain(error: ValidationError) -> str:
    """One line a mistake: the name, what is wrong, what was given."""
    lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (given: {e['input']!r})" for e in error.errors()]
    return "; ".join(lines)
