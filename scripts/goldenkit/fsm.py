"""The maps of `fsm_*`: what conn there is after every sequence of segments."""

import struct
import time

from goldenkit import network
from goldenkit.replay import Count

CLIENT, VIP, SERVER = "172.16.0.1", "10.0.0.100", network.real_server(1)[0][0]
FIN, SYN, RST, ACK = 1, 2, 4, 16
# Events: the sender's letter, then the segment's.
EVENTS = {"cS": SYN, "cA": ACK, "cF": FIN | ACK, "cR": RST, "sS": SYN | ACK, "sA": ACK, "sF": FIN | ACK, "sR": RST}
FIRST_PORT = 1001
# Sequences that are under way at once: their conns are listed before a second has passed.
BATCH = 200
# Nothing has come out for this long: all segments of a round are through. And how long that may take.
QUIET, PATIENCE = 0.01, 2.0


def replay(trace, appliance, wire):
    """Compares the map of a trace; the `Count`."""
    count = Count()
    for step in trace.steps:
        if step["op"] == "ipvsadm" and appliance.ipvsadm(step["args"])[0] != step["rc"]:
            count.differs(f"ipvsadm {step['args']} ended otherwise")
        elif step["op"] == "sysctl":
            appliance.must("sysctl", step["key"], str(step["value"]))
    flows = list(zip(trace.states.items(), range(FIRST_PORT, 1 << 16)))
    for start in range(0, len(flows), BATCH):
        _batch(count, flows[start : start + BATCH], appliance, wire)
    return count


def _batch(count, flows, appliance, wire):
    """Feeds the segments of many sequences round by round, each a flow of its own, all ending in the last round."""
    sequences = {port: sequence.split() for (sequence, _), port in flows}
    longest = max(map(len, sequences.values()))
    for left in range(longest, 0, -1):
        for port, events in sequences.items():
            if len(events) >= left:
                wire.send(events[-left][0], segment(events[-left], port))
                count.frames += 1
        _settle(wire)
    conns = {}
    for conn in appliance.conns():
        conns.setdefault((conn["cip"], conn["cport"]), []).append((conn["state"], conn["expires"]))
    for (sequence, entries), port in flows:
        # With 0 seconds left the kernel has begun to take a conn away.
        kernels = [(state, left) for state, left in entries or [] if left > 0]
        ours = conns.get((CLIENT, port), [])
        near = all(a == b and abs(m - n) <= 1 for (a, m), (b, n) in zip(ours, kernels))
        if len(ours) != len(kernels) or not near:
            count.differs(f"after {sequence}: the kernel has {kernels}, ours {ours}")


def _settle(wire):
    limit, quiet = time.monotonic() + PATIENCE, time.monotonic() + 2 * QUIET
    while time.monotonic() < min(quiet, limit):
        if wire.receive():
            quiet = time.monotonic() + QUIET
        time.sleep(0.001)


def segment(event, port):
    """The frame of an event, from or to the client's `port`."""
    from_client = event[0] == "c"
    source, target = (CLIENT, VIP) if from_client else (SERVER, CLIENT)
    ports = (port, 80) if from_client else (80, port)
    macs = (network.TWIN_MAC[event[0]], network.CLIENT_ROUTER_MAC if from_client else network.real_server(1)[1])
    ack = 0 if event == "cS" else 1
    tcp = bytearray(struct.pack("!HHIIBBHHH", *ports, 1000, ack, 5 << 4, EVENTS[event], 65535, 0, 0))
    addresses = _address(source) + _address(target)
    tcp[16:18] = _checksum(addresses + struct.pack("!HH", 6, len(tcp)) + tcp)
    ip = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0)) + addresses
    ip[10:12] = _checksum(ip)
    link = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in macs)
    return link + b"\x08\x00" + bytes(ip + tcp)


def _address(text):
    return bytes(map(int, text.split(".")))


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
