"""Plays a capture once out of a network interface, at a steady pace."""

import itertools
import socket
import time

from rig import capture

SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
PACE = 250_000  # frames a second: what a receiver that shares its core with others still keeps up with
BATCH = 256


def play(path, interface):
    """Returns when the last frame is out."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((interface, 0))
        out.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        frames, sent, start = capture.read(path), 0, time.monotonic()
        while batch := list(itertools.islice(frames, BATCH)):
            for frame in batch:
                out.send(frame)
            sent += len(batch)
            time.sleep(max(0.0, start + sent / PACE - time.monotonic()))
