"""Random packets of flows: what clients, servers and routers send, as steps of a scenario."""

from fuzzkit import packet, topology
from fuzzkit.rules import TUNNELS

# Flags of a client's and of a server's next segment, most likely first; drawn by weight.
CLIENT_FLAGS = ("S", "A", "PA", "FA", "R", "RA", "SA", "F", "SF", "SR", "", "SFRPAU")
SERVER_FLAGS = ("SA", "A", "PA", "FA", "R", "RA", "S", "F", "")
WEIGHTS = (12, 12, 6, 6, 3, 2, 1, 1, 1, 1, 1, 1)
TCP_OVERHEAD, UDP_OVERHEAD, MTU = 40, 28, 1500
# IP options: router alert, no operation, record route, loose source route, a length that lies.
OPTIONS = ("94040000", "01010101", "0707040000000000", "8307040a00000100", "9409000000000000")
DATA, INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK = 0, 1, 2, 10, 11
# Also ABORT, the three of the shutdown, and ERROR.
CHUNKS = (DATA, DATA, DATA, INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK, 6, 7, 8, 14, 9)
UNREACHABLE, QUENCH, REDIRECT, EXCEEDED, PARAMETER = 3, 4, 5, 11, 12
CODES = ((UNREACHABLE, 0), (UNREACHABLE, 1), (UNREACHABLE, 3), (UNREACHABLE, 4), (UNREACHABLE, 13), (QUENCH, 0),
         (EXCEEDED, 0), (EXCEEDED, 1), (PARAMETER, 0), (REDIRECT, 1))  # fmt: skip


class Traffic:
    """The flows of a scenario, and steps about them from `rng`."""

    def __init__(self, rng, features, rules, server_mtu):
        self.rng, self.features, self.rules, self.server_mtu = rng, features, rules, server_mtu
        self.flows = []
        #: By flow, how many servers had been removed when it began.
        self.born = {}
        self.clients = [f"172.{rng.randrange(16, 32)}.{rng.randrange(256)}.{rng.randrange(1, 255)}" for _ in range(4)]

    def next(self):
        """Steps for one moment of the traffic."""
        kinds = [(self._open, 5), (self._proceed, 10), (self._stray, 1)]
        kinds += [(self._icmp, 2)] * ("icmp" in self.features) + [(self._malformed, 1)] * ("malformed" in self.features)
        if not self.flows:
            kinds = [(self._open, 1)]
        return self.rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]()

    def _open(self):
        """A new flow: a SYN, often the whole handshake, or a datagram; now and then many flows of it."""
        for _ in range(self.rng.choice((1, 1, 1, 1, 3, 8))):
            flow = self._new_flow()
            if flow is None:
                return
            if flow[0] == "udp":
                yield self._client(flow, {"size": self.rng.randrange(64)})
            elif flow[0] == "sctp":
                yield from self._associate(flow)
            else:
                yield self._client(flow, {"flags": "S", "seq": 1000})
                if self.rng.random() < 0.6:
                    yield self._server(flow, {"flags": "SA", "seq": 9000, "ack": 1001})
                    yield self._client(flow, {"flags": "A", "seq": 1001, "ack": 9001})

    def _associate(self, flow):
        yield self._client(flow, {"chunk": INIT})
        if self.rng.random() < 0.6:
            yield self._server(flow, {"chunk": INIT_ACK})
            yield self._client(flow, {"chunk": COOKIE_ECHO})
            yield self._server(flow, {"chunk": COOKIE_ACK})

    def _chunk(self):
        chunk = self.rng.choice((*CHUNKS, self.rng.randrange(256)))
        bad = {"bad": True} if "malformed" in self.features and self.rng.random() < 0.05 else {}
        return {"chunk": chunk, "size": self.rng.choice((0, 1, 12, self.rng.randrange(100)))} | bad

    def _new_flow(self):
        if not self.rules.services:
            return None
        protocol, address, port = self.rng.choice(self.rules.services).target(self.rng)
        source_port = self.rng.choice((self.rng.randrange(1024, 65536), 20, 4000))
        flow = [protocol, self.rng.choice(self.clients), source_port, address, port]
        while self._is_dark(flow) or self._shares_replies(flow):
            flow[2] = self.rng.randrange(1024, 65536)
        if flow not in self.flows:
            self.flows.append(flow)
            self.born[tuple(flow)] = len(self.rules.removed)
        return flow

    def _shares_replies(self, flow):
        """Whether another flow of the same client's port may get a conn with the same reply tuple."""
        return "shared" not in self.features and any(flow[:3] == other[:3] for other in self.flows if other != flow)

    def _is_dark(self, flow):
        """Whether the flow's conn may be on a removed server, which UDP leaves here and not in the kernel."""
        now = len(self.rules.removed)
        return flow[0] == "udp" and "darkness" not in self.features and self.born.get(tuple(flow), now) != now

    def _proceed(self):
        """A packet of a flow, from either end."""
        flow = self.rng.choice(self.flows)
        from_client = self.rng.random() < 0.55 and not self._is_dark(flow)
        make = self._client if from_client else self._server
        if flow[0] == "udp":
            yield make(flow, self._datagram(), self._ip())
        elif flow[0] == "sctp":
            yield make(flow, self._chunk(), self._ip())
        else:
            flags = self._flags(CLIENT_FLAGS if from_client else SERVER_FLAGS)
            yield make(flow, {"flags": flags, "seq": 1001, "ack": 9001} | self._segment(flags, from_client), self._ip())

    def _flags(self, of):
        return self.rng.choices(of, WEIGHTS[: len(of)])[0]

    def _segment(self, flags, from_client):
        if "P" not in flags:
            return {}
        bad = {"bad": True} if "malformed" in self.features and self.rng.random() < 0.05 else {}
        return {"size": self._size(TCP_OVERHEAD, MTU if from_client else self.server_mtu)} | bad

    def _datagram(self):
        words = {"size": self._size(UDP_OVERHEAD, self.server_mtu)}
        if self.rng.random() < 0.2:
            words["zero"] = True
        elif "malformed" in self.features and self.rng.random() < 0.1:
            lie = {"length": self.rng.choice((-9, -1, 1, 100))}
            words |= self.rng.choice(({"bad": True}, lie)) if "transport" in self.features else {"bad": True}
            words["size"] += 2
        return words

    def _size(self, overhead, largest):
        if "sizes" not in self.features or self.rng.random() < 0.7:
            return self.rng.randrange(100)
        limits = (1400, 1380, 1480, 1500)
        return min(self.rng.choice(limits) + self.rng.choice((-8, -1, 0, 0, 1)), largest) - overhead

    def _ip(self):
        """Words of the IP header."""
        words = {"ident": self.rng.randrange(1, 65536), "df": self.rng.random() < 0.5}
        if "headers" in self.features and self.rng.random() < 0.15:
            ttl, tos = {"ttl": self.rng.choice((0, 1, 2, 255))}, {"tos": self.rng.randrange(256)}
            if "ecn" not in self.features and tos["tos"] & 3 == 3:
                tos["tos"] &= 0xFC
            options = ({"options": self.rng.choice(OPTIONS)},) if "options" in self.features else ()
            rare = (ttl, tos, *options)
            words |= self.rng.choice(rare)
        return words

    def _stray(self):
        """A packet to a virtual address that no service may claim, or of a server to a client that knows nothing of it."""
        kind = self.rng.randrange(3)
        if kind == 0:
            flow = ["tcp", self.rng.choice(self.clients), self.rng.randrange(1024, 65536), topology.VIP, 9]
            yield self._client(flow, {"flags": self._flags(CLIENT_FLAGS), "seq": 1, "ack": 1})
        elif kind == 1:
            flow = ["udp", self.rng.choice(self.clients), self.rng.randrange(1024, 65536), topology.VIP, 9]
            yield self._client(flow, {"size": 8})
        else:
            flow = ["tcp", self.rng.choice(self.clients), self.rng.randrange(1024, 65536), topology.VIP, 80]
            yield self._server(flow, {"flags": self._flags(SERVER_FLAGS), "seq": 1, "ack": 1})

    def _icmp(self):
        if self.rng.random() < 0.15:
            yield self._echo()
            return
        kind, code = self.rng.choice(CODES)
        rest = self.rng.choice((0, 68, 1300, 1400)) if (kind, code) == (UNREACHABLE, 4) else 0
        port = self.rng.choice("cs")
        tells_mtu = (kind, code) == (UNREACHABLE, 4) and "pmtu" not in self.features
        parted = self.rules.removed and "parting" not in self.features
        if self.rules.used & TUNNELS and (tells_mtu or parted):
            port = "c"
        flow = self.rng.choice(self.flows)
        if "schedule" in self.features and self.rng.random() < 0.2:
            flow = self._new_flow() or flow
        step = {"op": "error", "port": port, "flow": flow, "icmp": [kind, code, rest]}
        step |= {"server": self.rng.choice(topology.SERVERS), "quoted": self.rng.choice((None, None, 28, 28, 28, 24, 20))}
        if self.rng.random() < 0.4:
            step["source"] = topology.CLIENT_ROUTER if port == "c" else topology.real_server(9)
        if "malformed" in self.features and self.rng.random() < 0.1:
            step["bad"] = True
        yield step

    def _echo(self):
        source = self.rng.choice(self.clients)
        message = packet.icmp(8, 0, 0x10001, bytes(8))
        return self._packet("c", packet.ipv4(source, topology.VIP, packet.ICMP, message, ident=7))

    def _malformed(self):
        """A packet of a flow that is cut short, padded or has a wrong byte."""
        flow = self.rng.choice(self.flows)
        words = {"size": 12} | {"tcp": {"flags": self._flags(CLIENT_FLAGS)}, "sctp": {"chunk": DATA}}.get(flow[0], {})
        make = self._client if self.rng.random() < 0.7 and not self._is_dark(flow) else self._server
        yield make(flow, words, self._ip()) | {"mangle": self._mangle(flow)}

    def _mangle(self, flow):
        if "transport" in self.features and self.rng.random() < 0.5:
            if flow[0] == "tcp" and self.rng.random() < 0.5:  # data offset
                return ["poke", 32, self.rng.choice((0x00, 0x40, 0x60, 0xF0)), True]
            return ["poke", 3, self.rng.choice((20, 24, 27, 28, 39)), True]  # total length
        kind = self.rng.randrange(5)
        if kind == 0:
            return ["cut", self.rng.randrange(21, 40)]
        if kind == 1:
            return ["pad", self.rng.choice((1, 6, 20))]
        if kind == 2:  # version and header length
            return ["poke", 0, self.rng.choice((0x44, 0x55, 0x65, 0x05)), True]
        if kind == 3:  # total length
            return ["poke", 3, self.rng.choice((0, 19, 40, 60, 255)), True]
        return ["poke", 10, self.rng.randrange(256), False]

    def _client(self, flow, words, ip=None):
        return {"op": "client", "flow": flow, "l4": words, "ip": ip or {}}

    def _server(self, flow, words, ip=None):
        direct = "direct" in self.features
        fallback = {"server": self.rng.choice(topology.SERVERS), "port": flow[4], "direct": direct}
        return {"op": "server", "flow": flow, "l4": words, "ip": ip or {}} | fallback

    def _packet(self, port, made):
        return {"op": "packet", "port": port, "server": 1, "hex": made.hex()}
