"""What the book shows: figures, tables, and the numbers that are kept."""
