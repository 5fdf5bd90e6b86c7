"""Internal links of the book resolve (`make linkcheck` checks external ones), and its PDF is complete."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browsing import CHROMIUM

from galbook.build import chapters, pdf

ROOT = Path(__file__).parents[1]


class Page(HTMLParser):
    """The anchors of a page, and what it links to or loads."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.targets = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.anchors |= {value for name, value in attrs if name == "id"}
        self.targets |= {value for name, value in attrs if name in ("href", "src") and value}


def test_every_link_inside_the_book_leads_to_a_file_and_an_anchor_that_exist(html):
    page, lost, followed = cache(Page), set(), 0
    for path in sorted([*html.glob("*.html"), *html.glob("chapters/*.html")]):
        for target in page(path).targets:
            link = urlsplit(target)
            if link.scheme or link.netloc:
                continue
            followed += 1
            file = (path.parent / unquote(link.path)).resolve() if link.path else path
            anchor = unquote(link.fragment)
            if not file.is_file() or (anchor and anchor not in page(file).anchors):
                lost.add(f"{path.name}: {target}")
    assert followed > 500 and not lost, "\n".join(sorted(lost))


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH")
def test_the_pdf_holds_every_chapter_with_its_figures_and_leads_nowhere_on_this_machine(small_html):
    text = pdf.print_pdf(small_html.parent).read_bytes()
    assert text.startswith(b"%PDF")
    names = chapters.names(small_html.parent / "book" / "_toc.yml")
    figures = sum(
        page.read_text().count('<figure class="align') for page in small_html.glob("chapters/*.html")
    )
    assert text.count(b"/Title (A small chapter)") == len(names)
    assert text.count(b"/Alt (a rising line)") == figures > len(names)
    assert len(re.findall(rb"/Type /Page\b(?!s)", text)) > len(names)
    assert b"/URI (https://arxiv.org/" in text and b"file:" not in text and b"/book/_build" not in text
