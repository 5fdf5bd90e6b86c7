"""The discriminator test of a pair of GANs (`galgen.compare.discriminator`), at the end and along the way."""

from galbook.kept import once
from galgen.compare.discriminator import Course, DiscriminatorTest, course, discriminator_test, score
from galgen.compare.twosample import auc
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.models import gan

__all__ = ["ask", "before_memory", "courses", "tests_along"]

COUNT = 256  # images that show whether D knows those it was trained on


@once
def ask(experiment: Experiment, N: int, k: int = 0, shown: int | None = None) -> DiscriminatorTest:
    """The test of the k-th pair of N images a model, at the end or at a milestone of their training."""
    pair = experiment.models.pair(N, k)
    nets = [experiment.networks(model, shown) for model in pair]
    naive = [experiment.networks(model, 0)["discriminator"] for model in pair]
    own = [experiment.samples(model, shown) for model in pair]
    given = {"side": own[0].shape[-1]}
    raw = [gan.draw(part["generator"], experiment.latents(), **given) for part in nets]
    judges, sets = [part["discriminator"] for part in nets], experiment.images.split(N)
    seed, images = experiment.parameters.seed, experiment.images.dataset.images
    return discriminator_test(judges, naive, own, images, sets, raw=raw, seed=seed)


def tests_along(experiment: Experiment, N: int) -> dict[int, DiscriminatorTest]:
    """The same along the training of the first pair, by images shown."""
    stages = experiment.train(experiment.models.pair(N)[0]).summary["weights"]
    last = stages[-1]
    return {shown: ask(experiment, N, 0, shown) if shown < last else ask(experiment, N) for shown in stages}


def courses(experiment: Experiment) -> dict[int, Course]:
    """What the test says along the training of the first pair, by N."""
    return {n: course(tests_along(experiment, n)) for n in experiment.sizes}


def before_memory(experiment: Experiment, N: int) -> int:
    """Images shown at the last milestone at which neither D of the first pair knows its training images.

    It does not where the interval of P(a training image scores above one of `experiment.unseen`) holds 1/2 or
    lies below; the first milestone, if one of them does at every milestone.
    """
    pair = experiment.models.pair(N)
    stages = experiment.train(pair[0]).summary["weights"]
    unseen = experiment.images.unseen[:COUNT]
    for shown in reversed(stages):
        known = False
        for model in pair:
            D = experiment.networks(model, shown)["discriminator"]
            scores = [score(D, unit(x)) for x in (unseen, experiment.images.of(model)[:COUNT])]
            known |= auc(*scores).low > 0.5
        if not known:
            return shown
    return stages[0]
