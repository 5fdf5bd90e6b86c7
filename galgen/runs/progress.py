"""How far a training is, for whoever looks on."""

import io
import sys
import time

from tqdm import tqdm

__all__ = ["Display"]


class Display:
    """A tqdm bar on a terminal; elsewhere a line every 15 seconds."""

    def __init__(self, label: str, total: int, shown: int):
        self.terminal, self.told = sys.stderr.isatty(), time.monotonic()
        where = {} if self.terminal else {"file": io.StringIO(), "ncols": 0}
        self.bar = tqdm(total=total, initial=shown, desc=label, unit="image", unit_scale=True, **where)

    def show(self, shown: int, means: dict[str, float]) -> None:
        """Say how many images were shown, and the mean losses since the last report."""
        loss = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        self.bar.set_postfix_str(loss, refresh=False)
        self.bar.update(shown - self.bar.n)
        done, now = shown == self.bar.total, time.monotonic()
        if not self.terminal and (done or now - self.told >= 15):
            self.told = now
            print(self.bar, file=sys.stderr, flush=True)
        if done:
            self.bar.close()
