"""Cases over synthetic receive, which the program `synthetic` measures: its rounds, read into results with their targets."""

import json
import subprocess
from dataclasses import dataclass

from rig import appliance
from rig.errors import RigError
from rig.result import Result

LIMIT = 900


@dataclass(frozen=True)
class Row:
    """A line of the table; `case` begins the names of the rounds that it is about: the least of several counts."""

    case: str
    what: str
    unit: str
    must: float | None = None
    aim: float | None = None
    at_least: bool = False
    dpvs: str = ""
    published: str = ""

    def result(self, rounds):
        """The result out of the rounds of all cases, by their names."""
        mine = {name: each for name, each in rounds.items() if name == self.case or name.startswith(f"{self.case}:")}
        if not mine:
            raise RigError(f"`synthetic` says nothing of {self.case}")
        made = {name: Result(self.case, self.what, self.unit, self.must, self.aim, self.dpvs, self.at_least, each,
                             published=self.published)
                for name, each in mine.items()}  # fmt: skip
        least = min(made.values(), key=lambda result: result.value)
        least.extra = least.rounds[-1]["extra"]
        if len(made) > 1:
            least.extra = ", ".join(f"{name.split(':')[1]} {result.value:.2f}" for name, result in made.items())
        return least


@dataclass(frozen=True)
class Program:
    """A run of `synthetic`: the case that it is told, its rounds as a share of those of other cases, and its rows."""

    case: str
    rows: tuple[Row, ...]
    rounds: float = 1
    size: int | None = None
    # Each round is so many seconds long already, and `--size` is their number.
    is_by_seconds: bool = False

    def command(self, rounds, cores):
        """Its command line."""
        count = str(max(2, round(rounds * self.rounds)))
        # Before all others on its cores, as what is measured over the capture device.
        words = ["nice", "-n", "-20", str(appliance.binary("synthetic")), self.case, "--control", str(cores[0]), "--core", str(cores[1])]
        words += ["--size" if self.is_by_seconds else "--rounds", count]
        return words if self.size is None else [*words, "--size", str(self.size)]

    def run(self, rounds, cores):
        """Its results, row by row."""
        done = subprocess.run(
            self.command(rounds, cores), stdout=subprocess.PIPE, text=True, check=False, timeout=LIMIT
        )
        if done.returncode:
            raise RigError(f"`synthetic {self.case}` failed")
        by_case = {}
        for line in done.stdout.splitlines():
            one = json.loads(line)
            by_case.setdefault(one.pop("case"), []).append(one)
        return [row.result(by_case) for row in self.rows]


def _flows(name, size, **targets):
    row = Row(f"synthetic-{name}", f"NAT TCP, {name} flows, synthetic receive", "x floor", **targets)
    return Program("flows", (row,), size=size)


ALL = [
    _flows("1k", 1_000),
    _flows("100k", 100_000),
    _flows("1m", 1_000_000),
    _flows("10m", 10_000_000, must=2.8, aim=2.3),
    Program(
        "arrivals",
        (Row("new-connections", "new connections, NAT, rr, 8 servers", "M/s", 6, 10, True, "1.2 M/s", "0.2 M/s"),),
        rounds=2.4,
        is_by_seconds=True,
    ),
    Program(
        "lives",
        (Row("full-lives", "SYN to FIN, 7 packets, 1M live", "M/s", 2, 3, True),),
        rounds=2.4,
        is_by_seconds=True,
    ),
    Program(
        "schedulers",
        (
            Row("scheduler", "slowest scheduler / rr, 128 servers", "x rr", 0.8, 0.95, True),
            Row("scheduler-4-workers", "the same, counts of 4 workers", "x rr", 0.8, 0.95, True),
        ),
    ),
    Program(
        "bytes",
        (
            Row("bytes-nat", "bytes a connection, v4 NAT", "bytes", 98, 90, dpvs="712 bytes"),
            Row("bytes-dr", "bytes a connection, v4 DR", "bytes", 90, 76, dpvs="712 bytes"),
            Row("bytes-nat6", "bytes a connection, v6 NAT", "bytes", 172, 165),
        ),
    ),
    Program("window", (Row("window-p999", "a window's time, p99.9, 1M ending, 10k reloaded", "us", 50, 10),)),
    Program(
        "workers",
        (
            Row("two-workers-own", "two workers / one", "x one", 1.9, 1.98, True),
            Row("two-workers-handed", "the same, half handed over", "x one", 1.5, 1.7, True),
        ),
    ),
]
BY_NAME = {row.case: program for program in ALL for row in program.rows}
QUICK = ["synthetic-10m", "new-connections", "full-lives", "bytes-nat", "window-p999", "two-workers-own"]
