"""The network of the recordings, in three namespaces, with a raw socket at either far end.

    sluice-golden-clients-N  c0 ── dc0 ┐ sluice-golden-director-N ┌ ds0 ── s0  sluice-golden-servers-N
    02:00:00:00:0c:01               dc │ 10.0.0.1     192.168.1.1 │ ds         real servers .11 to .19

DPDK has `dc0` and `ds0`; they have another MAC than the twins `dc` and `ds` that sluiced makes, are promiscuous, and
speak no ARP and no IPv6, so that nothing but the director and the twins answers. Neighbours are permanent, as in the recordings.
"""

import ctypes
import os
import signal
import socket
import time
from contextlib import contextmanager

from labkit.nodes import ended
from labkit.shell import LabError, run

PREFIX = "sluice-golden-"
PORTS = "cs"
TWIN_MAC = {"c": "02:00:00:00:0d:01", "s": "02:00:00:00:0d:02"}
ADDRESSES = {
    "c": ["10.0.0.1/24", "10.0.0.100/32", "2001:db8:c::1/64", "2001:db8:c::100/128"],
    "s": ["192.168.1.1/24", "2001:db8:5::1/64"],
}
CLIENT_ROUTER_MAC = "02:00:00:00:0c:01"
# By the router's address: the clients' networks.
CLIENT_ROUTES = {"10.0.0.2": "172.16.0.0/12", "2001:db8:c::2": "2001:db8:cc::/48"}
ETH_P_ALL, PACKET_OUTGOING, CLONE_NEWNET = 3, 4, 0x40000000
RECEIVE_BUFFER, LARGEST = 8 << 20, 1 << 16
SO_RCVBUFFORCE = 33  # not in Python's `socket`
NO_IPV6 = ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
# Of the recordings' director; the twins take the defaults over when they appear.
SYSCTLS = (
    *NO_IPV6,
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.icmp.ratelimit=0",
)
# For the twins alone, which come later: IPv6, and as few words of their own as may be.
TWIN_SYSCTLS = (
    "net.ipv6.conf.default.disable_ipv6=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.addr_gen_mode=1",
    "net.ipv6.conf.default.router_solicitations=0",
)
# The whole machine's on many kernels, which do not show them in a namespace; the traces stay below what is usual.
GLOBAL_SYSCTLS = ("net.ipv4.icmp_msgs_per_sec=1000000", "net.ipv4.icmp_msgs_burst=100000")


def real_server(number):
    """Addresses and MAC of a real server, 1 to 9."""
    return (f"192.168.1.{10 + number}", f"2001:db8:5::{10 + number}"), f"02:00:00:00:0e:{10 + number}"


class Place:
    """Where one trace at a time is replayed: its namespaces, named by a number."""

    def __init__(self, number):
        self.number = number
        clients, self.director, servers = (f"{PREFIX}{node}-{number}" for node in ("clients", "director", "servers"))
        self.far = {"c": clients, "s": servers}

    @contextmanager
    def built(self, server_mtu):
        """The network, from nothing; gone afterwards, whatever happens."""
        self.clear()
        try:
            for namespace in (self.director, *self.far.values()):
                run("ip", "netns", "add", namespace)
            for namespace in self.far.values():
                run("ip", "netns", "exec", namespace, "sysctl", "-qw", *NO_IPV6)
            run("ip", "netns", "exec", self.director, "sysctl", "-qw", *SYSCTLS)
            run("ip", "netns", "exec", self.director, "sysctl", "-qw", *GLOBAL_SYSCTLS, check=False)
            run("ip", "-n", self.director, "link", "set", "lo", "up")
            self._wire("c", 1500)
            self._wire("s", server_mtu)
            run("ip", "netns", "exec", self.director, "sysctl", "-qw", *TWIN_SYSCTLS)
            yield
        finally:
            self.clear()

    def _wire(self, port, mtu):
        near, far = f"d{port}0", f"{port}0"
        ends = ("netns", self.director, "mtu", mtu), ("name", far, "netns", self.far[port], "mtu", mtu)
        run("ip", "link", "add", near, *ends[0], "type", "veth", "peer", *ends[1])
        run("ip", "-n", self.director, "link", "set", near, "arp", "off", "promisc", "on", "up")
        run("ip", "-n", self.far[port], "link", "set", far, "arp", "off", "promisc", "on", "up")

    def clear(self):
        """Ends what lives in the namespaces and removes them: this run's, or what one that was killed left."""
        there = {line.split()[0] for line in run("ip", "netns", "list").stdout.splitlines()}
        for namespace in there & {self.director, *self.far.values()}:
            _remove(namespace)

    def name_neighbors(self):
        """Puts the recordings' neighbours and routes on the twins, which sluiced has made."""
        run("ip", "-n", self.director, "-batch", "-", stdin="\n".join(_neighbors()) + "\n")


def _neighbors():
    servers = (real_server(number) for number in range(1, 10))
    neighbors = [(address, mac, "ds") for addresses, mac in servers for address in addresses]
    neighbors += [(router, CLIENT_ROUTER_MAC, "dc") for router in CLIENT_ROUTES]
    yield from (f"neigh replace {address} lladdr {mac} dev {twin} nud permanent" for address, mac, twin in neighbors)
    yield from (f"route replace {network} via {router} dev dc" for router, network in CLIENT_ROUTES.items())


def _remove(namespace):
    pids = [int(pid) for pid in run("ip", "netns", "pids", namespace).stdout.split()]
    for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        pids = _end(pids, number, seconds)
    if pids:
        raise LabError(f"these processes in {namespace} outlive SIGKILL: {pids}")
    run("ip", "netns", "del", namespace)


def _end(pids, number, seconds):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    limit = time.monotonic() + seconds
    while (left := [pid for pid in pids if not ended(pid)]) and time.monotonic() < limit:
        time.sleep(0.02)
    return left


class Wire:
    """The far ends: frames in, frames out."""

    def __init__(self, place):
        self.sockets = {port: _raw_socket(namespace, f"{port}0") for port, namespace in place.far.items()}

    def close(self):
        """Gives the sockets back."""
        for each in self.sockets.values():
            each.close()

    def send(self, port, frame):
        """Puts a frame on a port."""
        self.sockets[port].send(frame)

    def receive(self):
        """All frames that have come by now, as (port, frame), in order on each port; not those of IPv6 to groups."""
        came = [(port, frame) for port, each in self.sockets.items() for frame in _drain(each)]
        return [(port, frame) for port, frame in came if not (frame[12:14] == b"\x86\xdd" and frame[38] == 0xFF)]


def _drain(raw):
    while True:
        try:
            frame, address = raw.recvfrom(LARGEST)
        except BlockingIOError:
            return
        if address[2] != PACKET_OUTGOING:
            yield frame


def _raw_socket(namespace, interface):
    """A socket stays in the namespace it was made in, so the process itself need not."""
    with open("/proc/self/ns/net", "rb") as home, open(f"/run/netns/{namespace}", "rb") as there:
        _enter(there.fileno())
        try:
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            raw.bind((interface, ETH_P_ALL))
        finally:
            _enter(home.fileno())
    raw.setblocking(False)
    # Beyond the system's limit: a burst must wait, not be lost.
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    return raw


def _enter(descriptor):
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise LabError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")
