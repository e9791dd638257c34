"""The appliance as the rig runs it: one worker, the load on port 0, SYNs to open connections with on port 1."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rig import capture, meter, player, sandbox
from rig.errors import RigError

TOP = Path(__file__).resolve().parent.parent.parent
METHODS = {"dr": "gatewaying", "nat": "masq", "tun": "ipip"}
WORKER = "worker0"
CONNECTIONS = 1 << 21
# Both ends of the veth pair that the warm-up is played through.
PLAY_END, PORT_END = "warm0", "warm1"
FIRST_SERVER, MAX_SERVERS = 2, 250
TRIES = 5


@dataclass(frozen=True)
class Settings:
    """What is measured, and on what."""

    method: str
    protocol: str
    load: Path
    warm: Path | None
    prefix: str
    cores: tuple[int, int]
    buffers: int
    scheduler: str
    servers: int
    hold: bool


def binary(name):
    """A release program of ours, built if it is not there."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
    if not (target / "release" / name).exists():
        build = "cargo build --release -p control --features dpdk --bin sluiced --bin sluice"
        # Standard output is the caller's.
        if subprocess.run(build.split(), cwd=TOP, check=False, stdout=2).returncode:
            raise RigError(f"`{build}` failed")
    return target / "release" / name


def configuration(settings, where):
    """The text of the configuration file. All that is sent leaves through port 0."""
    control, worker = settings.cores
    args = ["--file-prefix", settings.prefix, "--huge-unlink", "--huge-dir", str(where / "huge"), f"--lcores=0@{control}"]
    parts = [
        f"[eal]\nargs = {json.dumps(args)}",
        f'[daemon]\nsocket = "{where}/sluice.sock"\nlog = "warn"',
        f'[workers]\ncores = [{worker}]\ncontrol_core = {control}\nidle = "spin"\nbegin = "{"signal" if settings.hold else "ready"}"',
        f"[table]\nconnections = {CONNECTIONS}\nbuffers = {settings.buffers}",
        _port("load", f"net_pcap0,rx_pcap={settings.load},infinite_rx=1", ["10.0.0.1/24", "192.168.100.1/24"]),
        '[[route]]\nprefix = "default"\nvia = "10.0.0.254"',
        _neighbor("10.0.0.254", capture.SOURCE_MAC.hex(":")),
    ]
    if settings.warm:
        parts.append(_port("warm", f"net_af_packet1,iface={PORT_END},blocksz=65536,framesz=2048,framecnt=16384", []))
    parts.append(
        f'[[service]]\nprotocol = "{settings.protocol}"\naddress = "10.0.0.100"\nport = 80\nscheduler = "{settings.scheduler}"'
    )
    for number in range(FIRST_SERVER, FIRST_SERVER + settings.servers):
        parts.append(f'[[service.server]]\naddress = "192.168.100.{number}"\nmethod = "{METHODS[settings.method]}"')
    for number in range(FIRST_SERVER, FIRST_SERVER + settings.servers):
        parts.append(_neighbor(f"192.168.100.{number}", f"02:00:00:00:0d:{number:02x}"))
    return "\n\n".join(parts) + "\n"


def _port(name, device, addresses):
    return f'[[port]]\nname = "{name}"\ndevice = "{device}"\ntwin = false\naddresses = {json.dumps(addresses)}'


def _neighbor(address, mac):
    return f'[[neighbor]]\naddress = "{address}"\nmac = "{mac}"\ninterface = "load"'


class Appliance:
    """A running sluiced. `end` it, whatever happens."""

    def __init__(self, settings, where):
        self.settings, self._where = settings, where
        self._log = where / "sluiced.log"
        if settings.warm:
            mac = capture.port_mac(1).hex(":")
            sandbox.run("ip", "link", "add", PLAY_END, "type", "veth", "peer", "name", PORT_END, "address", mac)
            for end in (PLAY_END, PORT_END):
                sandbox.run("ip", "link", "set", end, "up")
        (where / "sluiced.toml").write_text(configuration(settings, where), encoding="utf-8")
        self.child = sandbox.spawn([binary("sluiced"), "--config", where / "sluiced.toml"], self._log)

    def stats(self):
        """`sluice stats --json`, or None while the daemon does not answer."""
        environment = os.environ | {"SLUICE_SOCKET": f"{self._where}/sluice.sock"}
        command = [binary("sluice"), "stats", "--json"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        return json.loads(asked.stdout) if asked.returncode == 0 else None

    def worker(self):
        """The counters of the one worker."""
        return self.stats()["workers"][0]

    def wait_until(self, what, true, seconds):
        """Waits until `true()`; an end or an overrun is a `RigError` that says `what` was waited for."""
        limit = time.monotonic() + seconds
        while not true():
            if self.child.poll() is not None:
                raise RigError(f"sluiced has ended: {sandbox.last_words(self._log)}")
            if time.monotonic() > limit:
                raise RigError(f"{what} within {seconds:g} s: {sandbox.last_words(self._log)}")
            time.sleep(0.1)

    def begin(self):
        """Waits until it serves; unless it is held back, until it forwards and the warm-up's connections are open."""
        self.wait_until("sluiced does not answer", self.stats, 120)
        if self.settings.hold:
            return
        if self.settings.warm:
            self._warm_up()
        sent = self.sent()
        self.wait_until("sluiced forwards nothing", lambda: self.sent() > sent, 10)

    def sent(self):
        """Frames that port 0 has sent."""
        telemetry = meter.Telemetry(self.settings.prefix)
        try:
            return telemetry.port()["opackets"]
        finally:
            telemetry.close()

    def _warm_up(self):
        """Plays the warm-up until every flow of it has a connection: a busy machine may lose some frames."""
        wanted = capture.distinct_flows(self.settings.warm)
        for _ in range(TRIES):
            player.play(self.settings.warm, PLAY_END)
            time.sleep(0.2)
            if self.worker()["conns"] >= wanted:
                return
        raise RigError(f"only {self.worker()['conns']} of the warm-up's {wanted} connections are open")

    def end(self):
        """Stops it and removes what it leaves."""
        sandbox.end(self.child)
        sandbox.forget_dpdk(self.settings.prefix)
