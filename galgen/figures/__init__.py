"""Figures, tables and number formatting of the book."""
