"""sluiced in the recordings' network, and the commands that are given to it."""

import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from labkit.director import binary
from labkit.setup import DEVICES
from labkit.shell import LabError, run

from goldenkit import network

RUN = Path(os.environ.get("SLUICE_GOLDEN_DIR", "/run/sluice-golden"))
START_SECONDS = 60.0
# Listings show the table's size, and the kernel's was this.
CONNECTIONS = 4096
# Until netlink's news are with the workers, on a busy machine too.
SETTLE = 0.2


def config(run_dir, driver, mtu):
    """The text of the configuration file; `mtu` by port."""
    parts = [
        '[eal]\nargs = ["--no-huge", "-m", "128", "--no-shconf", "--no-telemetry", "--no-pci", "--iova-mode=va"]\n',
        f'[daemon]\nsocket = "{run_dir}/sluice.sock"\n',
        '[workers]\ncount = 1\nidle = "sleep"\n',
        f"[table]\nconnections = {CONNECTIONS}\nbuffers = 8192\nhuge_pages = false\n",
    ]
    for index, port in enumerate(network.PORTS):
        device = DEVICES[driver].format(index=index, port=f"d{port}", queues=1)
        parts.append(
            f'[[port]]\nname = "d{port}"\ndevice = "{device}"\nmac = "{network.TWIN_MAC[port]}"\nmtu = {mtu[port]}\n'
            f"queues = 1\npromiscuous = true\ntwin = true\naddresses = {json.dumps(network.ADDRESSES[port])}\n"
        )
    return "\n".join(parts)


class Appliance:
    """A running sluiced."""

    def __init__(self, run_dir, namespace):
        self.sluice, self.namespace = binary("sluice"), namespace
        self.environment = os.environ | {"SLUICE_SOCKET": f"{run_dir}/sluice.sock"}

    def ask(self, *words):
        """Gives `sluice WORDS…`: its exit status and all that it printed."""
        argv = [str(self.sluice), *words]
        done = subprocess.run(
            argv, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, check=False
        )
        return done.returncode, done.stdout

    def ipvsadm(self, args):
        """Gives `ipvsadm ARGS`, as recorded."""
        return self.ask("ipvsadm", *args.split())

    def must(self, *words):
        """As `ask`; a refusal is a `LabError`."""
        status, said = self.ask(*words)
        if status:
            raise LabError(f"`sluice {' '.join(words)}` failed ({status}): {said.strip()}")
        return said

    def command(self, line):
        """A shell command of the recording, as the operator of an appliance does it; whether it has a meaning here."""
        words = line.split()
        if words[0] == "ip":
            run("ip", "-n", self.namespace, *words[1:])
            time.sleep(SETTLE)
        elif words[0].startswith("iptables") and "MARK" in words:
            self.must("marks", "add", *_mark(words))
        else:
            return False
        return True

    def received(self):
        """How many frames the workers have received from the ports."""
        return sum(worker["received"] for worker in json.loads(self.must("stats", "--json"))["workers"])

    def conns(self):
        """All conns, as the API lists them."""
        return [json.loads(line) for line in self.must("conns", "--json").splitlines()]


def _mark(words):
    """The words of `sluice marks add` for a line of iptables."""
    value = dict(zip(words, words[1:]))
    rule = ["--mark", value["--set-mark"], "--dst", value["-d"]]
    if "-p" in value:
        rule += ["--proto", value["-p"]]
    if "--dport" in value:
        rule += ["--dport", value["--dport"].replace(":", "-")]
    return rule


@contextmanager
def folder(place):
    """The place's folder for the configuration, the socket and the log, empty; what a killed run left is removed first."""
    own = RUN / str(place.number)
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True, mode=0o700)
    try:
        yield own
    finally:
        shutil.rmtree(own)


@contextmanager
def running(place, run_dir, driver, mtu):
    """sluiced in the place's network, which is built, its twins with the recordings' neighbours; stopped afterwards."""
    (run_dir / "sluiced.toml").write_text(config(run_dir, driver, mtu), encoding="utf-8")
    argv = ["ip", "netns", "exec", place.director, str(binary("sluiced")), "--config", str(run_dir / "sluiced.toml")]
    with open(run_dir / "sluiced.log", "wb") as log:
        daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    appliance = Appliance(run_dir, place.director)
    try:
        _wait_for(appliance, daemon, run_dir)
        place.name_neighbors()
        time.sleep(SETTLE)
        yield appliance
    finally:
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait(5)


def _wait_for(appliance, daemon, run_dir):
    limit = time.monotonic() + START_SECONDS
    while appliance.ask("status")[0]:
        if daemon.poll() is not None or time.monotonic() > limit:
            said = (run_dir / "sluiced.log").read_text(errors="replace")[-3000:]
            raise LabError(f"sluiced does not answer; its last words:\n{said}")
        time.sleep(0.03)
