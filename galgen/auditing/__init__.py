"""Audit of any image generator: memorization and fidelity of its samples."""
