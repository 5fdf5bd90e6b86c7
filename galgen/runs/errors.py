"""The one exception for mistakes that a message can explain."""

__all__ = ["GalgenError"]


class GalgenError(Exception):
    """A mistake of the user's or of the input: names the thing and the way out.

    The command line prints it without a traceback and exits with code 2.
    """
