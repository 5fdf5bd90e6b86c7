"""The two-models tests, one question a file."""
