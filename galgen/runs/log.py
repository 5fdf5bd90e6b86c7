"""The log of a training, `losses.jsonl`: a line every so many steps, with images shown and mean losses."""

import json
from pathlib import Path

from galgen.runs import checkpoint
from galgen.runs.errors import Damaged, GalgenError
from galgen.runs.files import atomic_path


def read_losses(directory: str | Path) -> list[dict]:
    """The log of a run: one dictionary a line, `images` and the losses.

    Raises:
        GalgenError: If there is none, or a line is none.
    """
    log = Path(directory) / "losses.jsonl"
    try:
        return [_line(line) for line in log.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise GalgenError(f"{log} cannot be read ({error}); `galgen runs rm {log.parent.name}`") from error


def _line(text: str) -> dict:
    """A line of the log; a ValueError if it is none."""
    line = json.loads(text)
    if not isinstance(line, dict) or not isinstance(line.get("images"), int):
        raise ValueError(f"'{text:.40}' is no line of a log")
    return line


def cut_log(state: Path, log: Path) -> None:
    """Cut the log behind the line of the checkpoint, whatever follows; without a checkpoint remove it.

    Raises:
        Damaged: If the checkpoint cannot be read, or the log is not whole up to there.
    """
    if not state.is_file():
        log.unlink(missing_ok=True)
        return
    try:
        shown = checkpoint.load(state)["shown"]
        lines = log.read_text(errors="replace").splitlines(keepends=True)
        last = next((i for i, line in enumerate(lines) if _line(line)["images"] == shown), None)
        if last is None:
            raise ValueError(f"the log ends before the checkpoint, after {shown} images")
    except (OSError, KeyError, ValueError, GalgenError) as error:
        raise Damaged(f"{log.parent} cannot be gone on with: {error}") from error
    with atomic_path(log) as temporary:
        temporary.write_text("".join(lines[: last + 1]))
