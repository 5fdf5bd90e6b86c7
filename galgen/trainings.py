"""Which models there are: the pairs, the 2x2 of initialisation and data, and those of other images.

The two-models framework compares, for each N and each family of models,

    A = model(initialisation 0, data order and noise 0, images A)
    B = model(initialisation 1, data order and noise 1, images B)

The 2x2 design at one N compares model A with three more, to separate what initialisation and data do. Order
and noise always differ, or "same and same" would be one and the same run:

                          same images (A)        disjoint images (B)
    same initialisation   (0, 1, A)              (0, 1, B)
    another               (2, 2, A)              (1, 1, B) = model B

A foreign model has seen images of another data set (`galgen.settings.Foreign`): how much A agrees with it
is no finding. It shares no seed with the others.
"""

from galgen.models.families import Family, Training
from galgen.settings import TrainingSettings

__all__ = ["Trainings"]

FIRST_FOREIGN = 100  # number of the first foreign model's seeds, beyond those of all pairs


class Trainings:
    """The models of a family, by what they are for.

    Attributes:
        family: Which family.
        settings: Its part of the profile, which says how many there are.
        sizes: All N, growing; none where the profile leaves the family out.
    """

    family: Family
    settings: TrainingSettings
    sizes: tuple[int, ...]

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

    def foreign(self) -> list[Training]:
        """The models that have seen other images, at the largest N, one for each name in the settings."""
        made = []
        for k, name in enumerate(self.settings.foreign):
            # of one kind A's images and B's in turn, as are those of the pairs
            half = "AB"[self.settings.foreign[:k].count(name) % 2]
            seed = FIRST_FOREIGN + k
            made.append(self._training(self.sizes[-1], half, seed, seed, foreign=name))
        return made

    def trainings(self) -> list[Training]:
        """Every training of the family, longest first so that two cores end together."""
        if not self.sizes:
            return []
        wanted = {t for N in self.sizes for pair in self.pairs(N) for t in pair}
        wanted |= {*self.design().values(), *self.foreign()}
        return sorted(wanted, key=lambda t: (-self.settings.images_shown(t.N), t.name))

    def _training(self, N: int, half: str, init: int, order: int, *, foreign: str = "") -> Training:
        return Training(N, half, init, order, foreign, self.family.name)
