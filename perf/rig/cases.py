"""What is measured over the capture device, with the targets and the peer of each case, and the captures for it."""

from dataclasses import dataclass

from rig import capture, frames

K, M = 1_000, 1_000_000
# So many rounds of a capture's flows that it is not over at once.
ROUNDS = {K: 16, 100 * K: 2, M: 1}
PROTOCOLS = {"udp": frames.UDP, "tcp": frames.TCP}


@dataclass(frozen=True)
class Case:
    """A forwarding method under a load.

    `must` and `aim` bound what it may cost: in floors, or where it is measured `beside` another case in that one's cost.
    `dpvs` is what DPVS 1.10.2 took on such a machine (nanoseconds) and how many floors that were; `published` is what its
    authors publish of one worker: of fullnat, UDP with 2,900 flows, on a machine of theirs.
    """

    method: str
    protocol: str
    flows: int
    family: int = 4
    must: float | None = None
    aim: float | None = None
    dpvs: tuple[int, int] | None = None
    beside: str | None = None
    what: str = ""
    published: str = ""

    @property
    def name(self):
        """As it is asked for and printed."""
        size = f"{self.flows // M}m" if self.flows >= M else f"{self.flows // K}k"
        method = self.method if self.family == 4 else f"{self.method}6"
        return f"{method}-{self.protocol}-{size}"

    @property
    def is_both_ways(self):
        """Whether its load has the servers' frames, too."""
        return self.method == "fullnat"


ALL = [
    Case("nat", "tcp", K, 4, 2.4, 1.9, (133, 13), what="NAT TCP, 1k flows"),
    Case("nat", "tcp", 100 * K, 4, 2.0, 1.6, (762, 34), what="NAT TCP, 100k"),
    Case("nat", "tcp", M, 4, 2.0, 1.6, (1005, 40), what="NAT TCP, 1M"),
    Case("dr", "tcp", M, 4, 1.9, 1.5, (926, 37), what="DR TCP, 1M"),
    Case("tun", "tcp", M, 4, 1.9, 1.5, what="ipip TCP, 1M"),
    Case("fullnat", "tcp", M, 4, 2.3, 1.8, (1101, 44), what="fullnat, both directions, 1M", published="2.9 Mpps"),
    Case("nat", "tcp", K, 6, 1.25, 1.1, beside="nat-tcp-1k", what="IPv6 / IPv4, NAT TCP, 1k"),
    Case("nat", "tcp", M, 6, 1.25, 1.1, beside="nat-tcp-1m", what="IPv6 / IPv4, NAT TCP, 1M"),
    Case("nat", "udp", K, what="NAT UDP, 1k", dpvs=(125, 12)),
    Case("dr", "udp", K, what="DR UDP, 1k", dpvs=(93, 9)),
    Case("tun", "tcp", K, what="ipip TCP, 1k"),
    Case("fullnat", "tcp", K, what="fullnat, both directions, 1k", dpvs=(132, 13), published="2.9 Mpps"),
]
BY_NAME = {case.name: case for case in ALL}
DEFAULT = [case.name for case in ALL if case.must]
QUICK = ["nat-tcp-1k", "nat-tcp-1m", "nat6-tcp-1k"]


def load(case, where):
    """The capture of a case's load in the directory `where`, made if it is not there: all frames from the clients."""
    path = where / f"{case.protocol}{case.family}_{case.flows}.pcap"
    if not path.exists():
        protocol = PROTOCOLS[case.protocol]
        made = frames.to_vip(capture.flows(case.flows), protocol, family=case.family)
        capture.write(path, made, rounds=ROUNDS[case.flows])
    return path


def warm(case, where):
    """The capture that opens the connections of a case, in an order of its own; UDP opens its own."""
    path = where / f"warm{case.family}_{case.flows}.pcap"
    if case.protocol == "udp":
        return None
    if not path.exists():
        made = frames.to_vip(capture.flows(case.flows), frames.TCP, frames.SYN, port=1, family=case.family)
        capture.write(path, made, order=77)
    return path
