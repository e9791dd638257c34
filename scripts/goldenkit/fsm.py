"""The maps of `fsm_*`: what conn there is after every sequence of segments or of chunks."""

import time

from labkit.shell import LabError

from goldenkit.event import CLIENT, frame
from goldenkit.replay import Count

FIRST_PORT = 1001
# Sequences that are under way at once: their conns are listed before a second has passed, unless the machine is busy.
BATCH = 200
# Nothing has come out for this long: all frames of a round are through. And how long it may take until they are in.
QUIET, PATIENCE = 0.01, 20.0


def replay(trace, appliance, wire):
    """Compares the map of a trace; the `Count`."""
    count = Count()
    for step in trace.steps:
        if step["op"] == "ipvsadm" and appliance.ipvsadm(step["args"])[0] != step["rc"]:
            count.differs(f"ipvsadm {step['args']} ended otherwise")
        elif step["op"] == "sysctl":
            appliance.must("sysctl", step["key"], str(step["value"]))
    before = appliance.received()
    flows = list(zip(trace.states.items(), range(FIRST_PORT, 1 << 16)))
    for start in range(0, len(flows), BATCH):
        _batch(count, trace.protocol, flows[start : start + BATCH], appliance, wire, before)
    return count


def _batch(count, protocol, flows, appliance, wire, before):
    """Feeds the events of many sequences round by round, each a flow of its own, all ending in the last round.

    `before` is how many frames the director had received before the first batch.
    """
    sequences = {port: sequence.split() for (sequence, _), port in flows}
    longest = max(map(len, sequences.values()))
    for left in range(longest, 0, -1):
        sent = time.monotonic()
        for port, events in sequences.items():
            if len(events) >= left:
                wire.send(events[-left][0], frame(protocol, events[-left], port))
                count.frames += 1
        _settle(wire, appliance, before + count.frames)
    conns = {}
    for conn in appliance.conns():
        conns.setdefault((conn["cip"], conn["cport"]), []).append((conn["state"], conn["expires"]))
    late = 1 + int(time.monotonic() - sent)
    for (sequence, entries), port in flows:
        # With 0 seconds left the kernel has begun to take a conn away.
        kernels = [(state, left) for state, left in entries or [] if left > 0]
        ours = conns.get((CLIENT, port), [])
        near = all(a == b and -late <= m - n <= 1 for (a, m), (b, n) in zip(ours, kernels))
        if len(ours) != len(kernels) or not near:
            count.differs(f"after {sequence}: the kernel has {kernels}, ours {ours}")


def _settle(wire, appliance, received):
    """Waits until the director has received so many frames in all and has sent what it sends for them."""
    limit = time.monotonic() + PATIENCE
    while appliance.received() < received:
        if time.monotonic() > limit:
            raise LabError(f"of {received} frames the director has received {appliance.received()}")
    quiet = time.monotonic() + QUIET
    while time.monotonic() < min(quiet, limit):
        if wire.receive():
            quiet = time.monotonic() + QUIET
        time.sleep(0.001)
