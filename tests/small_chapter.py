"""A chapter with a table and a figure, rendered by the tests in place of the real ones."""

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from galgen.profiles import Parameters

__all__ = ["FIGURE", "HOSTILE", "NOTE", "PARAMETERS", "TABLE", "chapter"]

FIGURE = """
import matplotlib.pyplot as plt
from galgen.figures import style as figures

figures.house_style()
figure, axes = plt.subplots()
axes.plot([0, 1])
figures.show(figure, alt="a rising line", note=f"profile {profile} · {data} · N = {N}")
"""
TABLE = """
from pathlib import Path

from galgen.figures.tables import escaped, table

name = escaped(Path(data).stem)
table(["*N*", "median"], [[8, "$x^2$"], ["data", name]], after=f"Of *{name}*.")
"""
HOSTILE = "a<b> `c` {doc}`d` |e] *f* $g$ &amp; h"  # the name of a file may hold all that; no page may read it
PARAMETERS = Parameters(profile="smoke", data=f"somewhere/{HOSTILE}.npz", N=[8, 24], seed=3)
NOTE = {"N": [8, 24], "images": 150, "sha256": "0123456789abcdef"}


def chapter(*code):
    title = new_markdown_cell("# A small chapter\n\nAfter {cite:t}`Lupton2004`: $x^2$.")
    defaults = new_code_cell(
        'profile = "laptop"\ndata = "simulated"\nN = None\nseed = 0\nprecision = "auto"',
        metadata={"tags": ["parameters"]},
    )
    return new_notebook(cells=[title, defaults, *map(new_code_cell, code)])
