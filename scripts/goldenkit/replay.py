"""One trace, step by step: what goes in, what comes out, and whether that is what came out of the kernel."""

import time
from dataclasses import dataclass, field

from goldenkit.trace import IPV6, is_last_second, mask, mask_line

# How long what must come may take, and how long what must not come is waited for. A busy machine is slow, not wrong.
PATIENCE, SILENCE = 10.0, 0.01


@dataclass
class Count:
    """What a replay compared."""

    frames: int = 0
    differences: int = 0
    #: What the differences are.
    text: list = field(default_factory=list)

    def differs(self, *lines):
        """Counts a difference and keeps what it is."""
        self.differences += 1
        self.text += [f"  {line}" for line in lines]


def replay(trace, appliance, wire, text):
    """Replays a trace; the `Count`."""
    count, steps, place = Count(), trace.steps, 0
    while place < len(steps):
        step, place = steps[place], place + 1
        if step["op"] == "ipvsadm":
            _ipvsadm(count, step, place, appliance, trace.skip, text)
        elif step["op"] == "sysctl":
            _sysctl(count, step, place, appliance)
        elif step["op"] == "cmd":
            if not appliance.command(step["cmd"]):
                count.differs(f"step {place}: `{step['cmd']}` has no meaning here")
        elif step["op"] == "wait":
            time.sleep(step["s"])
        elif step["op"] == "send":
            expected, place = _expected(steps, place)
            _send(count, step, place, expected, wire, trace.skip)
    for port, frame in collect(wire, 0):
        count.differs(f"after all: came out on {port} unasked: {frame.hex()}")
    return count


def _expected(steps, place):
    """The frames recorded from here on, and the place after them."""
    frames = []
    while place < len(steps) and steps[place]["op"] in ("recv", "recv_none"):
        if steps[place]["op"] == "recv":
            frames.append((steps[place]["port"], bytes.fromhex(steps[place]["frame"])))
        place += 1
    return frames, place


def _ipvsadm(count, step, place, appliance, skip, text):
    status, printed = appliance.ipvsadm(step["args"])
    if status != step["rc"]:
        count.differs(f"step {place}: ipvsadm {step['args']}: {status}, the kernel's {step['rc']}: {printed.strip()}")
    # Rates depend on the moment of reading.
    if not text or "out" not in step or "--rate" in step["args"]:
        return
    ours = [mask_line(line) for line in printed.splitlines()]
    # The kernel's timers fire late: what it lists without a second left may have ended here.
    kernels = [line for line in step["out"] if not is_last_second(line) or mask_line(line) in ours]
    kernels = skip.adjust([mask_line(line) for line in kernels])
    if "-Lnc" in step["args"]:
        # Conns come in the order of the kernel's hash.
        kernels, ours = sorted(kernels), sorted(ours)
    if kernels != ours:
        count.differs(
            f"step {place}: ipvsadm {step['args']} prints another text",
            *(f"  kernel {line}" for line in kernels if line not in ours),
            *(f"  ours   {line}" for line in ours if line not in kernels),
        )


def _sysctl(count, step, place, appliance):
    status, said = appliance.ask("sysctl", step["key"], str(step["value"]))
    if status:
        count.differs(f"step {place}: sysctl {step['key']} {step['value']}: {said.strip()}")


def _send(count, step, place, expected, wire, skip):
    frame = bytes.fromhex(step["frame"])
    expected = skip.sends.get(count.frames, expected)
    count.frames += 1
    wire.send(step["port"], frame)
    got = collect(wire, len(expected))
    faults = []
    for port in "cs":
        kernels = [mask(frame) for where, frame in expected if where == port]
        ours = [mask(frame) for where, frame in got if where == port]
        if kernels != ours:
            faults += [f"  kernel on {port}: {frame.hex()}" for frame in kernels if frame not in ours]
            faults += [f"  ours on {port}:   {frame.hex()}" for frame in ours if frame not in kernels]
            faults += [f"  {len(ours)} frames on {port}, the kernel {len(kernels)}"]
    if faults:
        count.differs(f"step {place}: sent on {step['port']}: {step['desc']}", *faults)


def collect(wire, expected):
    """The frames that come out: as many as expected, or what comes in their time. One too many is the next step's."""
    limit, got = time.monotonic() + (PATIENCE if expected else SILENCE), []
    while True:
        got += [(port, frame) for port, frame in wire.receive() if not _is_link_noise(frame)]
        if (expected and len(got) >= expected) or time.monotonic() > limit:
            return got
        time.sleep(0.0003)


def _is_link_noise(frame):
    """Link-local multicast of IPv6, which a link that comes up sends."""
    return frame[12:14] == IPV6 and frame[38:40] == b"\xff\x02"
