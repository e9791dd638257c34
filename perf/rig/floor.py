"""The floor: DPDK's testpmd swapping MAC addresses under the same load, which is what the virtual device itself costs."""

import os
import subprocess
import time

from rig import meter, sandbox
from rig.errors import RigError

# DPDK 22.11 names it lcore-worker-1, later ones dpdk-worker1.
WORKER = "-worker"


class Floor:
    """A running testpmd. `end` it, whatever happens."""

    def __init__(self, load, buffers, cores, where):
        self.prefix = f"sluice-floor-{os.getpid()}"
        self._log = where / "testpmd.log"
        command = [
            "dpdk-testpmd", "-l", f"{cores[0]},{cores[1]}", "--no-pci", "--file-prefix", self.prefix,
            "--huge-unlink", "--huge-dir", where / "huge", "--vdev", f"net_pcap0,rx_pcap={load},infinite_rx=1", "--",
            "--forward-mode=macswap", "--nb-cores=1", "--burst=32", f"--total-num-mbufs={buffers}", "--mbcache=256",
        ]  # fmt: skip
        # It forwards until it can read a line.
        self.child = sandbox.spawn(command, self._log, stdin=subprocess.PIPE)

    def begin(self):
        """Returns its worker once that forwards."""
        limit = time.monotonic() + 120
        while True:
            if self.child.poll() is not None or time.monotonic() > limit:
                raise RigError(f"dpdk-testpmd does not forward: {sandbox.last_words(self._log)}")
            time.sleep(0.2)
            try:
                worker = meter.Worker(self.prefix, self.child.pid, WORKER)
            except (OSError, RigError):
                continue
            if worker.read().sent:
                return worker
            worker.close()

    def end(self):
        """Stops it and removes what it leaves."""
        sandbox.end(self.child)
        sandbox.forget_dpdk(self.prefix)
