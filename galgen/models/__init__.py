"""The generative models, one family a file."""
