"""The budget: the number of lines of code in all tracked files, which may only decrease.

A commit that decreases the sum also decreases `LIMIT`. Raising it is a separate commit, whose message says
why and what will compensate for it. Python, code cells of notebooks, the Snakefile, JavaScript and templates
are counted, without blank lines, comments and docstrings; Python as formatted by `ruff format`, including
parts that a comment excludes from formatting.
"""

import io
import json
import re
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path

import pytest

LIMIT = 24_008
ROOT = Path(__file__).parents[1]
FOLDERS = ("galgen", "book/galbook", "notebooks", "tests", "benchmarks", "examples", "workflow")
PYTHON, MARKUP = (".py", ".ipynb"), (".js", ".j2")
RUFF = (sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--quiet")
RUFF += ("--line-length", "110", "--target-version", "py311")
UNFORMATTED = re.compile(r"[ \t]*# ?(?:fmt|yapf): ?\w+")  # what keeps ruff from formatting
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
COMMENTS = (r"\{#.*?#\}", r"<!--.*?-->", r"^[ \t]*/\*.*?\*/", r"^[ \t]*//[^\n]*")
COMMENT = re.compile("|".join(COMMENTS), re.DOTALL | re.MULTILINE)


def python_lines(source):
    """The number of lines that hold code, as opposed to blanks, comments and docstrings."""
    lines, statement, opened = set(), [], True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in {*LAYOUT, tokenize.NEWLINE}:
            statement.append(token)
        elif token.type == tokenize.NEWLINE and statement:
            if not opened or any(part.type != tokenize.STRING for part in statement):
                lines.update(k for part in statement for k in range(part.start[0], part.end[0] + 1))
            opened, statement = {"def", "class"} & {part.string for part in statement[:2]}, []
    return len(lines)


def notebook_lines(text):
    """The number of lines of code in the code cells of a notebook."""
    cells = json.loads(text)["cells"]
    return sum(python_lines("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code")


def markup_lines(text):
    """The number of lines of JavaScript or of a template that are neither blank nor a comment."""
    return sum(bool(line.strip()) for line in COMMENT.sub("", text).splitlines())


def formatted(sources, folder):
    """The sources, by name, as ruff formats them where no comment keeps it from doing so."""
    for name, text in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(UNFORMATTED.sub("", text), encoding="utf-8")
    subprocess.run([*RUFF, *sources], cwd=folder, check=True)
    return {name: (folder / name).read_text(encoding="utf-8") for name in sources}


def counts(sources, folder):
    """The lines of code of each folder of the project."""
    sources = sources | formatted({k: text for k, text in sources.items() if k.endswith(PYTHON)}, folder)
    found = Counter(dict.fromkeys((*FOLDERS, "other"), 0))
    for name, text in sources.items():
        count = markup_lines if name.endswith(MARKUP) else python_lines
        place = next((place for place in FOLDERS if name.startswith(f"{place}/")), "other")
        found[place] += (notebook_lines if name.endswith(".ipynb") else count)(text)
    return found


def tracked():
    """The text of each tracked file that holds code, by name. Without git, the test is skipped."""
    listed = subprocess.run("git ls-files -z", shell=True, cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split("\0")
    if "pyproject.toml" not in names:
        pytest.skip("git does not track this folder: the files of the project are unknown")
    code = [name for name in names if name.endswith((*PYTHON, *MARKUP, "Snakefile"))]
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in code if (ROOT / name).is_file()}


def test_the_lines_of_code_are_those_of_the_budget(tmp_path):
    found = counts(tracked(), tmp_path)
    total = found.total()
    table = "\n".join(f"{number:7}  {place}" for place, number in [*found.items(), ("sum", total)])
    print(f"\n{table}")
    assert total <= LIMIT, f"{total - LIMIT} lines of code above the budget of {LIMIT}:\n{table}"
    assert total >= LIMIT, f"below the budget: set LIMIT to {total} in the same commit\n{table}"
