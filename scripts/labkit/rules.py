"""Virtual services as the tutorials make them, through `ipvsadm`."""

import time

from labkit import director, lab, topology
from labkit.nodes import SERVERS
from labkit.shell import LabError

# ipvsadm's options of a real server by the words of the field.
OPTIONS = {
    "masq": ("-m",),
    "gatewaying": ("-g",),
    "ipip": ("-i",),
    "gre": ("-i", "--tun-type", "gre", "--tun-csum"),
    "gue": ("-i", "--tun-type", "gue", "--tun-port", str(topology.GUE_PORT), "--tun-csum"),
    "fullnat": ("--fullnat",),
}


def ipvsadm(*words, check=True):
    """Gives `ipvsadm WORDS…` in the director; returns what it printed."""
    return director.ask(lab.RUN, *words, command="ipvsadm", check=check).stdout


def forget(seconds=10.0):
    """Leaves no rule and no connection.

    One that a client left half-way lives for minutes. Its packets are dropped while its server is no rule's, as in the
    kernel, so the next connection from its port, which has the same VIP, would time out.
    """
    ipvsadm("-C")
    director.ask(lab.RUN, "sysctl", "expire_nodest_conn=1")
    # It is a removal that ends the connections, of whichever servers.
    ipvsadm("-A", "-t", f"{topology.OTHER_VIP}:1", "-s", "rr")
    ipvsadm("-a", "-t", f"{topology.OTHER_VIP}:1", "-r", f"{topology.REAL['rs1']}:1", "-m")
    ipvsadm("-C")
    limit = time.monotonic() + seconds
    while left := connections():
        if time.monotonic() > limit:
            raise LabError(f"{len(left)} connections outlive their servers, the first: {left[0]}")
        time.sleep(0.02)
    director.ask(lab.RUN, "sysctl", "expire_nodest_conn=0")


def connections():
    """The lines of the connection table, each with the client's end as its fourth word."""
    return ipvsadm("-L", "-n", "-c").splitlines()[2:]


def service6(address, port):
    """ipvsadm's word for the IPv6 address that stands for `address`, and a port."""
    return f"[{topology.v6(address)}]:{port}"


def commands(method, scheduler="rr", service=f"{topology.VIP}:80", port=80, weights=None, kind="-t", options=()):
    """The commands that make a service with the real servers of `weights` (all, of weight 1), as word tuples; `options` are
    the service's besides, the local addresses of fullnat come by themselves.
    """
    # Real servers and local addresses are of the service's family.
    wide = service.startswith("[")
    end = service6 if wide else "{}:{}".format
    if method == "fullnat":
        options = ("--local-addresses", ",".join(map(topology.v6, topology.LOCAL) if wide else topology.LOCAL), *options)
    yield ("-A", kind, service, "-s", scheduler, *options)
    for server, weight in (weights or dict.fromkeys(SERVERS, 1)).items():
        words = ("-a", kind, service, "-r", end(topology.REAL[server], port), *OPTIONS[method])
        yield words if weight == 1 else (*words, "-w", str(weight))


def serve(method, **options):
    """Gives the commands of `commands`."""
    for words in commands(method, **options):
        ipvsadm(*words)
