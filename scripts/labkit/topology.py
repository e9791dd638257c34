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
# A tagged network between client and director, and one that is behind the client.
VLAN, VLAN_CLIENT, VLAN_DIRECTOR, VLAN_VIP = 20, "10.0.20.2", "10.0.20.1", "10.0.20.100"
FAR_NETWORK, FAR_CLIENT = "10.0.9.0/24", "10.0.9.2"

VIP_TABLE = "100"
SYSCTLS = (
    "net.ipv6.conf.all.disable_ipv6=1",
    "net.ipv6.conf.default.disable_ipv6=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.conf.all.accept_redirects=0",
    "net.ipv4.conf.default.accept_redirects=0",
)
# From the tutorials: a real server answers ARP for no address of `lo`, and asks with none.
SERVER_SYSCTLS = (
    "net.ipv4.conf.all.arp_ignore=1",
    "net.ipv4.conf.all.arp_announce=2",
    # A load uses up the client's ports in seconds. Its next connection by masq to another VIP may have one that the
    # server remembers in TIME_WAIT, which answers it with an ACK and costs it a second and another pick, as with LVS.
    "net.ipv4.tcp_max_tw_buckets=0",
)


def build():
    """Makes the namespaces, wires, addresses and routes; nothing of them may exist."""
    for node in NODES:
        run("ip", "netns", "add", PREFIX + node)
        _ip(node, "link set lo up")
        execute(node, "sysctl", "-qw", *SYSCTLS)
    _wire()
    _host("client", "clients", f"{CLIENT}/24")
    _ip("client", f"route add 192.168.1.0/24 via {ROUTER['clients']}")
    for node in SERVERS:
        _server(node)
    execute("director", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for port, switch in (("dc", "clients"), ("ds", "servers")):
        _dpdk_end(port, switch)


def _ip(node, *lines):
    run("ip", "-n", PREFIX + node, "-batch", "-", stdin="\n".join(lines) + "\n")


def _wire():
    _ip(
        "wire",
        *(f"link add name {switch} type bridge" for switch in ROUTER),
        *(f"link set {switch} up" for switch in ROUTER),
        *(f"addr add {address}/24 dev {switch}" for switch, address in ROUTER.items()),
    )
    execute("wire", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    # br_netfilter, where it is loaded, would defragment what crosses a switch.
    for name in ("arptables", "ip6tables", "iptables"):
        execute("wire", "sysctl", "-qw", f"net.bridge.bridge-nf-call-{name}=0", check=False)


def _plug(node, interface, switch):
    _ip("wire", f"link add name {node} type veth peer name {interface} netns {PREFIX}{node}", f"link set {node} master {switch} up")


def _host(node, switch, address):
    _plug(node, "eth0", switch)
    _ip(node, f"addr add {address} dev eth0", "link set eth0 up")
    # veth leaves checksums half made otherwise, and DPDK's devices here deliver them as they are.
    execute(node, "ethtool", "-K", "eth0", "tx", "off")


def _server(node):
    _host(node, "servers", f"{REAL[node]}/24")
    _ip(
        node,
        f"route add default via {DIRECTOR['ds']}",
        f"addr add {VIP}/32 dev lo",
        f"addr add {ONE_ARM_VIP}/32 dev lo",
        f"route add default via {ROUTER['servers']} table {VIP_TABLE}",
        f"rule add from {VIP} lookup {VIP_TABLE}",
        f"rule add from {ONE_ARM_VIP} lookup {VIP_TABLE}",
    )
    execute(node, "sysctl", "-qw", *SERVER_SYSCTLS)


def _dpdk_end(port, switch):
    _ip("wire", f"link add name {port} type veth peer name {port}0 netns {PREFIX}director", f"link set {port} master {switch} up")
    _ip("director", f"link set {port}0 arp off promisc on up")
