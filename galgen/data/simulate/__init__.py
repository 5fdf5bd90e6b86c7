"""Simulated galaxy images with a truth catalogue."""
