"""Starts and ends: clean, doubled, killed."""

import os
import signal
import subprocess
import time
from pathlib import Path

from labkit import client, director, hugepages, lab, nodes, rules, topology
from labkit.setup import Setup, config
from labtests.suite import expect, expect_soon, test

URL = f"http://{topology.VIP}/"
LAB = Path(__file__).resolve().parent.parent / "lab"


def twins():
    """The twins that exist in the director."""
    shown = nodes.execute("director", "ip", "-br", "link").stdout
    return [line.split()[0] for line in shown.splitlines() if line.split()[0] in topology.TWIN_MAC]


def serves():
    """The director has a service and serves it."""
    rules.serve("masq")
    client.fetch(URL, 30)


def all_pages_free():
    """No huge page outlives its process; others on the machine may start or stop while we look."""
    limit = time.monotonic() + 3
    while (left := hugepages.orphaned()) > 0 and time.monotonic() < limit:
        time.sleep(0.1)
    expect(left <= 0, f"{left} huge pages are still taken")


def _clean_stop(number):
    def body():
        expect(len(twins()) == 2, f"the twins are {twins()}")
        serves()
        director.stop(number)
        expect(not twins(), f"twins are left: {twins()}")
        all_pages_free()
        expect(not (lab.RUN / "sluice.sock").exists(), "the socket is left")
        director.start(lab.RUN, Setup())
        serves()

    body.__doc__ = f"{signal.Signals(number).name} leaves no twins, huge pages or socket"
    test()(body)


for _number in (signal.SIGTERM, signal.SIGINT):
    _clean_stop(_number)


@test()
def two_daemons():
    """a second daemon on the socket says so and exits, and the first goes on"""
    serves()
    second = nodes.execute("director", director.binary("sluiced"), "--config", lab.RUN / "sluiced.toml", check=False, limit=15)
    said = second.stdout + second.stderr
    expect(second.returncode != 0, "the second daemon exited with success")
    expect("sluice.sock" in said, f"the second daemon does not name the socket: {said.strip()}")
    expect(len(twins()) == 2, "the second daemon took the twins away")
    client.fetch(URL, 30)


@test()
def one_prefix():
    """files on hugetlbfs take no huge page with them, and a second daemon of the prefix is told why it cannot start"""
    director.stop()
    with hugepages.mounted(lab.RUN) as folder:
        setup = Setup(eal=("--file-prefix", "sluice-lab", "--no-telemetry", "--iova-mode=va"))
        director.start(lab.RUN, setup)
        serves()
        said = director.refused(lab.RUN, config(lab.RUN, setup).replace("sluice.sock", "other.sock"))
        expect('same file prefix, "sluice-lab"' in said, f"the second daemon does not name the prefix: {said.strip()}")
        expect(not (lab.RUN / "other.sock").exists(), "the second daemon left its socket")
        director.stop()
        files = [file.name for file in folder.iterdir()]
        expect(not files, f"the files {files} are left, and their huge pages with them")
        all_pages_free()
    director.start(lab.RUN)


@test()
def failed_starts():
    """a start that fails, by its device or by its routes, leaves no twin and no socket, and says only why"""
    director.stop()
    good = config(lab.RUN, Setup())
    for text, reason in (
        (good.replace("iface=ds0", "iface=nosuch"), "net_af_packet1"),
        (good + '[[route]]\nprefix = "192.0.2.0/24"\nvia = "203.0.113.1"\ninterface = "dc"\n', "192.0.2.0/24"),
    ):
        said = director.refused(lab.RUN, text)
        last = said.strip().splitlines()[-1]
        expect(last.startswith("sluiced: ") and reason in last, f"the last line does not name {reason}: {last}")
        expect("WARN" not in said, f"a failed start warned: {said}")
        expect(not twins(), f"twins are left: {twins()}")
        expect(not (lab.RUN / "sluice.sock").exists(), "the socket is left")
    director.start(lab.RUN)


@test()
def killed():
    """after kill -9 the daemon starts again"""
    serves()
    director.stop(signal.SIGKILL)
    limit = time.monotonic() + 10
    while twins() and time.monotonic() < limit:
        time.sleep(0.1)
    expect(not twins(), f"twins are left: {twins()}")
    director.start(lab.RUN, Setup())
    serves()


def group_lives(leader):
    """Whether a process group has a process that is no zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group) == leader and state not in "ZX":
            return True
    return False


@test()
def lab_killed():
    """a lab killed halfway is cleared by the next, and leaves nothing after down"""
    before = hugepages.noted(lab.RUN)
    for seconds in (0.1, 0.3, 1.0):
        half = subprocess.Popen([LAB, "up"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(seconds)
        # With it what it waits for: an `ip` that ends later would make a namespace after the lab was cleared.
        os.killpg(half.pid, signal.SIGKILL)
        half.wait(timeout=10)
        expect_soon(lambda: not group_lives(half.pid), "SIGKILL does not end a lab")
    lab.down()
    expect(not nodes.existing() and not lab.RUN.exists(), "the lab left something")
    expect(before is None or hugepages.total() == before, f"{hugepages.total()} huge pages are left of {before} before")
    lab.up(Setup())
    serves()
