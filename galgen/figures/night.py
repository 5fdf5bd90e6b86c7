"""Models that were trained for a night, as results/night.json keeps them, beside those of a run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure

from galgen.compare.uncertainty import Estimate, p_text
from galgen.figures.results import measured, unstrip
from galgen.figures.scoreboard import UNITS, Board
from galgen.figures.style import spaced, stamp_sheet
from galgen.figures.tables import table, two_by_two

Key = tuple[str, int]


def committed(sha256: str, seed: int, folder: str | Path | None = None) -> dict | None:
    """What was found of a night on that data set, with the latents of that seed, if anything was."""
    runs = measured("night", folder).values()
    return next((run for run in runs if (run["sha256"], run["seed"]) == (sha256, seed)), None)


def changes(here: Board, night: Board) -> str:
    """Of this run and of a night: what tells samples from galaxies, and the margin of memorization."""
    said = []
    for (label, n), found in night.items():
        known = here.get((label, n), {})
        parts = [
            f"{UNITS[question]} {known[question].value:.2f} → {found[question].value:.2f}"
            for question in ("distribution", "coarse distribution", "morphology")
            if question in known and question in found
        ]
        if all("memorization" in answers for answers in (known, found)):
            both = (
                f"{a['memorization'].value:.3f} (p {p_text(a['memorization'].p)})" for a in (known, found)
            )
            parts.append(f"margin of memorization {' → '.join(both)}")
        if parts:
            said.append(f"- *{label}*, N = {spaced(n)}: {', '.join(parts)}")
    return "\n".join(["This run → a night:\n", *said]) if said else "This run has none of a night's pairs."


def trained_table(found: Mapping, here: Mapping[Key, Estimate], before: str = "") -> Markdown:
    """What each pair of a night cost, and P(train closer) of it and of the run's own pair.

    Args:
        found: As `committed` gives it.
        here: P(train closer) of the pairs of the run, by (label of the family, N).
        before: Text over the table.
    """
    rows = []
    for pair in found["pairs"]:
        key, minutes = (pair["pair"], pair["N"]), ", ".join(f"{m:.0f}" for m in pair["minutes"])
        closer = here.get(key, ""), Estimate(**pair["closer"]), f"{pair['linear']:.2f}"
        passes = spaced(round(pair["images_shown"] / key[1]))
        shown = f"{spaced(pair['images_shown'])} ({passes} passes)"
        rows.append([key[0], spaced(key[1]), shown, minutes, *closer])
    head = ["pair", "N", "images shown", "minutes of A and B, pauses included"]
    head += ["P(train closer), this run", "night", "Gaussians of the same images"]
    missing = {}
    for pair in found["missing"]:
        missing.setdefault(pair["pair"], []).append(spaced(pair["N"]))
    named = (f"{label}, N = {', '.join(sizes)}" for label, sizes in missing.items())
    without = f"Not trained yet: {'; '.join(named)}." if missing else ""
    return table(head, rows, before=before, after=without)


def beside(found: Mapping, here: Mapping[Key, tuple[np.ndarray, np.ndarray]]) -> Figure | None:
    """The first eight samples of A and of B, of this run and of the night, of the same latents.

    Args:
        found: As of `trained_table`.
        here: The first samples (8, 1, H, W) of A and B of this run's pairs, by (label of the family, N).
    """
    stamps, rows = [], []
    for pair in found["pairs"]:
        key = pair["pair"], pair["N"]
        if "samples" not in pair or key not in here:
            continue
        for half, own, night in zip("AB", here[key], pair["samples"], strict=True):
            stamps += [np.asarray(own), unstrip(night) / 255]
            rows += [f"{key[0]}, {half}: this run", "a night"]
    return stamp_sheet(np.concatenate(stamps), columns=8, rows=rows, inches=0.7) if stamps else None


def design_table(found: Mapping | None, label: str) -> Markdown:
    """The 2x2 of a family's models of the night, and how alike a model of other galaxies is, where asked."""
    night, said = [one for one in (found or {}).get("against", ()) if one["pair"] == label], []
    for one in night:
        cosines = {(c["init"], c["images"]): Estimate(**c["cosine"]) for c in one["cosines"]}
        if ("same", "same") in cosines:
            said.append(two_by_two(cosines, one["N"], "By night. ")[0].data)
        else:
            (other,) = cosines.values()
            said.append(
                f"By night, model A of N = {spaced(one['N'])} and one of other galaxies agree at {other}."
            )
    if not said:
        return Markdown("Of a night nothing on this is committed.")
    return Markdown("\n\n".join([*said, f"*{note(dict(found, against=night), 'against')}*"]))


def note(found: Mapping, part: str = "pairs") -> str:
    """When and of what the numbers are: they are not of the run that shows them, nor all of one sitting."""
    sittings = sorted({(one["date"], f"commit {one['commit'][:8]}") for one in found[part]})
    said = f"committed: profile {found['profile']} · {'; '.join(map(', '.join, sittings))}"
    return f"{said} · {found['latents']} latents, {found['count']} samples" if part == "pairs" else said
