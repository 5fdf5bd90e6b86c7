"""Simulated galaxies, with the truth known."""
