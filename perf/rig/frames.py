"""Frames of a TCP or UDP flow, as short as Ethernet and the headers let them be, checksums filled in."""

import struct

VIP, VPORT = 0x0A000064, 80
VIP6 = 0x20010DB8_00000000_00000000_00000064
# Where the real servers' and the clients' addresses begin.
SERVERS, SERVERS6 = 0xC0A86400, 0x20010DB8_00000002_00000000_00000000
CLIENTS, CLIENTS6 = 0x0A800000, 0x20010DB8_00000080_00000000_00000000
CLIENT_BITS = 20
SOURCE_MAC = bytes.fromhex("020000000c01")
# A frame without its checksum has 60 bytes at least.
LEAST = 60
IPV4, IPV6 = 0x0800, 0x86DD
UDP, TCP = 17, 6
SYN, ACK = 0x02, 0x10


def port_mac(port):
    """The MAC address of the appliance's port 0 or 1: what `net_pcap` gives its n-th device."""
    return bytes.fromhex("0270636170") + bytes([port])


def server_mac(number):
    """The MAC address of a real server."""
    return bytes.fromhex("020000000d") + bytes([number])


def words(data):
    """The sum of 16-bit words, to be folded."""
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def complement(total):
    """The checksum that a sum of words gives."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class Maker:
    """Makes the frames of one protocol and address family that come in at the appliance's `port` from one station."""

    def __init__(self, protocol, flags=ACK, port=0, family=4, source=SOURCE_MAC, least=LEAST):
        header = {4: 20, 6: 40}[family]
        self.length = max(least - 14, header + {UDP: 8, TCP: 20}[protocol])
        payload = self.length - header
        self._address = struct.Struct("!I").pack if family == 4 else lambda address: address.to_bytes(16, "big")
        self._head, self._tail = _transport(protocol, flags, payload)
        self._l4_sum = protocol + payload + words(self._head) + words(self._tail)
        self._udp = protocol == UDP
        kind = IPV4 if family == 4 else IPV6
        self._ethernet = port_mac(port) + source + struct.pack("!H", kind)
        if family == 4:
            self._ip = struct.pack("!BBHHHBB", 0x45, 0, self.length, 0, 0x4000, 64, protocol)
            self._ip_sum = words(self._ip)
        else:
            self._ip = struct.pack("!IHBB", 6 << 28, payload, protocol, 64)
            self._ip_sum = None

    def frame(self, source, destination):
        """The frame from one end to another, each an address and a port."""
        addresses = self._address(source[0]) + self._address(destination[0])
        sum_of_addresses = words(addresses)
        check = complement(self._l4_sum + sum_of_addresses + source[1] + destination[1])
        if self._udp:
            check = check or 0xFFFF  # 0 says that there is none (RFC 768)
        ip_check = b"" if self._ip_sum is None else struct.pack("!H", complement(self._ip_sum + sum_of_addresses))
        ports = struct.pack("!HH", source[1], destination[1])
        return b"".join((
            self._ethernet, self._ip, ip_check, addresses, ports, self._head, struct.pack("!H", check), self._tail,
        ))  # fmt: skip


def _transport(protocol, flags, payload):
    """The bytes after the ports up to the checksum, and those after it."""
    if protocol == UDP:
        return struct.pack("!H", payload), bytes(payload - 8)
    sequence = (1000, 0) if flags & SYN else (1001, 2001)
    return struct.pack("!IIBBH", *sequence, 0x50, flags, 65535), bytes(2 + payload - 20)


def to_vip(clients, protocol, flags=ACK, port=0, family=4, least=LEAST):
    """A frame from each client to the VIP, of `least` bytes at least."""
    maker = Maker(protocol, flags, port, family, least=least)
    first, vip = (CLIENTS, VIP) if family == 4 else (CLIENTS6, VIP6)
    for number, sport in clients:
        yield maker.frame((first + number, sport), (vip, VPORT))
