"""How far a training is, for whoever looks on."""

import sys
import time

from tqdm import tqdm

__all__ = ["Display"]


class Display:
    """A tqdm bar on a terminal; elsewhere a line every 15 seconds."""

    def __init__(self, label: str, total: int, shown: int):
        self.label, self.total, self.initial = label, total, shown
        self.started = self.last = time.monotonic()
        terminal = sys.stderr.isatty()
        self.bar = (
            tqdm(total=total, initial=shown, desc=label, unit="image", unit_scale=True) if terminal else None
        )

    def show(self, shown: int, means: dict[str, float]) -> None:
        """Say how many images were shown, and the mean losses since the last report."""
        loss = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        if self.bar is not None:
            self.bar.set_postfix_str(loss, refresh=False)
            self.bar.update(shown - self.bar.n)
            if shown == self.total:
                self.bar.close()
        elif (now := time.monotonic()) - self.last >= 15 or shown == self.total:
            self.last = now
            line = tqdm.format_meter(
                shown,
                self.total,
                now - self.started,
                prefix=self.label,
                unit="image",
                unit_scale=True,
                initial=self.initial,
                postfix=loss,
                ncols=0,
            )
            print(line, file=sys.stderr, flush=True)
