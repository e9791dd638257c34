"""What the audited appliance is told to do: a virtual service for every method, family and protocol, and the auditor's own
copy of it, in words. The clients are behind a gateway on one wire, the real servers on the other, some behind routers."""

import json
from dataclasses import dataclass

from rig import frames, hugepages, setup

CLIENTS, SERVERS = "clients", "servers"
METHODS = {"masq": "-m", "gatewaying": "-g", "ipip": "-i", "fullnat": "--fullnat"}
SCHEDULERS = ["rr", "wlc", "wrr", "lc"]
SERVER_COUNT, LOCAL_COUNT = 4, 4
BUFFERS, AUDITORS_BUFFERS = 65_535, 32_767
# A wire's networks, the gateway to all clients, and the routers to the servers of methods that need no common wire.
OWN = {CLIENTS: ["10.0.0.1/24", "2001:db8::1/64"], SERVERS: ["192.168.100.1/24", "2001:db8:2::1/64"]}
GATEWAYS = {4: "10.0.0.254", 6: "2001:db8::fe"}
TUNNELS = {4: "192.168.100.1", 6: "2001:db8:2::1"}
FIRST_CLIENT = {4: "10.128.0.0", 6: "2001:db8:80::"}
VIPS = {4: "10.0.0.1{:02}", 6: "2001:db8::1{:02}"}
# By method: where its servers are, the net that is routed, its router and the router's MAC address.
ON_LINK = {4: ("192.168.100.{}", None, None), 6: ("2001:db8:2::{}", None, None)}
BEHIND = {
    "ipip": {
        4: ("198.51.100.{}", "198.51.100.0/24", "192.168.100.254"),
        6: ("2001:db8:3::{}", "2001:db8:3::/64", "2001:db8:2::fe"),
    },
    "fullnat": {
        4: ("198.51.101.{}", "198.51.101.0/24", "192.168.100.253"),
        6: ("2001:db8:4::{}", "2001:db8:4::/64", "2001:db8:2::fd"),
    },
}
ROUTER_MACS = {"ipip": bytes.fromhex("020000000dfe"), "fullnat": bytes.fromhex("020000000dfd")}
LOCALS = {4: "192.168.101.{}", 6: "2001:db8:5::{}"}
VPORT, MAPPED_PORT = 80, 8080


@dataclass(frozen=True)
class Service:
    """A virtual service with `SERVER_COUNT` real servers, and one that passes."""

    method: str
    family: int
    protocol: str
    scheduler: str
    flows: int

    @property
    def name(self):
        """As results call it."""
        return f"{self.method}{'6' if self.family == 6 else ''}-{self.protocol}"

    @property
    def vip(self):
        """The virtual address: that of the method, whichever protocol."""
        return VIPS[self.family].format(list(METHODS).index(self.method) + 1)

    @property
    def rport(self):
        """The servers' port."""
        return MAPPED_PORT if self.method in ("masq", "fullnat") else VPORT

    @property
    def locals(self):
        """Local addresses, of fullnat."""
        numbers = range(1, 1 + LOCAL_COUNT) if self.method == "fullnat" else ()
        return [LOCALS[self.family].format(number) for number in numbers]

    def server(self, number):
        """The address of the server with this number, from 0; the last one passes."""
        return BEHIND.get(self.method, {}).get(self.family, ON_LINK[self.family])[0].format(number + 2)

    def hop_mac(self, number):
        """The MAC address of the next hop to it."""
        return ROUTER_MACS.get(self.method) or frames.server_mac(number + 2)

    def selector(self):
        """As ipvsadm names it."""
        vip = f"[{self.vip}]" if self.family == 6 else self.vip
        return ["-t" if self.protocol == "tcp" else "-u", f"{vip}:{VPORT}"]

    def server_words(self, number):
        """As ipvsadm names a server of it."""
        address = self.server(number)
        return ["-r", f"[{address}]:{self.rport}" if self.family == 6 else f"{address}:{self.rport}", METHODS[self.method]]


def services(flows):
    """One for every method, family and protocol; `flows` are the numbers of their clients, by turns."""
    kinds = [(method, family, protocol) for method in METHODS for family in (4, 6) for protocol in ("tcp", "udp")]
    return [
        Service(*kind, SCHEDULERS[place % len(SCHEDULERS)], flows[place % len(flows)]) for place, kind in enumerate(kinds)
    ]


def in_words(all_services):
    """The plan as the auditor reads it."""
    own = " ".join(frames.port_mac(port).hex(":") for port in (0, 1))
    lines = [f"own {own} {frames.SOURCE_MAC.hex(':')} {TUNNELS[4]} {TUNNELS[6]}"]
    for service in all_services:
        lines.append(
            f"service {service.name} {service.method} {service.protocol} {service.vip} {VPORT} {service.rport}"
            f" {service.flows} {FIRST_CLIENT[service.family]} {','.join(service.locals) or '-'}"
        )
        for number in range(SERVER_COUNT + 1):
            stays = "passes" if number == SERVER_COUNT else "stays"
            lines.append(f"server {service.server(number)} {service.hop_mac(number).hex(':')} {stays}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Settings:
    """The appliance to be audited, as `appliance.Appliance` wants it."""

    prefix: str
    cores: tuple[int, int]
    services: list
    workers: int = 1
    warm: None = None

    @property
    def pages(self):
        """Huge pages that it and the auditor need."""
        return hugepages.needed(BUFFERS + AUDITORS_BUFFERS, self.workers * setup.CONNECTIONS)

    def text(self, where):
        """Its configuration."""
        control, worker = self.cores
        args = ["--file-prefix", self.prefix, "--huge-unlink", "--huge-dir", f"{where}/huge", f"--lcores=0@{control}"]
        workers = [worker, control][: self.workers]
        # Two workers on two cores leave the auditor none: they have to let go of them.
        idle = "spin" if self.workers == 1 else "sleep"
        parts = [
            f"[eal]\nargs = {json.dumps(args)}",
            f'[daemon]\nsocket = "{where}/sluice.sock"\nlog = "warn"',
            f'[workers]\ncores = {workers}\ncontrol_core = {control}\nidle = "{idle}"',
            f"[table]\nconnections = {setup.CONNECTIONS}\nbuffers = {BUFFERS}",
            *(_port(where, number, name) for number, name in enumerate((CLIENTS, SERVERS))),
            *_ways(),
            *map(_service, self.services),
        ]
        return "\n\n".join(parts) + "\n"


def _port(where, number, name):
    mac = frames.port_mac(number).hex(":")
    device = f"net_memif{number},role=server,id={number},socket={where}/memif.sock,socket-abstract=no,rsize=12,mac={mac}"
    return f'[[port]]\nname = "{name}"\ndevice = "{device}"\ntwin = false\naddresses = {json.dumps(OWN[name])}'


def _ways():
    """Routes and neighbours."""
    for family, gateway in GATEWAYS.items():
        default = "0.0.0.0/0" if family == 4 else "::/0"
        yield f'[[route]]\nprefix = "{default}"\nvia = "{gateway}"'
        yield _neighbor(gateway, frames.SOURCE_MAC, CLIENTS)
        for number in range(SERVER_COUNT + 1):
            yield _neighbor(ON_LINK[family][0].format(number + 2), frames.server_mac(number + 2), SERVERS)
        for method, ways in BEHIND.items():
            _, prefix, router = ways[family]
            yield f'[[route]]\nprefix = "{prefix}"\nvia = "{router}"'
            yield _neighbor(router, ROUTER_MACS[method], SERVERS)


def _neighbor(address, mac, wire):
    return f'[[neighbor]]\naddress = "{address}"\nmac = "{mac.hex(":")}"\ninterface = "{wire}"'


def _service(service):
    text = f'[[service]]\nprotocol = "{service.protocol}"\naddress = "{service.vip}"\nport = {VPORT}\n'
    text += f'scheduler = "{service.scheduler}"'
    if service.locals:
        text += f"\nlocal_addresses = {json.dumps(service.locals)}"
    for number in range(SERVER_COUNT):
        text += f'\n\n[[service.server]]\naddress = "{service.server(number)}"\nport = {service.rport}\n'
        text += f'method = "{service.method}"'
    return text
