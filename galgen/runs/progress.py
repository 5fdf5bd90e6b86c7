"""Progress of a long step in one line, with its remaining time: a bar on a terminal, or lines in a log."""

import io
import shutil
import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

__all__ = ["Display"]

EVERY = 15  # seconds between two lines of a log
LINE = "{desc}: {percentage:.0f} % of {total_fmt} images, {remaining} left{postfix}"


class Display:
    """Progress display: a tqdm bar on a terminal, otherwise a line every 15 seconds, no longer than one.

    Args:
        label: Name of the step.
        total: Number of images.
        shown: Number of images done before.
    """

    def __init__(self, label: str, total: int, shown: int = 0):
        self.terminal, self.last_print = sys.stderr.isatty(), time.monotonic()
        output = {} if self.terminal else {"file": io.StringIO(), "bar_format": LINE}
        self.bar = tqdm(total=total, initial=shown, desc=label, unit="image", unit_scale=True, **output)

    def show(self, shown: int, means: Mapping[str, float] = {}) -> None:
        """Display the number of images done and the mean losses since the last report."""
        loss = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        self.bar.set_postfix_str(loss, refresh=False)
        self.bar.update(shown - self.bar.n)
        done, now = shown == self.bar.total, time.monotonic()
        if not self.terminal and (done or now - self.last_print >= EVERY):
            self.last_print = now
            print(str(self.bar)[: shutil.get_terminal_size().columns - 1], file=sys.stderr, flush=True)
        if done:
            self.bar.close()
