"""The director: sluiced's configuration, its life, and the commands that are given to it."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from labkit import nodes, topology
from labkit.shell import LabError, run

TOP = Path(__file__).resolve().parent.parent.parent
DEVICES = {
    # Kernel sockets in a fanout group, one a queue: several workers, but the kernel reassembles fragments.
    "af_packet": "net_af_packet{index},iface={port}0,qpairs={queues},blocksz=65536,framesz=2048,framecnt=4096",
    # Takes the frames away from the kernel and delivers real fragments; veth gives it one queue.
    "af_xdp": "net_af_xdp{index},iface={port}0,start_queue=0,queue_count={queues}",
}


@dataclass(frozen=True)
class Setup:
    """How the director is set up: its workers, DPDK's driver, and whether the server-side port is its only one."""

    workers: int = 1
    driver: str = "af_packet"
    one_arm: bool = False

    @property
    def queues(self):
        """Queues of a port: one a worker where the driver has them."""
        return 1 if self.driver == "af_xdp" else self.workers


def binary(name):
    """The built program `name`; a missing one is a `LabError`."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
    for profile in ("release", "debug"):
        if (target / profile / name).exists():
            return target / profile / name
    raise LabError(f"{name} is not built: cargo build --release -p control --features dpdk --bin sluiced --bin sluice")


def config(run_dir, setup):
    """The text of the configuration file for `setup`."""
    ports = ["ds"] if setup.one_arm else ["dc", "ds"]
    held = {"dc": [topology.VIP, topology.OTHER_VIP], "ds": [topology.ONE_ARM_VIP]}
    parts = [
        '[eal]\nargs = ["--in-memory", "--no-telemetry", "--iova-mode=va"]\n',
        f'[daemon]\nsocket = "{run_dir}/sluice.sock"\n',
        f'[workers]\ncount = {setup.workers}\nidle = "sleep"\n',
        "[table]\nconnections = 65536\nbuffers = 32768\n",
    ]
    for index, port in enumerate(ports):
        device = DEVICES[setup.driver].format(index=index, port=port, queues=setup.queues)
        addresses = [f"{topology.DIRECTOR[port]}/24", *(f"{vip}/32" for vip in held[port])]
        parts.append(
            f'[[port]]\nname = "{port}"\ndevice = "{device}"\nmac = "{topology.TWIN_MAC[port]}"\n'
            f"mtu = 1500\nqueues = {setup.queues}\npromiscuous = true\ntwin = true\naddresses = {json.dumps(addresses)}\n"
        )
    return "\n".join(parts)


def start(run_dir, setup, seconds=30.0):
    """Starts sluiced and returns once it answers on its socket; what it said is in the error if it does not."""
    (run_dir / "sluiced.toml").write_text(config(run_dir, setup))
    commands = run_dir / "bin"
    commands.mkdir(exist_ok=True)
    for name in ("sluice", "ipvsadm", "ipvsadm-save", "ipvsadm-restore"):
        (commands / name).unlink(missing_ok=True)
        (commands / name).symlink_to(binary("sluice"))
    log = run_dir / "sluiced.log"
    daemon = nodes.spawn("director", binary("sluiced"), "--config", run_dir / "sluiced.toml", log=log)
    limit = time.monotonic() + seconds
    while ask(run_dir, "stats", check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > limit:
            raise LabError(f"sluiced does not answer; its last words:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)
    if setup.one_arm:
        nodes.execute("director", "ip", "route", "replace", "10.0.0.0/24", "via", topology.ROUTER["servers"])
    return daemon


def environment(run_dir):
    """The environment in which `ipvsadm` and `sluice` are ours and find the lab's socket."""
    return os.environ | {"PATH": f"{run_dir}/bin:{os.environ['PATH']}", "SLUICE_SOCKET": f"{run_dir}/sluice.sock"}


def ask(run_dir, *words, command="sluice", **options):
    """Gives `sluice WORDS…` (or `ipvsadm WORDS…`) in the director."""
    found = environment(run_dir)
    program = ("env", f"PATH={found['PATH']}", f"SLUICE_SOCKET={found['SLUICE_SOCKET']}", command)
    return nodes.execute("director", *program, *words, **options)


def pids():
    """The processes that are sluiced."""
    return [pid for pid, _ in nodes.processes("director") if nodes.program(pid) == "sluiced"]


def stop(number=signal.SIGTERM, seconds=10.0):
    """Signals sluiced and waits until the kernel has taken back all that it held."""
    ending = pids()
    for pid in ending:
        os.kill(pid, number)
    limit = time.monotonic() + seconds
    while not all(map(nodes.ended, ending)):
        if time.monotonic() > limit:
            raise LabError(f"sluiced does not end within {seconds:g} s of signal {int(number)}")
        time.sleep(0.05)
