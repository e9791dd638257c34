"""How far long work is, on a terminal or in a log: standard error, so that results stay by themselves."""

import sys
import time


class Progress:
    """So many steps, most of them about as long as the others."""

    def __init__(self, steps):
        self._steps, self._done, self._start = steps, 0, time.monotonic()

    def begin(self, what):
        """Says what is next, and how long it may all take."""
        passed = time.monotonic() - self._start
        left = f", some {passed / self._done * (self._steps - self._done) / 60:.0f} more" if self._done else ""
        self._done += 1
        print(f"[{self._done}/{self._steps}] {what}; {passed / 60:.1f} min{left}", file=sys.stderr, flush=True)

    def end(self):
        """Says how long it took."""
        print(f"took {(time.monotonic() - self._start) / 60:.1f} min", file=sys.stderr, flush=True)
