"""galgen: two generative models, disjoint halves of a galaxy data set, the same latents."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`galgen.audit`, of `galgen.auditing.audit`; imported when it is asked for, as that takes seconds."""
    if name == "audit":
        from galgen.auditing.audit import audit

        return audit
    raise AttributeError(f"module 'galgen' has no attribute '{name}'")
