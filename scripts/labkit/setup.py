"""How a director can be set up, and the configuration file that says so."""

import json
from dataclasses import dataclass

from labkit import nodes, topology

DEVICES = {
    # Kernel sockets in a fanout group, one a queue: several workers, but the kernel reassembles fragments.
    "af_packet": "net_af_packet{index},iface={port}0,qpairs={queues},blocksz=65536,framesz=2048,framecnt=4096",
    # Takes the frames away from the kernel and delivers real fragments; veth gives it one queue.
    "af_xdp": "net_af_xdp{index},iface={port}0,start_queue=0,queue_count={queues}",
}
IN_MEMORY = ("--in-memory", "--no-telemetry", "--iova-mode=va")


@dataclass(frozen=True)
class Setup:
    """How the director is set up."""

    workers: int = 1
    driver: str = "af_packet"
    # The server-side port is the only one.
    one_arm: bool = False
    # The workers' cores; with them, workers spin.
    cores: tuple[int, ...] = ()
    # Without twins, routes and neighbours are in the file.
    twin: bool = True
    # The client-side port has VLAN topology.VLAN besides.
    vlan: bool = False
    # Ports of local addresses, if not all.
    local_ports: str = ""
    eal: tuple[str, ...] = IN_MEMORY

    @property
    def queues(self):
        """Queues of a port: one a worker where the driver has them."""
        return 1 if self.driver == "af_xdp" else self.workers


def config(run_dir, setup):
    """The text of the configuration file for `setup`."""
    ports = ["ds"] if setup.one_arm else ["dc", "ds"]
    idle = f'cores = {list(setup.cores)}\nidle = "spin"' if setup.cores else 'idle = "sleep"'
    parts = [
        f"[eal]\nargs = {json.dumps(setup.eal)}\n",
        f'[daemon]\nsocket = "{run_dir}/sluice.sock"\n',
        f"[workers]\ncount = {setup.workers}\n{idle}\n",
        "[table]\nconnections = 65536\nbuffers = 32768\n",
        *(_port(setup, index, port) for index, port in enumerate(ports)),
    ]
    if setup.local_ports:
        parts.append(f'[fullnat]\nlocal_ports = "{setup.local_ports}"\n')
    if not setup.twin:
        parts += _static_paths()
    return "\n".join(parts)


def _port(setup, index, port):
    held = {"dc": [topology.VIP, topology.OTHER_VIP], "ds": [topology.ONE_ARM_VIP, *topology.LOCAL]}
    device = DEVICES[setup.driver].format(index=index, port=port, queues=setup.queues)
    addresses = [f"{topology.DIRECTOR[port]}/24", *(f"{vip}/32" for vip in held[port])]
    addresses += [f"{topology.v6(topology.DIRECTOR[port])}/64", *(f"{topology.v6(vip)}/128" for vip in held[port])]
    text = (
        f'[[port]]\nname = "{port}"\ndevice = "{device}"\nmac = "{topology.TWIN_MAC[port]}"\n'
        f"mtu = 1500\nqueues = {setup.queues}\npromiscuous = true\ntwin = {json.dumps(setup.twin)}\n"
        f"addresses = {json.dumps(addresses)}\n"
    )
    if setup.vlan and port == "dc":
        addresses = [f"{topology.VLAN_DIRECTOR}/24", f"{topology.VLAN_VIP}/32"]
        text += f"[[port.vlan]]\nid = {topology.VLAN}\naddresses = {json.dumps(addresses)}\n"
    return text


def _static_paths():
    yield f'[[route]]\nprefix = "{topology.FAR_NETWORK}"\nvia = "{topology.CLIENT}"\n'
    for node, address in {"client": topology.CLIENT, **topology.REAL}.items():
        mac = nodes.execute(node, "cat", "/sys/class/net/eth0/address").stdout.strip()
        port = "dc" if node == "client" else "ds"
        yield f'[[neighbor]]\naddress = "{address}"\nmac = "{mac}"\ninterface = "{port}"\n'
