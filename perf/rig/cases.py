"""What is measured, and the captures for it."""

from dataclasses import dataclass

from rig import capture

K, M = 1_000, 1_000_000
# So many rounds of a capture's flows that it is not over at once.
ROUNDS = {K: 16, 100 * K: 2, M: 1}
PROTOCOLS = {"udp": capture.UDP, "tcp": capture.TCP}


@dataclass(frozen=True)
class Case:
    """A forwarding method under a load; `target` is the most it may cost, in floors, where there is a bound."""

    method: str
    protocol: str
    flows: int
    target: float | None = None

    @property
    def name(self):
        """As it is asked for and printed."""
        size = f"{self.flows // M}m" if self.flows >= M else f"{self.flows // K}k"
        return f"{self.method}-{self.protocol}-{size}"


ALL = [
    Case("nat", "tcp", K, 3.5),
    Case("nat", "tcp", 100 * K),
    Case("nat", "tcp", M, 3.5),
    Case("nat", "udp", K),
    Case("dr", "udp", K),
    Case("dr", "tcp", M),
    Case("tun", "tcp", K),
]
DEFAULT = [case.name for case in ALL if case.flows != 100 * K and case.name != "nat-udp-1k"]


def load(case, where):
    """The capture of a case's load in the directory `where`, made if it is not there."""
    path = where / f"{case.protocol}_{case.flows}.pcap"
    if not path.exists():
        capture.write(path, capture.flows(case.flows), PROTOCOLS[case.protocol], rounds=ROUNDS[case.flows])
    return path


def warm(case, where):
    """The capture that opens the connections of a case, in an order of its own; UDP opens its own."""
    path = where / f"warm_{case.flows}.pcap"
    if case.protocol == "udp":
        return None
    if not path.exists():
        capture.write(path, capture.flows(case.flows), capture.TCP, capture.SYN, port=1, order=77)
    return path


def syns(flows, where):
    """A capture in which every frame opens a connection."""
    path = where / f"syn_{flows}.pcap"
    if not path.exists():
        capture.write(path, capture.flows(flows), capture.TCP, capture.SYN)
    return path
