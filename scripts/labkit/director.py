"""The director: sluiced's life, and the commands that are given to it."""

import os
import signal
import time
from pathlib import Path

from labkit import nodes, topology
from labkit.setup import Setup, config
from labkit.shell import LabError

TOP = Path(__file__).resolve().parent.parent.parent


def binary(name):
    """The built program `name`; a missing one is a `LabError`."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
    for profile in ("release", "debug"):
        if (target / profile / name).exists():
            return target / profile / name
    raise LabError(f"{name} is not built: cargo build --release -p control --features dpdk --bin sluiced --bin sluice")


def start(run_dir, setup=Setup(), seconds=30.0):
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


def refused(run_dir, text, seconds=15):
    """What sluiced says when it refuses to start with the configuration `text`; a start is a `LabError`."""
    (run_dir / "refused.toml").write_text(text)
    done = nodes.execute("director", binary("sluiced"), "--config", run_dir / "refused.toml", check=False, limit=seconds)
    if done.returncode != 1:
        raise LabError(f"sluiced was to refuse its configuration, its exit status is {done.returncode}")
    return done.stdout + done.stderr


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
