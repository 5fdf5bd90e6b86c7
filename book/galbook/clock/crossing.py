r"""Is there an N that a network does not memorize, however long it is trained? The statement on size (S2).

No training is endless, and a small network is slow besides. So time is counted in *predicted onsets*: those
of the same width, in proportion to N,

    t_pred(N) = t*(100) N / 100,        t*(100) the geometric mean of its trainings (`galbook.clock.gap`),

and a training is read after three of them. It is *memorized* if its onset has come by then and g is not low
again; *not memorized* if g is low from then on, before and after its rate falls, and no longer grows; else
*undecided*. All trainings of a cell, a width and an N, must agree. The load, pixels of the set over weights
of the network, says how much it was asked to keep.

One width that memorizes small sets and not a large one may be slow in a way that no proportion foresees. A
*crossing* excludes that: at one N, each after three of its own predicted onsets, a wide network memorizes and
a narrow one does not, while the narrow one memorizes a smaller N.

The intervals of g are of images; what another training would change shows in that two must agree.

References:
    Bonnaire et al. 2025, https://arxiv.org/abs/2505.17638: above an N that grows with the network none.
    Gu et al. 2025, On memorization in diffusion models, https://arxiv.org/abs/2310.02664.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from galbook.clock.gap import Gap, mean_onset
from galbook.clock.in_proportion import SCALE, TRAININGS, Cell, Statement, arranged
from galgen.compare.uncertainty import Estimate
from galgen.figures.words import spaced

__all__ = ["DURATION", "LARGE", "Elapsed", "crossing", "elapsed", "plateau", "predicted_onset", "readings"]

# Margins, fixed before any onset of this book was measured.

# From N = 100 to 1 000 the steepest growth that counts as in proportion, a power of 1.3, has its onset at two
# predicted ones (10^.3 = 2.0). Who has not begun after three is later than that.
DURATION = 3.0  # predicted onsets
LOW = 0.5  # dB: nearer to no gap than to an onset, 1 dB, from which it is two standard errors of g away
# Less than .2 dB a doubling needs two and a half doublings or more from .5 dB to 1 dB: an onset would come
# after 17 predicted ones, out of all proportion.
GAIN = 0.2  # dB in the last doubling of images shown, the upper end here too: the contrary is excluded
LARGE = 1000  # images, at which a crossing is looked for
END = 0.9  # of a training: from here on the rate falls, and g is asked before and after

_MARGIN = (
    "from three predicted onsets on, the upper end of g below .5 dB, nearer to no gap than to an onset, and "
    "that of its gain in the last doubling below .2 dB, by which an onset is 17 predicted ones away or more; "
    "three, as the steepest growth that counts as in proportion has its onset at two for N = 1 000"
)
MEMORIZED, NOT, UNDECIDED = "memorized", "not memorized", "undecided"


@dataclass(frozen=True)
class Reading:
    """A cell after three predicted onsets.

    Attributes:
        cell: Its trainings.
        state: memorized, not memorized, undecided, or what is missing to read it.
        gaps: g of each training after three predicted onsets, or at its end; none where it cannot be read.
    """

    cell: Cell
    state: str
    gaps: Sequence[Estimate] = ()

    def __str__(self) -> str:
        gaps = f", g = {' and '.join(map(str, self.gaps))} dB" if self.gaps else ""
        return f"{self.cell} ({self.cell.load:.2g} training pixels a weight): {self.state}{gaps}"


def predicted_onset(cells: Iterable[Cell], kernels: int, N: int) -> float | None:
    """Images shown at an onset in proportion to N, from that of the same width at `SCALE` images.

    None where that cell is missing, has too few trainings, or one of them has no onset.
    """
    for cell in cells:
        if (cell.kernels, cell.N) == (kernels, SCALE) and len(cell.gaps) >= TRAININGS and cell.onset():
            return cell.onset() * N / SCALE
    return None


def readings(cells: Iterable[Cell]) -> dict[tuple[int, int], Reading]:
    """All cells after three predicted onsets, by width and N, growing."""
    cells = arranged(cells)
    found = {}
    for cell in cells:
        predicted = predicted_onset(cells, cell.kernels, cell.N)
        if len(cell.gaps) < TRAININGS:
            read = Reading(cell, f"fewer than {TRAININGS} trainings")
        elif predicted is None:
            read = Reading(cell, f"no onset at N = {SCALE} to predict by")
        else:
            due = DURATION * predicted
            states = {_state(gap, due) for gap in cell.gaps}
            if None in states:
                read = Reading(cell, f"fewer than {DURATION:g} predicted onsets shown")
            else:
                state = states.pop() if len(states) == 1 else UNDECIDED
                read = Reading(cell, state, [gap.at(min(due, gap.shown[-1])) for gap in cell.gaps])
        found[cell.kernels, cell.N] = read
    return found


def plateau(cells: Iterable[Cell]) -> Statement:
    """S2: there is an N that a network does not memorize up to three of its predicted onsets.

    Held where a cell above `SCALE` is not memorized, while the same width memorizes a smaller N, and neither
    it nor a narrower network memorizes as many images or more. Not held where even the narrowest network
    memorizes the largest N. Not testable where no cell above `SCALE` can be read, else underpowered.
    """
    text = "There is an N that a network does not memorize up to three of its predicted onsets."
    read = readings(cells)
    asked = {place: r for place, r in read.items() if place[1] > SCALE}
    last = (min((k for k, _ in read), default=0), max((n for _, n in asked), default=0))
    held = [
        place
        for place in asked
        if _stays(read, *place) and not any(k <= place[0] and n >= place[1] for k, n in _of(asked, MEMORIZED))
    ]
    return _stated(text, asked, last, held, enough=1, missing=f"no N above {SCALE}")


def crossing(cells: Iterable[Cell]) -> Statement:
    """S2 at size: at one N a wide network memorizes and a narrow one, which memorizes a smaller N, does not.

    Held so, where no narrower network memorizes that N either. Not held where even the narrowest does. Not
    testable where fewer than two widths can be read, else underpowered.
    """
    text = f"At N = {spaced(LARGE)} a wide network memorizes, and a narrow one that memorizes fewer does not."
    read = readings(cells)
    asked = {place: r for place, r in read.items() if place[1] == LARGE}
    last = (min((k for k, _ in read), default=0), LARGE)
    memorizing = [k for k, _ in _of(asked, MEMORIZED)]
    held = [place for place in asked if _stays(read, *place) and place[0] < min(memorizing, default=0)]
    return _stated(text, asked, last, held, enough=2, missing=f"no network at N = {spaced(LARGE)}")


@dataclass(frozen=True)
class Elapsed:
    """How many onsets of its own recipe a training saw go by.

    Attributes:
        N: Its training images.
        shown: Images shown.
        gap: g at the end, in dB.
        onset: Images shown at its own onset, None if it has none.
        predicted: Images shown at its onset in proportion to N, by each smaller N that has one.
        words: The sentence.
    """

    N: int
    shown: int
    gap: Estimate
    onset: float | None
    predicted: Mapping[int, float]
    words: str

    @property
    def onsets(self) -> float | None:
        """Predicted onsets that went by, from the largest of the smaller N; None without one."""
        return self.shown / self.predicted[max(self.predicted)] if self.predicted else None

    @property
    def confounded(self) -> bool:
        """Whether it may have had no time: it has no onset, and saw fewer than `DURATION` predicted ones."""
        return self.onset is None and (self.onsets or 0) < DURATION


def elapsed(gap: Gap, N: int, smaller: Mapping[int, Sequence[Gap]]) -> Elapsed:
    """How many predicted onsets of its own recipe a training saw go by.

    Args:
        gap: Of the training, at the largest N.
        N: Its training images.
        smaller: By smaller N, g of trainings by the same recipe. Those count of which all have an onset; the
            largest decides, as from there a proportion has the least far to reach.
    """
    onsets = {n: mean_onset(gaps) for n, gaps in sorted(smaller.items()) if n < N}
    predicted = {n: onset * N / n for n, onset in onsets.items() if onset}
    shown = int(gap.shown[-1])
    end = gap.at(shown)
    if predicted:
        n, onset = max(predicted.items())
        said = (
            f"in proportion to N = {spaced(n)} memorization begins after "
            f"{spaced(int(float(f'{onset:.2g}')))}, so that the training saw "
            f"{_times(shown / onset)} times that (if the onset grew only as √N, "
            f"{_times(shown / onset * sqrt(N / n))} times)"
        )
    else:
        said = "no smaller N has an onset by which to predict one"
    words = (
        f"At N = {spaced(N)}, {spaced(shown)} images were shown, each {_times(shown / N)} times; {said}. "
        f"Since an early milestone the network's PSNR on its own images has risen by {end} dB more than on "
        "unseen ones."
    )
    return Elapsed(N, shown, end, gap.onset(), predicted, words)


def _times(value: float) -> str:
    return spaced(round(value)) if value >= 100 else f"{value:.2g}"


def _state(gap: Gap, due: float) -> str | None:
    """What became of a training when `due` images were shown; None where it is too short to say."""
    end, onset = gap.shown[-1], gap.onset()
    if onset is not None and onset <= due and gap.at(min(due, end)).low > LOW:
        return MEMORIZED
    if end < due:
        return None
    later = [due, *(t for t in gap.shown if t >= min(due, END * end))]
    low = all(gap.at(t).high < LOW for t in later) and gap.gained(end).high < GAIN
    return NOT if low else UNDECIDED


def _of(read: Mapping[tuple[int, int], Reading], *states: str) -> list[tuple[int, int]]:
    """Width and N of the cells in one of these states."""
    return [place for place, reading in read.items() if reading.state in states]


def _stays(read: Mapping[tuple[int, int], Reading], kernels: int, N: int) -> bool:
    """Whether a cell is not memorized, while the same width memorizes a smaller N."""
    smaller = any(k == kernels and n < N for k, n in _of(read, MEMORIZED))
    return smaller and read[kernels, N].state == NOT


def _stated(
    text: str,
    asked: Mapping[tuple[int, int], Reading],
    last: tuple[int, int],
    held: Sequence[tuple[int, int]],
    *,
    enough: int,
    missing: str,
) -> Statement:
    """The statement: not held if the cell `last` is memorized, held if some are `held`."""
    known = [asked[place] for place in _of(asked, MEMORIZED, NOT, UNDECIDED)]
    numbers = {f"{r.cell}, training {k}": g for r in known for k, g in enumerate(r.gaps, 1)}
    reason = "; ".join(map(str, asked.values())) or missing
    load = max((r.cell.load for r in known), default=None)
    if last in _of(asked, MEMORIZED):
        verdict, load = "not held", asked[last].cell.load
        reason = f"time, as far as we could see: even {asked[last].cell} memorize; {reason}"
    elif held:
        verdict, load = "held", asked[held[0]].cell.load
    else:
        verdict = "underpowered" if len(known) >= enough else "not testable here"
    return Statement(text, verdict, reason, _MARGIN, numbers, load=load)
