"""Running `perf/under-load` from the rig itself."""

import os
import select
import subprocess
import sys
from pathlib import Path

from rig import meter, sandbox
from rig.errors import RigError

PROGRAM = Path(__file__).resolve().parent.parent / "under-load"


class UnderLoad:
    """A running appliance, ready. `end` it, whatever happens."""

    def __init__(self, case, load, warm=None, cores=(0, 1), listing=""):
        self._prefix = f"sluice-rate-{os.getpid()}"
        environment = os.environ | {
            "PREFIX": self._prefix, "CORES": f"{cores[0]},{cores[1]}", "HOLD": "0",
            "FAMILY": str(case.family), "CONNS": str(listing),
        }  # fmt: skip
        command = [sys.executable, PROGRAM, case.method, case.protocol, load, *([warm] if warm else [])]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def begin(self, seconds=300):
        """Waits for `ready` and returns the worker it names."""
        if not select.select([self.child.stdout], [], [], seconds)[0]:
            raise RigError(f"under-load is not ready within {seconds} s")
        words = self.child.stdout.readline().split()
        if words[:1] != ["ready"]:
            raise RigError("under-load ended before it was ready")
        return meter.Worker(self._prefix, int(words[1]), words[2])

    def end(self):
        """Stops it."""
        sandbox.end(self.child, 30)
        self.child.stdout.close()
