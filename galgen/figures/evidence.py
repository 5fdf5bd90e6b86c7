"""What a run says to the claims of the paper: parts of `galgen.figures.findings.Findings`, from its models.

The chapters on a family and chapter 10 ask the same functions, so that a verdict rests on the same numbers on
each page.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from astropy.table import Table
from torch import Tensor

from galgen.compare.agreement import TwoModels, beyond, repaired, two_models
from galgen.compare.clock import gap, psnr_along
from galgen.compare.clock_time import Cell
from galgen.compare.controls import Controls, rounded
from galgen.compare.denoising import denoising_curve, training_gap
from galgen.compare.discriminator import DiscriminatorTest, discriminator_test, score
from galgen.compare.distances import distances, energy_difference, with_spread
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.inversion import Latents, latents_test
from galgen.compare.morphology import COEFFICIENTS, valid
from galgen.compare.scales import by_scale
from galgen.compare.scoreboard import Portrait, portrait, scores
from galgen.compare.twosample import auc
from galgen.compare.uncertainty import Outcome
from galgen.data import similarity
from galgen.data.unit import unit
from galgen.experiment import Experiment, Training
from galgen.figures.findings import ALPHA, Findings
from galgen.figures.sentences import onset
from galgen.figures.training import memorization_history
from galgen.models import gan, glow_learner

LEVELS = np.geomspace(0.01, 1, 9)  # of noise
LITTLE = LEVELS[LEVELS <= 0.05]  # where the paper's denoiser of a small N stays at one PSNR
COUNT = 256  # images that show whether D knows those it was trained on


def gaps(experiment: Experiment) -> dict[int, np.ndarray]:
    """By N, by how many dB a denoiser is better for having been trained on an image, at each of `LEVELS`."""
    found = {}
    for n in experiment.sizes:
        pair = experiment.pair(n)
        nets = [experiment.family.denoiser(experiment.networks(model)) for model in pair]
        found[n] = training_gap(nets, [experiment.images(model)[:100] for model in pair], LEVELS)
    return found


def denoisers(experiment: Experiment) -> dict[str, object]:
    """How denoisers do on images that they have, and have not, been trained on: `unseen` and `gaps`."""
    small = experiment.networks(experiment.pair(experiment.sizes[0])[0])
    held_out = experiment.dataset.images[experiment.split().validation[:200]]  # as chapter 02 draws it
    curve = denoising_curve(experiment.family.denoiser(small), held_out, LITTLE)
    largest = {n: float(gap.max()) for n, gap in gaps(experiment).items()}
    found = map(float, np.median(curve.denoised, axis=1))
    return {"unseen": dict(zip(LITTLE.tolist(), found, strict=True)), "gaps": largest}


def clock(studies: Iterable[Experiment]) -> list[Cell]:
    """The gap between own and held-out images along the trainings of models A and B, by width and N.

    Args:
        studies: Of the clock's networks, one a width; their models are trained already, or are now.
    """
    cells = []
    for study in studies:
        held_out = study.dataset.images[study.split().validation]
        for n in study.sizes:
            gaps = []
            for model in study.pair(n):
                kept = study.train(model).summary["weights"]
                along = ((shown, study.networks(model, shown)) for shown in kept)
                curves = psnr_along(along, study.family.denoiser, study.images(model), held_out)
                gaps.append(gap(*curves, start=kept[0]))
            cells.append(Cell(study.settings.kernels, n, gaps, n * held_out[0].size / study.weights))
    return cells


def pairs(
    experiment: Experiment, sizes: Iterable[int] = ()
) -> tuple[dict[int, list[Tensor]], dict[int, TwoModels]]:
    """The samples of the first pair of models at each N, or at those given, and the two-models test."""
    samples = {n: list(map(experiment.samples, experiment.pair(n))) for n in sizes or experiment.sizes}
    images = experiment.dataset.images
    given = {"mean": experiment.mean_image, "flips": experiment.family.flips}
    return samples, {n: two_models(*x, images, experiment.split(n), **given) for n, x in samples.items()}


def board(
    experiment: Experiment, wrong: Controls, sizes: Iterable[int] = (), **asked: object
) -> dict[tuple[str, int], tuple[TwoModels, dict[str, Outcome]]]:
    """The two-models test and the scoreboard of the first pair at each N, or at those given.

    Args:
        experiment: Of one family.
        wrong: The controls, of which the reference is taken.
        sizes: Which N.
        asked: What else `galgen.compare.scoreboard.scores` is to know.

    Returns:
        Both, by (label of the family, N).
    """
    bits, found = experiment.family.bits, {}
    reference = rounded(wrong.reference, bits)
    for n, test in pairs(experiment, sizes)[1].items():
        drawn = [rounded(experiment.samples(model), bits) for model in experiment.pair(n)]
        found[experiment.family.label, n] = test, scores(*drawn, reference, test, **asked)
    return found


def likeness(experiment: Experiment) -> Portrait:
    """The samples of model A of the largest N beside held-out galaxies, without morphology."""
    model = experiment.pair(experiment.sizes[-1])[0]
    drawn, unseen = experiment.samples(model), experiment.dataset.images[experiment.split().validation]
    drawn = drawn[drawn.isfinite().all(3).all(2).all(1)][: len(unseen) // 2].numpy()
    bits = experiment.family.bits
    reference = rounded(unseen[: 2 * len(drawn)], bits)
    return portrait(drawn, reference, experiment.images(model), bits=bits)


def two_denoisers(
    experiment: Experiment, tests: Mapping[int, TwoModels], own: Mapping[int, Outcome], more: Outcome
) -> Findings:
    """What the claims on diffusion rest on, of one kind of denoiser.

    Args:
        experiment: Of that kind.
        tests: The two-models test, by N.
        own: Agreement in what each model's Gaussian leaves, by N.
        more: By how much it exceeds that with a model of other galaxies.
    """
    label, mean = experiment.family.label, experiment.mean_image
    scores, found = {}, {(label, n): test.memorization for n, test in tests.items()}
    for n, test in tests.items():
        # of as many grey levels as chapter 10 gives them, or its second digit may be another
        pair = [
            torch.as_tensor(rounded(experiment.samples(model), experiment.family.bits))
            for model in experiment.pair(n)
        ]
        outcomes = {"agreement": repaired(*pair, mean=mean), "memorization": test.memorization.outcome}
        scores[label, n] = outcomes
    return Findings(
        scores,
        {(label, n): outcome for n, outcome in own.items()},
        closer={key: test.models.closer for key, test in found.items()},
        linear={key: test.gaussians.closer.value for key, test in found.items()},
        foreign={label: more},
        diffusion=label,
        **times([experiment], ALPHA, {key: test.outcome for key, test in found.items()}),
    )


def latents(experiment: Experiment, count: int = 64) -> dict[int, Latents]:
    """The inversion test of all pairs of Glows, by N; of so many latents, or as many as the profile has."""
    found, count = {}, min(count, experiment.profile.samples)
    for n in experiment.sizes:
        pairs = [[experiment.networks(model)["net"] for model in pair] for pair in experiment.pairs(n)]
        found[n] = latents_test(pairs, glow_learner.latents(pairs[0][0], experiment.latents(count)))
    return found


def ask(
    experiment: Experiment, pair: tuple[Training, Training], shown: int | None = None
) -> DiscriminatorTest:
    """The discriminator test of a pair of GANs, at the end or at a milestone of their training."""
    nets = [experiment.networks(model, shown) for model in pair]
    naive = [experiment.networks(model, 0)["discriminator"] for model in pair]
    own = [experiment.samples(model, shown) for model in pair]
    given = {"side": own[0].shape[-1]}
    raw = [gan.draw(part["generator"], experiment.latents(), **given) for part in nets]
    judges, sets = [part["discriminator"] for part in nets], experiment.split(pair[0].N)
    seed, images = experiment.parameters.seed, experiment.dataset.images
    return discriminator_test(judges, naive, own, images, sets, raw=raw, seed=seed)


def along(experiment: Experiment, n: int) -> dict[int, DiscriminatorTest]:
    """The same along the training of the first pair of N, by images shown."""
    pair = experiment.pair(n)
    stages = experiment.train(pair[0]).summary["weights"]
    return {shown: ask(experiment, pair, shown) for shown in stages}


def before_memory(experiment: Experiment, n: int) -> int:
    """Images shown at the last milestone at which neither D of the first pair knows its training images.

    It does not where the interval of P(a training image scores above one of `experiment.unseen`) holds 1/2 or
    lies below; the first milestone, if both do at all of them.
    """
    pair = experiment.pair(n)
    stages = experiment.train(pair[0]).summary["weights"]
    unseen = experiment.unseen[:COUNT]
    for shown in reversed(stages):
        known = False
        for model in pair:
            D = experiment.networks(model, shown)["discriminator"]
            scores = [score(D, unit(x)) for x in (unseen, experiment.images(model)[:COUNT])]
            known |= auc(*scores).low > 0.5
        if not known:
            return shown
    return stages[0]


def times(
    experiments: Iterable[Experiment],
    alpha: float,
    memorization: Mapping[tuple[str, int], Outcome] | None = None,
) -> dict[str, dict]:
    """Passes over the training sets, the fewest by which a pair memorises, and pixels a parameter.

    Args:
        experiments: One a family.
        alpha: The p-value below which a pair memorises.
        memorization: What pairs were found to do at the end, by label of the family and N, if known already.
    """
    passes, ratios, first, known = {}, {}, {}, dict(memorization or {})
    for e in experiments:
        label, pixels = e.family.label, e.dataset.images[0].size
        passes |= {(label, n): e.settings.images_shown(n) / n for n in e.sizes}
        ratios |= {(label, n): n * pixels / e.weights for n in e.sizes}
        if not memorization:
            known |= {(label, n): test.memorization.outcome for n, test in pairs(e)[1].items()}
        early = onset({e.sizes[0]: memorization_history(e, e.sizes[0])}, alpha)
        found = [(passes, n) for n, passes in early.items()]
        ends = [n for n in e.sizes if (label, n) in known and known[label, n].p < alpha]
        found += [(passes[label, n], n) for n in ends]
        first |= {label: min(found)} if found else {}
    return {"passes": passes, "ratios": ratios, "onset": first}


def shapes(
    experiments: Iterable[Experiment], wrong: Controls, measure: Callable[[np.ndarray], Table]
) -> dict[str, dict]:
    """How morphology changes with N, and whether it is kept: `between`, `copied`, `farther` and `nearer`.

    Args:
        experiments: One a family.
        wrong: Held-out images, and the same blurred by a pixel.
        measure: As `galgen.compare.morphology.measure`.
    """
    count = len(wrong.reference) // 2
    between, copied, farther, nearer = {}, {}, {}, {}
    for e in experiments:
        bits, label, sizes = e.family.bits, e.family.label, e.sizes

        def rows(images: np.ndarray, bits: int = bits) -> Table:
            return valid(measure(rounded(images, bits)))

        known, blurred = rows(wrong.reference), rows(wrong.pairs["blurred"][0])
        drawn = {n: rows(e.samples(e.pair(n)[0])[:count]) for n in sizes}
        # of other latents than those of the smaller N, from which two sets would not be independent
        fresh = rows(e.samples(e.pair(sizes[-1])[0], count=2 * count)[count:])
        last = [rows(e.samples(model)[:count]) for model in e.pair(sizes[-1])]
        own = rows(e.images(e.pair(sizes[0])[0])[:count])
        again = np.random.default_rng(e.parameters.seed).integers(0, max(len(own), 1), count)
        used = with_spread(known, COEFFICIENTS)
        enough = used and min(map(len, (known, blurred, fresh, *last, *drawn.values()))) >= 10
        for n in sizes[:-1] or sizes:
            farther[label, n] = energy_difference(known, drawn[n], fresh, used) if enough else None
        compared = enough and used == with_spread(fresh, used)
        between[label] = distances(fresh, drawn[sizes[0]], used).energy if compared else None
        copied[label] = distances(known, own[again], used).energy if enough and len(own) else None
        found = [energy_difference(known, blurred, part, used) for part in last] if enough else [None]
        nearer[label] = min(found, key=lambda estimate: estimate.value if estimate else 0)
    return {"between": between, "copied": copied, "farther": farther, "nearer": nearer}


def gaussian_image(experiment: Experiment, training: Training) -> Tensor:
    """What the Gaussian of a model's training images draws, by the model's sampler and from its noise."""
    gaussian = fit_gaussian(experiment.images(training))
    return experiment.family.flow(gaussian, experiment.latents(), experiment.start).images


def scale_by_scale(
    experiment: Experiment,
    samples: Mapping[int, Sequence[Tensor]],
    gaussian: Mapping[int, Sequence[Tensor]],
    other: Tensor,
) -> dict[int, dict[str, dict[str, np.ndarray]]]:
    """Agreement within groups of components, `by_scale`, by N and by pair, its controls among them.

    Args:
        experiment: Of a family of denoisers.
        samples: A's and B's, by N.
        gaussian: `gaussian_image` of both, by N.
        other: What a network of other galaxies draws from the same noise.
    """
    images, found = experiment.dataset.images, {}
    for n, (a, b) in samples.items():
        pairs = {
            "A and B": (a, b),
            "two Gaussians": gaussian[n],
            "A and B, unrelated latents": (a, b.roll(1, 0)),
        }
        pairs["A and a network of other galaxies"] = a, other
        found[n] = {name: by_scale(*pair, images) for name, pair in pairs.items()}
    return found


def own_test(experiment: Experiment) -> tuple[dict[int, Outcome], float, Outcome]:
    """Do A and B agree in what their Gaussians leave, and more than A and a model of other galaxies?

    Args:
        experiment: Of a family of denoisers.

    Returns:
        The agreement by N with its null; that of A and the model of other galaxies, at the largest N; and by
        how much A and B exceed it.
    """

    def left(training: Training) -> Tensor:
        return experiment.samples(training) - gaussian_image(experiment, training)

    found, options = {}, {"kind": "anomaly", "mean": experiment.mean_image}
    for n in experiment.sizes:
        a, b = map(left, experiment.pair(n))
        found[n] = repaired(a, b, mean=experiment.mean_image)
    stranger = similarity.cosine(a, left(experiment.foreign()[0]), **options)
    more = beyond(similarity.cosine(a, b, **options), stranger)
    return found, float(np.median(stranger)), more
