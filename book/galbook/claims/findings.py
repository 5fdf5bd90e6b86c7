"""What a run found of one family, training by training, as the rows of the table are asked of it."""

import functools
from collections.abc import Iterable

from galbook import biases, discriminator, inversion, morphology
from galbook.agreement import two_models_at
from galbook.clock.asked import clock_cell
from galbook.denoising import gained
from galbook.share import asked as scale
from galbook.share.scale import Scale
from galgen.compare.flow_pairs import Latents
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment
from galgen.figures.words import spaced

__all__ = ["Findings", "later", "where_whole"]

Cells = dict[int, list[Estimate | float]]  # by N, of each training, or pair


class Findings:
    """Of one family, all that its models, and galaxies beside them, are asked.

    Args:
        experiment: Of that family.
    """

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.label = experiment.family.label
        self.sizes = experiment.sizes
        self.small = 100 if 100 in self.sizes else self.sizes[0]
        self.large = self.sizes[-1]

    def at(self, N: int) -> str:
        """The note of one N: how often each image was shown."""
        passes = self.experiment.settings.images_shown(N) / N
        return f"{spaced(round(passes)) if passes >= 10 else round(passes, 1)} passes"

    @functools.cache  # noqa: B019 - of a run there is one
    def cells(self, what: str) -> Cells:
        """By N, of the trainings or pairs there; a name of the methods below."""
        found = {n: getattr(self, f"_{what}")(n) for n in self.sizes}
        return {n: values for n, values in found.items() if values}

    def _agree(self, N: int) -> list[Estimate]:
        """Of each pair, median anomaly cosine of the two images of a latent."""
        return [test.agree for test in self._pairs(N)]

    def _closer(self, N: int) -> list[Estimate]:
        """Of each pair, P(own set nearer) less 1/2, or that of the shrunk Gaussians, whichever is more."""
        found = []
        for test in self._pairs(N):
            e, null = test.closer, max(0.5, test.memorization.gaussians.closer.value)
            found.append(Estimate(e.value - null, e.low - null, e.high - null, e.n))
        return found

    def _pairs(self, N: int) -> list:
        return [two_models_at(self.experiment, N, k) for k in range(len(self.experiment.models.pairs(N)))]

    def _gained(self, N: int) -> list[Estimate]:
        """Of each judged model, PSNR out less PSNR in at the least noise, dB, of held-out images."""
        return [levels[0] for levels in gained(self.experiment, N).values()]

    def _gap(self, N: int) -> list[float]:
        """Of A and B, by how much the gap g gained from a quarter of the training to its end, dB."""
        return [
            late for gap in clock_cell(self.experiment, N, False).gaps if (late := later(gap)) is not None
        ]

    def _told(self, N: int) -> list[float]:
        """Of each model, area under the curve of a classifier, samples and galaxies of 8 pixels a side."""
        found = morphology.fit(self.experiment, N)
        return list(found.models.values()) if found else []

    def _shape(self, N: int) -> list[float]:
        """Of each judged model, its distance from galaxies in morphology, times that of a pixel of blur."""
        found = morphology.shaped(self.experiment, N)
        return [far / found.pixel for far in found.energy.values()] if found else []

    def _knows(self, N: int) -> list[Estimate]:
        """Of each D, P(a training image scores above a held-out one) after equally many images."""
        return discriminator.knows(self.experiment, N)

    @functools.cached_property
    def scale(self) -> scale.Agreement:
        """Of a denoiser, its agreement between floor and ceiling, at the largest N."""
        return scale.agreement(self.experiment)

    @property
    def share(self) -> Scale:
        """The same, of the images themselves."""
        return self.scale.scales[scale.IMAGES]

    @functools.cached_property
    def latents(self) -> dict[int, Latents]:
        """Of a flow, the inversion test by N."""
        return inversion.inverted(self.experiment)

    def shapes(self, N: int) -> morphology.Shaped | None:
        """How far from galaxies in morphology its judged models are."""
        return morphology.shaped(self.experiment, N)

    @staticmethod
    def off(run: list["Findings"]) -> dict[str, dict[str, list[Estimate]]]:
        """Of A and B of each family at its largest N, by quantity and label, the bias in per cent."""
        found = biases.model_biases([each.experiment for each in run])
        return {
            what: {
                label: [one for model in pair.values() if (one := getattr(model.biases, what)) is not None]
                for label, pair in found.models.items()
            }
            for what in ("flux", "size", "ellipticity")
        }


def where_whole(experiments: Iterable[Experiment]) -> dict[str, Findings]:
    """Of each family, by its label, if all models of all of them are trained, or published; else of none."""
    experiments = list(experiments)
    if any(each.to_train(each.models.trainings()) for each in experiments):
        return {}
    return {each.family.label: Findings(each) for each in experiments}


def later(gap: object, part: int = 4) -> float | None:
    """What a gap gained since so large a part of its training, dB; None where that is not known."""
    end = float(gap.shown[-1])
    return gap.at(end).value - gap.at(end / part).value if gap.shown[0] <= end / part else None
