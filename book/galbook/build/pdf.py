"""The book as one PDF: all its pages on one, printed by Chromium.

    build/RUN/book --singlehtml--> one page --Chromium--> build/RUN/book.pdf

What is different on paper is in book/_static/book.css under `@media print`.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from galbook.build.assemble import jupyter_book, root_of
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_path

_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"  # not on the PATH there
BROWSERS = ("chromium", "chromium-browser", "google-chrome", _MAC)


def one_page(page: str, name: str) -> str:
    """The page of that name that Sphinx made, for a PDF: folds are open, links lead into it or to the web.

    A link to a file beside the page would name a folder of this machine.
    """
    page = page.replace('<details class="admonition hide', '<details open class="admonition hide')
    page = re.sub(rf'href="(?:[^"]*/)?{re.escape(name)}#', 'href="#', page)
    return re.sub(r'<a [^>]*href="(?!#|https?:|mailto:)[^>]*>(.*?)</a>', r"\1", page, flags=re.DOTALL)


def print_pdf(build: Path) -> Path:
    """Print the book that was rendered into a folder.

    Args:
        build: The folder of its run, with the assembled sources in `book`.

    Returns:
        build/book.pdf.

    Raises:
        GalgenError: If there is no Chromium, or it printed nothing.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise GalgenError(
            "the PDF is printed by Chromium or Chrome, and neither is on the PATH; install one "
            "(Debian, Ubuntu: apt-get install chromium), or print pages of the book from your own browser"
        )
    folder = jupyter_book(build / "book", "singlehtml")
    made = folder / f"{root_of(build / 'book')}.html"
    page = folder / made.name  # where Sphinx takes it to lie, by its links to pictures and styles
    page.write_text(one_page(made.read_text(), made.name))
    with tempfile.TemporaryDirectory() as profile, atomic_path(build / "book.pdf") as temporary:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        options += ["--no-pdf-header-footer", "--generate-pdf-document-outline"]
        options += ["--virtual-time-budget=60000"]  # milliseconds, for MathJax; they pass in an instant
        command = [browser, *options, f"--print-to-pdf={temporary}", page.absolute().as_uri()]
        result = subprocess.run(command, capture_output=True, text=True)
        pdf = temporary.read_bytes()
        if not pdf.startswith(b"%PDF"):
            raise GalgenError(f"{browser} printed no PDF of {page}:\n{result.stderr[-3000:]}")
        # A heading moved to the next page is there twice in the outline, as TrainingTraining. Blanks in its
        # stead keep what follows in its place in the file.
        twice = rb"(/Title (?:\(|<FEFF))(.+?)\2([)>])"
        pdf = re.sub(twice, lambda found: b"".join(found.groups()).ljust(len(found[0])), pdf)
        temporary.write_bytes(pdf)
    return build / "book.pdf"
