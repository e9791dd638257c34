"""A virtual link, DPDK's memif, with the appliance at one end and testpmd at the other, which sends and takes back.

testpmd forwards a capture that never ends onto the link, and discards what comes back. Its `noisy` mode reads memory at
random for each packet: so many reads are the brake that sets the rate, and at none it sends as fast as it can. The link
loses nothing by itself: a frame that finds the ring full stays with testpmd, which counts it.
"""

import os
import subprocess
import time
from dataclasses import dataclass
from typing import NamedTuple

from rig import appliance, frames, meter, sandbox, setup
from rig.errors import RigError
from rig.floor import WORKER

# 2¹² frames a direction.
RING = 12
SETTLE = 0.3
# Of a trial, so much of it may be spent waiting for the cores: the threads' own kernel work is about half of that.
WAITING = 0.02
TRIES = 3
# Two counters are read one after the other: so many frames may come between.
READ_APART = 1024


@dataclass(frozen=True)
class Trial:
    """What became of the frames of one trial: `refused` found the link full, `lost` the appliance did not pass on.

    For so long `waited` the two threads for their cores, which others had.
    """

    seconds: float
    offered: int
    refused: int
    lost: int
    waited: float

    @property
    def mpps(self):
        """Million frames a second that were offered."""
        return self.offered / self.seconds / 1e6

    @property
    def is_disturbed(self):
        """Whether other programs, and not the appliance, may be to blame."""
        return self.waited > WAITING * self.seconds

    @property
    def is_lossless(self):
        """Whether every frame came through."""
        return self.offered > 0 and self.refused == 0 and self.lost == 0


def device(where, role):
    """The device of one end; the appliance's has the address that captures are for."""
    mac = frames.port_mac(0 if role == "server" else 1).hex(":")
    return f"net_memif0,role={role},id=0,socket={where}/memif.sock,socket-abstract=no,rsize={RING},mac={mac}"


def settings(where, cores):
    """The appliance's settings at its end: NAT of UDP, which opens its own connections."""
    return setup.Settings(
        method="nat", protocol="udp", load=None, warm=None, prefix=f"sluice-wire-{os.getpid()}", cores=cores,
        buffers=65_535, scheduler="rr", servers=8, hold=False, endless=False, device=device(where, "server"),
    )  # fmt: skip


class Generator:
    """A testpmd at the other end, braked by so many reads a packet. `end` it, whatever happens."""

    def __init__(self, load, reads, core, where):
        self._prefix = f"sluice-generator-{os.getpid()}"
        self._log, self.thread = where / f"testpmd-{reads}-{time.monotonic_ns()}.log", None
        command = [
            "stdbuf", "-o0", "dpdk-testpmd", f"--lcores=0@{core},1@{core}", "--no-pci",
            "--file-prefix", self._prefix, "--huge-unlink",
            "--huge-dir", where / "huge", "--vdev", f"net_pcap0,rx_pcap={load},infinite_rx=1",
            "--vdev", device(where, "client"), "--", "--interactive", "--nb-cores=1", "--burst=32", "--mbcache=256",
            "--total-num-mbufs=32767", "--forward-mode=noisy", "--noisy-lkup-memory=1", f"--noisy-lkup-num-reads={reads}",
            # The capture never ends, and what is flushed counts as received.
            "--no-flush-rx",
        ]  # fmt: skip
        self._child = sandbox.spawn(command, self._log, stdin=subprocess.PIPE, text=True)

    def wait_for_link(self, seconds=60):
        """Returns once both ends are joined."""
        limit = time.monotonic() + seconds
        while True:
            if self._child.poll() is not None or time.monotonic() > limit:
                raise RigError(f"dpdk-testpmd has no link: {sandbox.last_words(self._log)}")
            time.sleep(0.1)
            # Who asks for the link has memif join it, which is not to happen while testpmd does so itself.
            if "testpmd>" not in sandbox.last_words(self._log):
                continue
            telemetry = meter.Telemetry(self._prefix)
            if telemetry.has_link(1):
                self.thread = meter.task(self._child.pid, WORKER)
                meter.favour(self.thread)
                return telemetry
            telemetry.close()

    def tell(self, words):
        """A command of testpmd's."""
        self._child.stdin.write(words + "\n")
        self._child.stdin.flush()

    def end(self):
        """Stops it and removes what it leaves."""
        sandbox.end(self._child, 5)
        sandbox.forget_dpdk(self._prefix)


def trial(running, load, reads, seconds, core, where):
    """A trial that others have not disturbed, or that is without loss all the same; after some tries whatever it is."""
    for _ in range(TRIES):
        generator = Generator(load, reads, core, where)
        try:
            done = _send(running, generator, seconds)
        finally:
            generator.end()
        if done.is_lossless or not done.is_disturbed:
            break
    return done


def _send(running, generator, seconds):
    """Sends, and counts for some seconds while it does: who begins or stops first leaves the other a full ring."""
    telemetry = generator.wait_for_link()
    threads = generator.thread, meter.task(running.child.pid, appliance.WORKER)
    generator.tell("start")
    time.sleep(SETTLE)
    before = _Counted.now(telemetry, running, threads)
    time.sleep(seconds)
    after = _Counted.now(telemetry, running, threads)
    generator.tell("stop")
    telemetry.close()
    time.sleep(SETTLE)
    received, offered, lost, waited, took = (end - start for start, end in zip(before, after, strict=True))
    refused = received - offered
    return Trial(took, offered, refused if refused > READ_APART else 0, lost, waited / 1e9)


class _Counted(NamedTuple):
    """Frames out of the capture, frames on the link, frames that the appliance has not sent on, and times."""

    received: int
    offered: int
    lost: int
    waited_ns: int
    time: float

    @classmethod
    def now(cls, telemetry, running, threads):
        """At this moment."""
        worker = running.worker()
        lost = sum(worker["dropped"].values()) + sum(worker["punted"].values())
        ports = telemetry.port(0)["ipackets"], telemetry.port(1)["opackets"]
        return cls(*ports, lost, sum(map(meter.waited_ns, threads)), time.monotonic())


def begin(where, cores):
    """A running appliance at its end of the link."""
    running = appliance.Appliance(settings(where, cores), where)
    running.begin()
    meter.favour(meter.task(running.child.pid, appliance.WORKER))
    return running
