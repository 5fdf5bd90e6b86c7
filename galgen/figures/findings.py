"""What a run found, as the claims are asked of it; `galgen.figures.evidence` makes it of trained models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from galgen.compare.discriminator import Course
from galgen.compare.inversion import Latents
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures.sentences import at_sizes
from galgen.figures.style import spaced

ALPHA = 0.01  # level of the tests
FEW = 0.05  # of those over a few pairs of models, and of a discriminator
PAPER = ("diffusion", "Glow", "GAN")  # families that the paper makes claims on
MARGIN = 0.05  # of P(train closer), and of a cosine
AREA = 0.6  # AUC up to which a classifier is said to distinguish as good as nothing


@dataclass(frozen=True)
class Findings:
    """What a run found of its pairs of models, by label of the family and N, growing, unless said otherwise.

    Attributes:
        scores: The answers by question (`galgen.compare.scoreboard`).
        own: The test that only this family can be asked.
        latents: By N, the inversion test of Glow.
        judges: By N, the discriminator test of the GAN.
        closer: P(train closer) of each pair.
        linear: P(train closer) of shrunk Gaussians of the same images.
        passes: How often each pair was shown its training set.
        ratios: Training pixels over parameters.
        onset: By family, the fewest passes by which a pair was found to memorize, and its N, where one was.
        foreign: By denoiser, by how much A's and B's residuals agree more, at its largest N, than A's and
            those of a network of other galaxies.
        between: By family, the energy distance of morphology of the smallest N from the largest, of other
            latents; None where too few images are valid.
        copied: By family, the energy distance from galaxies of copies of the smallest N's training images.
        farther: By how much farther from galaxies model A of an N is than that of the largest, which draws
            from other latents.
        nearer: By family, by how much nearer to galaxies than galaxies blurred by a pixel the largest N is,
            of A and B the one farther off.
        unseen: PSNR on held-out images of the denoiser of the smallest N, by level of little noise, growing.
        gaps: By N, by how many dB a denoiser is better at most for having been trained on an image.
        missed: By question, the controls that it must find and does not.
        alpha: The p-value below which a null is rejected.
        diffusion: Of which denoiser the claims on diffusion are asked, by label; the paper's is blind.
    """

    scores: Mapping[tuple[str, int], Mapping[str, Outcome]]
    own: Mapping[tuple[str, int], Outcome] = field(default_factory=dict)
    latents: Mapping[int, Latents] = field(default_factory=dict)
    judges: Mapping[int, Course] = field(default_factory=dict)
    closer: Mapping[tuple[str, int], Estimate] = field(default_factory=dict)
    linear: Mapping[tuple[str, int], float] = field(default_factory=dict)
    passes: Mapping[tuple[str, int], float] = field(default_factory=dict)
    ratios: Mapping[tuple[str, int], float] = field(default_factory=dict)
    onset: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    foreign: Mapping[str, Outcome] = field(default_factory=dict)
    between: Mapping[str, Outcome | None] = field(default_factory=dict)
    copied: Mapping[str, Outcome | None] = field(default_factory=dict)
    farther: Mapping[tuple[str, int], Estimate | None] = field(default_factory=dict)
    nearer: Mapping[str, Estimate | None] = field(default_factory=dict)
    unseen: Mapping[float, float] = field(default_factory=dict)
    gaps: Mapping[int, float] = field(default_factory=dict)
    missed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    alpha: float = ALPHA
    diffusion: str = "diffusion"

    def sizes(self, family: str) -> list[int]:
        """All N of a family."""
        return [n for name, n in self.scores if name == family]

    def at(self, family: str) -> str:
        """The same in words."""
        return at_sizes(self.sizes(family))

    def asked(self, family: str, question: str) -> list[Outcome | None]:
        """The answers at each N; None where the question could not be asked."""
        return [self.scores[family, n].get(question) for n in self.sizes(family)]

    def at_largest(self, question: str) -> dict[str, Outcome | None]:
        """The answers of the paper's families, and of the denoiser that is asked, at their largest N."""
        families = dict.fromkeys(family for family, _ in self.scores if family in (*PAPER, self.diffusion))
        return {family: self.asked(family, question)[-1] for family in families}

    def rejected(self, answer: Outcome | None) -> bool:
        """Whether there is an answer and its null is rejected."""
        return answer is not None and answer.p < self.alpha

    def alike(self, answer: Outcome | None) -> bool:
        """Whether images of one latent are more alike than strangers: the null of agreement has two sides."""
        return self.rejected(answer) and answer.value >= answer.low

    def hurried(self, family: str) -> str:
        """Why training time alone may explain that the largest N does not memorize; empty if it does not.

        That a larger set takes as many passes as a smaller one is assumed, and said.
        """
        n = self.sizes(family)[-1]
        shown, (first, of) = self.passes[family, n], self.onset.get(family, (inf, 0))
        if shown >= first:
            return ""
        longest = max(self.passes[family, m] for m in self.sizes(family))
        known = f"no pair is found to memorise within {_count(longest)}, so how many it takes is not known"
        if of:
            known = (
                f"the fewest by which a pair is found to memorise are {_count(first)}, at N = {spaced(of)}: "
            )
            known += "unless a larger set takes fewer, there was no time for it"
        return f"{family} had {_count(shown)} passes at N = {spaced(n)}, and {known}"

    def undecided(self, family: str) -> str:
        """Why memorization is not excluded at the largest N, though it was not found; empty if it is."""
        key = family, self.sizes(family)[-1]
        closer, most = self.closer[key], max(0.5, self.linear[key]) + MARGIN
        if most > 1 - MARGIN:
            return (
                f"{family}: P(train closer) of Gaussians of the same images is {self.linear[key]:.2f} already"
            )
        if closer.high <= most:
            return ""
        return f"{family}: P(train closer) {closer}, with {closer.n} latents, is not below {most:.2f}"

    def blind(self, question: str) -> str:
        """Which controls a question misses, as a reason; empty if none."""
        missed = ", ".join(self.missed.get(question, ()))
        return missed and f"with as many images the test does not find: {missed}"


def _count(passes: float) -> str:
    return spaced(round(passes)) if passes >= 10 else f"{passes:.1f}"
