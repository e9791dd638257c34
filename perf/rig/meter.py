"""Reading a DPDK program from outside: port counters by its telemetry socket, its worker's processor time by the kernel.

Processor time leaves out what other programs take of the core. What they take of the caches, and a stranger on the
core's other hardware thread, shows nowhere; so a fixed computation is timed on the core around every window.
"""

import contextlib
import json
import os
import socket
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from rig.errors import RigError

# A window around which the fixed computation took so much longer than at its best is disturbed.
TOLERANCE = 1.08
CALIBRATION = (1 << 20000) - 12345


class Telemetry:
    """A connection to the socket of the program with this `--file-prefix`."""

    def __init__(self, prefix):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2")
        self._socket.recv(4096)

    def _ask(self, what, port):
        self._socket.send(f"{what},{port}".encode())
        return json.loads(self._socket.recv(65536))[what]

    def port(self, port=0):
        """The counters of a port."""
        return self._ask("/ethdev/stats", port)

    def has_link(self, port):
        """Whether a port's other end is there."""
        return self._ask("/ethdev/link_status", port)["status"] == "UP"

    def close(self):
        """Ends the connection."""
        self._socket.close()


@dataclass(frozen=True)
class Reading:
    """Totals at one moment."""

    received: int
    sent: int
    lost: int
    on_cpu_ns: int


@dataclass(frozen=True)
class Window:
    """What happened between two readings."""

    ns_per_packet: float
    sent_of_received: float
    lost: int
    disturbed: bool


class Worker:
    """The thread of process `pid` whose name contains `name`, and port 0 that it forwards on."""

    def __init__(self, prefix, pid, name):
        self._telemetry = Telemetry(prefix)
        self._task = task(pid, name)
        self.core = min(os.sched_getaffinity(int(self._task.name)))
        favour(self._task)

    def read(self):
        """All totals of this moment."""
        port = self._telemetry.port()
        lost = sum(port[name] for name in ("imissed", "ierrors", "oerrors", "rx_nombuf"))
        return Reading(port["ipackets"], port["opackets"], lost, self.on_cpu_ns())

    def on_cpu_ns(self):
        """Processor time of the thread since its start."""
        return int((self._task / "schedstat").read_text(encoding="ascii").split()[0])

    def windows(self, calibration, wanted, seconds=1.0):
        """`wanted` undisturbed windows, or after three times as many tries whatever there is."""
        windows, before = [], calibration.slowness(self.core)
        for _ in range(3 * wanted):
            start = self.read()
            time.sleep(seconds)
            end = self.read()
            after = calibration.slowness(self.core)
            windows.append(between(start, end, max(before, after) > TOLERANCE))
            before = after
            quiet = [window for window in windows if not window.disturbed]
            if len(quiet) == wanted:
                return quiet
        return windows

    def close(self):
        """Lets go of the program."""
        self._telemetry.close()


def between(start, end, disturbed):
    """The window between two readings."""
    received, sent = end.received - start.received, end.sent - start.sent
    if not received or not sent:
        raise RigError("nothing is forwarded")
    cost = (end.on_cpu_ns - start.on_cpu_ns) / sent
    return Window(cost, sent / received, end.lost - start.lost, disturbed)


def task(pid, name):
    """The /proc directory of a thread."""
    for each in Path(f"/proc/{pid}/task").iterdir():
        if name in (each / "comm").read_text(encoding="utf-8"):
            return each
    raise RigError(f"process {pid} has no thread named {name}")


def favour(thread):
    """Puts a thread before all others on its core."""
    os.setpriority(os.PRIO_PROCESS, int(thread.name), -20)


def waited_ns(thread):
    """How long a thread has waited for a core since its start."""
    return int((thread / "schedstat").read_text(encoding="ascii").split()[1])


class Calibration:
    """How slow a core is beside the best it has shown."""

    def __init__(self):
        self._best = float("inf")

    def slowness(self, core):
        """1.0 at its best."""
        took = _fixed_computation(core)
        self._best = min(self._best, took)
        return took / self._best


def _fixed_computation(core):
    with pinned(core):
        samples = []
        for _ in range(7):
            start = time.thread_time_ns()
            for _ in range(5):
                CALIBRATION * CALIBRATION  # noqa: B018 # pylint: disable=pointless-statement
            samples.append(time.thread_time_ns() - start)
    return statistics.median(samples)


@contextlib.contextmanager
def pinned(core):
    """Runs this process on one core meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
