"""galgen: compare generative models trained on disjoint halves of a galaxy data set, at the same latents."""

import importlib

__version__ = "0.1.0"

_LAZY = {
    "audit": "galgen.auditing.audit",
    "sample": "galgen.inference.samples",
    "denoise": "galgen.inference.denoising",
    "denoising_gap": "galgen.compare.gap",
    "from_epsilon": "galgen.models.epsilon",
}
__all__ = ["__version__", "audit", "denoise", "denoising_gap", "from_epsilon", "sample"]


def __getattr__(name: str) -> object:
    """Import the public functions at first access, as their imports take seconds."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'galgen' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
