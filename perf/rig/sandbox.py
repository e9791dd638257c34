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
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """SIGTERM or SIGINT came."""


def enter():
    """Returns in a child that lives in namespaces of its own; the process that called waits for it and ends as it does.

    Signals are passed on. A caller that is killed outright takes the child along, by SIGTERM, so that it still clears up.
    """
    if os.geteuid():
        raise RigError("the rig needs huge pages and network namespaces: run it as root")
    if os.environ.pop(INSIDE, None):
        return
    command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net", "--mount", "--", sys.executable, *sys.argv]
    child = subprocess.Popen(command, env=os.environ | {INSIDE: "1"})
    for each in (*ENDING, signal.SIGUSR1):
        signal.signal(each, lambda number, _frame: child.send_signal(number))
    status = child.wait()
    sys.exit(status if status >= 0 else 128 - status)


def stop_on_signals():
    """From here on SIGTERM and SIGINT raise `Stopped`, once; what unwinds then is not disturbed again."""

    def stop(_number, _frame):
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    for each in ENDING:
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
        raise RigError(f"`{words[0]}` is not installed: run scripts/install --test") from missing
    if done.returncode:
        raise RigError(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def spawn(argv, log, **options):
    """Starts a program that ends when this one does, its output in the file `log`."""
    with open(log, "ab") as sink:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *map(str, argv)], **{"stdout": sink, "stderr": sink} | options
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
