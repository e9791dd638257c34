"""What the client does: fetch pages with curl, put load on with wrk, ping."""

import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count as counted

from labkit import nodes, rules, servers
from labkit.shell import LabError

# A body or, for a fetch that failed, curl's exit status: one line a fetch, each on a connection of its own.
LOOP = 'for i in $(seq "$2"); do curl -sS -f -m 5 "$1" 2>/dev/null || echo "curl: exit $?"; done'
# Of questions over UDP.
PORTS = counted(20_000)


def fetch(url, count, node="client"):
    """Fetches `url` `count` times; returns how often each server's page came. A failed fetch is a `LabError`."""
    answers = nodes.execute(node, "sh", "-c", LOOP, "sh", url, count, limit=20 + count * 0.5).stdout.splitlines()
    pages = {servers.page(server).strip(): server for server in nodes.NODES}
    strange = [answer for answer in answers if answer not in pages]
    if strange or len(answers) != count:
        raise LabError(f"{len(strange)} of {count} fetches of {url} failed, the first with `{strange[0] if strange else 'nothing'}`")
    return Counter(pages[answer] for answer in answers)


def curl(*argv, node="client", seconds=5):
    """curl's exit status and output."""
    done = nodes.execute(node, "curl", "-sS", "-m", seconds, *argv, check=False, limit=seconds + 10)
    return done.returncode, done.stdout


@dataclass(frozen=True)
class Load:
    """What wrk reports: requests answered, a second, and what went wrong (empty when nothing did)."""

    requests: int
    rate: float
    wrong: str


class Wrk:
    """wrk on the client, running from its making for `seconds` or until `stop`."""

    def __init__(self, url, seconds, connections=50, close=False):
        header = ("-H", "Connection: close") if close else ()
        argv = nodes.inside("client", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *header, url)
        self.limit = seconds + 15
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def running(self):
        """Whether the load is on."""
        return self.process.poll() is None

    def begun(self, seconds=10.0):
        """Waits until the director has connections, which are the load's."""
        limit = time.monotonic() + seconds
        while not rules.connections():
            if time.monotonic() > limit:
                raise LabError(f"wrk has no connection after {seconds:g} s")
            time.sleep(0.05)
        return self

    def stop(self):
        """Ends the load before its time, with a result all the same."""
        self.process.send_signal(signal.SIGINT)

    def result(self):
        """Waits for the end; output that is no report is a `LabError`."""
        try:
            report, _ = self.process.communicate(timeout=self.limit)
        except subprocess.TimeoutExpired as late:
            self.process.kill()
            raise LabError(f"wrk did not end within {self.limit} s") from late
        total = re.search(r"(\d+) requests in", report)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
        if not total or not rate:
            raise LabError(f"wrk said: {report.strip()}")
        wrong = re.findall(r"Socket errors:.*|Non-2xx.*", report)
        return Load(int(total[1]), float(rate[1]), "; ".join(wrong))


def ask_names(address, count, node="client"):
    """Asks the DNS server at `address` `count` times over UDP for who it is; how often each server answered.

    Each question comes from a port of its own: one that dig takes by chance may be that of an earlier question, whose
    connection is still open and leads to the same server.
    """

    def ask():
        own = f"{'::' if ':' in address else '0.0.0.0'}#{next(PORTS)}"
        argv = ("dig", f"@{address}", "-b", own, "+short", "+tries=1", "+time=2", "+notcp", "TXT", servers.WHO)
        return nodes.execute(node, *argv).stdout.strip().strip('"')

    return Counter(ask() for _ in range(count))


def ping(address, count=3, node="client", interval=0.2):
    """The number of `count` echo requests that were answered."""
    done = nodes.execute(node, "ping", "-n", "-c", count, "-i", interval, "-W", "1", address, check=False, limit=count * 2 + 5)
    found = re.search(r"(\d+) received", done.stdout)
    if not found:
        raise LabError(f"ping said: {(done.stderr or done.stdout).strip()}")
    return int(found[1])
