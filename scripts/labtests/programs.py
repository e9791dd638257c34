"""What real programs bring through: curl over IPv6, dig over UDP, long transfers, and a path that is narrow."""

import hashlib
import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

from labkit import client, lab, nodes, rules, servers, topology
from labkit.setup import Setup
from labtests.forwarding import METHODS, whole_transfers
from labtests.suite import expect, test

URL6 = f"http://[{topology.v6(topology.VIP)}]"
FETCHED, ASKED = 30, 6
NARROW, OUTER = 1400, 20
SENT = 1_000_000
SCTP = Path(__file__).resolve().parent.parent / "lab-sctp"


def even(came, count):
    """What `came` from each server is its part of `count`."""
    due = dict.fromkeys(nodes.SERVERS, count // len(nodes.SERVERS))
    expect(came == due, f"the servers shared {dict(came)}, {due} is due")


@test()
def curl_over_ipv6():
    """curl over IPv6 gets pages and large transfers by masq and gatewaying"""
    for method in ("masq", "gatewaying"):
        rules.ipvsadm("-C")
        rules.serve(method, service=rules.service6(topology.VIP, 80))
        even(client.fetch(f"{URL6}/", FETCHED), FETCHED)
        whole_transfers(URL6)


@test()
def dig_over_udp():
    """dig is answered over UDP by every method, and over IPv6 by masq and gatewaying"""
    with servers.names(lab.RUN):
        for method in METHODS:
            rules.ipvsadm("-C")
            rules.serve(method, service=f"{topology.VIP}:53", port=53, kind="-u")
            even(client.ask_names(topology.VIP, ASKED), ASKED)
        for method in ("masq", "gatewaying"):
            rules.ipvsadm("-C")
            rules.serve(method, service=rules.service6(topology.VIP, 53), port=53, kind="-u")
            even(client.ask_names(topology.v6(topology.VIP), ASKED), ASKED)


def digest(path):
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@test(Setup(workers=2))
def long_downloads():
    """100 MB arrive whole by masq, gatewaying, ipip, gre and gue, and by masq over IPv6"""
    fetched = lab.RUN / "fetched"
    ways = [(method, f"{topology.VIP}:80", f"http://{topology.VIP}") for method in (*METHODS, "gre", "gue")]
    ways.append(("masq", rules.service6(topology.VIP, 80), URL6))
    with servers.huge_page(lab.RUN) as page:
        due = digest(page)
        for method, service, url in ways:
            rules.ipvsadm("-C")
            rules.serve(method, service=service)
            status, _ = client.curl("-o", fetched, f"{url}/huge", seconds=40)
            expect(status == 0, f"{method} of {url}: curl's exit status is {status}")
            expect(digest(fetched) == due, f"{method} of {url}: {servers.HUGE} bytes arrived damaged")
    fetched.unlink()


@contextmanager
def routes(*changes):
    """Routes of the lab while it lasts, each a node and a route in `ip route`'s words; no host remembers what it learned."""
    try:
        for node, route in changes:
            nodes.execute(node, "ip", "route", "replace", *route.split())
        yield
    finally:
        for node, route in changes:
            nodes.execute(node, "ip", "route", "del", *route.split())
        for node in ("client", "director", "wire", *nodes.SERVERS):
            nodes.execute(node, "ip", "route", "flush", "cache")


def learned(address):
    """The path MTU that the client learned of `address`; None before it learned one."""
    found = re.search(r"\bmtu (\d+)", nodes.execute("client", "ip", "route", "get", address).stdout)
    return int(found[1]) if found else None


def passes_narrow(method, mtu):
    """Both ways whole over the narrow path by `method`, after which the client knows it to be of `mtu`."""
    rules.ipvsadm("-C")
    rules.serve(method, weights={"rs1": 1})
    url = f"http://{topology.VIP}"
    whole_transfers(url)
    sent = lab.RUN / "upload"
    sent.write_bytes(os.urandom(SENT))
    status, _ = client.curl("-f", "-T", sent, f"{url}/kept/upload", seconds=20)
    expect(status == 0, f"{method}: an upload failed, curl's exit status is {status}")
    expect(digest(sent) == digest(lab.RUN / "rs1/pages/kept/upload"), f"{method}: an upload arrived damaged")
    expect(learned(topology.VIP) == mtu, f"{method}: the client learned a path MTU of {learned(topology.VIP)}, not {mtu}")


# The server's own segments are small enough, while it offers the client an MSS that is not.
NARROW_BACK = ("rs1", f"{topology.CLIENT}/32 via {topology.DIRECTOR['ds']} mtu {NARROW} advmss 1460")


def _narrow(method, mtu, driver):
    def narrow_hop():
        with routes(("director", f"{topology.REAL['rs1']}/32 dev ds mtu {NARROW}"), NARROW_BACK):
            passes_narrow(method, mtu)

    def narrow_beyond():
        beyond = f"{topology.REAL['rs1']}/32"
        changes = [("wire", f"{beyond} dev servers mtu {NARROW}"), ("director", f"{beyond} via {topology.ROUTER['servers']} dev ds")]
        if method == "masq":
            # The router's error to the client goes the way that the client's packet came.
            changes.append(("wire", f"{topology.CLIENT}/32 via {topology.DIRECTOR['ds']} dev servers"))
        with routes(*changes, NARROW_BACK):
            passes_narrow(method, mtu)

    narrow_hop.__doc__ = f"a next hop of MTU {NARROW} behind the director is found by the client ({method})"
    narrow_beyond.__doc__ = f"a router of MTU {NARROW} behind the director is heard by the client ({method})"
    test(Setup(driver=driver))(narrow_hop)
    test(Setup(driver=driver))(narrow_beyond)


_narrow("masq", NARROW, "af_packet")
_narrow("ipip", NARROW - OUTER, "af_packet")


def sctp_associations():
    port, states = 3868, set()
    echoes = [
        nodes.spawn(server, SCTP, "serve", port, address, topology.VIP, log=lab.RUN / server / "sctp.log")
        for server, address in topology.REAL.items()
    ]
    try:
        for server, address in topology.REAL.items():
            await_association(server, address, port)
        for method in METHODS:
            rules.ipvsadm("-C")
            rules.serve(method, service=f"{topology.VIP}:{port}", port=port, kind="--sctp-service")
            came = int(nodes.execute("client", SCTP, "ask", topology.VIP, port, ASKED, limit=60).stdout)
            expect(came == ASKED, f"{method}: {came} of {ASKED} messages came back whole")
            states |= {line.split()[2] for line in rules.connections() if line.startswith("SCTP")}
    finally:
        for echo in echoes:
            echo.kill()
            echo.wait()
    expect("ESTABLISHED" in states, f"the conns' states are {states}")


def await_association(server, address, port):
    """Waits until a server of SCTP answers its own node."""
    for _ in range(5):
        if nodes.execute(server, SCTP, "ask", address, port, 1).stdout.strip() == "1":
            return
    expect(False, f"lab-sctp on {server} does not answer")


HAS_SCTP = subprocess.run([SCTP, "kernel"], check=False, timeout=10).returncode == 0
sctp_associations.__doc__ = "SCTP associations by masq, gatewaying and ipip " + (
    "of the kernel's SCTP" if HAS_SCTP else "made by hand on raw sockets, as the kernel has no SCTP"
)
test()(sctp_associations)
