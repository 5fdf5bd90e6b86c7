"""Training loop, checkpoints and the run store. Imports no other subpackage of galgen."""
