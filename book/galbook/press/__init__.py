"""From notebooks and prose to the bound book; `python -m galbook.press` has its steps."""
