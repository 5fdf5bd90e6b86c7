"""Helpers of the browser tests: Chromium, and pages without network access."""

import shutil

__all__ = ["CHROMIUM", "FLAGS", "Visit", "pages"]

CHROMIUM = shutil.which("chromium")
# Without these Chromium looks up its maker's servers at every start.
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS = [*QUIET.split(), "--disable-component-update", "--disable-sync"]


class Visit:
    """A page with the network shut, and what it complained of."""

    def __init__(self, browser, allowed=("file:", "data:", "blob:"), **options):
        self.allowed, self.complaints = allowed, []
        self.context = browser.new_context(**options)
        self.context.route("**/*", self.guard)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self.failed)

    def guard(self, route):
        if route.request.url.startswith(self.allowed):
            route.continue_()
        else:
            self.complaints.append(f"a request left the page: {route.request.url}")
            route.abort()

    def failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # that is what leaving a page does to what it still loads
            self.complaints.append(f"{request.failure}: {request.url}")

    def open(self, path):
        self.page.goto(path.as_uri())
        self.page.evaluate("window.MathJax?.startup?.promise")
        self.page.evaluate("document.fonts.ready.then(() => true)")
        return self.page


def pages(html):
    """The pages of a rendered book, without the one that leads on to the first."""
    found = {*html.glob("*.html"), *html.glob("chapters/*.html")}
    return sorted(found - {html / "index.html"})
