"""What is forwarded: every method, several workers, one arm, both drivers."""

import hashlib
import os
import time
from contextlib import contextmanager
from pathlib import Path

from labkit import client, director, lab, nodes, rules, servers, topology
from labkit.setup import Setup
from labtests.suite import counters, expect, expect_soon, test, worker_counters

URL = f"http://{topology.VIP}"
METHODS = ("masq", "gatewaying", "ipip")
FETCHES = 60
FULL_FRAMES = 1_000_000
VLAN_FETCH = Path(__file__).resolve().parent.parent / "lab-vlan"
DATAGRAMS = VLAN_FETCH.with_name("lab-datagrams")


def whole_transfers(url):
    """A large page and a large upload arrive whole, in full-sized frames both ways."""
    status, _ = client.curl("-o", lab.RUN / "fetched", f"{url}/big")
    expect(status == 0, f"fetching {servers.BIG} bytes failed, curl's exit status is {status}")
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in (lab.RUN / "fetched", lab.RUN / "rs1/pages/big")]
    expect(digests[0] == digests[1], "a large page arrived damaged")
    (lab.RUN / "upload").write_bytes(bytes(FULL_FRAMES))
    status, answer = client.curl("--data-binary", f"@{lab.RUN / 'upload'}", f"{url}/upload", seconds=10)
    expect((status, answer) == (0, f"{FULL_FRAMES}\n"), f"an upload failed, curl's exit status is {status}")


def forwards(method, vip=topology.VIP, slack=0):
    """Round robin over three servers by `method`, each server's share within `slack`."""
    rules.ipvsadm("-C")
    rules.serve(method, service=f"{vip}:80")
    came = client.fetch(f"http://{vip}/", FETCHES)
    shares = {server: came[server] for server in nodes.SERVERS}
    due = FETCHES // len(shares)
    expect(all(abs(share - due) <= slack for share in shares.values()), f"{method} shared {shares}, {due} each is due")
    whole_transfers(f"http://{vip}")


def _register(workers):
    def body():
        for method in METHODS:
            # Each worker has its own round-robin cursor, which may be off by one.
            forwards(method, slack=workers - 1)
        expect(client.curl(f"{URL}:81/")[0] == 7, "a port without a service was not refused")

    body.__doc__ = f"{workers} worker(s) forward by masq, gatewaying and ipip"
    test(Setup(workers=workers))(body)


for _workers in (1, 2, 3):
    _register(_workers)


@test()
def weights():
    """wrr shares by weight, and weight 0 is quiesced"""
    rules.serve("masq", scheduler="wrr", weights={"rs1": 1, "rs2": 2, "rs3": 3})
    came = client.fetch(f"{URL}/", FETCHES)
    expect(came == {"rs1": 10, "rs2": 20, "rs3": 30}, f"weights 1, 2, 3 shared {dict(came)}")
    rules.ipvsadm("-e", "-t", f"{topology.VIP}:80", "-r", f"{topology.REAL['rs3']}:80", "-m", "-w", "0")
    came = client.fetch(f"{URL}/", FETCHES)
    expect(came == {"rs1": 20, "rs2": 40}, f"weights 1, 2, 0 shared {dict(came)}")


@test()
def mapped_port():
    """masq maps ports, and the real server sees the client's address"""
    rules.serve("masq", port=8080)
    status, answer = client.curl(f"{URL}/who")
    words = answer.split()
    expect(status == 0 and words[1] == topology.CLIENT and words[4] == "8080", f"the server saw {answer!r}")


@test(Setup(workers=3))
def handed_over():
    """replies that land on the wrong of 3 workers are handed over"""
    rules.serve("masq")
    client.fetch(f"{URL}/", FETCHES)
    expect(counters()["handed_out"] > 0, "no packet was handed over")
    all_handed_over()


def all_handed_over():
    """Every packet that a worker handed out another one took in."""

    def handed():
        sums = counters()
        return sums["handed_out"], sums["handed_in"]

    expect_soon(lambda: len(set(handed())) == 1, lambda: "{} handed out, {} in".format(*handed()))


@test(Setup(workers=2, one_arm=True))
def one_arm():
    """a director with one arm forwards by masq, gatewaying and ipip"""
    for method in METHODS:
        forwards(method, topology.ONE_ARM_VIP, slack=1)


@test(Setup(driver="af_xdp"))
def af_xdp():
    """net_af_xdp forwards by masq, gatewaying and ipip"""
    for method in METHODS:
        forwards(method)


@test(Setup(workers=3, driver="af_xdp"))
def one_queue():
    """3 workers on one queue a port hand over both ways and lose nothing"""
    rules.serve("masq")
    before = worker_counters()
    client.fetch(f"{URL}/", FETCHES)
    whole_transfers(URL)
    for name in ("handed_out", "handed_in"):
        grown = [after[name] - former[name] for after, former in zip(worker_counters(), before)]
        # The queue is worker 0's: it hands flows out to the others, and they hand it what leaves.
        expect(all(grown), f"{name} of the workers grew by {grown}")
    all_handed_over()


@test(Setup(workers=3, driver="af_xdp"))
def datagrams_in_fragments():
    """datagrams in fragments come back whole through 3 workers, by masq and gatewaying"""
    port, count = 7, 40
    echoes = [
        nodes.spawn(server, DATAGRAMS, "serve", port, address, topology.VIP, log=lab.RUN / server / "datagrams.log")
        for server, address in topology.REAL.items()
    ]
    try:
        for server, address in topology.REAL.items():
            await_datagrams(server, address, port)
        for method in ("masq", "gatewaying"):
            rules.ipvsadm("-C")
            rules.serve(method, service=f"{topology.VIP}:{port}", port=port, kind="-u")
            asked = nodes.execute("client", DATAGRAMS, "ask", topology.VIP, port, count, limit=count * 2 + 10)
            expect(int(asked.stdout) == count, f"{method}: {asked.stdout.strip()} of {count} datagrams came back whole")
    finally:
        for echo in echoes:
            echo.kill()
            echo.wait()
    refused = {name: drops for name, drops in counters().items() if name.startswith("fragment_") and drops}
    expect(not refused, f"fragments were dropped: {refused}")


def await_datagrams(server, address, port):
    """Waits until a server answers its own node."""
    for _ in range(50):
        if nodes.execute(server, DATAGRAMS, "ask", address, port, 1).stdout.strip() == "1":
            return
        time.sleep(0.1)
    expect(False, f"lab-datagrams on {server} does not answer")


CORES = sorted(os.sched_getaffinity(0))


@test(Setup(cores=(CORES[-1],)))
def spinning():
    """a worker that spins has its core to itself, and forwards"""
    rules.serve("masq")
    client.fetch(f"{URL}/", 30)
    for task in Path(f"/proc/{director.pids()[0]}/task").iterdir():
        try:
            name, cores = (task / "comm").read_text().strip(), os.sched_getaffinity(int(task.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has ended
        due = {CORES[-1]} if name == "worker0" else set(CORES[:-1] or CORES)
        expect(cores == due, f"the thread {name} may run on cores {cores}, not {due}")


@contextmanager
def static_neighbours():
    """The client and the servers know the director's MACs, and the client has an address behind itself."""
    macs = [("client", topology.VIP, "dc"), *((server, topology.DIRECTOR["ds"], "ds") for server in nodes.SERVERS)]
    for node, address, port in macs:
        nodes.execute(node, "ip", "neigh", "replace", address, "lladdr", topology.TWIN_MAC[port], "dev", "eth0")
    nodes.execute("client", "ip", "addr", "add", f"{topology.FAR_CLIENT}/32", "dev", "lo")
    try:
        yield
    finally:
        nodes.execute("client", "ip", "addr", "del", f"{topology.FAR_CLIENT}/32", "dev", "lo")
        for node, address, _ in macs:
            nodes.execute(node, "ip", "neigh", "del", address, "dev", "eth0")


@test(Setup(twin=False))
def without_twins():
    """ports without twins forward by the file's routes and neighbours"""
    links = nodes.execute("director", "ip", "-br", "link").stdout
    expect(not any(line.split()[0] in topology.TWIN_MAC for line in links.splitlines()), f"there are twins:\n{links}")
    with static_neighbours():
        rules.serve("masq")
        client.fetch(f"{URL}/", 30)
        status, answer = client.curl("--interface", topology.FAR_CLIENT, f"{URL}/who")
        expect(status == 0 and answer.split()[1] == topology.FAR_CLIENT, f"over the route: {answer!r} ({status})")


@test(Setup(workers=2, vlan=True))
def vlan():
    """a VLAN of a port has ARP from its twin and a service of its own, tagged both ways"""
    service = f"{topology.VLAN_VIP}:80"
    rules.serve("masq", service=service)
    words = ("eth0", topology.VLAN, topology.VLAN_CLIENT, topology.VLAN_VIP, 80)
    pages = {servers.page(server).strip() for server in nodes.SERVERS}
    came = [nodes.execute("client", VLAN_FETCH, *words).stdout.strip() for _ in range(6)]
    expect(set(came) == pages, f"over VLAN {topology.VLAN} came {came}")


@test(Setup(workers=3))
def server_is_client():
    """a real server of one VIP is a client of another, both by masq"""
    rules.serve("masq")
    rules.serve("masq", service=f"{topology.OTHER_VIP}:80", weights={"rs2": 1, "rs3": 1})
    # On one LAN the server would answer its neighbour directly: the route leads the answer through the director.
    for server in ("rs2", "rs3"):
        nodes.execute(server, "ip", "route", "add", f"{topology.REAL['rs1']}/32", "via", topology.DIRECTOR["ds"])
    try:
        for _ in range(3):
            expect(client.fetch(f"http://{topology.OTHER_VIP}/", 20, node="rs1").total() == 20, "rs1 got no pages")
            expect(client.fetch(f"{URL}/", 30)["rs1"] > 0, "rs1 served no page")
    finally:
        for server in ("rs2", "rs3"):
            nodes.execute(server, "ip", "route", "del", f"{topology.REAL['rs1']}/32")


@test()
def listings():
    """ipvsadm lists what was forwarded, and -S gives what -R takes"""
    rules.serve("masq", scheduler="wlc")
    client.fetch(f"{URL}/", 30)
    conns = {line.split()[3] for line in rules.connections()}
    expect(len(conns) == 30, f"-L -n -c lists {len(conns)} conns of 30")
    stats = [line.split() for line in rules.ipvsadm("-L", "-n", "--stats", "--exact").splitlines() if "->" in line][1:]
    expect(sum(int(row[2]) for row in stats) == 30, "-L -n --stats does not count 30 conns")
    saved = rules.ipvsadm("-S", "-n")
    rules.ipvsadm("-C")
    expect(rules.ipvsadm("-S", "-n") == "", "-C left rules")
    director.ask(lab.RUN, "-R", command="ipvsadm", stdin=saved)
    expect(sorted(rules.ipvsadm("-S", "-n").splitlines()) == sorted(saved.splitlines()), "-R does not restore what -S gave")
