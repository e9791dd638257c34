"""Where a measurement lives: network and mount namespaces of its own, and one directory. Nothing of it stays.

The namespaces go with their last process, also after kill -9, and take veth pairs and mounts along.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from rig.errors import RigError

INSIDE = "SLUICE_PERF_SANDBOX"


class Stopped(Exception):
    """SIGTERM or SIGINT came."""


def enter():
    """Starts this program again in namespaces of its own, in the same process, unless it is there."""
    if os.geteuid():
        raise RigError("the rig needs huge pages and network namespaces: run it as root")
    if os.environ.get(INSIDE) != str(os.getpid()):
        os.environ[INSIDE] = str(os.getpid())
        os.execvp("unshare", ["unshare", "--net", "--mount", "--", sys.executable, *sys.argv])


def stop_on_signals():
    """From here on SIGTERM and SIGINT raise `Stopped`, once; what unwinds then is not disturbed again."""

    def stop(_number, _frame):
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, stop)


@contextlib.contextmanager
def directory():
    """A directory for files and sockets, with a hugetlbfs in `huge`."""
    made = Path(tempfile.mkdtemp(prefix="sluice-perf-"))
    try:
        (made / "huge").mkdir()
        run("mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", made / "huge")
        yield made
    finally:
        subprocess.run(["umount", "--lazy", made / "huge"], check=False, capture_output=True)
        shutil.rmtree(made, ignore_errors=True)


def run(*argv):
    """Runs a command and returns what it printed; a failure is a `RigError`."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError as missing:
        raise RigError(f"`{words[0]}` is not installed: run scripts/install") from missing
    if done.returncode:
        raise RigError(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def spawn(argv, log, **options):
    """Starts a program that ends when this one does, its output in the file `log`."""
    with open(log, "ab") as sink:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *map(str, argv)], stdout=sink, stderr=sink, **options
        )


def end(child, seconds=20.0):
    """Asks a child to end, and makes it end after `seconds`."""
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def last_words(log):
    """The end of a log, for an error."""
    return Path(log).read_text(encoding="utf-8", errors="replace")[-2000:].strip()


def forget_dpdk(prefix):
    """Removes what DPDK leaves of a `--file-prefix` that has ended."""
    shutil.rmtree(f"/var/run/dpdk/{prefix}", ignore_errors=True)
