"""Experiments: a profile, a data set, the sizes N and a seed, with all trainings that these require.

The store key of a training combines its kind, its recipe (`Experiment.recipe`) and its images. The recipe is
everything that determines the result: the settings of its family, its length, seeds and precision, the
milestones at which weights are saved, and the modules that the family imports
(`galgen.runs.code.closure`). An experiment combines its images (`galgen.images.Images`) and its models
(`Models`).
"""

import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from galgen import costs, profiles
from galgen.data import split
from galgen.data.prepare import SIMULATED
from galgen.images import Images
from galgen.models import sampling
from galgen.models.families import FAMILIES, STUDIES, Family, Training
from galgen.models.precision import emulation, resolved
from galgen.profiles import Parameters
from galgen.runs import batches, checkpoint, schedules
from galgen.runs import training as loop
from galgen.runs.code import closure
from galgen.runs.errors import GalgenError
from galgen.runs.progress import Display
from galgen.runs.store import Run, Store

__all__ = [
    "APART",
    "SAMPLING",
    "Experiment",
    "Models",
    "every_family",
    "find_training",
    "has_published",
    "load_networks",
]

# Environment of a training in a separate process. One torch thread per process is fastest. Returning memory
# to the system after each step and allocating it again would cost 5 to 7 % of the time.
APART = {"OMP_NUM_THREADS": "1", "MALLOC_TOP_PAD_": str(2**28)}
AT_ONCE = 64  # samples between two reports of progress; a multiple of the images per call of a network
# Modules that each training depends on; those of the sampler affect samples only.
IN_TRAINING, SAMPLING = (split.__name__, batches.__name__, schedules.__name__), sampling.__name__
FIRST_OUT_OF_DOMAIN = 100  # seed index of the first out-of-domain model, beyond those of all pairs


def _device() -> str:
    """Return the device for training and sampling: a GPU if available."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_published(parameters: Parameters) -> bool:
    """Whether a run on simulated galaxies has a published table, which it reads unless RECOMPUTE=1."""
    simulated, again = parameters.data in SIMULATED, os.environ.get("RECOMPUTE", "0") not in ("", "0")
    return simulated and not again and parameters.folder.is_dir()


def load_networks(networks: dict[str, nn.Module], state: dict[str, dict]) -> dict[str, nn.Module]:
    """Load a state into the networks, by name, and set them to evaluation mode."""
    for name, net in networks.items():
        net.load_state_dict(state.get(name, net.state_dict()))
        net.eval().to(memory_format=torch.channels_last)
    return networks


class Models:
    """The models of one family: pairs, the 2x2 design of initialization and data, out-of-domain models.

    The two-models framework compares, for each N and each family of models,

        A = model(initialization 0, data order and noise 0, images A)
        B = model(initialization 1, data order and noise 1, images B)

    The 2x2 design at one N compares model A with three more, to separate the effects of initialization and
    data. Order and noise always differ; otherwise "same, same" would be the run of model A itself:

                              same images (A)        disjoint images (B)
        same initialization   (0, 1, A)              (0, 1, B)
        another               (2, 2, A)              (1, 1, B) = model B

    An out-of-domain model is trained on images of another data set (`galgen.profiles.OutOfDomain`): its
    agreement with A is a baseline. It shares no seed with the others.

    Args:
        family: The family; its settings in the profile determine the number of models.
        sizes: All N, ascending; empty if the profile omits the family.
        largest: The largest N, of the run or of the published one that it reads.
    """

    def __init__(self, family: Family, sizes: tuple[int, ...], largest: int):
        self.family, self.settings, self.sizes, self.largest = family, family.settings, sizes, largest

    def pair(self, N: int, k: int = 0) -> tuple[Training, Training]:
        """Return models A and B of the k-th pair; no two models share initialization, order or noise."""
        return self._training(N, "A", 2 * k, 2 * k), self._training(N, "B", 2 * k + 1, 2 * k + 1)

    def pairs(self, N: int) -> list[tuple[Training, Training]]:
        """Return all pairs of the family at N."""
        return [self.pair(N, k) for k in range(self.settings.pairs_at(N))]

    def design(self) -> dict[tuple[str, str], Training]:
        """Return the four models compared with A in the 2x2 design, by (initialization, images), if any."""
        if self.settings.design_N is None:
            return {}
        N = self.settings.design_N if self.settings.design_N in self.sizes else self.sizes[0]
        return {
            ("same", "same"): self._training(N, "A", 0, 1),
            ("other", "same"): self._training(N, "A", 2, 2),
            ("same", "disjoint"): self._training(N, "B", 0, 1),
            ("other", "disjoint"): self._training(N, "B", 1, 1),
        }

    def out_of_domain(self) -> list[Training]:
        """Return the out-of-domain models, at the largest N, one per name in the settings.

        A run that reads published rows of a larger N has only the first, at that N: the control of the
        inversion tests and of morphology. Agreement with out-of-domain models is then the published one.
        """
        models, count = [], None if self.largest in self.sizes else 1
        for k, name in enumerate(self.settings.out_of_domain[:count]):
            # halves A and B of each kind alternate, as in the pairs
            half = "AB"[self.settings.out_of_domain[:k].count(name) % 2]
            seed = FIRST_OUT_OF_DOMAIN + k
            models.append(self._training(self.largest, half, seed, seed, out_of_domain=name))
        return models

    def trainings(self) -> list[Training]:
        """Return all trainings of the family, longest first so that all cores finish together."""
        if not self.sizes:
            return []
        wanted = {t for N in self.sizes for pair in self.pairs(N) for t in pair}
        wanted |= {*self.design().values(), *self.out_of_domain()}
        return sorted(wanted, key=lambda t: (-self.settings.images_shown(t.N), t.name))

    def _training(self, N: int, half: str, init: int, order: int, *, out_of_domain: str = "") -> Training:
        return Training(N, half, init, order, out_of_domain, self.family.name)


class _Images(Images):
    """Images of a run whose samplers start at the start image of a run up to N = `largest`."""

    @functools.cached_property
    def start(self) -> Tensor:
        return Images(self.parameters, self.settings, (self.largest,), self.store).start


class Experiment:
    """Data, splits and models of one set of parameters and one family, computed on first access.

    Args:
        parameters: Parameters of the run.
        store: Run store; by default that of the project.
        family: A name in `galgen.models.families.FAMILIES` or `STUDIES`.

    Raises:
        GalgenError: If the profile does not exist or N is invalid.
    """

    def __init__(self, parameters: Parameters, store: Store | None = None, *, family: str = "diffusion"):
        self.parameters = parameters
        self.profile = profiles.profile(parameters.profile)
        self.family = (FAMILIES | STUDIES)[family](self.profile)
        self.settings = self.family.settings
        self.store = store or Store()
        self.precision = resolved(parameters) if self.settings.wide else "fp32"
        usual = self.settings.N
        if (study := family in STUDIES) and parameters.data not in SIMULATED:
            usual = self.settings.own if parameters.onset_study else ()
        self.sizes = parameters.sizes(usual, study=study)
        largest = max((*self.sizes, *(usual if has_published(parameters) else ())), default=0)
        self.models = Models(self.family, self.sizes, largest)
        self.images = _Images(parameters, self.settings, self.sizes, self.store)
        self.images.largest = largest

    def note(self, N: int | Iterable[int] | None = None) -> str:
        """Return the note of a figure: profile, data set and N (by default all N)."""
        sizes = self.sizes if N is None else [N] if isinstance(N, int) else N
        listed = ", ".join(f"{n:,}".replace(",", "\N{NO-BREAK SPACE}") for n in sizes)
        return f"profile {self.profile.name} · {self.images.name}" + f" · N = {listed}" * bool(listed)

    def plan(self) -> list[dict]:
        """Return name, family, N and estimated costs (`galgen.costs.estimate`) of each training."""
        if not (trainings := self.models.trainings()):
            return []
        shape = (2, 1, self.images.size, self.images.size)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        learner = self.family.learner(self._networks(0), images, images, self.settings)
        rate, samples = self.family.flop_rate, self.profile.samples
        cost = costs.estimate(learner, images, self.settings, {t.N for t in trainings}, rate, samples)
        return [
            {"name": t.name, "family": t.family, "N": t.N, "out_of_domain": t.out_of_domain} | cost[t.N]
            for t in trainings
        ]

    def train(self, training: Training) -> Run:
        """Return the trained model from the store, training it (or resuming its training) if missing."""
        identity = self.identity(training)

        def make(work: Path) -> dict:
            if slow := emulation(self.precision):
                print(f"galgen: {slow}", file=sys.stderr)
            with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller is in
                summary = loop.train(
                    self._learner(training, _device()),
                    self.images.of(training),
                    work,
                    self._stream(training),
                    milestones=identity["params"]["milestones"],
                    report_every=self.profile.report_every,
                    save_every_seconds=self.profile.save_every,
                    label=f"{training.name} ({self.precision})",
                )
            return summary | {"name": training.name}

        # the number of milestones depends on N: the maximum over the family
        return self.store.run(make=make, megabytes=lambda: max(r["disk_mb"] for r in self.plan()), **identity)

    def _learner(self, training: Training, device: str) -> loop.Learner:
        """Return the learner of a training with newly initialized networks."""
        networks, images = self._networks(self._seeds(training)["init"]), self.images.of(training)
        return self.family.learner(
            networks, images, self.images.reserve, self.settings, device, self.precision
        )

    def _stream(self, training: Training) -> batches.BatchSampler:
        """Return the batch sampler of a training."""
        settings, order = self.settings, self._seeds(training)["order"]
        return batches.BatchSampler(
            N=training.N,
            total=settings.images_shown(training.N),
            batch_size=settings.batch_size,
            seed_order=order,
            seed_noise=order,
            schedule=schedules.SCHEDULES[settings.schedule],
            flips=self.family.flips,
        )

    def _seeds(self, training: Training) -> dict[str, int]:
        """Return the seeds of the initialization and of the order and noise.

        With seed 0, initialization k and latent k start with the same random numbers.
        """
        return {name: 1000 * self.parameters.seed + getattr(training, name) for name in ("init", "order")}

    def recipe(self, training: Training) -> dict:
        """Return all that determines a training except its images: kind, parameters and source files."""
        family, settings, N = self.family, self.settings, training.N
        params = settings.recipe() | {"N": N, "images_shown": settings.images_shown(N)}
        params |= {"flips": family.flips, "milestones": settings.milestones_at(N)}
        params |= {"seeds": self._seeds(training), "precision": self.precision}
        modules = closure(family.__module__, *IN_TRAINING) - {SAMPLING}
        code = modules | self.images.code(training.out_of_domain)
        return {"kind": training.family, "params": params, "code": code}

    def identity(self, training: Training) -> dict:
        """Return the components of a training's store key."""
        return self.recipe(training) | {"data": self.images.identity_of(training)}

    def key(self, training: Training) -> str:
        """Return the store key of a model, trained or not."""
        identity = self.identity(training)
        run = self.store.find(**identity)  # a published model has a key different from its training's
        return run.key if run else self.store.key(**identity)

    def published_key(self, training: Training) -> str:
        """Return the key of a model in `results/`, which contains no code."""
        return self.store.key(**self.identity(training) | {"code": ()})

    def trained(self, training: Training) -> bool:
        """Whether the store contains the trained model."""
        return self.store.find(**self.identity(training)) is not None

    def to_train(self, trainings: Iterable[Training]) -> list[dict]:
        """Return the plan entries of those trainings that are not in the store."""
        names = {t.name for t in trainings if self.store.find(**self.identity(t)) is None}
        return [record for record in self.plan() if record["name"] in names] if names else []

    def ensure(self, trainings: Iterable[Training]) -> dict[Training, Run]:
        """Train all missing models, one process per core; print the estimated time first.

        Raises:
            GalgenError: If the disk space is insufficient or a training fails.
        """
        trainings = list(trainings)
        if missing := self.to_train(trainings):
            cores = min(os.cpu_count() or 1, len(missing)) if _device() == "cpu" else 1
            minutes = sum(record["minutes"] for record in missing) / cores
            print(f"{len(missing)} models to train: {minutes:.0f} minutes on {cores} cores")
            costs.check(self.store.root, missing)
            with ThreadPoolExecutor(cores) as pool:
                list(pool.map(self._train_apart, [record["name"] for record in missing]))
        return {t: self.train(t) for t in trainings}

    def networks(self, training: Training, images_shown: int | None = None) -> dict[str, nn.Module]:
        """Return the networks in evaluation mode, after `images_shown` (a milestone or 0) or at the end."""
        if images_shown == 0:
            return load_networks(dict(self._learner(training, "cpu").networks), {})
        networks, run = self._networks(self._seeds(training)["init"]), self.train(training)
        shown = run.summary["images_shown"] if images_shown is None else images_shown
        return load_networks(networks, checkpoint.load_weights(run.path / f"weights-{shown}.safetensors"))

    def latents(self, count: int | None = None) -> range:
        """Return the seeds of the latents that all models share; by default as many as in the profile."""
        first = 1_000_000 * self.parameters.seed
        return range(first, first + (count or self.profile.samples))

    def samples(
        self, training: Training, images_shown: int | None = None, count: int | None = None
    ) -> Tensor:
        """Return a model's samples from the shared latents, (n, 1, H, W), not clipped; cached in the store.

        Args:
            training: The model.
            images_shown: Milestone of its training; 0: untrained; by default the end.
            count: Number of samples; by default that of the profile.
        """
        seeds, shown = self.latents(count), images_shown
        shown = self.settings.images_shown(training.N) if shown is None else shown
        params = {"model": self.key(training), "images_shown": shown, "seeds": [seeds.start, seeds.stop]}

        def make(work: Path) -> dict:
            networks = {name: net.to(_device()) for name, net in self.networks(training, shown).items()}
            start, parts = self.images.start.to(_device()), []
            display = Display(f"{training.name}, samples", len(seeds))
            for first in range(0, len(seeds), AT_ONCE):
                parts.append(self.family.draw(networks, seeds[first : first + AT_ONCE], start).cpu())
                display.show(min(first + AT_ONCE, len(seeds)))
            images = torch.cat(parts)
            np.save(work / "samples.npy", images.numpy(), allow_pickle=False)
            return {"name": training.name, "images": len(seeds), "mean": images.mean().item()}

        start = hashlib.sha256(self.images.start.numpy().tobytes()).hexdigest()
        params |= self.settings.sampler
        code = closure(self.family.__module__, SAMPLING)
        run = self.store.run("samples", params, make, data=start, code=code)
        return torch.from_numpy(np.load(run.path / "samples.npy", allow_pickle=False))

    @functools.cached_property
    def weights(self) -> int:
        """Number of trained parameters of a model."""
        networks = {name: net for name, net in self._networks(0).items() if name != "average"}
        return sum(p.numel() for net in networks.values() for p in net.parameters())

    def _networks(self, seed: int) -> dict[str, nn.Module]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.family.networks()

    def _train_apart(self, name: str) -> None:
        """Train a model in a separate process."""
        command = [sys.executable, "-m", "galgen", "train", name, "--store", str(self.store.root)]
        command += self.parameters.options()
        result = subprocess.run(command, env=os.environ | APART, check=False)
        if result.returncode:
            raise GalgenError(f"training {name} failed with exit code {result.returncode}")


def every_family(
    parameters: Parameters, store: Store | None = None, *, studies: bool = False
) -> dict[str, Experiment]:
    """Return the experiment of each family, by name; with `studies` also those of the studies."""
    names = FAMILIES | STUDIES if studies else FAMILIES
    return {name: Experiment(parameters, store, family=name) for name in names}


def find_training(
    name: str, parameters: Parameters, store: Store | None = None
) -> tuple[Experiment, Training]:
    """Return the training called `name` in the plan, with its experiment.

    Raises:
        GalgenError: If the plan has no such training; lists those it has.
    """
    families, by_name = FAMILIES | STUDIES, {}
    for family in [family for family in families if name.startswith(f"{family}-")] or families:
        experiment = Experiment(parameters, store, family=family)
        by_name |= {model.name: (experiment, model) for model in experiment.models.trainings()}
    if name not in by_name:
        raise GalgenError(f"no training '{name}' in this experiment; choose from {', '.join(by_name)}")
    return by_name[name]
