"""This book: what it asks of the models of galgen, shows, judges and binds.

A question, its answer and its figure stand in one file. `kept` keeps answers, `claims` judges the paper's
claims by them, `explorer` asks models live, and `press` makes the pages. Nothing in galgen imports this
package; it needs the extra `book`.
"""
