"""What a result belongs to: the machine and the commit."""

import os
import platform
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


def _output(*command):
    try:
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit():
    """The short hash of the tree's commit, with `+` if files differ from it."""
    # Git refuses a tree of another user, which root's rig may well work in.
    git = ["git", "-c", f"safe.directory={TOP}"]
    changed = _output(*git, "status", "--porcelain", "--untracked-files=no")
    return (_output(*git, "rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if changed else "")


def description():
    """Processor, cores, memory, kernel and DPDK, in one line."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    values = dict((part.strip() for part in line.split(":", 1)) for line in lines if ":" in line)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    virtual = ", virtual" if "hypervisor" in values.get("flags", "") else ""
    family = f"family {values.get('cpu family', '?')} model {values.get('model', '?')}"
    return (
        f"{values.get('model name', platform.machine())} ({family}{virtual}), {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {platform.release()}, DPDK {_output('pkg-config', '--modversion', 'libdpdk') or '?'}"
    )
