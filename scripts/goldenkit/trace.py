"""The format of the traces, what of them is left out, and what two frames or lines must not differ in."""

import json
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent.parent / "dataplane/tests/golden"
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
DIRECTOR_V4, DIRECTOR_V6 = bytes((192, 168, 1, 1)), bytes.fromhex("20010db8000500000000000000000001")
ICMP, GUE_PORT = 1, b"\x17\xc0"
TCP, SCTP = 6, 132
TUNNELS = (4, 17, 41, 47)
# In it sockets of the director's kernel answer, with numbers of their own choice: replayed in process alone.
LOCAL = FOLDER / "local_node.json"


class TraceError(Exception):
    """One sentence on a file that is no trace."""


@dataclass
class Skip:
    """Where we differ from the kernel on purpose: what comes out instead, and what listings are; see SKIP.json."""

    # By number of the frame sent, from 0 on: (port, frame) each.
    sends: dict = field(default_factory=dict)
    lines: dict = field(default_factory=dict)

    def adjust(self, lines):
        """The lines of a masked listing as they are for us."""
        return [line for line in (self.lines.get(line, line) for line in lines) if line is not None]


@dataclass
class Trace:
    """A recorded scenario: its steps, or of the `fsm_*` files the conns after each sequence of segments."""

    name: str
    steps: list
    states: dict
    skip: Skip

    @property
    def protocol(self):
        """Of the maps: number of the protocol whose states they are of."""
        return SCTP if self.name.startswith("fsm_sctp") else TCP

    @property
    def seconds(self):
        """For how long a replay waits."""
        return sum(step["s"] for step in self.steps if step["op"] == "wait")

    @property
    def server_mtu(self):
        """Bytes of the largest IP packet on the servers' side."""
        return 1400 if "mtu1400" in self.name or self.name in ("nat_mtu", "nat_v6") else 1500

    @property
    def has_fragments(self):
        """Whether fragments are sent into the director."""
        return any(step["op"] == "send" and is_fragment(bytes.fromhex(step["frame"])) for step in self.steps)


def is_fragment(frame):
    """Whether a frame is a fragment of IPv4, or of IPv6 without other extension headers."""
    if frame[12:14] == IPV4:
        return struct.unpack("!H", frame[20:22])[0] & 0x3FFF != 0
    return frame[12:14] == IPV6 and frame[20:21] == bytes((44,))


def default_files():
    """The traces kept in the repository."""
    return sorted(file for file in _in_folder(FOLDER) if file != LOCAL)


def of(paths):
    """The files among these, and those in the folders among them but for the ones of two directors in sync."""
    return [file for path in paths for file in (sorted(_in_folder(path)) if path.is_dir() else [path])]


def _in_folder(path):
    return (file for file in path.glob("*.json") if not file.name.startswith("sync_") and file.name != "SKIP.json")


def load(path):
    """Reads a trace; a file that is none is a `TraceError`."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        name, steps, result = content["name"], content["steps"], content.get("result")
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise TraceError(f"{path} is no golden trace: {fault!r}") from fault
    if any("where" in step for step in steps):
        raise TraceError(f"{path} is of two directors in sync, which one director cannot replay")
    maps = result.items() if isinstance(result, dict) else ()
    states = next((states for key, states in maps if key.startswith("entries_after_sequence")), {})
    return Trace(name, steps, states, _differences(name, steps))


def _differences(name, steps):
    """The deliberate differences from a trace; a frame is the kernel's (send, place), or a port and hexadecimal digits."""
    ours = json.loads((FOLDER / "SKIP.json").read_text(encoding="utf-8"))["files"].get(name, {})
    kernels = []
    for step in steps:
        if step["op"] == "send":
            kernels.append([])
        elif step["op"] == "recv":
            kernels[-1].append((step["port"], bytes.fromhex(step["frame"])))

    def frame(first, second):
        return kernels[first][second] if isinstance(first, int) else (first, bytes.fromhex(second))

    sends = {int(send): [frame(*each) for each in instead["frames"]] for send, instead in ours.get("sends", {}).items()}
    return Skip(sends, ours.get("lines", {}))


def mask(frame):
    """A frame with what the kernel itself does not reproduce blanked."""
    masked = bytearray(frame)
    if frame[12:14] == IPV4 and len(frame) >= 34:
        _mask_ipv4(masked, frame)
    elif frame[12:14] == IPV6 and len(frame) >= 54:
        _mask_ipv6(masked, frame)
    return bytes(masked)


def _blank(masked, start, count):
    end = min(start + count, len(masked))
    masked[start:end] = bytes(max(end - start, 0))


def _mask_ipv4(masked, frame):
    protocol, l4 = frame[23], 14 + (frame[14] & 15) * 4
    first = struct.unpack("!H", frame[20:22])[0] & 0x1FFF == 0
    # An ICMP error that the director makes has precedence 6 and TOS bits of what it is about; type 0 is its echo reply.
    own_icmp = protocol == ICMP and (frame[15] & 0xE1 == 0xC0 or frame[l4 : l4 + 1] == b"\0")
    if own_icmp or (protocol in TUNNELS and frame[26:30] == DIRECTOR_V4):
        _blank(masked, 18, 2)
        _blank(masked, 24, 2)
    if protocol == 17 and first and frame[l4 + 2 : l4 + 4] == GUE_PORT:
        _blank(masked, l4, 2)
        _blank(masked, l4 + 6, 2)


def _mask_ipv6(masked, frame):
    header = frame[20]
    # A hop limit of 64 marks what the director makes itself: forwarded packets have less.
    if (header in TUNNELS and frame[22:38] == DIRECTOR_V6) or frame[21] == 64:
        masked[15] &= 0xF0
        _blank(masked, 16, 2)
    if header == 17 and frame[56:58] == GUE_PORT:
        _blank(masked, 54, 2)
        _blank(masked, 60, 2)
    if header == 44:
        _blank(masked, 58, 4)


def mask_line(line):
    """A line of a listing without the expiry of a conn."""
    return re.sub(r"^(TCP|UDP|SCTP|IP) +\d\d:\d\d", r"\1 MM:SS", line)


def is_last_second(line):
    """Whether a line is of a conn or template whose time is over within a second."""
    return mask_line(line) != line and line.split()[1] == "00:00"
