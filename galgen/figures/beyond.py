"""What `make beyond` found and results/beyond.json keeps, by data set and part, as pictures and sentences."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.calibrated import STATISTICS
from galgen.compare.flow import paired_w1
from galgen.compare.maps import WHOLE, crossing
from galgen.compare.seeds import PARTS
from galgen.compare.uncertainty import Estimate
from galgen.figures.results import measured, unstrip
from galgen.figures.style import COLOURS, MODELS, intervals, spaced, stamp_sheet

Records = Sequence[Mapping]
Found = Mapping[str, Mapping]  # what a part found, by data set

SHARED_AT = 0.2  # noise at which eigenvectors are shown
NEAR = 0.25  # distance of two maps below which they are called near
TONES = {"B": MODELS["B"], "other galaxies": COLOURS["glow"], "Gaussian": COLOURS["null"]}  # beside A


def committed(part: str, folder: str | Path | None = None) -> dict[str, dict]:
    """What a part found, by data set, simulated galaxies first; nothing if `make beyond` never ran."""
    runs = measured("beyond", folder)
    order = sorted(runs, key=lambda name: name != "simulated")
    return {name: runs[name][part] for name in order if part in runs[name]}


def note(found: Found) -> str:
    """When, where and of what the numbers are: they are not of the run that shows them."""
    made = [
        f"{name}, {run['date']}, commit {run['commit'][:8]}, {run['minutes']:.0f} min"
        for name, run in found.items()
    ]
    profiles = dict.fromkeys(run["profile"] for run in found.values())
    return f"committed: profile {', '.join(profiles)} · {'; '.join(made)}"


def select(records: Records, **wanted: object) -> Records:
    """The records that have these values."""
    return [r for r in records if all(r[name] == value for name, value in wanted.items())]


def values(records: Iterable[Mapping], key: str = "value") -> list[Estimate]:
    """The estimates that records have under a key, as dictionaries or as several values of a mean."""
    cells = [record[key] for record in records]
    return [Estimate(**c) if isinstance(c, Mapping) else _mean(c) for c in cells]


def grid(rows: int, columns: int, **options: object) -> tuple[Figure, np.ndarray]:
    """Panels, (rows, columns), by default of one scale in a row."""
    size = (min(10, 1 + 3.4 * columns), 0.6 + 2.5 * rows)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, **{"sharey": "row"} | options)


def level(axis: Axes, at: float, **style: object) -> None:
    """A gray dashed line, at what there is when there is nothing to find."""
    axis.axhline(at, **{"ls": "--", "lw": 0.8, "color": COLOURS["null"]} | style)


def verdict_figure(run: Mapping, against: str) -> Figure:
    """Which distances find which set too far from a reference, which too close, and how sure they are.

    A cell that was not measured is hatched, as white says that there is nothing to find.
    """
    records = select(run["records"], against=against)
    rows, spaces = (list(dict.fromkeys(r[key] for r in records)) for key in ("set", "space"))
    columns = [(space, statistic) for space in spaces for statistic in STATISTICS]
    shown = np.full((len(rows), len(columns)), np.nan)
    for r in records:
        signed = np.log10(_both_sides(r)) * (-1 if r["far"] < r["close"] else 1)
        shown[rows.index(r["set"]), columns.index((r["space"], r["statistic"]))] = signed
    figure, axis = plt.subplots(figsize=(9, 1.5 + 0.26 * len(rows)))
    picture = axis.imshow(shown, cmap="PuOr_r", vmin=-2, vmax=2, aspect="auto")
    axis.patch.set(hatch="////", edgecolor=COLOURS["null"])  # shows where the picture has nothing
    axis.set_yticks(range(len(rows)), rows)
    axis.set_xticks(range(len(columns)), [name for _, name in columns], rotation=90, fontsize=8)
    for k, space in enumerate(spaces):
        middle = (k + 0.5) * len(STATISTICS) - 0.5
        axis.text(middle, -0.7, space, ha="center", va="bottom")
        axis.axvline(k * len(STATISTICS) - 0.5, color="white", lw=3)
    bar = figure.colorbar(picture, ax=axis, ticks=(-2, -1.3, 0, 1.3, 2))
    bar.set_ticklabels(["too close, p = 0.01", "0.05", "1", "0.05", "too far, p = 0.01"], fontsize=8)
    return figure


def eigen_sheet(run: Mapping, sigma: float) -> Figure:
    """A row a denoiser: a galaxy, with noise, denoised, and the leading eigenvectors, with eigenvalues."""
    sheets = select(run["sheets"], sigma=sigma)
    stamps = np.concatenate([unstrip(sheet["strip"]) for sheet in sheets])
    heads = ("galaxy", "noisy", "denoised")
    titles = [text for sheet in sheets for text in (*heads, *(f"{v:.2f}" for v in sheet["values"]))]
    columns, rows = len(stamps) // len(sheets), [sheet["model"] for sheet in sheets]
    return stamp_sheet(stamps, columns=columns, titles=titles, rows=rows, inches=0.72)


def answer(what: str) -> Callable[[Callable[[Mapping], str]], Callable[[Found], str]]:
    """Makes a sentence for all data sets, which begins with `what`, of one for each."""

    def of_each(say: Callable[[Mapping], str]) -> Callable[[Found], str]:
        @functools.wraps(say)
        def said(found: Found) -> str:
            return f"**{what}:** {'. '.join(f'*{name}*: {say(run)}' for name, run in found.items())}."

        return said

    return of_each


@answer("PQMass of models, and of a memorizer")
def distances_answer(run: Mapping) -> str:
    """How many models it tells from galaxies, and from how many draws on it gives a memorizer away."""
    told = []
    for space in ("pixels", "features"):
        tests = select(run["records"], against="held-out galaxies", statistic="PQMass", space=space)
        p = [_both_sides(r) for r in tests if ", N = " in r["set"]]
        told.append(f"{sum(x <= 0.05 for x in p)} of {len(p)} in {space}")
    own = select(run["memorizer"], kind="with repeats", against="training set")
    N = own[0]["N"]
    some = (min(own, key=lambda r: abs(r["n"] - n)) for n in (N / 10, N))
    sets = (f"{r['too close']} of {r['tests']} sets of {spaced(r['n'])} draws" for r in some)
    return (
        f"of the models {' and '.join(told)} differ from galaxies; a memorizer of {spaced(N)} images is "
        f"given away by {' and by '.join(sets)}"
    )


@answer("Cells of galaxies against held-out galaxies")
def chance_answer(run: Mapping) -> str:
    """How many cells are coloured of sets of which none should be, but for chance."""
    galaxies = [r for r in run["records"] if r["set"] in ("held out", "training images")]
    tests = select(galaxies, against="held-out galaxies")
    named = [
        f"{r['set']}, {r['statistic']} of {r['space']}: too {'far' if r['far'] < r['close'] else 'close'}, "
        f"p {_both_sides(r):.2f}"
        for r in tests
        if _both_sides(r) < 0.05
    ]
    chance = f"{len(tests) / 20:.1f} would by chance"
    return f"{len(named)} of {len(tests)} have p < 0.05, {chance} ({'; '.join(named) or 'none'})"


def over_null(records: Records, n: int) -> tuple[list[Estimate], np.ndarray]:
    """W1 of latents by scale over what normals have that are correlated as they are, and the range of those.

    Args:
        records: Of one N and one who inverts, scale by scale.
        n: Latents.

    Returns:
        W1 over the mean of its null, and the ends, (2, scales), of the middle 95 % of that null.
    """
    found, ends = [], []
    for r in records:
        a, *b = map(int, r["scale"].split()[1].split("-"))
        null = paired_w1(r["correlation"]["value"], n * (max(b, default=a) - a + 1))
        w1 = r["w1"]
        found.append(Estimate(*(w1[end] / null.mean() for end in ("value", "low", "high")), n))
        ends.append(np.quantile(null, (0.025, 0.975)) / null.mean())
    return found, np.transpose(ends)


def flow_figure(found: Found) -> Figure:
    """Correlation of the latents that others find with those given, and W1 over its null; by scale."""
    figure, axes = grid(2, max(1, len(found)))
    for (above, below), (name, run) in zip(axes.T, found.items(), strict=False):
        N = max(r["N"] for r in run["inversion"])
        everyone = select(run["inversion"], N=N)
        for who, colour in zip(dict.fromkeys(r["who"] for r in everyone), TONES.values(), strict=False):
            rows = select(everyone, who=who)
            x, (apart, ends) = np.arange(len(rows)), over_null(rows, run["n"])
            intervals(above, x, values(rows, "correlation"), color=colour, label=who)
            intervals(below, x, apart, color=colour)
            if who == "B":
                gray = {"color": COLOURS["null"], "alpha": 0.2}
                null = np.array([r["null"] for r in rows])
                above.fill_between(x, -null, null, **gray)
                below.fill_between(x, *ends, **gray)
                echo = [e.value * r["echo"] / r["w1"]["value"] for e, r in zip(apart, rows, strict=True)]
                below.plot(x, echo, ":", color=MODELS["A"], label="$z'_A$")
        above.set(title=f"{name}, N = {spaced(N)}, {run['n']} latents", xticks=[])
        level(below, 1)
        below.set(yscale="log", xlabel="principal components of the galaxies")
        below.set_xticks(x, [r["scale"].split()[1] for r in rows], fontsize=8)
    axes[0, 0].set_ylabel("correlation with $z$")
    axes[1, 0].set_ylabel("$W_1$ / mean of its null")
    if found:
        axes[0, 0].legend(fontsize=7)
        axes[1, 0].legend(fontsize=7)
    return figure


@answer("Correlation of z with the latents that others find in A's images")
def flow_answer(run: Mapping) -> str:
    """How much of a latent another denoiser finds again, at the largest N, and whether its density is A's."""
    N, told = max(r["N"] for r in run["inversion"]), []
    for who in dict.fromkeys(r["who"] for r in run["inversion"]):
        rows = select(run["inversion"], N=N, who=who)
        found, (apart, (_, most)) = values(rows, "correlation"), over_null(rows, run["n"])
        off = [r["scale"].split()[1] for r, e, top in zip(rows, apart, most, strict=True) if e.value > top]
        groups = (
            f"components {', '.join(off)}" if 0 < len(off) < len(rows) else "all groups" if off else "none"
        )
        told.append(
            f"{who}: {found[0]:.3f} at the largest scale, {found[-1]:.3f} at the finest, $W_1$ "
            f"{apart[0].value:.1f} and {apart[-1].value:.1f} times its null (beyond it in {groups})"
        )
    return f"N = {spaced(N)}, {run['n']} latents; {'; '.join(told)}"


@answer(f"The distance of two maps falls below {NEAR:g} at")
def maps_answer(run: Mapping) -> str:
    """Where the distance of two maps passes a level, in numbers of the training set over weights."""
    told = []
    for width, weights in sorted(run["weights"].items(), key=lambda item: item[1]):
        rows = select(run["distances"], pair="A-B", scale=WHOLE, width=int(width))
        place = crossing({r["N"]: r["value"]["value"] for r in rows}, NEAR)
        where = f"N = {place:.0f} ({place * run['pixels'] / weights:.2g} a weight)" if place else "no N"
        last = f"{Estimate(**rows[-1]['value'])} at N = {spaced(rows[-1]['N'])}"
        told.append(f"{where} with {spaced(weights)} weights, and is {last}")
    return "; ".join(told)


@answer(f"At noise {SHARED_AT:g}, of its leading eigenvectors A shares")
def overlap_answer(run: Mapping) -> str:
    """How much of their leading eigenvectors two denoisers share, beside what they share by chance."""
    told, rows = [], select(run["overlap"], sigma=SHARED_AT)
    for N in (min(r["N"] for r in rows), max(r["N"] for r in rows)):
        by = {r["with"]: r for r in select(rows, N=N)}
        other = ", ".join(f"{values([by[who]], 'overlap')[0]} with {who}" for who in by)
        told.append(f"N = {spaced(N)}, {other}, {values([by['B']], 'null')[0]} with B at another galaxy")
    return f"{'; '.join(told)}; two random spaces {run['kept'] / run['pixels']:.2f}"


@answer("Of what A and B share beyond second moments, a network that was shown only these has")
def content_answer(run: Mapping) -> str:
    """How much of the agreement is the network, by scale at the largest N, and where that is in doubt."""
    N = max(r["N"] for r in run["content"])
    rows = select(run["content"], N=N)
    shares = ", ".join(f"{share(r)} in {r['scale']}" for r in rows)
    own, near = (
        [r[key]["value"] for r in rows] for key in ("network of Gaussian-Gaussian", "A-network of Gaussian")
    )
    poor = [r["scale"] for r, o, d in zip(rows, own, near, strict=True) if 2 * o > d]
    doubt = f"not at its optimum in {', '.join(poor)}" if len(poor) < len(rows) else "nowhere at its optimum"
    optimum = (
        f"this network is {doubt}: more than half as far from its own Gaussian as from A" if poor else ""
    )
    return f"N = {spaced(N)}, {shares}{'; ' * bool(poor)}{optimum}"


def bits_rows(run: Mapping) -> list[list[str]]:
    """A row a model: bits/dim held out and in training, and memory; nothing below what the integral can tell.

    Glow's density is exact; a flow of a denoiser is integrated, with an error that a known density shows.
    """
    exact, rows = run["exact"], []
    error = f"error {exact['error']:+.3f} ± {2 * exact['sd'] / exact['n'] ** 0.5:.3f}"
    least = abs(exact["error"]) + 2 * exact["sd"] / exact["n"] ** 0.5
    glow = {r["N"]: r["held out"] for r in run["bits"] if r["model"] == "Glow"}
    for r in run["bits"]:
        gap, digits, told = Estimate(**r["gap"]), ".3f", ""
        memory = f"{gap:.3f}"
        if r["model"] != "Glow":
            digits = ".2f"
            if abs(gap.value) < least:
                memory = f"not resolved (below {least:.3f})"
            if r["N"] in glow and abs(r["held out"] - glow[r["N"]]) < least:
                told = ", not told apart from Glow"
        held_out = format(r["held out"], digits) + told
        rows.append([r["model"], spaced(r["N"]), held_out, format(r["training"], digits), memory])
    return [*rows, ["a Gaussian", "", f"{exact['known']:.2f}", "", error]]


def share(record: Mapping) -> str:
    """The share of a network in an agreement beyond second moments; none where that agreement may be 0.

    What is shared is the distance of A and its Gaussian less that of A and B. The half-widths of both are
    added in quadrature: older records have kept ratios whatever their denominators.
    """
    linear, other = (Estimate(**record[key]) for key in ("A-Gaussian", "A-B"))
    if record["share"] is None or linear.value - other.value < np.hypot(
        linear.value - linear.low, other.high - other.value
    ):
        return "none (nothing to share)"
    return f"{Estimate(**record['share'])}"


@answer("Standard deviation of the mean agreement")
def seeds_answer(run: Mapping) -> str:
    """How much wider an interval would be that covers another training and another split."""
    sd = {part: Estimate(**value) for part, value in run["components"].items()}
    each = ", ".join(f"{part} {sd[part]:.3f}" for part in PARTS)
    return f"{each}; an interval of all is {sd['wider']:.1f} times as wide as one over latents"


def _both_sides(record: Mapping) -> float:
    return min(1.0, 2 * min(record["far"], record["close"]))


def _mean(sample: Sequence[float]) -> Estimate:
    """The mean of a few values, with the least and the largest of them."""
    return Estimate(float(np.mean(sample)), float(min(sample)), float(max(sample)), len(sample))
