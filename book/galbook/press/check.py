r"""No trust asked: a part of what is published is made again here, and compared.

The smallest model of each family is trained for its first steps. On the class of processor that published,
losses are compared bit for bit. Elsewhere sums are rounded in another order, and steps carry that on:

    |loss here - loss published| <= .05 max(1, |loss published|)

(bfloat16 rounds by 2^-9 = .002. Without AMX and AVX512 the losses of 20 steps were seen to differ by .001
of conditional denoisers, .003 of GANs, .012 of blind denoisers and .017 of Glow's gradient.) The published
models draw eight latents each, to `galgen.published.TOLERANCE`, and some of the published measurements, drawn
anew each time, are held against their checksums.
"""

import math
import os
import random
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from galbook.press.published import STEPS, begun
from galbook.press.runs import HEADLINE, Run
from galbook.table import Published
from galgen import published
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_path, write_json
from galgen.runs.packed import about
from galgen.runs.store import Store, processor, provenance

TABLES = 20  # published files of rows that are read
STEPS_TOLERANCE = 0.05  # of losses
BEGUN = '<span class="galgen-checked">'  # on the pages that tell the outcome
PAGES = (f"chapters/{HEADLINE}.html", "workflow.html")


def check(run: Run, out: Path | None = None) -> str:
    """Check what is published, tell the outcome on the bound pages, and write it down.

    Returns:
        The outcome.

    Raises:
        GalgenError: If something is not what was published; named on the first page, too.
    """
    if not (known := about(Store().packed)):
        raise GalgenError(
            "nothing is published that could be checked: results/published/book.json is not there"
        )
    told, here = "; ".join(_wrong(run, known)), provenance()
    where = f"({processor(here['machine'])}, commit {here['commit']})"
    said = f"the check failed {where}: {told}" if told else f"checked here {where}: they do"
    tell(run.folder / "html", said)
    if told:
        raise GalgenError(said)
    if out:
        write_json(out, {"commit": here["commit"]})
    return said


def tell(html: Path, said: str) -> None:
    """Write the outcome of a check into bound pages, which are not bound again."""
    for page in (html / name for name in PAGES if (html / name).is_file()):
        text = re.sub(
            f"({re.escape(BEGUN)}).*?(</span>)",
            lambda found: f"{found[1]}{escape(said)}{found[2]}",
            page.read_text(),
        )
        with atomic_path(page) as temporary:
            temporary.write_text(text)


def _wrong(run: Run, known: Mapping) -> Iterator[str]:
    """What is not as it was published, one text each."""
    emulates = {"ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES"} & set(os.environ)  # another processor
    same = not emulates and processor(known["machine"]) == processor(provenance()["machine"])
    again = begun(run)
    for name, losses in known["begun"].items():
        if name in again and not _alike(again[name], losses, 0.0 if same else STEPS_TOLERANCE):
            yield f"the first {STEPS} steps of {name} have other losses"
    try:
        published.verify()
        if table := Published.of(run.experiments[0]):
            files = sorted(table.about["files"].items())
            for name, of in random.sample(files, min(TABLES, len(files))):
                table.get(name, of["key"])
    except GalgenError as error:
        yield str(error)


def _alike(found: list[dict], told: list[dict], tolerance: float) -> bool:
    """Whether losses of some steps are the same to a tolerance; NaN is NaN in both."""
    if [each.keys() for each in found] != [each.keys() for each in told]:
        return False
    pairs = [(here[name], there[name]) for here, there in zip(found, told, strict=True) for name in there]
    return all(
        a == b
        or (math.isfinite(b) and abs(a - b) <= tolerance * max(1.0, abs(b)))
        or (math.isnan(a) and math.isnan(b))
        for a, b in pairs
    )
