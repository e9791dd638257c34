"""Fullnat: real servers that have no way back to the client, and what they are told of it."""

import ipaddress
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

from labkit import client, director, lab, nodes, rules, servers, topology
from labkit.setup import Setup
from labtests.forwarding import FETCHES, whole_transfers
from labtests.programs import digest
from labtests.suite import counters, expect, expect_soon, test

V4, V6 = f"{topology.VIP}:80", rules.service6(topology.VIP, 80)
URL = {V4: f"http://{topology.VIP}", V6: f"http://[{topology.v6(topology.VIP)}]"}
CLIENT = {V4: topology.CLIENT, V6: topology.v6(topology.CLIENT)}
LOCALS = {V4: topology.LOCAL, V6: tuple(map(topology.v6, topology.LOCAL))}
TOA = Path(__file__).resolve().parent.parent / "lab-toa"
PROXY_PORT = 8081
UPLOAD = 1_000_000
# Of most of the 512 slots one port each.
FEW_PORTS = "2048-2559"


@contextmanager
def no_way_back():
    """The real servers know their own network and no other."""
    gateways = {"-4": topology.DIRECTOR["ds"], "-6": topology.v6(topology.DIRECTOR["ds"])}
    try:
        for server in nodes.SERVERS:
            for family in gateways:
                nodes.execute(server, "ip", family, "route", "del", "default")
            lost = nodes.execute(server, "ping", "-n", "-c", 1, "-W", 1, topology.CLIENT, check=False).returncode
            expect(lost, f"{server} has a way to the client still")
        yield
    finally:
        for server in nodes.SERVERS:
            for family, gateway in gateways.items():
                nodes.execute(server, "ip", family, "route", "replace", "default", "via", gateway)


def serve(service, passed="none", port=80):
    """The servers of `service` by fullnat alone, the client's address passed so."""
    rules.ipvsadm("-C")
    words = () if passed == "none" else ("--client-address", passed)
    rules.serve("fullnat", service=service, port=port, options=words)


@test(Setup(workers=3))
def without_a_way_back():
    """3 workers forward by fullnat to servers without a way back, over IPv4, IPv6 and UDP"""
    with no_way_back(), servers.names(lab.RUN):
        for service, url in URL.items():
            serve(service)
            came = client.fetch(f"{url}/", FETCHES)
            due = FETCHES // len(nodes.SERVERS)
            shares = [came[server] for server in nodes.SERVERS]
            expect(all(abs(share - due) <= 2 for share in shares), f"the servers shared {dict(came)}, {due} each is due")
            whole_transfers(url)
            seen = client.curl(f"{url}/who")[1].split()
            expect(seen and seen[1] in LOCALS[service], f"a server saw the client as {seen}")
        listed = [json.loads(line) for line in director.ask(lab.RUN, "conns", "--json").stdout.splitlines()]
        locals_used = {conn["local"].rpartition(":")[0].strip("[]") for conn in listed if conn.get("local")}
        expect(locals_used == {*LOCALS[V4], *LOCALS[V6]}, f"conns have the local addresses {locals_used}")
        rules.ipvsadm("-C")
        rules.serve("fullnat", service=f"{topology.VIP}:53", port=53, kind="-u")
        asked = client.ask_names(topology.VIP, FETCHES)
        expect(asked.total() == FETCHES and set(asked) == set(nodes.SERVERS), f"of {FETCHES} questions came {dict(asked)}")


def _transfers(service, passed):
    """100 MB down and 1 MB up, whole."""
    port = PROXY_PORT if passed.startswith("proxy") else 80
    serve(service, passed, port)
    fetched, sent = lab.RUN / "fetched", lab.RUN / "upload"
    status, _ = client.curl("-f", "-o", fetched, f"{URL[service]}/huge", seconds=30)
    expect(status == 0, f"{passed}: a download failed, curl's exit status is {status}")
    expect(digest(fetched) == digest(lab.RUN / servers.HUGE_PAGE), f"{passed}: {servers.HUGE} bytes arrived damaged")
    fetched.unlink()
    sent.write_bytes(os.urandom(UPLOAD))
    status, _ = client.curl("-f", "-T", sent, f"{URL[service]}/kept/upload", seconds=10)
    expect(status == 0, f"{passed}: an upload failed, curl's exit status is {status}")
    kept = [lab.RUN / server / "pages/kept/upload" for server in nodes.SERVERS]
    kept = [page for page in kept if page.exists()]
    expect([digest(page) for page in kept] == [digest(sent)], f"{passed}: an upload arrived damaged")
    for page in kept:
        page.unlink()


@test(Setup(workers=3))
def whole_through_fullnat():
    """100 MB and uploads go whole through fullnat, whatever servers are told, and over IPv6"""
    with no_way_back(), servers.huge_page(lab.RUN):
        for passed in ("none", "toa", "proxy-v1", "proxy-v2"):
            _transfers(V4, passed)
        _transfers(V6, "proxy-v2")


def fetch_told(url):
    """A page, and the client's port that it was fetched from."""
    status, answer = client.curl("-f", "-w", "%{local_port}", url)
    expect(status == 0, f"fetching {url} failed, curl's exit status is {status}")
    page, _, port = answer.rpartition("\n")
    return page, port


@test(Setup(workers=3))
def told_by_proxy_headers():
    """nginx learns the client from PROXY headers of both versions, over IPv4 and IPv6"""
    with no_way_back():
        for service, url in URL.items():
            for passed in ("proxy-v1", "proxy-v2"):
                serve(service, passed, PROXY_PORT)
                for _ in range(6):
                    page, port = fetch_told(f"{url}/told")
                    words = page.split()
                    # Version 1 writes addresses of IPv6 out in full.
                    told = (str(ipaddress.ip_address(words[0])), words[1])
                    expect(told == (CLIENT[service], port), f"{passed}: nginx was told of {page}, not of port {port}")
                    expect(words[2] in LOCALS[service], f"{passed}: nginx saw {words[2]}")


@contextmanager
def _watched(port):
    """What the real servers are told by option, as a function that gives the lines so far."""
    logs = [lab.RUN / server / "toa.log" for server in nodes.SERVERS]
    watchers = [nodes.spawn(server, TOA, port, log=log) for server, log in zip(nodes.SERVERS, logs)]
    try:
        expect_soon(lambda: all(log.read_text() for log in logs), "lab-toa does not begin to watch")
        yield lambda: [line.split() for log in logs for line in log.read_text().splitlines()[1:]]
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.wait()
        for log in logs:
            log.unlink()


@test(Setup(workers=3))
def told_by_option():
    """option 254 tells servers of the client's address and port, over IPv4 and IPv6"""
    for service, url in URL.items():
        serve(service, "toa")
        with no_way_back(), _watched(80) as lines:
            ports = {fetch_told(f"{url}/")[1] for _ in range(6)}
            expect_soon(lambda: {line[-1] for line in lines()} >= ports, lambda: f"{ports}: told {lines()}")
            time.sleep(0.3)
            told = lines()
        expect({tuple(line[2:]) for line in told} == {(CLIENT[service], port) for port in ports}, f"{ports}: told {told}")
        expect({line[0] for line in told} <= set(LOCALS[service]), f"the option came from {told}")


@test(Setup(local_ports=FEW_PORTS))
def ports_run_out():
    """what finds no local port is dropped by name"""
    rules.ipvsadm("-C")
    one = topology.LOCAL[0]
    rules.ipvsadm("-A", "-t", V4, "-s", "rr", "--local-addresses", one)
    rules.ipvsadm("-a", "-t", V4, "-r", f"{topology.REAL['rs1']}:80", "--fullnat")
    load = client.Wrk(f"{URL[V4]}/", 4, close=True).result()
    expect(load.requests > 0, "no request had a port")
    dropped = counters()["no_local_port"]
    expect(dropped, "no packet was dropped for want of a port")
    first, _, last = FEW_PORTS.partition("-")
    active = [line for line in rules.connections() if f" {V4} " in line]
    expect(len(active) <= int(last) - int(first) + 1, f"{len(active)} conns share the ports {FEW_PORTS}")
    said = director.ask(lab.RUN, "stats", "--drops").stdout
    expect("no_local_port" in said, f"`sluice stats --drops` says {said}")


@test()
def unanswered_local_address():
    """a local address that is not Linux's is warned of"""
    stranger = "192.168.1.77"
    rules.ipvsadm("-A", "-t", V4, "-s", "rr", "--local-addresses", f"{topology.LOCAL[0]},{stranger}")

    def said():
        return [line for line in (lab.RUN / "sluiced.log").read_text().splitlines() if "is not one of Linux's" in line]

    expect_soon(said, f"nobody warns of {stranger}")
    warnings = said()
    expect(len(warnings) == 1 and stranger in warnings[0], f"the warnings are {warnings}")
