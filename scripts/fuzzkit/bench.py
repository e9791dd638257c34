"""One director of the kernel's in a network namespace of its own, with a port towards clients and one towards servers.

Runs in the guest. The ports' far ends are in the namespace that the process began in, which has no IP stack to speak of, so
that nothing but what the director sends comes out of them. The kernel handles frames in order: when an echo request that followed
a frame is answered, all that the frame caused has come out.
"""

import array
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import time

from fuzzkit import packet, topology

CLONE_NEWNET, ETH_P_ALL, PACKET_OUTGOING = 0x40000000, 3, 4
SIOCSIFFLAGS, SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8914, 0x8946, 0x17
IFF_UP, IFF_BROADCAST, IFF_NOARP, IFF_MULTICAST = 1, 2, 0x80, 0x1000
LARGEST, RECEIVE_BUFFER, SO_RCVBUFFORCE = 1 << 16, 1 << 20, 33
# Seconds that the answer to an echo request may take on a busy machine.
PATIENCE = 10.0
SYSCTLS = {
    "net/ipv4/ip_forward": 1,
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv4/conf/all/send_redirects": 0,
    "net/ipv4/conf/default/send_redirects": 0,
    "net/ipv4/icmp_ratelimit": 0,
    "net/ipv6/conf/all/disable_ipv6": 1,
    "net/ipv6/conf/default/disable_ipv6": 1,
}
# An echo request of the client side's router, and how the answer ends.
_ECHO = bytes.fromhex("77fd5eed")
PING = packet.ethernet(
    topology.DIRECTOR_MAC["c"],
    topology.CLIENT_ROUTER_MAC,
    packet.ipv4(topology.CLIENT_ROUTER, topology.DIRECTOR["c"], packet.ICMP, packet.icmp(8, 0, 0x5EED, _ECHO)),
)
PONG = packet.icmp(0, 0, 0x5EED, _ECHO)
_libc = ctypes.CDLL(None, use_errno=True)


def sysctl(path, value):
    """Sets a value below /proc/sys, of the namespace the process is in."""
    with open(f"/proc/sys/{path}", "w", encoding="ascii") as file:
        file.write(str(value))


def run(*argv, stdin=None):
    """Runs a command: its exit status and all that it printed."""
    done = subprocess.run(
        argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout


def unshare():
    """Puts the process into a fresh network namespace; its descriptor."""
    if _libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def enter(namespace):
    """Puts the process into a network namespace."""
    if _libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Wire:
    """The namespace of the ports' far ends, which one process uses for all its benches, one after the other."""

    def __init__(self):
        self.namespace = unshare()
        sysctl("net/ipv6/conf/all/disable_ipv6", 1)
        sysctl("net/ipv6/conf/default/disable_ipv6", 1)
        self.benches = 0


class Bench:
    """A director without rules, and the far ends of its ports."""

    def __init__(self, wire, server_mtu):
        self.wire, self.server_mtu = wire, server_mtu
        wire.benches += 1
        self.far = {port: f"{port}{wire.benches}" for port in "cs"}
        self.namespace = unshare()
        for path, value in SYSCTLS.items():
            sysctl(path, value)
        # One run of `ip`: starting programs is what takes time here.
        self._ip([*self._links({"c": 1500, "s": server_mtu}), *_addresses()])
        for port in "cs":
            _checksums_in_software(f"d{port}")
        enter(wire.namespace)
        self.sockets = {port: _port(name) for port, name in self.far.items()}
        enter(self.namespace)

    def close(self):
        """Takes the director away."""
        for each in self.sockets.values():
            each.close()
        enter(self.wire.namespace)
        os.close(self.namespace)

    def exchange(self, port, frame):
        """Puts a frame on a port; all that comes out for it, as (port, frame), in order on each port."""
        self.sockets[port].send(frame)
        self.sockets["c"].send(PING)
        got, limit = [], time.monotonic() + PATIENCE
        while True:
            got += [(where, frame) for where, each in self.sockets.items() for frame in _drain(each)]
            answered = [each for each in got if each[1].endswith(PONG)]
            if answered:
                return [each for each in got if each is not answered[0]]
            if time.monotonic() > limit:
                raise TimeoutError("the director does not answer an echo request")
            time.sleep(0.0005)

    def _links(self, mtu):
        far_end = f"/proc/{os.getpid()}/fd/{self.wire.namespace}"
        for port in "cs":
            ends = f"address {topology.DIRECTOR_MAC[port]} mtu {mtu[port]} type veth peer {self.far[port]} netns {far_end}"
            yield f"link add d{port} {ends} mtu {mtu[port]}"

    def _ip(self, lines):
        status, said = run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
        if status:
            raise OSError(f"ip -batch: {said}")


def _addresses():
    yield from ("link set lo up", "link set dc up", "link set ds up")
    for port, own in topology.DIRECTOR.items():
        yield f"addr add {own}/24 dev d{port}"
    yield f"addr add {topology.VIP}/32 dev dc"
    yield f"neigh add {topology.CLIENT_ROUTER} lladdr {topology.CLIENT_ROUTER_MAC} dev dc nud permanent"
    yield f"route add {topology.CLIENTS} via {topology.CLIENT_ROUTER} dev dc"
    for number in topology.SERVERS:
        mac = topology.real_server_mac(number)
        yield f"neigh add {topology.real_server(number)} lladdr {mac} dev ds nud permanent"


def _checksums_in_software(name):
    """As on a wire without offload: what is read from the far end has whole checksums."""
    request = array.array("B", struct.pack("=II", ETHTOOL_STXCSUM, 0))
    place, _ = request.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP16x", name.encode(), place))


def _port(name):
    flags = IFF_UP | IFF_BROADCAST | IFF_NOARP | IFF_MULTICAST
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    fcntl.ioctl(raw, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags))
    raw.bind((name, ETH_P_ALL))
    raw.setblocking(False)
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    return raw


def _drain(raw):
    while True:
        try:
            frame, sender = raw.recvfrom(LARGEST)
        except BlockingIOError:
            return
        if sender[2] != PACKET_OUTGOING:
            yield frame
