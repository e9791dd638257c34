"""Rounds of a case over the capture device: the floor and the appliance by turns, each for some windows."""

import statistics
import time
from dataclasses import dataclass

from rig import capture, cases, replies
from rig.errors import RigError
from rig.floor import Floor
from rig.under_load import UnderLoad

SMALL_POOL, LARGE_POOL = 262_143, 1_048_575
WINDOWS = 3
# Counters of one reply are read a burst apart.
LOSSLESS = 0.9999


@dataclass(frozen=True)
class Cost:
    """What a program took: nanoseconds a packet, what it lost, whether the processor was quiet."""

    ns: float
    lost: str
    quiet: bool


@dataclass(frozen=True)
class Rig:
    """Where captures lie, the cores, and how slow the processor is."""

    where: object
    cores: tuple[int, int]
    calibration: object

    def cost(self, program):
        """Runs a program through its windows."""
        try:
            worker = program.begin()
            time.sleep(0.5)
            windows = worker.windows(self.calibration, WINDOWS)
        finally:
            program.end()
        lost = sum(window.lost for window in windows)
        share = min(window.sent_of_received for window in windows)
        fault = f"{lost} at the port, {share:.4f} of all forwarded" if lost or share < LOSSLESS else ""
        quiet = not any(window.disturbed for window in windows)
        return Cost(statistics.median(window.ns_per_packet for window in windows), fault, quiet)

    def round(self, case):
        """One round of a case, as its result keeps it; `ratio` is to the floor, or to the case it is measured beside."""
        load = self._load(case)
        buffers = LARGE_POOL if case.flows > 200_000 else SMALL_POOL
        costs = {"floor": self.cost(Floor(load, buffers, self.cores, self.where)), "ours": self._ours(case, load)}
        if case.beside:
            peer = cases.BY_NAME[case.beside]
            costs["beside"] = self._ours(peer, self._load(peer))
        done = {name: round(cost.ns, 3) for name, cost in costs.items()}
        below = costs["beside" if case.beside else "floor"].ns
        lost = next((cost.lost for name, cost in costs.items() if name != "floor" and cost.lost), "")
        quiet = all(cost.quiet for cost in costs.values())
        return done | {"value": costs["ours"].ns / below, "quiet": quiet, "lost": lost}

    def _ours(self, case, load):
        return self.cost(UnderLoad(case, load, cases.warm(case, self.where), cores=self.cores))

    def _load(self, case):
        if not case.is_both_ways:
            return cases.load(case, self.where)
        path = self.where / f"both_{case.flows}.pcap"
        if not path.exists():
            capture.write(path, replies.both_ways(self._conns(case)), rounds=cases.ROUNDS[case.flows])
        return path

    def _conns(self, case):
        """The connections that the appliance makes of the warm-up."""
        listing = self.where / "conns.jsonl"
        program = UnderLoad(
            case, cases.load(case, self.where), cases.warm(case, self.where), cores=self.cores, listing=listing
        )
        try:
            program.begin()
        finally:
            program.end()
        conns = list(replies.of_listing(listing))
        if len(conns) != case.flows:
            raise RigError(f"{len(conns)} of {case.flows} connections are listed")
        return conns
