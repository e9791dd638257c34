"""A real server that is the director itself, beside one that is not."""

from contextlib import contextmanager

from labkit import client, lab, nodes, rules, servers, topology
from labkit.setup import Setup
from labtests.forwarding import DATAGRAMS, FETCHES, await_datagrams
from labtests.suite import expect, test

VIP, OWN, OTHER = topology.VIP, topology.DIRECTOR["ds"], topology.REAL["rs1"]
METHODS, MAPPED, ECHO, ASKED = ("masq", "gatewaying"), 8080, 7, 40


@contextmanager
def serving():
    """A web server on the director, of the mapped port and of the VIP's, and what echoes datagrams there and on rs1."""
    pages = lab.RUN / "director" / "pages"
    pages.mkdir(parents=True, exist_ok=True)
    (pages / "index.html").write_text(servers.page("director"))
    web = ("python3", "-m", "http.server", "--directory", pages, "--bind")
    log = lab.RUN / "director" / "served.log"
    started = [nodes.spawn("director", *web, address, port, log=log) for address, port in ((OWN, MAPPED), (VIP, 80))]
    started += [
        nodes.spawn(node, DATAGRAMS, "serve", ECHO, address, VIP, log=log)
        for node, address in (("director", OWN), ("rs1", OTHER))
    ]
    try:
        for address, port in ((OWN, MAPPED), (VIP, 80)):
            retry = ("--retry", "20", "--retry-delay", "1", "--retry-connrefused")
            status, _ = client.curl(*retry, f"http://{address}:{port}/", node="director", seconds=20)
            expect(status == 0, f"the director's own server of {address}:{port} does not answer")
        await_datagrams("director", OWN, ECHO)
        await_datagrams("rs1", OTHER, ECHO)
        yield
    finally:
        for server in started:
            server.kill()
            server.wait()


def serve(method, kind, port, ports):
    """A service by `method` of the director and rs1, each at its port of `ports`."""
    rules.ipvsadm("-C")
    rules.ipvsadm("-A", kind, f"{VIP}:{port}", "-s", "rr")
    for address, its in zip((OWN, OTHER), ports):
        rules.ipvsadm("-a", kind, f"{VIP}:{port}", "-r", f"{address}:{its}", *rules.OPTIONS[method])


@test(Setup(workers=3))
def local_node():
    """the director is a real server itself by masq with a mapped port and by gatewaying, with 3 workers"""
    with serving():
        for method in METHODS:
            serve(method, "-t", 80, (MAPPED, 80) if method == "masq" else (80, 80))
            came = client.fetch(f"http://{VIP}/", FETCHES)
            expect(sum(came.values()) == FETCHES and all(abs(came[it] - FETCHES // 2) <= 3 for it in ("director", "rs1")), f"{method}: {came}")
            listed = rules.ipvsadm("-L", "-n", "--stats")
            own = next(line.split() for line in listed.splitlines() if OWN in line)
            expect(int(own[4]) >= 3 * came["director"], f"{method}: the director's answers are not counted: {own}")


@test(Setup(workers=3, driver="af_xdp"))
def local_datagrams():
    """large datagrams that the director answers itself come back whole, by masq and gatewaying"""
    with serving():
        for method in METHODS:
            serve(method, "-u", ECHO, (ECHO, ECHO))
            asked = nodes.execute("client", DATAGRAMS, "ask", VIP, ECHO, ASKED, limit=ASKED * 2 + 10)
            expect(int(asked.stdout) == ASKED, f"{method}: {asked.stdout.strip()} of {ASKED} datagrams came back whole")
