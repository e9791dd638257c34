"""What Linux answers and routes on the twins, and that it answers nothing without the daemon."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from labkit import client, director, nodes, rules, topology
from labkit.setup import DEVICES, Setup
from labtests.suite import expect, test

VIP = topology.VIP
FLOOD = Path(__file__).resolve().parent.parent / "lab-flood"
CLOSED_PORT, FLOOD_SECONDS, FLOOD_RATE = "81", "60", "30000"
TIMED_OUT = 28
NAT = (
    "add table ip lab; add chain ip lab out {{ type nat hook postrouting priority srcnat; }};"
    " add rule ip lab out ip saddr 192.168.1.0/24 oifname dc snat to {address}"
)


def forget(address):
    """Makes the client ask for the MAC of `address` anew."""
    nodes.execute("client", "ip", "neigh", "flush", "to", address)


@contextmanager
def stopped():
    """The daemon stands still."""
    for pid in director.pids():
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in director.pids():
            os.kill(pid, signal.SIGCONT)


@test()
def twin_answers():
    """ping to the VIP and to the director is answered by Linux on the twin"""
    for address in (VIP, topology.DIRECTOR["dc"]):
        forget(address)
        expect(client.ping(address) == 3, f"no ping answer from {address}")
    expect(client.ping(topology.DIRECTOR["ds"], node="rs1") == 3, "no ping answer to a real server")


def _silence(driver):
    def body():
        rules.serve("masq")
        client.fetch(f"http://{VIP}/", 6)
        with stopped():
            forget(VIP)
            expect(client.ping(VIP) == 0, "something answered a ping that had to be preceded by ARP")
            # With the MAC known, only the daemon can be what is missing.
            nodes.execute("client", "ip", "neigh", "replace", VIP, "lladdr", topology.TWIN_MAC["dc"], "dev", "eth0")
            expect(client.ping(VIP) == 0, "something answered a ping")
            for port in (80, CLOSED_PORT):
                status = client.curl(f"http://{VIP}:{port}/", seconds=2)[0]
                expect(status == TIMED_OUT, f"something answered a SYN to port {port}, curl's exit status is {status}")
        nodes.execute("client", "ip", "neigh", "del", VIP, "dev", "eth0")
        client.fetch(f"http://{VIP}/", 6)

    body.__doc__ = f"with the daemon stopped nothing answers ARP, ping or SYN for the VIP ({driver})"
    test(Setup(driver=driver))(body)


for _driver in DEVICES:
    _silence(_driver)


@test(Setup(workers=2))
def flood():
    """ping, ARP and TCP probes are answered under a flood of SYNs to a port without a service"""
    rules.serve("masq")
    argv = (FLOOD, "eth0", topology.TWIN_MAC["dc"], topology.CLIENT, VIP, CLOSED_PORT, FLOOD_SECONDS, FLOOD_RATE)
    flooder = subprocess.Popen(nodes.inside("client", *argv), stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    for _ in range(5):
        forget(VIP)
        expect(client.ping(VIP, count=5) == 5, "a ping was lost in the flood")
        for probe in (topology.CLIENT, topology.REAL["rs1"]):
            status = client.curl("-o", "/dev/null", f"http://{probe}/", node="director", seconds=2)[0]
            expect(status == 0, f"the director's own probe of {probe} failed, curl's exit status is {status}")
    expect(flooder.poll() is None, "the flood ended before the probes")
    flooder.send_signal(signal.SIGINT)
    sent, _ = flooder.communicate(timeout=15)
    expect(int(sent) > int(FLOOD_RATE), f"the flood was {sent.strip()} frames only")
    client.fetch(f"http://{VIP}/", 20)


@test()
def outbound_snat():
    """the real servers' own connections are routed and SNATed by Linux on the twins"""
    rules.serve("masq")
    address = topology.DIRECTOR["dc"]
    nodes.execute("director", "nft", NAT.format(address=address))
    try:
        for server in nodes.SERVERS:
            status, answer = client.curl(f"http://{topology.CLIENT}/who", node=server)
            expect(status == 0 and answer.split()[1] == address, f"{server} came out as {answer!r} ({status})")
        client.fetch(f"http://{VIP}/", 30)
    finally:
        nodes.execute("director", "nft", "delete table ip lab")
