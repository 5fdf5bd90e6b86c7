"""Count the words of a rendered book per page, and those of string literals in its code.

    python benchmarks/words.py build/laptop-simulated/html [ROOT]

Pages are counted without code cells and navigation, with captions, collapsed parts and table cells. In the
code of `book/galbook` and `notebooks` under ROOT (by default the project), string literals of four words or
more are counted, except docstrings; alternative texts of figures (arguments named `alt`) are counted
separately.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup

WORD = re.compile(r"\w+(?:['’.,-]\w+)*")
NOT_READ = "script, style, nav, .cell_input, .highlight, .headerlink, .prev-next-area, .MathJax, pre"
LONG = 4


def words(text: str) -> int:
    """Number of words and numbers in a text."""
    return len(WORD.findall(text))


def page_words(page: Path) -> int:
    """Number of words on a rendered page, without code and navigation."""
    article = BeautifulSoup(page.read_text(), "html.parser").find("article")
    for part in article.select(NOT_READ) if article else ():
        part.decompose()
    return words(article.get_text(" ")) if article else 0


def sources(root: Path) -> Iterator[str]:
    """Python sources of the book: its package and the code cells of its notebooks."""
    for path in sorted((root / "book" / "galbook").rglob("*.py")):
        yield path.read_text()
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "code":
                yield re.sub(r"^\s*[%!].*$", "pass", "".join(cell["source"]), flags=re.MULTILINE)


def string_words(source: str) -> tuple[int, int]:
    """Words in strings of at least `LONG` words: outside of alternative texts, and in them."""
    nodes = [*ast.walk(ast.parse(source))]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    given = [node.value for node in nodes if isinstance(node, ast.keyword) and node.arg == "alt"]
    alternative = {id(part) for value in given for part in ast.walk(value)}
    counts = [0, 0]
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            if (number := words(node.value)) >= LONG:
                counts[id(node) in alternative] += number
    return counts[0], counts[1]


def main(html: Path, root: Path) -> None:
    """Print the word counts of a rendered book and of the code of a project."""
    pages = {path.stem: page_words(path) for path in sorted(html.rglob("*.html"))}
    chapters = {name: number for name, number in pages.items() if re.match(r"\d\d", name)}
    strings, alternative = (sum(part) for part in zip(*map(string_words, sources(root)), strict=True))
    found = chapters | {"all chapters": sum(chapters.values()), "all pages": sum(pages.values())}
    found |= {f"strings of {LONG} words or more": strings, "alternative texts": alternative}
    print("\n".join(f"{number:8} {name}" for name, number in found.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "."))
