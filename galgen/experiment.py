"""One run of the book: a profile, a data set, the sizes N, a seed; and the trainings it needs.

The two-models framework compares, for each N and each family of models,

    A = model(initialisation 0, data order and noise 0, images A)
    B = model(initialisation 1, data order and noise 1, images B)

The 2x2 design at one N compares model A with three more, to separate what initialisation and data do. Order
and noise always differ, or "same and same" would be one and the same run:

                          same images (A)        disjoint images (B)
    same initialisation   (0, 1, A)              (0, 1, B)
    another               (2, 2, A)              (1, 1, B) = model B

The control has seen galaxies of another data set: how much A agrees with it is no finding.
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

from galgen import config, costs
from galgen.config import Parameters
from galgen.data import similarity
from galgen.data.dataset import Dataset, Split, split
from galgen.data.prepare import others, parts, prepare
from galgen.models.families import FAMILIES, SHARED_CHAPTERS, STUDIES, Training
from galgen.runs import checkpoint, schedules
from galgen.runs import training as loop
from galgen.runs.errors import GalgenError
from galgen.runs.store import Run, Store


def _device() -> str:
    """Where models are trained and drawn from: on a GPU, if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def loaded(networks: dict[str, nn.Module], state: dict[str, dict]) -> dict[str, nn.Module]:
    """The networks, with what a state has for them, in evaluation mode."""
    for name, net in networks.items():
        net.load_state_dict(state.get(name, net.state_dict()))
        net.eval().to(memory_format=torch.channels_last)
    return networks


class Experiment:
    """The data, splits and models of one set of parameters, made when they are asked for.

    Args:
        parameters: What was asked.
        store: Where everything is kept; by default the store of the project.
        family: A name of `galgen.models.families.FAMILIES`, or of its `STUDIES`.

    Raises:
        GalgenError: If the profile does not exist or N is impossible.
    """

    def __init__(self, parameters: Parameters, store: Store | None = None, *, family: str = "unet"):
        self.parameters = parameters
        self.profile = config.profile(parameters.profile)
        self.family = (FAMILIES | STUDIES)[family](self.profile)
        self.settings = self.family.settings
        self.store = store or Store()
        self.sizes = self.settings.N if parameters.N is None else parameters.N
        sizes = list(self.sizes)
        if not sizes or min(sizes) < 2 or sizes != sorted(set(sizes)):
            raise GalgenError(f"N must be a number above 1, or a growing list of such numbers, not {sizes}")

    @property
    def chapters(self) -> tuple[str, ...]:
        """Those that need the family's models."""
        return self.family.chapters + SHARED_CHAPTERS * (self.family.name in FAMILIES)

    @property
    def compared(self) -> int:
        """How many samples are held against held-out galaxies: twice as many, and as many more for a null."""
        return min(self.profile.samples, self.profile.validation // 3)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The galaxies."""
        return self._prepare(self.parameters.data)

    @functools.cached_property
    def control_dataset(self) -> Dataset:
        """The other galaxies."""
        return self._prepare(others(self.parameters.data))

    @functools.cached_property
    def mean_image(self) -> np.ndarray:
        """The mean of all galaxies, (1, H, W) in [0, 1], which the anomaly cosine projects out."""
        return similarity.mean_image(self.dataset.images)

    def parts(self) -> list[dict]:
        """What is simulated part by part, by `galgen.data.prepare.simulate_part`."""
        both = self.parameters.data, others(self.parameters.data)
        return [part for source in both for part in parts(source, **self._galaxies)]

    @property
    def _galaxies(self) -> dict[str, int]:
        """What a data set is made of, the same for all families, whichever asks first."""
        profile, seed = self.profile, self.parameters.seed
        sizes = [self.sizes] if self.parameters.N else [f(profile).settings.N for f in FAMILIES.values()]
        count = max(profile.simulated, 2 * max(map(max, sizes)) + profile.validation)
        return {"size": profile.image_size, "crop": profile.crop, "count": count, "seed": seed}

    def _prepare(self, source: str) -> Dataset:
        asked = self._galaxies
        room = functools.partial(costs.check_galaxies, asked["count"], asked["size"])
        found = prepare(self.store, source, before=room, **asked)
        smaller = asked | {"size": self.image_size}
        return found if smaller == asked else prepare(self.store, str(found.directory), **smaller)

    @property
    def image_size(self) -> int:
        """Side of the images, pixels: that of the profile, or of a study of smaller ones."""
        return min(getattr(self.settings, "image_size", self.profile.image_size), self.profile.image_size)

    def note(self, N: int | Iterable[int] | None = None) -> str:
        """The note of a figure: profile, data set, and N, by default all of them."""
        return config.figure_note(self.profile.name, self.dataset.name, self.sizes if N is None else N)

    def split(self, N: int | None = None, *, control: bool = False) -> Split:
        """Row numbers of A, B and validation for N (by default the largest) images a model."""
        dataset = self.control_dataset if control else self.dataset
        given = {"source": "" if control else self.parameters.data, "seed": self.parameters.seed}
        return split(dataset, N or max(self.sizes), self.profile.validation, **given)

    def images(self, training: Training) -> np.ndarray:
        """The images a model is trained on, uint8 (N, 1, H, W)."""
        dataset = self.control_dataset if training.control else self.dataset
        return dataset.images[getattr(self.split(training.N, control=training.control), training.half)]

    def pair(self, N: int, k: int = 0) -> tuple[Training, Training]:
        """Models A and B of the k-th pair; no two models share initialisation, order or noise."""
        return self._training(N, "A", 2 * k, 2 * k), self._training(N, "B", 2 * k + 1, 2 * k + 1)

    def pairs(self, N: int) -> list[tuple[Training, Training]]:
        """All the pairs the family has at N."""
        return [self.pair(N, k) for k in range(self.family.pairs)]

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

    def control(self) -> Training:
        """The model that has seen other galaxies, at the largest N; it shares no seed with model A."""
        return self._training(self.sizes[-1], "A", 1, 1, control=True)

    def trainings(self) -> list[Training]:
        """Every training of the family, longest first so that two cores end together."""
        wanted = {t for N in self.sizes for pair in self.pairs(N) for t in pair}
        wanted |= set(self.design().values())
        wanted |= {self.control()} if self.family.has_control else set()
        return sorted(wanted, key=lambda t: (-self.settings.images_shown(t.N), t.name))

    def plan(self) -> list[dict]:
        """What each training is for and costs (`galgen.costs.estimate`), by its name."""
        shape = (2, 1, self.image_size, self.image_size)
        some = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        learner = self.family.learner(self._networks(0), some, some, "cpu")
        rate, samples = self.family.flop_rate, self.profile.samples
        cost = costs.estimate(learner, some, self.settings, self.sizes, rate, samples)
        return [{"name": t.name, "chapters": list(self.chapters)} | cost[t.N] for t in self.trainings()]

    def train(self, training: Training) -> Run:
        """The trained model, from the store or by training it here; an interrupted training goes on."""
        identity, images = self.identity(training), self.images(training)
        params, seeds = identity["params"], identity["params"]["seeds"]

        def make(work: Path) -> dict:
            summary = loop.resume(
                self.family.learner(self._networks(seeds["init"]), images, self.unseen, _device()),
                images,
                work,
                images_shown=params["images_shown"],
                batch_size=self.settings.batch_size,
                seed_order=seeds["order"],
                seed_noise=seeds["order"],
                schedule=schedules.SCHEDULES[self.settings.schedule],
                flips=params["flips"],
                milestones=params["milestones"],
                report_every=self.profile.report_every,
                save_every_seconds=self.profile.save_every,
                label=training.name,
            )
            return summary | {"name": training.name}

        # the disk it takes is the same for all of a family
        return self.store.run(make=make, megabytes=lambda: self.plan()[0]["disk_mb"], **identity)

    def _seeds(self, training: Training) -> dict[str, int]:
        """Of the initialisation, and of the order and the noise."""
        return {name: 1000 * self.parameters.seed + getattr(training, name) for name in ("init", "order")}

    def _milestones(self, N: int) -> list[int]:
        """Images shown at which weights are kept."""
        shown = self.settings.images_shown(N)
        return schedules.log_spaced(
            max(self.settings.batch_size, shown // 128), shown, self.settings.milestones
        )

    def recipe(self, training: Training) -> dict:
        """What decides how a training ends, but for its images: kind, parameters and code."""
        family, settings, N = self.family, self.settings, training.N
        params = settings.recipe() | {"N": N, "images_shown": settings.images_shown(N), "flips": family.flips}
        params |= {"milestones": self._milestones(N), "seeds": self._seeds(training)}
        code = (family.networks, family.learner, loop.train, schedules.SCHEDULES[settings.schedule])
        return {"kind": training.family, "params": params, "code": code}

    def identity(self, training: Training) -> dict:
        """What the key of a training in the store is made of."""
        data = hashlib.sha256(self.images(training).tobytes()).hexdigest()
        return self.recipe(training) | {"data": data}

    def trained(self, training: Training) -> bool:
        """Whether the store has that model."""
        return self.store.find(**self.identity(training)) is not None

    def to_train(self, trainings: Iterable[Training] | None = None) -> list[dict]:
        """The plan of those trainings, by default of all, that the store lacks."""
        wanted = self.trainings() if trainings is None else trainings
        names = {t.name for t in wanted if not self.trained(t)}
        return [record for record in self.plan() if record["name"] in names] if names else []

    def ensure(self, trainings: Iterable[Training]) -> dict[Training, Run]:
        """Train what the store lacks, one process a core, saying first what that will cost.

        Raises:
            GalgenError: If disk or memory are too small for that, or a training fails.
        """
        trainings = list(trainings)
        if missing := self.to_train(trainings):
            cores = min(os.cpu_count() or 1, len(missing))
            minutes = sum(record["minutes"] for record in missing) / cores
            memory = cores * max(record["memory_mb"] for record in missing)
            print(f"{len(missing)} models to train: {minutes:.0f} minutes of {cores} cores, {memory} MB")
            costs.check(self.store.root, missing)
            with ThreadPoolExecutor(cores) as pool:
                list(pool.map(self._train_apart, [record["name"] for record in missing]))
        return {t: self.train(t) for t in trainings}

    def networks(self, training: Training, images_shown: int | None = None) -> dict[str, nn.Module]:
        """The networks in evaluation mode: at the end of a training, at a milestone, or, 0, before it."""
        networks, run = self._networks(self._seeds(training)["init"]), self.train(training)
        shown = run.summary["images_shown"] if images_shown is None else images_shown
        state = checkpoint.load(run.path / f"weights-{shown}.safetensors") if shown else {}
        return loaded(networks, state)

    @functools.cached_property
    def unseen(self) -> np.ndarray:
        """Images that neither models nor, unless the data set is used up, tests see: uint8 (n, 1, H, W)."""
        sets = self.split()
        return self.dataset.images[sets.starts if len(sets.starts) else sets.validation]

    @functools.cached_property
    def start(self) -> Tensor:
        """The image that both models' samples begin at, (1, H, W): the mean of images neither has seen."""
        return torch.from_numpy(similarity.mean_image(self.unseen))

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
            images_shown: At which milestone of its training; by default at the end.
            count: How many.
        """
        run, seeds = self.train(training), self.latents(count)
        shown = images_shown or run.summary["images_shown"]
        params = {"model": run.key, "images_shown": shown, "seeds": [seeds.start, seeds.stop]}

        def make(work: Path) -> dict:
            networks = {name: net.to(_device()) for name, net in self.networks(training, shown).items()}
            images = self.family.draw(networks, seeds, self.start.to(_device())).cpu()
            checkpoint.save(work / "samples.safetensors", {"images": images})
            return {"name": training.name, "images": len(seeds), "mean": images.mean().item()}

        start = hashlib.sha256(self.start.numpy().tobytes()).hexdigest()
        params |= self.settings.sampler
        drawn = self.store.run("samples", params, make, data=start, code=[self.family.draw])
        return checkpoint.load(drawn.path / "samples.safetensors")["images"]

    @functools.cached_property
    def weights(self) -> int:
        """Parameters of a model that are trained."""
        networks = {name: net for name, net in self._networks(0).items() if name != "average"}
        return sum(p.numel() for net in networks.values() for p in net.parameters())

    def _training(self, N: int, half: str, init: int, order: int, *, control: bool = False) -> Training:
        return Training(N, half, init, order, control, self.family.name)

    def _networks(self, seed: int) -> dict[str, nn.Module]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.family.networks()

    def _train_apart(self, name: str) -> None:
        """Train in a process of its own: torch's threads are per process, and one each is fastest."""
        command = [sys.executable, "-m", "galgen", "train", name, "--store", str(self.store.root)]
        command += self.parameters.options()
        # Memory that is given back to the system after each step and asked for again costs 5 to 7 % of it.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_TOP_PAD_": str(2**28)}
        result = subprocess.run(command, env=environment, check=False)
        if result.returncode:
            raise GalgenError(f"training {name} ended with exit code {result.returncode}")


def every_family(
    parameters: Parameters, store: Store | None = None, *, studies: bool = False
) -> dict[str, Experiment]:
    """The experiment of each family, by its name; and of the studies, which are in no comparison."""
    names = FAMILIES | STUDIES if studies else FAMILIES
    return {name: Experiment(parameters, store, family=name) for name in names}


def training_named(
    name: str, parameters: Parameters, store: Store | None = None
) -> tuple[Experiment, Training]:
    """The training that a plan calls `name`, and the experiment it belongs to."""
    experiments = every_family(parameters, store, studies=True).values()
    known = {each.name: (experiment, each) for experiment in experiments for each in experiment.trainings()}
    if name not in known:
        raise GalgenError(f"no training '{name}' in this experiment; there are {', '.join(known)}")
    return known[name]
