"""The PDF of the book. Chromium writes titles, texts of pictures and addresses of links as they are."""

import os
import re
import shutil

import pytest
from browsing import CHROMIUM

from galgen.runs.errors import GalgenError
from workflow.book import chapters, pdf


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH")
def test_the_pdf_holds_every_chapter_with_its_figures_and_leads_nowhere_on_this_machine(html):
    if "GALGEN_BOOK" in os.environ:
        pytest.skip("would print into a finished book, and knows the small chapter only")
    text = pdf.print_pdf(html.parent).read_bytes()
    assert text.startswith(b"%PDF")
    names = chapters.names(html.parent / "book" / "_toc.yml")
    figures = sum(page.read_text().count("<figure ") for page in html.glob("chapters/*.html"))
    assert text.count(b"/Title (A small chapter)") == len(names)
    assert text.count(b"/Alt (a rising line)") == figures > len(names)
    assert text.count(b"/Alt (a gray square)") == len(names), "a live figure is there with its first frame"
    assert len(re.findall(rb"/Type /Page\b(?!s)", text)) > len(names)
    assert b"/URI (https://arxiv.org/" in text and b"file:" not in text and b"/book/_build" not in text


def test_links_lead_into_the_page_or_to_the_web_or_are_none():
    page = '<a class="x" href="intro.html#a">1</a> <a href="_downloads/b.ipynb"><code>2</code></a> <a href="https://c">3</a>'
    assert pdf.one_page(page) == '<a class="x" href="#a">1</a> <code>2</code> <a href="https://c">3</a>'


def test_without_a_browser_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(GalgenError, match="apt-get install chromium"):
        pdf.print_pdf(tmp_path)
