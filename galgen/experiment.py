"""One run of the book: a profile, a data set, the sizes N, a seed; and the trainings it needs.

A training is in the store under its kind, its recipe (`Experiment.recipe`) and its images. Its recipe is all
that decides how it ends: the settings of its family, its length, seeds and precision, where weights are kept
along the way, and the source files that the family lists (`galgen.models.families.Family`).
An experiment has two parts: which images (`galgen.images.Images`), and which models of them (`Models`).
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
from galgen.models.families import FAMILIES, STUDIES, Family, Training
from galgen.models.precision import emulation, resolved
from galgen.profiles import Parameters
from galgen.runs import checkpoint, schedules
from galgen.runs import training as loop
from galgen.runs.batches import BatchSampler
from galgen.runs.errors import GalgenError
from galgen.runs.store import Run, Store

__all__ = ["APART", "Experiment", "Models", "every_family", "find_training", "load_networks"]

# The environment of a training that has a process of its own: torch's threads are per process, and one each
# is fastest; memory given back to the system after each step and asked for again costs 5 to 7 % of it.
APART = {"OMP_NUM_THREADS": "1", "MALLOC_TOP_PAD_": str(2**28)}
FIRST_OUT_OF_DOMAIN = 100  # number of the first out-of-domain model's seeds, beyond those of all pairs


def _device() -> str:
    """Where models are trained and drawn from: on a GPU, if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_networks(networks: dict[str, nn.Module], state: dict[str, dict]) -> dict[str, nn.Module]:
    """The networks, with what a state has for them, in evaluation mode."""
    for name, net in networks.items():
        net.load_state_dict(state.get(name, net.state_dict()))
        net.eval().to(memory_format=torch.channels_last)
    return networks


class Models:
    """Which models there are: the pairs, the 2x2 of initialisation and data, and those of other images.

    The two-models framework compares, for each N and each family of models,

        A = model(initialisation 0, data order and noise 0, images A)
        B = model(initialisation 1, data order and noise 1, images B)

    The 2x2 design at one N compares model A with three more, to separate what initialisation and data do.
    Order and noise always differ, or "same and same" would be one and the same run:

                              same images (A)        disjoint images (B)
        same initialisation   (0, 1, A)              (0, 1, B)
        another               (2, 2, A)              (1, 1, B) = model B

    An out-of-domain model is trained on images of another data set (`galgen.profiles.OutOfDomain`): its
    agreement with A is a baseline. It shares no seed with the others.

    Args:
        family: Which family; its part of the profile says how many there are.
        sizes: All N, growing; none where the profile leaves the family out.
    """

    def __init__(self, family: Family, sizes: tuple[int, ...]):
        self.family, self.settings, self.sizes = family, family.settings, sizes

    def pair(self, N: int, k: int = 0) -> tuple[Training, Training]:
        """Models A and B of the k-th pair; no two models share initialisation, order or noise."""
        return self._training(N, "A", 2 * k, 2 * k), self._training(N, "B", 2 * k + 1, 2 * k + 1)

    def pairs(self, N: int) -> list[tuple[Training, Training]]:
        """All the pairs the family has at N."""
        return [self.pair(N, k) for k in range(self.settings.pairs_at(N))]

    def design(self) -> dict[tuple[str, str], Training]:
        """The four models that model A is held against in the 2x2, by (initialisation, images), or none."""
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
        """The models that have seen other images, at the largest N, one for each name in the settings."""
        made = []
        for k, name in enumerate(self.settings.out_of_domain):
            # of one kind A's images and B's in turn, as are those of the pairs
            half = "AB"[self.settings.out_of_domain[:k].count(name) % 2]
            seed = FIRST_OUT_OF_DOMAIN + k
            made.append(self._training(self.sizes[-1], half, seed, seed, out_of_domain=name))
        return made

    def trainings(self) -> list[Training]:
        """Every training of the family, longest first so that two cores end together."""
        if not self.sizes:
            return []
        wanted = {t for N in self.sizes for pair in self.pairs(N) for t in pair}
        wanted |= {*self.design().values(), *self.out_of_domain()}
        return sorted(wanted, key=lambda t: (-self.settings.images_shown(t.N), t.name))

    def _training(self, N: int, half: str, init: int, order: int, *, out_of_domain: str = "") -> Training:
        return Training(N, half, init, order, out_of_domain, self.family.name)


class Experiment:
    """The data, splits and models of one set of parameters, made when they are asked for.

    Args:
        parameters: What was asked.
        store: Where everything is kept; by default the store of the project.
        family: A name of `galgen.models.families.FAMILIES`, or of its `STUDIES`.

    Raises:
        GalgenError: If the profile does not exist or N is impossible.
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
        self.images = Images(parameters, self.settings, self.sizes, self.store)
        self.models = Models(self.family, self.sizes)

    def note(self, N: int | Iterable[int] | None = None) -> str:
        """The note of a figure: profile, data set, and N, by default all of them."""
        sizes = self.sizes if N is None else [N] if isinstance(N, int) else N
        said = ", ".join(f"{n:,}".replace(",", "\N{NO-BREAK SPACE}") for n in sizes)
        return f"profile {self.profile.name} · {self.images.name}" + f" · N = {said}" * bool(said)

    def plan(self) -> list[dict]:
        """What each training is for and costs (`galgen.costs.estimate`), by its name."""
        if not self.sizes:
            return []
        shape = (2, 1, self.images.size, self.images.size)
        some = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        learner = self.family.learner(self._networks(0), some, some, self.settings)
        rate, samples = self.family.flop_rate, self.profile.samples
        cost = costs.estimate(learner, some, self.settings, self.sizes, rate, samples)
        return [
            {"name": t.name, "family": t.family, "N": t.N, "out_of_domain": t.out_of_domain} | cost[t.N]
            for t in self.models.trainings()
        ]

    def train(self, training: Training) -> Run:
        """The trained model, from the store or by training it here; an interrupted training goes on."""
        identity = self.identity(training)

        def make(work: Path) -> dict:
            if slow := emulation(self.precision):
                print(f"galgen: {slow}", file=sys.stderr)
            with torch.inference_mode(False), torch.enable_grad():  # whatever whoever asks for it does
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

        # what is kept along the way differs by N: the most that any of the family takes
        return self.store.run(make=make, megabytes=lambda: max(r["disk_mb"] for r in self.plan()), **identity)

    def _learner(self, training: Training, device: str) -> loop.Learner:
        """The learner of fresh networks."""
        networks, images = self._networks(self._seeds(training)["init"]), self.images.of(training)
        return self.family.learner(
            networks, images, self.images.reserve, self.settings, device, self.precision
        )

    def _stream(self, training: Training) -> BatchSampler:
        """What each step of a training sees."""
        settings, order = self.settings, self._seeds(training)["order"]
        return BatchSampler(
            N=training.N,
            total=settings.images_shown(training.N),
            batch_size=settings.batch_size,
            seed_order=order,
            seed_noise=order,
            schedule=schedules.SCHEDULES[settings.schedule],
            flips=self.family.flips,
        )

    def _seeds(self, training: Training) -> dict[str, int]:
        """Of the initialisation, and of the order and the noise.

        With seed 0 initialisation k and latent k begin with the same random numbers.
        """
        return {name: 1000 * self.parameters.seed + getattr(training, name) for name in ("init", "order")}

    def recipe(self, training: Training) -> dict:
        """What decides how a training ends, but for its images: kind, parameters and source files."""
        family, settings, N = self.family, self.settings, training.N
        params = settings.recipe() | {"N": N, "images_shown": settings.images_shown(N)}
        params |= {"flips": family.flips, "milestones": settings.kept(N), "seeds": self._seeds(training)}
        params["precision"] = self.precision
        return {"kind": training.family, "params": params, "code": (*family.files, split.__name__)}

    def identity(self, training: Training) -> dict:
        """What the key of a training in the store is made of."""
        return self.recipe(training) | {"data": self.images.identity_of(training)}

    def key(self, training: Training) -> str:
        """Under which key the store has, or will have, that model."""
        identity = self.identity(training)
        found = self.store.find(**identity)  # what stands for a model of elsewhere has a key of its own
        return found.key if found else self.store.key(**identity)

    def keys(self) -> dict[str, str]:
        """The same of each model of the family, by its name."""
        return {training.name: self.key(training) for training in self.models.trainings()}

    def trained(self, training: Training) -> bool:
        """Whether the store has that model."""
        return self.store.find(**self.identity(training)) is not None

    def to_train(self, trainings: Iterable[Training]) -> list[dict]:
        """The plan of those trainings that are not in the store."""
        names = {t.name for t in trainings if self.store.find(**self.identity(t)) is None}
        return [record for record in self.plan() if record["name"] in names] if names else []

    def ensure(self, trainings: Iterable[Training]) -> dict[Training, Run]:
        """Train what the store lacks, a process a core, saying first what it will cost.

        Raises:
            GalgenError: If the disk is too small, or a training fails.
        """
        trainings = list(trainings)
        if missing := self.to_train(trainings):
            cores = min(os.cpu_count() or 1, len(missing)) if _device() == "cpu" else 1
            minutes = sum(record["minutes"] for record in missing) / cores
            print(f"{len(missing)} models to train: {minutes:.0f} minutes of {cores} cores")
            costs.check(self.store.root, missing)
            with ThreadPoolExecutor(cores) as pool:
                list(pool.map(self._train_apart, [record["name"] for record in missing]))
        return {t: self.train(t) for t in trainings}

    def networks(self, training: Training, images_shown: int | None = None) -> dict[str, nn.Module]:
        """The networks in evaluation mode: at the end of a training, at a milestone, or, 0, before it."""
        if images_shown == 0:
            return load_networks(dict(self._learner(training, "cpu").networks), {})
        networks, run = self._networks(self._seeds(training)["init"]), self.train(training)
        shown = run.summary["images_shown"] if images_shown is None else images_shown
        return load_networks(networks, checkpoint.load_weights(run.path / f"weights-{shown}.safetensors"))

    def latents(self, count: int | None = None) -> range:
        """The seeds of the latents that all models share; by default as many as the profile says."""
        first = 1_000_000 * self.parameters.seed
        return range(first, first + (count or self.profile.samples))

    def samples(
        self, training: Training, images_shown: int | None = None, count: int | None = None
    ) -> Tensor:
        """A model's images from the shared latents, (n, 1, H, W), not clipped; kept in the store.

        Args:
            training: Which model.
            images_shown: At which milestone of its training, or, 0, before it; by default at the end.
            count: How many.
        """
        seeds, shown = self.latents(count), images_shown
        shown = self.settings.images_shown(training.N) if shown is None else shown
        params = {"model": self.key(training), "images_shown": shown, "seeds": [seeds.start, seeds.stop]}

        def make(work: Path) -> dict:
            networks = {name: net.to(_device()) for name, net in self.networks(training, shown).items()}
            images = self.family.draw(networks, seeds, self.images.start.to(_device())).cpu()
            np.save(work / "samples.npy", images.numpy(), allow_pickle=False)
            return {"name": training.name, "images": len(seeds), "mean": images.mean().item()}

        start = hashlib.sha256(self.images.start.numpy().tobytes()).hexdigest()
        params |= self.settings.sampler
        code = [*self.family.files, *self.family.draws]
        drawn = self.store.run("samples", params, make, data=start, code=code)
        return torch.from_numpy(np.load(drawn.path / "samples.npy", allow_pickle=False))

    @functools.cached_property
    def weights(self) -> int:
        """Parameters of a model that are trained."""
        networks = {name: net for name, net in self._networks(0).items() if name != "average"}
        return sum(p.numel() for net in networks.values() for p in net.parameters())

    def _networks(self, seed: int) -> dict[str, nn.Module]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.family.networks()

    def _train_apart(self, name: str) -> None:
        """Train in a process of its own."""
        command = [sys.executable, "-m", "galgen", "train", name, "--store", str(self.store.root)]
        command += self.parameters.options()
        result = subprocess.run(command, env=os.environ | APART, check=False)
        if result.returncode:
            raise GalgenError(f"training {name} ended with exit code {result.returncode}")


def every_family(
    parameters: Parameters, store: Store | None = None, *, studies: bool = False
) -> dict[str, Experiment]:
    """The experiment of each family, by its name; and of the studies, which are in no comparison."""
    names = FAMILIES | STUDIES if studies else FAMILIES
    return {name: Experiment(parameters, store, family=name) for name in names}


def find_training(
    name: str, parameters: Parameters, store: Store | None = None
) -> tuple[Experiment, Training]:
    """The training that a plan calls `name`, and the experiment it belongs to."""
    families, there = FAMILIES | STUDIES, {}
    for of in [family for family in families if name.startswith(f"{family}-")] or families:
        experiment = Experiment(parameters, store, family=of)
        there |= {each.name: (experiment, each) for each in experiment.models.trainings()}
    if name not in there:
        raise GalgenError(f"no training '{name}' in this experiment; there are {', '.join(there)}")
    return there[name]
