"""The lab's nodes: network namespaces whose names begin with `sluice-`, so that nothing else is touched.

Membership of a namespace is the record of what the lab started: it survives a kill -9 of anything, and it never names
a stranger's process.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

from labkit.shell import LabError, run

PREFIX = "sluice-"
SERVERS = ("rs1", "rs2", "rs3")
NODES = ("client", "director", "wire", *SERVERS)


def namespace(node):
    """The namespace of a node; a name that is no node is a `LabError`."""
    if node not in NODES:
        raise LabError(f"there is no node {node!r}: choose one of {', '.join(NODES)}")
    return PREFIX + node


def existing():
    """The lab's namespaces that exist."""
    names = {line.split()[0] for line in run("ip", "netns", "list").stdout.splitlines() if line.strip()}
    return [node for node in NODES if PREFIX + node in names]


def inside(node, *argv):
    """The command line that runs `argv` in a node."""
    return ("ip", "netns", "exec", namespace(node), *map(str, argv))


def execute(node, *argv, **options):
    """`shell.run` in a node."""
    return run(*inside(node, *argv), **options)


def spawn(node, *argv, log, env=None):
    """Starts `argv` in a node in a session of its own, its output in the file `log`; returns the `Popen`."""
    with open(log, "ab") as sink:
        return subprocess.Popen(
            inside(node, *argv), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, env=env
        )


def processes(node):
    """The processes living in a node, as (pid, command line)."""
    found = []
    for pid in map(int, run("ip", "netns", "pids", namespace(node), check=False).stdout.split()):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                found.append((pid, line.read().replace(b"\0", b" ").decode(errors="replace").strip()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def program(pid):
    """The name of a process's program; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def ended(pid):
    """Whether a process is gone or a zombie: until then it may still hold interfaces, though it has left its node."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def end(nodes, term_seconds=8.0):
    """Ends every process in `nodes`: SIGTERM, and after `term_seconds` SIGKILL."""
    _signal(nodes, signal.SIGCONT)
    _signal(nodes, signal.SIGTERM)
    if not _gone(nodes, term_seconds):
        _signal(nodes, signal.SIGKILL)
        if not _gone(nodes, 5.0):
            left = [entry for node in nodes for entry in processes(node)]
            raise LabError(f"these processes outlive SIGKILL: {left}")


def _signal(nodes, number):
    for node in nodes:
        for pid, _ in processes(node):
            if pid == os.getpid():
                continue
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def _gone(nodes, seconds):
    limit = time.monotonic() + seconds
    while any(processes(node) for node in nodes):
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True
