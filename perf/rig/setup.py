"""The appliance's configuration for a measurement."""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from rig import frames

METHODS = {"dr": "gatewaying", "nat": "masq", "tun": "ipip", "fullnat": "fullnat"}
CONNECTIONS = 1 << 21
# The end of the veth pair that the warm-up comes out of.
PORT_END = "warm1"
FIRST_SERVER, MAX_SERVERS = 2, 250
# A server needs a local end for each of its connections: with eight, 16 addresses are an eighth used by a million.
FULLNAT_SERVERS, LOCAL_ADDRESSES = 8, 16
NETWORKS = {
    4: {"own": ["10.0.0.1/24", "192.168.100.1/24"], "default": "0.0.0.0/0", "gateway": "10.0.0.254"},
    6: {"own": ["2001:db8::1/64", "2001:db8:2::1/64"], "default": "::/0", "gateway": "2001:db8::254"},
}


@dataclass(frozen=True)
class Settings:
    """What is measured, and on what."""

    method: str
    protocol: str
    load: Path | None
    warm: Path | None
    prefix: str
    cores: tuple[int, int]
    buffers: int
    scheduler: str
    servers: int
    hold: bool
    family: int = 4
    endless: bool = True
    # Where the load comes from instead of a capture.
    device: str | None = None

    def text(self, where):
        """Its configuration, with sockets and huge pages in `where`."""
        return configuration(self, where)


def configuration(settings, where):
    """The text of the configuration file. All that is sent leaves through port 0."""
    control, worker = settings.cores
    args = ["--file-prefix", settings.prefix, "--huge-unlink", "--huge-dir", f"{where}/huge", f"--lcores=0@{control}"]
    network = NETWORKS[settings.family]
    gateway = network["gateway"]
    begin = "signal" if settings.hold else "ready"
    parts = [
        f"[eal]\nargs = {json.dumps(args)}",
        f'[daemon]\nsocket = "{where}/sluice.sock"\nlog = "warn"',
        f'[workers]\ncores = [{worker}]\ncontrol_core = {control}\nidle = "spin"\nbegin = "{begin}"',
        f"[table]\nconnections = {CONNECTIONS}\nbuffers = {settings.buffers}",
        _port("load", settings.device or _capture(settings), network["own"]),
        f'[[route]]\nprefix = "{network["default"]}"\nvia = "{gateway}"',
        _neighbor(gateway, frames.SOURCE_MAC),
    ]
    if settings.warm:
        parts.append(_port("warm", f"net_af_packet1,iface={PORT_END},blocksz=65536,framesz=2048,framecnt=16384", []))
    numbers = range(FIRST_SERVER, FIRST_SERVER + settings.servers)
    parts.append(_service(settings))
    parts += [
        f'[[service.server]]\naddress = "{_server(settings, number)}"\nmethod = "{METHODS[settings.method]}"'
        for number in numbers
    ]
    parts += [_neighbor(_server(settings, number), frames.server_mac(number)) for number in numbers]
    return "\n\n".join(parts) + "\n"


def _service(settings):
    vip = ipaddress.ip_address(frames.VIP if settings.family == 4 else frames.VIP6)
    text = f'[[service]]\nprotocol = "{settings.protocol}"\naddress = "{vip}"\nport = {frames.VPORT}\n'
    text += f'scheduler = "{settings.scheduler}"'
    if settings.method == "fullnat":
        locals_ = [f"192.168.101.{number}" for number in range(1, 1 + LOCAL_ADDRESSES)]
        text += f"\nlocal_addresses = {json.dumps(locals_)}"
    return text


def _server(settings, number):
    return ipaddress.ip_address((frames.SERVERS if settings.family == 4 else frames.SERVERS6) + number)


def _capture(settings):
    return f"net_pcap0,rx_pcap={settings.load},infinite_rx={int(settings.endless)}"


def _port(name, device, addresses):
    return f'[[port]]\nname = "{name}"\ndevice = "{device}"\ntwin = false\naddresses = {json.dumps(addresses)}'


def _neighbor(address, mac):
    return f'[[neighbor]]\naddress = "{address}"\nmac = "{mac.hex(":")}"\ninterface = "load"'
