"""galgen: two generative models, disjoint halves of a galaxy data set, the same latents."""

import importlib

__version__ = "0.1.0"


_FOUND = {
    "audit": "galgen.auditing.audit",
    "sample": "galgen.inference.samples",
    "denoise": "galgen.inference.denoising",
}


def __getattr__(name: str) -> object:
    """`galgen.audit`, `sample` and `denoise`; imported when they are asked for, as that takes seconds."""
    if name in _FOUND:
        return getattr(importlib.import_module(_FOUND[name]), name)
    raise AttributeError(f"module 'galgen' has no attribute '{name}'")
