"""From executed notebooks to a book: chapters, pages, PDF, sweep."""
