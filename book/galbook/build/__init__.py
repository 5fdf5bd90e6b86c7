"""From notebooks and prose to the bound book; `python -m galbook.build` has its steps."""
