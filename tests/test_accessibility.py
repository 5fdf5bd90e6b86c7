"""The rendered book by the rules of axe-core: no finding of serious or critical impact, light or dark.

GALGEN_BOOK=build/RUN/html checks a finished book instead.
"""

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import Visit, pages

# Rules that are broken outside this project, each with its reason.
EXCUSED = {
    "aria-required-children": "docutils gives references the role doc-biblioentry in a list of role list"
}


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light")])
def test_no_page_has_a_serious_or_critical_finding(html, browser, width, scheme):
    visit = Visit(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    options = {"rules": {name: {"enabled": False} for name in EXCUSED}, "resultTypes": ["violations"]}
    found = set()
    chapters = [path for path in pages(html) if path.parent.name == "chapters"]
    if "GALGEN_BOOK" not in os.environ:
        chapters = chapters[:1]  # the others are its copies
    for path in [path for path in pages(html) if path.parent == html] + chapters:
        for rule in Axe().run(visit.open(path), options=options).response["violations"]:
            if rule["impact"] in ("serious", "critical"):
                found |= {f"{path.name}: {rule['id']}: {node['html'][:200]}" for node in rule["nodes"]}
    visit.context.close()
    assert not found, "\n".join(sorted(found))
