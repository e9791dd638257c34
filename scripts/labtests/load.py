"""What happens under load: rule changes, a deleted service, a neighbour's new MAC."""

import time

from labkit import client, nodes, rules, topology
from labkit.setup import Setup
from labtests.suite import expect, test

URL = f"http://{topology.VIP}/"
SERVICE = ("-t", f"{topology.VIP}:80")
SPARE = ("-t", f"{topology.OTHER_VIP}:8000")
REFUSED = 7
# Of a load that ends when the test has done what it has to do.
LONG = 60


def no_error(load):
    """The load had answers and no failed request."""
    expect(not load.wrong, f"wrk: {load.wrong}")
    expect(load.requests > 0, "wrk had no answer at all")


@test(Setup(workers=2))
def wrk_through_nat():
    """wrk for 10 s through NAT ends without a socket error"""
    rules.serve("masq")
    load = client.Wrk(URL, 10).result()
    no_error(load)
    print(f"     | {load.rate:.0f} requests/s")


@test(Setup(workers=2))
def rule_changes():
    """100 rule changes under load fail no request"""
    rules.serve("masq", scheduler="wrr")
    load = client.Wrk(URL, LONG, connections=20, close=True).begun()
    last = (*SERVICE, "-r", f"{topology.REAL['rs3']}:80", "-m", "-w")
    changes = 0
    for scheduler in ("rr", "wrr", "lc", "wlc") * 5:
        for words in (
            ("-e", *last, "0"),
            ("-A", *SPARE, "-s", "rr"),
            ("-a", *SPARE, "-r", f"{topology.REAL['rs1']}:80", "-m"),
            ("-E", *SERVICE, "-s", scheduler),
            ("-D", *SPARE),
            ("-e", *last, "2"),
        ):
            rules.ipvsadm(*words)
            changes += 1
    expect(load.running(), "the changes outlasted the load")
    load.stop()
    expect(changes >= 100, f"only {changes} changes")
    no_error(load.result())


@test(Setup(workers=3))
def service_deleted():
    """a service deleted under load with 3 workers is refused, and served again when it is back"""
    rules.serve("masq")
    load = client.Wrk(URL, 4, connections=20, close=True).begun()
    time.sleep(1)
    rules.ipvsadm("-D", *SERVICE)
    # Ports that the load never has: its conns outlive the service and would take a SYN of theirs.
    status = client.curl("--local-port", "1100-1200", URL)[0]
    expect(status == REFUSED, f"a deleted service was not refused, curl's exit status is {status}")
    expect(load.result().requests > 0, "wrk had no answer before the service was deleted")
    rules.serve("masq")
    client.fetch(URL, 60)


def _new_mac(node, last):
    nodes.execute(node, "ip", "link", "set", "eth0", "address", f"02:00:00:00:aa:{last:02x}")


@test(Setup(workers=2))
def neighbour_moves():
    """a neighbour whose MAC changes under load loses nothing"""
    rules.serve("masq")
    for node in ("rs2", "client"):
        nodes.execute(node, "sysctl", "-qw", "net.ipv4.conf.eth0.arp_notify=1")
    load = client.Wrk(URL, LONG, connections=20, close=True).begun()
    for last in range(4):
        # Not a second: a SYN that a change costs comes again after one, and would meet the next change.
        time.sleep(1.3)
        _new_mac("rs2", last)
        _new_mac("client", 0x80 + last)
    time.sleep(1.3)
    load.stop()
    no_error(load.result())
