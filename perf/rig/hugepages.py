"""Huge pages of 2 MiB: as many more as a measurement needs, given back after it."""

import contextlib
from pathlib import Path

from rig.errors import RigError

COUNT = Path("/proc/sys/vm/nr_hugepages")
BYTES = 2 << 20
# A packet buffer with its header, headroom and pool element; a connection's entry, index slots and share of side records.
BUFFER_BYTES, CONNECTION_BYTES = 2432, 104
# The pool's ring, DPDK's own structures, and a page lost here and there.
SPARE = 96


def needed(buffers, connections=0):
    """Pages for a program with so many packet buffers and connections."""
    return -(-(buffers * BUFFER_BYTES + connections * CONNECTION_BYTES) // BYTES) + SPARE


def free():
    """Pages that nobody has taken."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("HugePages_Free:"))


def _add(pages):
    COUNT.write_text(f"{max(0, int(COUNT.read_text(encoding='ascii')) + pages)}\n", encoding="ascii")


@contextlib.contextmanager
def taken(pages):
    """Sees to it that `pages` are free; what it added goes away again. Others may do the same meanwhile."""
    before, added = int(COUNT.read_text(encoding="ascii")), max(0, pages - free())
    try:
        if added:
            _add(added)
            added = int(COUNT.read_text(encoding="ascii")) - before
        if free() < pages:
            raise RigError(f"the kernel has only {free()} of {pages} free huge pages: free some memory, or reboot")
        yield
    finally:
        if added:
            _add(-added)
