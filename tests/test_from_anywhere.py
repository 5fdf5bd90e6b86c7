"""`galgen.audit`, which uses several processes, called without a main guard from all places users call it."""

import subprocess
import sys

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

# More galaxies than are measured at a time: processes do it. A guard there is not.
CALL = """import os
os.cpu_count = lambda: 2
import numpy as np, galgen
sets = np.load("sets.npz")
found = galgen.audit(sets["samples"], sets["train"], sets["held_out"], morphology=18)
answer = [found.verdict, found.answers["energy distance"].value]
print(*answer, file=open("answer", "w"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three sets of round galaxies, and the call as a script and as a notebook."""
    folder, rng = tmp_path_factory.mktemp("anywhere"), np.random.default_rng(0)
    r = np.hypot(*np.mgrid[-16:16, -16:16])

    def galaxies(n):
        widths = rng.uniform(2, 5, (n, 1, 1, 1))
        images = np.exp(-r / widths) * rng.uniform(0.5, 0.9, (n, 1, 1, 1)) + rng.normal(
            0, 0.01, (n, 1, 32, 32)
        )
        return (255 * images.clip(0, 1)).astype(np.uint8)

    np.savez(folder / "sets.npz", samples=galaxies(20), train=galaxies(20), held_out=galaxies(24))
    (folder / "script.py").write_text(CALL)
    kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_code_cell(CALL)], metadata=kernel), folder / "script.ipynb")
    return folder


PAPERMILL = ["-m", "papermill", "--no-progress-bar", "script.ipynb", "executed.ipynb"]
PLACES = {
    "a script": (["script.py"], ""),
    "standard input": (["-"], CALL),
    "a prompt": (["-i"], CALL),
    "a notebook": (PAPERMILL, ""),
}


def test_an_audit_is_made_from_a_script_standard_input_a_prompt_and_a_notebook(folder):
    said = set()
    for place, (options, typed) in PLACES.items():
        answer, command = folder / "answer", [sys.executable, *options]
        told = {"cwd": folder, "capture_output": True, "text": True, "timeout": 300}
        done = subprocess.run(command, input=typed, check=False, **told)
        assert answer.is_file() and "Traceback" not in done.stderr, f"{place}: {done.stderr}"
        said.add(answer.read_text())
        answer.unlink()
    assert len(said) == 1 and said.pop()
