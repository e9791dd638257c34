"""Captures of 64-byte frames (60 without their checksum): the load, and the SYNs that open its connections.

A capture is rounds of all flows, each in an order of its own: nothing is met again in the order in which it was opened,
so no prefetcher gets to help with a table just because the capture loops.
"""

import random
import struct

VIP, VPORT = 0x0A000064, 80
# Clients are in 10.128.0.0/12: 2²⁰ addresses.
CLIENTS, CLIENT_BITS = 0x0A800000, 20
SOURCE_MAC = bytes.fromhex("020000000c01")
FRAME_LEN, IP_LEN = 60, 46
FILE_HEADER = struct.Struct("<IHHiIII")
RECORD_HEADER = struct.Struct("<IIII")
UDP, TCP = 17, 6
SYN, ACK = 0x02, 0x10


def port_mac(port):
    """The MAC address of the appliance's port 0 or 1: what `net_pcap` gives its n-th device."""
    return bytes.fromhex("0270636170") + bytes([port])


def flows(count, seed=1):
    """`count` distinct clients as (address, port); the same for the same seed."""
    source, seen = random.Random(seed), set()
    while len(seen) < count:
        number = source.getrandbits(CLIENT_BITS + 16)
        if number & 0xFFFF >= 1024:
            seen.add(number)
    chosen = sorted(seen)
    source.shuffle(chosen)
    return [(CLIENTS + (number >> 16), number & 0xFFFF) for number in chosen]


def words(data):
    """The sum of 16-bit words, to be folded."""
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def complement(total):
    """The checksum that a sum of words gives."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _transport(protocol, flags):
    """The bytes after the ports up to the checksum, and those after it."""
    if protocol == UDP:
        return struct.pack("!H", IP_LEN - 20), bytes(IP_LEN - 28)
    sequence = (1000, 0) if flags & SYN else (1001, 2001)
    return struct.pack("!IIBBH", *sequence, 0x50, flags, 65535), bytes(2 + IP_LEN - 40)


def frames(clients, protocol, flags, port):
    """A frame from each client to the VIP, arriving on the appliance's `port`, checksums filled in."""
    ethernet = port_mac(port) + SOURCE_MAC + b"\x08\x00"
    ip = struct.pack("!BBHHHBB", 0x45, 0, IP_LEN, 0, 0x4000, 64, protocol)
    head, tail = _transport(protocol, flags)
    ip_sum = words(ip)
    l4_sum = protocol + IP_LEN - 20 + words(head) + words(tail)
    target = (VIP >> 16) + (VIP & 0xFFFF)
    for address, sport in clients:
        addresses = target + (address >> 16) + (address & 0xFFFF)
        ip_check = complement(ip_sum + addresses)
        l4_check = complement(l4_sum + addresses + sport + VPORT)
        if protocol == UDP:
            l4_check = l4_check or 0xFFFF  # 0 says that there is none (RFC 768)
        yield b"".join((
            ethernet, ip, struct.pack("!HIIHH", ip_check, address, VIP, sport, VPORT),
            head, struct.pack("!H", l4_check), tail,
        ))


def write(path, clients, protocol, flags=ACK, port=0, rounds=1, order=1):
    """Writes a capture; another `order` has the same frames in other places. Returns how many there are."""
    record = RECORD_HEADER.pack(0, 0, FRAME_LEN, FRAME_LEN)
    records = [record + frame for frame in frames(clients, protocol, flags, port)]
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
    """How many flows an untagged IPv4 capture has, by protocol, addresses and ports."""
    return len({bytes(frame[23:24]) + bytes(frame[26:38]) for frame in read(path)})
