"""galgen: two generative models, disjoint halves of a galaxy data set, the same latents."""

__version__ = "0.1.0"
