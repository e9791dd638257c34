"""Packets as bytes, from few words, and in few words. Addresses are dotted, numbers in host order."""

import socket
import struct

ETHERNET, IPV4 = 14, 0x0800
ICMP, IPIP, TCP, UDP, SCTP = 1, 4, 6, 17, 132
PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}
ERRORS = (3, 4, 5, 11, 12)


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) & 1)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(dotted):
    """Four bytes of it."""
    return socket.inet_aton(dotted)


def ethernet(destination, source, packet):
    """A frame of an IPv4 packet; MAC addresses as text with colons."""
    macs = bytes.fromhex((destination + source).replace(":", ""))
    return macs + struct.pack("!H", IPV4) + packet


def ipv4(source, destination, protocol, payload, ttl=64, tos=0, ident=0, df=False, options="", bad=False):
    """An IPv4 packet; `options` in hex, `bad` for a wrong header checksum."""
    options = bytes.fromhex(options)
    words = 5 + len(options) // 4
    fields = (0x40 | words, tos, 4 * words + len(payload), ident, 0x4000 if df else 0, ttl, protocol, 0)
    header = struct.pack("!BBHHHBBH", *fields) + address(source) + address(destination) + options
    return _with_checksum(header, 10, header, bad) + payload


def tcp(source, destination, ports, flags, seq=0, ack=0, size=0, bad=False):
    """A TCP segment with `size` bytes of data."""
    bits = sum(FLAGS[letter] for letter in flags)
    segment = struct.pack("!HHIIBBHHH", *ports, seq, ack, 5 << 4, bits, 0xFFFF, 0, 0) + _data(size)
    return _with_checksum(segment, 16, _pseudo(source, destination, TCP, segment), bad)


def udp(source, destination, ports, size=0, bad=False, zero=False, length=0):
    """A UDP datagram with `size` bytes of data; `zero` for none of the optional checksum, `length` to lie by."""
    datagram = struct.pack("!HHHH", *ports, 8 + size + length, 0) + _data(size)
    if zero:
        return datagram
    return _with_checksum(datagram, 6, _pseudo(source, destination, UDP, datagram), bad)


def sctp(ports, chunk, tag=0x11223344, size=12, bad=False):
    """An SCTP packet of one chunk of this type with `size` bytes in it."""
    packet = struct.pack("!HHII", *ports, tag, 0) + struct.pack("!BBH", chunk, 0, 4 + size) + _data(size) + bytes(-size % 4)
    value = crc32c(packet) ^ (0x1234 if bad else 0)
    return packet[:8] + struct.pack("<I", value) + packet[12:]


def icmp(kind, code, rest, payload, bad=False):
    """An ICMP message; `rest` is the second word of its header."""
    message = struct.pack("!BBHI", kind, code, 0, rest) + payload
    return _with_checksum(message, 2, message, bad)


def transport(protocol, source, destination, ports, words):
    """A segment, datagram or chunk of the words that a step has for it."""
    if protocol == "sctp":
        return sctp(ports, **words)
    return (tcp if protocol == "tcp" else udp)(source, destination, ports, **words)


def _data(size):
    return bytes((7 * place + size) & 0xFF for place in range(size))


def crc32c(data):
    """RFC 9260 appendix A, a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _pseudo(source, destination, protocol, payload):
    return address(source) + address(destination) + struct.pack("!HH", protocol, len(payload)) + payload


def _with_checksum(packet, place, summed, bad):
    value = checksum(summed) or (0xFFFF if place == 6 else 0)
    return packet[:place] + struct.pack("!H", value ^ (0x1234 if bad else 0)) + packet[place + 2 :]


def name(frame):
    """What a frame is, in a word."""
    protocol, payload = frame[23], frame[ETHERNET + 4 * (frame[ETHERNET] & 15) :]
    if protocol == ICMP and len(payload) > 1:
        return f"ICMP-{payload[0]}/{payload[1]}"
    return {IPIP: "IPIP", TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}.get(protocol, f"protocol-{protocol}")


def describe(frame):
    """A frame in a line."""
    if frame[12:14] != b"\x08\x00":
        return f"ethertype {frame[12:14].hex()} {frame[14:60].hex()}"
    return f"{frame[6:12].hex()[-4:]}>{frame[:6].hex()[-4:]} {describe_packet(frame[ETHERNET:])}"


def describe_packet(packet):
    """An IPv4 packet in a line; what is cut short or no IPv4 in hex."""
    words = (packet[0] & 15) if packet else 0
    if words < 5 or len(packet) < 4 * words or packet[0] >> 4 != 4:
        return packet[:48].hex()
    tos, length, ident, fragment, ttl, protocol = struct.unpack("!BHHHBB", packet[1:10])
    source, destination = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    parts = [f"{source}>{destination} ttl={ttl} id={ident} len={length}"]
    parts += [f"tos={tos:#x}"] * (tos != 0) + ["DF"] * (fragment >> 14 & 1) + ["MF"] * (fragment >> 13 & 1)
    parts += [f"offset={8 * (fragment & 0x1FFF)}"] * (fragment & 0x1FFF != 0)
    parts += ["BAD IP CHECKSUM"] * (checksum(packet[: 4 * words]) != 0)
    payload = packet[4 * words : length]
    whole = fragment & 0x3FFF == 0 and len(packet) >= length
    parts.append(_describe_payload(protocol, source, destination, payload, whole))
    return " ".join(parts)


def _describe_payload(protocol, source, destination, payload, whole):
    if protocol == IPIP:
        return f"[{describe_packet(payload)}]"
    if protocol == ICMP and len(payload) >= 8:
        kind, code, _, rest = struct.unpack("!BBHI", payload[:8])
        quoted = f" about {{{describe_packet(payload[8:])}}}" if kind in ERRORS else ""
        return f"ICMP {kind}/{code} rest={rest:#x}{_verdict(whole, payload)}{quoted}"
    if protocol == TCP and len(payload) >= 20:
        source_port, port, seq, ack, offset, bits = struct.unpack("!HHIIBB", payload[:14])
        flags = "".join(letter for letter, bit in FLAGS.items() if bits & bit)
        good = _verdict(whole, _pseudo(source, destination, TCP, payload))
        return f"TCP {source_port}>{port} {flags or '-'} seq={seq} ack={ack} data={len(payload) - 4 * (offset >> 4)}{good}"
    if protocol == UDP and len(payload) >= 8:
        source_port, port, length, value = struct.unpack("!HHHH", payload[:8])
        good = _verdict(whole, _pseudo(source, destination, UDP, payload)) if value else " no checksum"
        return f"UDP {source_port}>{port} length={length}{good}"
    if protocol == SCTP and len(payload) >= 13:
        source_port, port, tag = struct.unpack("!HHI", payload[:8])
        summed = struct.pack("<I", crc32c(payload[:8] + bytes(4) + payload[12:]))
        good = " BAD CHECKSUM" if whole and payload[8:12] != summed else ""
        return f"SCTP {source_port}>{port} tag={tag:#x} chunk={payload[12]}{good}"
    return f"protocol {protocol} {payload[:24].hex()}"


def _verdict(whole, summed):
    return " BAD CHECKSUM" if whole and checksum(summed) else ""
