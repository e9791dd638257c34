"""The real servers' side of fullnat: frames to the local ends that the appliance chose for its connections.

It chooses them by the client's slot and in the order of opening, without chance: an appliance that is warmed up with the
same SYNs in the same order chooses the same. So one run tells them, and the next is sent the replies.
"""

import ipaddress
import json
import random

from rig import frames


def of_listing(path):
    """(client, server, local) of each fullnat connection in the JSON lines of `sluice conns --json`, ends as integers."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            client = int(ipaddress.ip_address(row["cip"])), row["cport"]
            server = int(ipaddress.ip_address(row["rip"])), row["rport"]
            local, port = row["local"].rsplit(":", 1)
            yield client, server, (int(ipaddress.ip_address(local)), int(port))


def both_ways(conns, seed=3):
    """One frame of each connection, by chance from its client or from its server, half and half."""
    conns = sorted(conns)
    source = random.Random(seed)
    client_side = frames.Maker(frames.TCP)
    server_sides = {}
    for client, server, local in conns:
        if source.getrandbits(1):
            yield client_side.frame(client, (frames.VIP, frames.VPORT))
            continue
        number = server[0] & 0xFF
        if number not in server_sides:
            server_sides[number] = frames.Maker(frames.TCP, source=frames.server_mac(number))
        yield server_sides[number].frame(server, local)
