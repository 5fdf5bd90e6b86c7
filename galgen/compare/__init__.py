"""The two-models tests, one question a file, as numbers: pictures and sentences are made in `figures`.

*Held-out* images are those that no model of a pair was trained on, the rows `validation` of their split. How
sure a number is, by an interval or a null, is asked of `uncertainty`. Imports of galgen: runs, words, models,
data.
"""
