"""The run store: everything expensive is done once and kept under a key.

    key = sha256(kind, parameters, sha256 of the data, hash of the code that matters)

An entry is a folder `<root>/<kind>/<key>/` with `record.json` and the artefacts (safetensors, ECSV, JSON; no
pickle). It is made in `<key>.partial`, where an interrupted run finds its checkpoint again, and renamed when
done, under a lock: of two processes that ask for the same entry one works and the other waits for it.
"""

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from galgen.runs.code import code_version
from galgen.runs.errors import GalgenError
from galgen.runs.files import project, read_json, write_json

__all__ = ["Run", "Store", "provenance"]


@dataclass(frozen=True)
class Run:
    """A finished entry of the store: its folder and its record."""

    path: Path
    record: dict

    @property
    def key(self) -> str:
        """The name of the entry."""
        return self.record["key"]

    @property
    def summary(self) -> dict:
        """What the work reported of itself."""
        return self.record["summary"]


def _commit() -> str:
    """The commit of the code, with `+` if the tree was changed, or `unknown` outside a repository."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


def provenance() -> dict:
    """Commit, machine and versions of the packages that compute."""
    packages = ("galgen", "torch", "numpy", "scipy", "astropy", "galsim")
    return {
        "commit": _commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


class Store:
    """A folder of finished runs.

    Args:
        root: The folder. By default the environment's GALGEN_STORE, or `store/` beside the
            `data_manifest.yaml` of the project the working directory lies in.
    """

    def __init__(self, root: str | os.PathLike | None = None):
        if root is None:
            root = os.environ.get("GALGEN_STORE")
        if root is None:
            root = project() / "store"
        self.root = Path(root).absolute()

    def key(self, kind: str, params: dict, *, data: str = "", code: Iterable[object] = ()) -> str:
        """The key of an entry (16 hexadecimal digits)."""
        identity = {"kind": kind, "params": params, "data": data, "code": code_version(*code)}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    def find(self, kind: str, params: dict, *, data: str = "", code: Iterable[object] = ()) -> Run | None:
        """The finished entry, or None."""
        path = self.root / kind / self.key(kind, params, data=data, code=code)
        return Run(path, read_json(path / "record.json")) if path.is_dir() else None

    def run(
        self,
        kind: str,
        params: dict,
        make: Callable[[Path], dict],
        *,
        data: str = "",
        code: Iterable[object] = (),
    ) -> Run:
        """Return the entry, making it first if it is missing.

        Args:
            kind: What sort of artefact, a folder of the store.
            params: Everything the result depends on, as JSON values.
            make: Writes the artefacts into the folder it is given, which may hold what an interrupted
                attempt left behind, and returns a summary (JSON values).
            data: sha256 of the data the result depends on.
            code: Functions, classes or modules: the entry points of what computes the result.
        """
        code = tuple(code)
        key = self.key(kind, params, data=data, code=code)
        path = self.root / kind / key
        partial = self.root / kind / f"{key}.partial"
        partial.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / kind / f".{key}.lock"):
            if path.is_dir():
                return Run(path, read_json(path / "record.json"))
            partial.mkdir(exist_ok=True)
            started = time.monotonic()
            summary = make(partial)
            record = {
                "key": key,
                "kind": kind,
                "params": params,
                "data": data,
                "code": code_version(*code),
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
                "seconds": round(time.monotonic() - started, 3),
                "summary": summary,
                **provenance(),
            }
            write_json(partial / "record.json", record)
            partial.rename(path)
        return Run(path, record)

    def runs(self, kind: str | None = None) -> list[Run]:
        """All finished entries, oldest first."""
        records = self.root.glob(f"{kind or '*'}/*/record.json")
        found = [Run(path.parent, read_json(path)) for path in records if path.parent.suffix != ".partial"]
        return sorted(found, key=lambda run: run.record["created"])

    def get(self, key: str) -> Run:
        """The entry whose key starts with `key`.

        Raises:
            GalgenError: If there is none, or more than one.
        """
        found = [run for run in self.runs() if run.key.startswith(key)] if key else []
        if len(found) != 1:
            raise GalgenError(
                f"{len(found)} runs in {self.root} have a key starting with '{key}'; see `galgen runs list`"
            )
        return found[0]

    def remove(self, key: str) -> Run:
        """Delete the entry whose key starts with `key` and return what it was."""
        run = self.get(key)
        with FileLock(run.path.parent / f".{run.key}.lock"):
            shutil.rmtree(run.path)
        return run
