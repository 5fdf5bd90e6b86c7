"""The two-models tests as numbers, one question per module; figures and sentences are made in `figures`.

*Held-out* images are those on which neither model of a pair was trained, the rows `validation` of their
split. Intervals and null distributions are in `uncertainty`. Imports of galgen: runs, words, models, data.
"""
