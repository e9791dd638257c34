"""The lab as a whole: up, down, status. Each call first takes the machine-wide lock, a name that dies with its holder."""

import os
import shutil
import socket
import time
from contextlib import contextmanager
from pathlib import Path

from labkit import director, hugepages, nodes, servers, topology
from labkit.shell import LabError, run

RUN = Path(os.environ.get("SLUICE_LAB_DIR", "/run/sluice-lab"))


@contextmanager
def _alone(seconds=60.0):
    with socket.socket(socket.AF_UNIX) as lock:
        limit = time.monotonic() + seconds
        while True:
            try:
                lock.bind("\0sluice-lab")
                break
            except OSError as taken:
                if time.monotonic() > limit:
                    raise LabError("another `lab up` or `lab down` is running") from taken
                time.sleep(0.1)
        yield


def up(setup=None):
    """Builds the lab from nothing and, with a `Setup`, starts sluiced in it; a failed start leaves nothing."""
    with _alone():
        _clear()
        try:
            RUN.mkdir(parents=True)
            for node in nodes.NODES:
                (RUN / node).mkdir()
            topology.build()
            servers.start(RUN)
            if setup:
                hugepages.take(RUN)
                director.start(RUN, setup)
        except BaseException:
            if "SLUICE_LAB_KEEP" not in os.environ:
                _clear()
            raise


def down():
    """Ends and removes everything of the lab; nothing to do is a success."""
    with _alone():
        _clear()


def _clear():
    there = nodes.existing()
    nodes.end(there)
    for node in there:
        run("ip", "netns", "del", nodes.namespace(node))
    if RUN.exists():
        hugepages.unmount(RUN)
        hugepages.give_back(RUN)
        shutil.rmtree(RUN)


def status():
    """What there is, a line a node and a line a process; empty when the lab is down."""
    lines = []
    for node in nodes.existing():
        addresses = run("ip", "-n", nodes.namespace(node), "-4", "-o", "addr", "show").stdout.splitlines()
        shown = [f"{part[1]} {part[3]}" for part in map(str.split, addresses) if part[1] != "lo" or "127." not in part[3]]
        lines.append(f"{node}: {', '.join(shown) or 'no address'}")
        lines += [f"    {pid} {command}" for pid, command in nodes.processes(node)]
    return lines
