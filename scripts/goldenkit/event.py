"""The frames of the maps' events: a segment of TCP, or an SCTP packet of one chunk, from either end of a flow."""

import struct

from fuzzkit.packet import crc32c

from goldenkit import network

CLIENT, VIP, SERVER = "172.16.0.1", "10.0.0.100", network.real_server(1)[0][0]
TCP, SCTP = 6, 132
FIN, SYN, RST, ACK = 1, 2, 4, 16
# Events: the sender's letter, then the segment's.
SEGMENTS = {"cS": SYN, "cA": ACK, "cF": FIN | ACK, "cR": RST, "sS": SYN | ACK, "sA": ACK, "sF": FIN | ACK, "sR": RST}
# Chunks by their type, as letters of the recordings.
CHUNKS = "DIi   RWwXEe  C"
CHUNK_BYTES = 16


def frame(protocol, event, port):
    """The frame of an event, from or to the client's `port`."""
    from_client = event[0] == "c"
    source, target = (CLIENT, VIP) if from_client else (SERVER, CLIENT)
    ports = (port, 80) if from_client else (80, port)
    macs = (network.TWIN_MAC[event[0]], network.CLIENT_ROUTER_MAC if from_client else network.real_server(1)[1])
    addresses = _address(source) + _address(target)
    payload = _segment(event, ports, addresses) if protocol == TCP else _chunk(event, ports)
    ip = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)) + addresses
    ip[10:12] = _checksum(ip)
    link = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in macs)
    return link + b"\x08\x00" + bytes(ip + payload)


def _segment(event, ports, addresses):
    ack = 0 if event == "cS" else 1
    tcp = bytearray(struct.pack("!HHIIBBHHH", *ports, 1000, ack, 5 << 4, SEGMENTS[event], 65535, 0, 0))
    tcp[16:18] = _checksum(addresses + struct.pack("!HH", TCP, len(tcp)) + tcp)
    return tcp


def _chunk(event, ports):
    chunk = struct.pack("!BBH", CHUNKS.index(event[1]), 0, CHUNK_BYTES) + bytes(CHUNK_BYTES - 4)
    packet = bytearray(struct.pack("!HHII", *ports, 1, 0) + chunk)
    packet[8:12] = struct.pack("<I", crc32c(packet))
    return packet


def _address(text):
    return bytes(map(int, text.split(".")))


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
