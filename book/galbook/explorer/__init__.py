"""Interactive explorer of the trained models, opened by `make lab`."""
