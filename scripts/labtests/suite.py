"""Which tests there are, and how one is run: on a director of its setup, without rules and connections,
within its time."""

import json
import signal
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable

from labkit import director, lab, rules
from labkit.setup import Setup
from labkit.shell import LabError

LIMIT_SECONDS = 90


@dataclass(frozen=True)
class Test:
    """A test: its name is the sentence it proves."""

    name: str
    setup: Setup
    body: Callable[[], None]


TESTS: list[Test] = []


def test(setup=Setup()):
    """Registers a function whose docstring is the test's name."""

    def register(body):
        TESTS.append(Test(body.__doc__, setup, body))
        return body

    return register


def expect(holds, failure):
    """Fails the test with a sentence unless `holds`."""
    if not holds:
        raise LabError(failure)


def expect_soon(holds, failure, seconds=10.0):
    """As `expect`, of what comes by itself: asks `holds` until it is so."""
    limit = time.monotonic() + seconds
    while not holds():
        expect(time.monotonic() < limit, failure() if callable(failure) else failure)
        time.sleep(0.05)


def counters():
    """The director's counters, each name with its sum over wherever `sluice stats --json` has it."""
    sums = defaultdict(int)

    def walk(name, value):
        if isinstance(value, dict):
            for inner, below in value.items():
                walk(inner, below)
                if isinstance(below, dict):
                    sums[inner] += sum(number for number in below.values() if isinstance(number, int))
        elif isinstance(value, list):
            for below in value:
                walk(name, below)
        elif isinstance(value, int):
            sums[name] += value

    walk("", json.loads(director.ask(lab.RUN, "stats", "--json").stdout))
    return sums


def worker_counters():
    """Each worker's counters."""
    return json.loads(director.ask(lab.RUN, "stats", "--json").stdout)["workers"]


@contextmanager
def _limit(seconds):
    def late(*_):
        raise LabError(f"it took longer than {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


class Runner:
    """Runs tests one after the other; the lab is rebuilt after a failure, the director where the setup differs."""

    def __init__(self):
        self.setup = None

    def run(self, case):
        """Runs one test and prints its line; returns whether it passed."""
        begun = time.monotonic()
        try:
            with _limit(LIMIT_SECONDS):
                self._prepare(case.setup)
                case.body()
                expect(director.pids(), "sluiced is gone")
        except (LabError, OSError, ValueError, KeyError) as error:
            print(f"FAIL {case.name} ({error})\n{_last_words()}", end="", flush=True)
            self.setup = None
            return False
        print(f"ok {case.name} ({time.monotonic() - begun:.1f} s)", flush=True)
        return True

    def _prepare(self, setup):
        if self.setup is None:
            lab.up(setup)
        elif setup != self.setup or not director.pids():
            director.stop()
            director.start(lab.RUN, setup)
        self.setup = setup
        rules.forget()


def _last_words():
    log = lab.RUN / "sluiced.log"
    lines = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
    return "".join(f"     | {line}\n" for line in lines)
