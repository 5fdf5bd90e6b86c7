"""Where code runs, and which code it is: what a record says of its making."""

import contextlib
import platform
import subprocess
from pathlib import Path

__all__ = ["commit", "vectors"]


def commit() -> str:
    """The commit of the code, with `+` if the tree was changed, or `unknown` outside a repository."""

    def git(*command: str) -> str:
        whole = ["git", "-C", str(Path(__file__).parent), *command]
        return subprocess.run(whole, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit, changed = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + "+" * bool(changed)


def vectors() -> str:
    """The class of the processor: the widest vectors that it multiplies, as far as the system tells."""
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX512 with bfloat16", "avx512f": "AVX512", "avx2": "AVX2"}
    with contextlib.suppress(OSError):
        told = set(Path("/proc/cpuinfo").read_text().split())
        return next((name for flag, name in names.items() if flag in told), platform.machine())
    return platform.processor() or platform.machine()
