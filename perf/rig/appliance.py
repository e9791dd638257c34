"""The appliance as the rig runs it: one worker, the load on port 0, SYNs to open connections with on port 1."""

import json
import os
import subprocess
import time
from pathlib import Path

from rig import capture, frames, meter, player, sandbox, setup
from rig.errors import RigError

TOP = Path(__file__).resolve().parent.parent.parent
WORKER = "worker0"
# The end of the veth pair that the warm-up is played into.
PLAY_END = "warm0"
TRIES = 5


def build():
    """Builds the release, and the benchmark that runs the same worker, if a source is newer than they are."""
    programs = {"control": "--bin sluiced --bin sluice", "perf": "--bin synthetic --bin audit"}
    for package, which in programs.items():
        command = f"cargo build --release --quiet -p {package} --features {package}/dpdk {which}"
        # Standard output is the caller's.
        if subprocess.run(command.split(), cwd=TOP, check=False, stdout=2).returncode:
            raise RigError(f"`{command}` failed")


def binary(name):
    """A release program of ours, built if it is not there."""
    path = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target")) / "release" / name
    if not path.exists():
        build()
    return path


class Appliance:
    """A running sluiced. `end` it, whatever happens."""

    def __init__(self, settings, where):
        self.settings, self._where = settings, where
        self._log = where / "sluiced.log"
        if settings.warm:
            mac = frames.port_mac(1).hex(":")
            sandbox.run("ip", "link", "add", PLAY_END, "type", "veth", "peer", "name", setup.PORT_END, "address", mac)
            for end in (PLAY_END, setup.PORT_END):
                sandbox.run("ip", "link", "set", end, "up")
        (where / "sluiced.toml").write_text(settings.text(where), encoding="utf-8")
        self.child = sandbox.spawn([binary("sluiced"), "--config", where / "sluiced.toml"], self._log)

    def _ask(self, *words, into=subprocess.PIPE):
        """What `sluice` answers, or None while the daemon does not."""
        environment = os.environ | {"SLUICE_SOCKET": f"{self._where}/sluice.sock"}
        asked = subprocess.run(
            [binary("sluice"), *words], stdout=into, stderr=subprocess.DEVNULL, check=False, env=environment
        )
        return asked.stdout or "" if asked.returncode == 0 else None

    def stats(self):
        """`sluice stats --json`, or None while the daemon does not answer."""
        text = self._ask("stats", "--json")
        return text and json.loads(text)

    def ipvsadm(self, words, text=None):
        """`sluice ipvsadm` with these words and `text` as its input; returns its output. A failure is a `RigError`."""
        environment = os.environ | {"SLUICE_SOCKET": f"{self._where}/sluice.sock"}
        command = [binary("sluice"), "ipvsadm", *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise RigError(f"`ipvsadm {' '.join(words)}` failed: {done.stderr.strip()}")
        return done.stdout

    def list_conns(self, path):
        """Writes `sluice conns --json` into a file."""
        with open(path, "wb") as out:
            if self._ask("conns", "--json", into=out) is None:
                raise RigError("sluiced does not list its connections")

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
        """Waits until it serves; unless it is held back, until the warm-up's connections are open and, if its load is
        endless, until it forwards."""
        self.wait_until("sluiced does not answer", self.stats, 120)
        if self.settings.hold:
            return
        if self.settings.warm:
            self._warm_up()
        if not self.settings.endless:
            return
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
