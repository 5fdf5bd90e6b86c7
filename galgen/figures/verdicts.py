"""What a rule says to a claim: a verdict, its reason in a line, and the numbers it rests on.

The verdicts are

    held               a test that could have found the contrary did not, or found what the claim says
    not held           a test found the contrary, or missed what the claim says though it finds its control
    underpowered       nothing was found, and this run could not have found it
    confounded         something else that differs between what is compared explains it as well
    not testable here  a number could not be measured, or a single N stands where the claim compares several

*Confounded with training time* is derived from the run: to each N belong the passes over its training set,
images shown over N, and to each family the fewest passes after which one of its pairs was found to memorize.
Where the largest N had fewer, that it does not memorize says nothing of N.

*Margins*, fixed in the code, beside which a run says the smallest effect that it could have seen:
memorization is excluded where the upper end of P(train closer) is no more than `MARGIN` above 1/2, or above
that of shrunk Gaussians of the same sets if it is larger (a tenth of samples as copies moves P by as much);
images are like galaxies where no AUC above `AREA` is left, the spread of its null added;
morphology is kept where a set is nearer to galaxies than galaxies blurred by a pixel, by an interval; two
Glows hold one density where their likelihoods leave no AUC above `AREA` and W1 on disjoint images is at most
`TIMES` that on the same images. Agreement must exceed that with a network of other galaxies by `MARGIN`, as
with enough latents any difference has a small p.

A verdict that could hardly have come out otherwise is called *by construction* in its reason.
"""

from collections.abc import Callable
from dataclasses import dataclass

VERDICTS = ("held", "not held", "underpowered", "confounded", "not testable here")
Ground = tuple[str, object, str]  # a verdict, whether it applies, and the reason


def _grounds(verdict: str) -> Callable[..., Ground]:
    """Makes grounds of a verdict: of what applies and a reason, or of a reason alone, unless it is empty."""
    return lambda applies, reason="": (verdict, applies, reason or applies)


held, not_held, underpowered, confounded, not_testable = map(_grounds, VERDICTS)


@dataclass(frozen=True)
class Ruling:
    """What a run says to a claim: the verdict, the numbers it rests on, and the reason in a line."""

    verdict: str
    numbers: str
    reason: str


def ruled(numbers: str, *grounds: Ground) -> Ruling:
    """The ruling of the first ground that applies.

    Args:
        numbers: What it rests on.
        grounds: The last one applies.
    """
    verdict, reason = next((verdict, reason) for verdict, applies, reason in grounds if applies)
    return Ruling(verdict, numbers, reason)
