"""The parts of each row: what is asked of a run's families, at which N, and within which limit.

A rule is given what a run found, by the label of the family, and returns the parts of those that are there.
`galbook.claims.claims` has the rows, `galbook.judgement` the words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from galbook.claims.findings import Findings, later
from galbook.clock import cells as clock
from galbook.judgement import NOT_SEEN, Cells, Part, over_cells
from galgen.compare.uncertainty import Estimate
from galgen.figures.words import spaced

__all__ = ["BLIND", "DENOISERS", "EVERY", "GAN", "GLOW", "MANY", "TOLD", "Run", "at_large", "at_many",
    "at_small", "beyond", "biased", "capacity", "clocked", "density", "from_small", "judges", "latents_fall",
    "longer", "required", "same_images", "shape", "taken", "unseen"]  # fmt: skip

BLIND, TOLD, GLOW, GAN = EVERY = "diffusion", "conditional diffusion", "Glow", "GAN"
DENOISERS = (BLIND, TOLD)
Run = Mapping[str, Findings]
Rule = Callable[[Run], list[Part]]
ENDS = (100, 1000)  # N of the clock
MANY = 1000  # from where a training set is a large one, below it a small one (figure 7, section 3.3.3)
# Kernels, N and seed of the committed cells that stood when the rules were fixed: no later one moves a word.
STOOD = {(k, 100, seed) for k in (4, 8) for seed in range(4)} | {(16, 100, 0)}
STOOD |= {(k, 1000, 0) for k in (4, 8, 16)}
FULL = 0.5  # training pixels a weight, beyond which capacity may decide


def _on(f: Findings, limit: str, what: str, N: int, less: int | None = None, **more: object) -> Part:
    ends = " and ".join(f"N = {spaced(n)}, {f.at(n)}" for n in (N, less) if n)
    note = "; ".join(text for text in (ends, more.pop("note", "")) if text)
    return over_cells(f.label, limit, f.cells(what), N, less, statistic=what, note=note, **more)


def at_small(limit: str, what: str, labels: Sequence[str]) -> Rule:
    """Of a statistic at the small N, where that is one."""
    return lambda run: _at([f for f in _of(run, labels) if f.small < MANY], limit, what, lambda f: f.small)


def at_many(limit: str, what: str, labels: Sequence[str]) -> Rule:
    """Of a statistic at the largest N, where that is a large one."""
    return lambda run: _at(_many(run, labels), limit, what, lambda f: f.large)


def at_large(limit: str, what: str, labels: Sequence[str]) -> Rule:
    """Of a statistic at the largest N there is."""
    return lambda run: _at(_of(run, labels), limit, what, lambda f: f.large)


def _of(run: Run, labels: Sequence[str]) -> list[Findings]:
    return [run[label] for label in labels if label in run]


def _many(run: Run, labels: Sequence[str]) -> list[Findings]:
    return [f for f in _of(run, labels) if f.large >= MANY]


def _at(asked: Sequence[Findings], limit: str, what: str, N: Callable[[Findings], int]) -> list[Part]:
    return [
        _on(f, limit, what, N(f), beside=[g.cells(what) for g in asked if g is not f])
        for f in asked
        if N(f) in f.cells(what)
    ]


def same_images(run: Run) -> list[Part]:
    """Agreement of pairs, and of the blind family what it is on the scale from other images to the same."""
    parts = at_many("one", "agree", DENOISERS)(run)
    if parts and BLIND in run and (share := run[BLIND].share.share):
        parts.append(Part(f"{BLIND}, share", share, "share", share.n - 2))
    return parts


def beyond(run: Run) -> list[Part]:
    """Agreement less that of two Gaussians, or of networks of other images: whichever is more."""
    parts = []
    for f in _many(run, DENOISERS):
        marks = f.share.marks
        controls = {"two Gaussians": f.scale.gaussians, "networks of other images": marks.get("floor", -1)}
        controls = {name: getattr(mark, "value", mark) for name, mark in controls.items()}
        name, most = max(controls.items(), key=lambda control: control[1])
        parts.append(_on(f, "beyond", "agree", f.large, beyond=most, note=f"{name} {most:.3f}"))
    return parts


def clocked(_: Run) -> list[Part]:
    """Of each width of the committed clock: the larger N less at equal passes; as much after more passes."""
    parts = []
    for kernels, of in _widths().items():
        small, large = ENDS
        passes = min(float(gap.shown[-1]) / n for n in ENDS for gap in of[n])
        equal = {n: [gap.at(passes * n).value for gap in of[n]] for n in ENDS}
        name = f"{kernels} kernels"
        note = f"g at N = {small} less at {spaced(large)}, after {passes:.0f} passes"
        parts.append(over_cells(name, "less", equal, small, large, note=note))
        gained = {n: [late for gap in of[n] if (late := later(gap)) is not None] for n in ENDS}
        note = f"g at the end less at a quarter of it, N = {small}"
        parts.append(over_cells(f"{name}, longer", "alike", gained, small, note=note))
    return parts


def taken() -> str:
    """Which committed cells the row on N takes."""
    cells = ", ".join(
        f"{kernels} kernels ({' and '.join(f'{len(of[n])} trainings of {spaced(n)}' for n in ENDS)})"
        for kernels, of in _widths().items()
    )
    return f"“It is N that decides” takes the committed clock of simulated galaxies, as it stood: {cells}."


def _stood() -> list[clock.Committed]:
    return [
        one
        for one in next(iter(clock.committed().values()))
        if (one.cell.kernels, one.cell.N, one.seed) in STOOD
    ]


def _widths() -> dict[int, dict[int, list]]:
    """The gaps of these cells, by width and N of `ENDS`."""
    found: dict[int, dict[int, list]] = {}
    for one in _stood():
        if one.cell.N in ENDS:
            found.setdefault(one.cell.kernels, {}).setdefault(one.cell.N, []).extend(one.cell.gaps)
    return {kernels: of for kernels, of in sorted(found.items()) if set(of) == set(ENDS)}


def capacity() -> bool:
    """Whether two widths differ at one N and one number of passes, with a load beyond `FULL`."""
    N, of = ENDS[-1], _widths()
    loads = {one.cell.kernels: one.cell.load for one in _stood() if one.cell.N == N}
    passes = min(float(gap.shown[-1]) / N for gaps in of.values() for gap in gaps[N])
    at = {kernels: [gap.at(passes * N).value for gap in gaps[N]] for kernels, gaps in of.items()}
    wide, narrow = max(at), min(at)
    return max(loads.values()) > FULL and over_cells("", "alike", at, wide, narrow).word == NOT_SEEN


def required(run: Run) -> list[Part]:
    """At a tenth of 10^5, or less: memory, or pairs that do not agree."""
    parts = []
    for f in _of(run, DENOISERS):
        N = max((n for n in f.sizes if MANY <= n <= 10_000), default=None)
        if N:
            parts += [_on(f, "copied", "closer", N), _on(f, "not one", "agree", N)]
    return parts


def shape(limit: str, labels: Sequence[str]) -> Rule:
    """The distance in morphology at the largest N, with the blur that is as far off and what is farthest."""

    def rule(run: Run) -> list[Part]:
        asked, parts = _of(run, labels), []
        for f in asked:
            if f.large not in f.cells("shape"):
                continue
            found, beside = f.shapes(f.large), [g.cells("shape") for g in asked if g is not f]
            part = _on(f, limit, "shape", f.large, beside=beside)
            ends = part.found.value, part.found.low, part.found.high
            blur = Estimate(*(found.blur(found.pixel * end) for end in ends), part.found.n)
            name, away = max(found.farthest.values(), key=lambda pair: abs(pair[1]))
            note = f"{part.note}; as {blur} pixels of blur; farthest {name}, {away:+.2f} spreads"
            parts.append(replace(part, note=note))
        return parts

    return rule


def from_small(limit: str, labels: Sequence[str], *, paper: bool = False) -> Rule:
    """The distance in morphology at a small N less that at the largest; the paper's are from 1 000 on."""

    def rule(run: Run) -> list[Part]:
        parts, asked = [], _of(run, labels)
        for f in asked:
            some = [n for n in f.cells("shape") if n < f.large]
            from_there = [n for n in some if n >= ENDS[-1]] if paper else []
            if some and f.large in f.cells("shape"):
                N = min(from_there) if from_there else f.small if f.small in some else min(some)
                beside = [g.cells("shape") for g in asked if g is not f]
                parts.append(_on(f, limit, "shape", N, f.large, beside=beside))
        return parts

    return rule


def unseen(run: Run) -> list[Part]:
    """Of the conditional family: it copies at the small N, and is no farther from galaxies there."""
    copied, farther = at_small("copied", "closer", (TOLD,))(run), from_small("kept", (TOLD,))(run)
    return [*copied, *farther] if copied and farther else []


def biased(limit: str, *quantities: str) -> Rule:
    """Biases in per cent of models A and B of each family, whose scatter is pooled over the families."""

    def rule(run: Run) -> list[Part]:
        families, parts = list(run.values()), []
        found = families[0].off(families)
        for what in quantities:
            for label, pair in ((label, pair) for label, pair in found[what].items() if pair):
                N, beside = run[label].large, [{0: p} for name, p in found[what].items() if name != label]
                note = f"N = {spaced(N)}, {run[label].at(N)}"
                part = over_cells(f"{label}, {what}", limit, {N: pair}, N, beside=beside, note=note)
                parts.append(part)
        return parts

    return rule


def latents_fall(run: Run) -> list[Part]:
    """W1 of z'_B from 1 000, or the next N, to the largest: it stays at level 0 and falls at deeper ones."""
    if GLOW not in run or len(sizes := run[GLOW].sizes) < 2:
        return []
    f, small = run[GLOW], min((n for n in sizes[:-1] if n >= ENDS[-1]), default=sizes[-2])
    parts = []
    for level in range(len(f.latents[f.large].apart)):
        logs: Cells = {n: list(np.log(test.apart[level])) for n, test in f.latents.items()}
        limit, name = ("falls" if level else "stays"), f"level {level}"
        part = over_cells(name, limit, logs, small, f.large)
        note = f"N = {spaced(small)} to {spaced(f.large)}: W₁ / {np.exp(part.found.value):.2f}"
        parts.append(replace(part, note=note))
    return parts


def density(run: Run) -> list[Part]:
    """W1 and likelihoods of Glows of disjoint over those of the same images; as a control, of the least N."""
    if GLOW not in run or not (test := run[GLOW].latents[run[GLOW].large]).ratio:
        return []
    f, parts = run[GLOW], []
    control = f.latents[f.sizes[0]].likelihood if f.sizes[0] in f.latents else None
    found = {f"W₁, level {k}": ratio for k, ratio in enumerate(test.ratio)}
    for name, ratio in (found | {"likelihood": test.likelihood}).items():
        ends = np.log([ratio.value, ratio.low, ratio.high])
        note = f"N = {spaced(f.large)}: {ratio}"
        if name == "likelihood" and control and f.sizes[0] != f.large:
            note += f"; the control, N = {spaced(f.sizes[0])}: {control}"
        parts.append(Part(name, Estimate(*map(float, ends), ratio.n), "same", ratio.n - 2.0, note))
    return parts


def judges(run: Run) -> list[Part]:
    """P(D scores a training image above a held-out one): known at the least N, unknown at the largest."""
    if GAN not in run or (f := run[GAN]).large < MANY or len(f.sizes) < 2:
        return []
    ends = {"known": (f.sizes[0], "few"), "unknown": (f.large, "many")}
    return [
        replace(_on(f, limit, "knows", N), name=f"{f.label}, {name}")
        for limit, (N, name) in ends.items()
        if N in f.cells("knows")
    ]


def longer(run: Run) -> list[Part]:
    """What the gap between own and held-out images gains from a quarter of a training of the small N on."""
    return at_small("less", "gap", DENOISERS)(run)
