"""The lab's wires and addresses.

              10.0.0.0/24                                    192.168.1.0/24
    client ──────────┐                                 ┌────────── rs1 .11
      .2             │                                 ├────────── rs2 .12
                 [clients]── dc │ director │ ds ──[servers]─────── rs3 .13
                     │      .1  │  VIPs    │  .1       │
                     └───────────── router ────────────┘
                               .254      .254

`wire` is the namespace of the two switches and of the router between them. A real server answers from its own address
through the director (masq) and from a VIP through the router (gatewaying, ipip): one rule on the source address serves
every forwarding method without rebuilding anything.

In the director's namespace DPDK has `dc0` and `ds0`; the twins `dc` and `ds` that sluiced makes hold the addresses.
The kernel sees the frames on DPDK's ends too (af_packet only copies them), so these have another MAC than the twins,
are promiscuous, speak no ARP and no IPv6: nothing there answers in the twins' stead.

IPv6 is the same picture: `v6` gives the address that stands for one of IPv4.
"""

from labkit.nodes import NODES, PREFIX, SERVERS, execute
from labkit.shell import run

CLIENT = "10.0.0.2"
DIRECTOR = {"dc": "10.0.0.1", "ds": "192.168.1.1"}
TWIN_MAC = {"dc": "02:00:00:00:0d:01", "ds": "02:00:00:00:0d:02"}
ROUTER = {"clients": "10.0.0.254", "servers": "192.168.1.254"}
REAL = {"rs1": "192.168.1.11", "rs2": "192.168.1.12", "rs3": "192.168.1.13"}
# The real servers hold the first two on `lo` for gatewaying and ipip; OTHER_VIP is the director's alone.
VIP, ONE_ARM_VIP, OTHER_VIP = "10.0.0.100", "192.168.1.100", "10.0.0.102"
# What real servers see in the client's stead with fullnat: the director's as well.
LOCAL = ("192.168.1.5", "192.168.1.6")
# Where real servers take gue.
GUE_PORT = 6080
# A tagged network between client and director, and one that is behind the client.
VLAN, VLAN_CLIENT, VLAN_DIRECTOR, VLAN_VIP = 20, "10.0.20.2", "10.0.20.1", "10.0.20.100"
FAR_NETWORK, FAR_CLIENT = "10.0.9.0/24", "10.0.9.2"

# The networks of IPv6 by the beginning of IPv4's: documentation's (RFC 3849).
NETWORK6 = {"10.0.0.": "2001:db8:a::", "192.168.1.": "2001:db8:b::"}

VIP_TABLE = "100"
SYSCTLS = (
    # Addresses are used at once, not a second later.
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.conf.all.accept_redirects=0",
    "net.ipv4.conf.default.accept_redirects=0",
)
FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
# From the tutorials: a real server answers ARP for no address of `lo`, and asks with none.
SERVER_SYSCTLS = (
    "net.ipv4.conf.all.arp_ignore=1",
    "net.ipv4.conf.all.arp_announce=2",
    # A load uses up the client's ports in seconds. Its next connection by masq to another VIP may have one that the
    # server remembers in TIME_WAIT, which answers it with an ACK and costs it a second and another pick, as with LVS.
    "net.ipv4.tcp_max_tw_buckets=0",
)


def v6(address):
    """The IPv6 address of whoever has `address` in one of the two networks: its last number in IPv6's network."""
    beginning, dot, number = address.rpartition(".")
    return NETWORK6[beginning + dot] + number


def build():
    """Makes the namespaces, wires, addresses and routes; nothing of them may exist."""
    for node in NODES:
        run("ip", "netns", "add", PREFIX + node)
        _ip(node, "link set lo up")
        execute(node, "sysctl", "-qw", *SYSCTLS)
    _wire()
    _host("client", "clients", CLIENT)
    _ip("client", f"route add 192.168.1.0/24 via {ROUTER['clients']}")
    _ip("client", f"route add {v6('192.168.1.')}/64 via {v6(ROUTER['clients'])}", options=["-6"])
    for node in SERVERS:
        _server(node)
    execute("director", "sysctl", "-qw", *FORWARDING)
    for port, switch in (("dc", "clients"), ("ds", "servers")):
        _dpdk_end(port, switch)


def _ip(node, *lines, options=()):
    run("ip", *options, "-n", PREFIX + node, "-batch", "-", stdin="\n".join(lines) + "\n")


def _wire():
    _ip(
        "wire",
        *(f"link add name {switch} type bridge" for switch in ROUTER),
        *(f"link set {switch} up" for switch in ROUTER),
        *(f"addr add {address}/24 dev {switch}" for switch, address in ROUTER.items()),
        *(f"addr add {v6(address)}/64 dev {switch}" for switch, address in ROUTER.items()),
    )
    execute("wire", "sysctl", "-qw", *FORWARDING)
    # br_netfilter, where it is loaded, would defragment what crosses a switch.
    for name in ("arptables", "ip6tables", "iptables"):
        execute("wire", "sysctl", "-qw", f"net.bridge.bridge-nf-call-{name}=0", check=False)


def _plug(node, interface, switch):
    _ip("wire", f"link add name {node} type veth peer name {interface} netns {PREFIX}{node}", f"link set {node} master {switch} up")


def _host(node, switch, address):
    _plug(node, "eth0", switch)
    _ip(node, f"addr add {address}/24 dev eth0", f"addr add {v6(address)}/64 dev eth0", "link set eth0 up")
    # veth leaves checksums half made otherwise, and DPDK's devices here deliver them as they are.
    execute(node, "ethtool", "-K", "eth0", "tx", "off")


def _server(node):
    _host(node, "servers", REAL[node])
    _ip(
        node,
        f"route add default via {DIRECTOR['ds']}",
        f"addr add {VIP}/32 dev lo",
        f"addr add {ONE_ARM_VIP}/32 dev lo",
        f"route add default via {ROUTER['servers']} table {VIP_TABLE}",
        f"rule add from {VIP} lookup {VIP_TABLE}",
        f"rule add from {ONE_ARM_VIP} lookup {VIP_TABLE}",
    )
    _ip(
        node,
        f"route add default via {v6(DIRECTOR['ds'])}",
        f"addr add {v6(VIP)}/128 dev lo",
        f"route add default via {v6(ROUTER['servers'])} table {VIP_TABLE}",
        f"rule add from {v6(VIP)} lookup {VIP_TABLE}",
        options=["-6"],
    )
    execute(node, "sysctl", "-qw", *SERVER_SYSCTLS)


def _dpdk_end(port, switch):
    _ip("wire", f"link add name {port} type veth peer name {port}0 netns {PREFIX}director", f"link set {port} master {switch} up")
    execute("director", "sysctl", "-qw", f"net.ipv6.conf.{port}0.disable_ipv6=1")
    _ip("director", f"link set {port}0 arp off promisc on up")
