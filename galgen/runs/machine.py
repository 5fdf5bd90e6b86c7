"""Commit of the code and class of the processor, for provenance records."""

import contextlib
import platform
import subprocess
from pathlib import Path

__all__ = ["commit", "vectors"]


def commit() -> str:
    """Return the commit of the code, with `+` for uncommitted changes; `unknown` outside a repository."""

    def git(*command: str) -> str:
        arguments = ["git", "-C", str(Path(__file__).parent), *command]
        return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit, changed = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + "+" * bool(changed)


def vectors() -> str:
    """Return the class of the processor: its widest vector instructions, or the architecture if unknown."""
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX512 with bfloat16", "avx512f": "AVX512", "avx2": "AVX2"}
    with contextlib.suppress(OSError):
        flags = set(Path("/proc/cpuinfo").read_text().split())
        return next((name for flag, name in names.items() if flag in flags), platform.machine())
    return platform.processor() or platform.machine()
