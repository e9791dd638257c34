"""Captures: the load, and the SYNs that open its connections.

A capture is rounds of all flows, each in an order of its own: nothing is met again in the order in which it was opened,
so no prefetcher gets to help with a table just because the capture loops.
"""

import random
import struct

from rig.frames import CLIENT_BITS

FILE_HEADER = struct.Struct("<IHHiIII")
RECORD_HEADER = struct.Struct("<IIII")


def flows(count, seed=1):
    """`count` distinct clients as (number of the address, port); the same for the same seed."""
    source, seen = random.Random(seed), set()
    while len(seen) < count:
        number = source.getrandbits(CLIENT_BITS + 16)
        if number & 0xFFFF >= 1024:
            seen.add(number)
    chosen = sorted(seen)
    source.shuffle(chosen)
    return [(number >> 16, number & 0xFFFF) for number in chosen]


def write(path, frames, rounds=1, order=1):
    """Writes a capture; another `order` has the same frames in other places. Returns how many there are."""
    records = [RECORD_HEADER.pack(0, 0, len(frame), len(frame)) + frame for frame in frames]
    source = random.Random(order)
    with open(path, "wb", buffering=1 << 20) as out:
        out.write(FILE_HEADER.pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for _ in range(rounds):
            source.shuffle(records)
            out.writelines(records)
    return len(records) * rounds


def read(path):
    """The frames of a little-endian capture, as views of one buffer."""
    with open(path, "rb") as capture:
        data = memoryview(capture.read())
    at = FILE_HEADER.size
    while at + RECORD_HEADER.size <= len(data):
        length = RECORD_HEADER.unpack_from(data, at)[2]
        at += RECORD_HEADER.size
        yield data[at : at + length]
        at += length


def count(path):
    """How many frames a capture has."""
    return sum(1 for _ in read(path))


def distinct_flows(path):
    """How many flows an untagged capture without options has, by protocol, addresses and ports."""
    return len({_ends(frame) for frame in read(path)})


def _ends(frame):
    if frame[12:14] == b"\x08\x00":
        return bytes(frame[23:24]) + bytes(frame[26:38])
    return bytes(frame[20:21]) + bytes(frame[22:58])
