"""Huge pages: enough of them while the lab is up, and the former number afterwards."""

from contextlib import contextmanager
from pathlib import Path

from labkit.shell import LabError, run

COUNT = Path("/proc/sys/vm/nr_hugepages")
# The director's mempools and tables, with room for a second daemon that finds the socket taken.
NEEDED = 512


def _meminfo(name):
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def free():
    """The number of free huge pages."""
    return _meminfo("HugePages_Free")


def total():
    """The number of huge pages, taken or free."""
    return _meminfo("HugePages_Total")


def orphaned():
    """The number of pages that are taken though no process maps them: other users of the machine have theirs mapped."""
    mapped = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text(errors="replace").splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        mapped += sum(int(line.split()[1]) for line in lines if line.startswith("HugetlbPages:"))
    return total() - free() - mapped // _meminfo("Hugepagesize")


def noted(run_dir):
    """The number before the lab came up, if the lab changed it."""
    note = run_dir / "hugepages"
    return int(note.read_text()) if note.exists() else None


def take(run_dir):
    """Makes NEEDED pages free, noting the former number in the run directory first."""
    missing = NEEDED - free()
    if missing <= 0:
        return
    former = int(COUNT.read_text())
    (run_dir / "hugepages").write_text(f"{former}\n")
    COUNT.write_text(f"{former + missing}\n")
    if free() < NEEDED:
        raise LabError(f"the kernel has only {free()} of {NEEDED} huge pages of memory: free some, or reboot")


def give_back(run_dir):
    """Restores the number that `take` found."""
    former = noted(run_dir)
    if former is not None:
        COUNT.write_text(f"{former}\n")
        (run_dir / "hugepages").unlink()


@contextmanager
def mounted(run_dir):
    """A hugetlbfs, where DPDK without --in-memory puts its files; what is left there is freed with it."""
    folder = run_dir / "huge"
    folder.mkdir()
    run("mount", "-t", "hugetlbfs", "none", folder)
    try:
        yield folder
    finally:
        unmount(run_dir)


def unmount(run_dir):
    """Removes the hugetlbfs of `mounted`, if it is there."""
    folder = run_dir / "huge"
    if folder.is_mount():
        run("umount", "--lazy", folder)
    if folder.exists():
        folder.rmdir()
