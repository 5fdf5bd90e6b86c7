"""Print the book as one PDF: all pages on a single HTML page, printed by Chromium.

    build/RUN/book --singlehtml--> one page --Chromium--> build/RUN/book.pdf

Styles for print are in book/_static/book.css under `@media print`.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from galbook.build.assemble import jupyter_book, root_of
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_path

_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"  # not on the PATH of macOS
BROWSERS = ("chromium", "chromium-browser", "google-chrome", _MAC)


def one_page(page: str, name: str) -> str:
    """Single HTML page prepared for a PDF: collapsed parts are open, links lead into the page or to the web.

    Links to local files are removed, since they would contain paths of this machine.
    """
    page = page.replace('<details class="admonition hide', '<details open class="admonition hide')
    page = re.sub(rf'href="(?:[^"]*/)?{re.escape(name)}#', 'href="#', page)
    return re.sub(r'<a [^>]*href="(?!#|https?:|mailto:)[^>]*>(.*?)</a>', r"\1", page, flags=re.DOTALL)


def print_pdf(build: Path) -> Path:
    """Print the rendered book of a run as a PDF.

    Args:
        build: Folder of the run, with the assembled sources in `book`.

    Returns:
        build/book.pdf.

    Raises:
        GalgenError: If Chromium is not installed, or its output is not a PDF.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise GalgenError(
            "the PDF is printed by Chromium or Chrome, and neither is on the PATH; install one "
            "(Debian, Ubuntu: apt-get install chromium), or print pages of the book from your own browser"
        )
    folder = jupyter_book(build / "book", "singlehtml")
    source = folder / f"{root_of(build / 'book')}.html"
    page = folder / source.name  # the folder that its links to images and styles are relative to
    page.write_text(one_page(source.read_text(), source.name))
    with tempfile.TemporaryDirectory() as profile, atomic_path(build / "book.pdf") as temporary:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        options += ["--no-pdf-header-footer", "--generate-pdf-document-outline"]
        options += ["--virtual-time-budget=60000"]  # milliseconds of virtual time, for MathJax
        command = [browser, *options, f"--print-to-pdf={temporary}", page.absolute().as_uri()]
        result = subprocess.run(command, capture_output=True, text=True)
        pdf = temporary.read_bytes()
        if not pdf.startswith(b"%PDF"):
            raise GalgenError(f"{browser} printed no PDF of {page}:\n{result.stderr[-3000:]}")
        # A heading moved to the next page is doubled in the outline, as TrainingTraining. Padding with blanks
        # keeps the byte offsets of the file.
        twice = rb"(/Title (?:\(|<FEFF))(.+?)\2([)>])"
        pdf = re.sub(twice, lambda match: b"".join(match.groups()).ljust(len(match[0])), pdf)
        temporary.write_bytes(pdf)
    return build / "book.pdf"
