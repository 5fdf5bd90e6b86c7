"""The book: measurements of galgen's models, figures, verdicts and pages.

`measure` has the questions, `table` their published results, `claims.yaml` and `verdicts` the paper's claims,
`explorer` the interactive page, and `build` the build of the book. galgen does not import this package, which
needs the extra `book`.
"""
