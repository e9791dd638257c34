"""under-load --audit: sampled frames of the appliance under load, compared byte by byte with what they have to be.

The auditor (`perf/src/bin/audit`) is the clients and the real servers at the other ends of two virtual links (memif): it sends
frames as fast as they come back, each with its flow and number in the payload, and checks those that come with code of its
own: MAC addresses, addresses and ports, checksums over all that they cover, TTL, what nothing may change, payload, that a
flow stays with its server, that nothing comes twice or without having been sent, and that what is missing was counted as a
drop. First each service alone (every method, family and protocol), then all mixed; then it makes every kind of fault in copies
of right frames and sees whether each is found; then it goes on while weights, servers and services change, and while all rules
are taken away and brought back. Exit 1 if a frame is wrong, with the first ones as hex.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from rig import appliance, audit_plan, hugepages, machine, meter, sandbox
from rig.audit_changes import Changes
from rig.errors import RigError

FLOWS, SHORT_FLOWS = [100_000, 10_000, 1_000], [20_000, 2_000, 200]
PATIENCE = 120
# TCP waits for a server that was removed; what comes while there is no service is Linux's, and there is no twin.
REMOVED, ALL_GONE = frozenset({"destination_removed"}), frozenset({"no_twin"})
# Whoever waits for a core leaves others a full ring: a drop that is counted, and no fault.
CROWDED = frozenset({"hand_over_full", "tx_full"})


@dataclass(frozen=True)
class Phase:
    """Frames of some services for a time. `share` of a hundred flows may be open; `rules` as the auditor knows them."""

    name: str
    seconds: float
    services: list
    share: int = 60
    rules: str = "strict"
    changes: str | None = None
    # Why frames may be dropped.
    drops: frozenset = frozenset()


def arguments(words):
    """The command line behind --audit."""
    parser = argparse.ArgumentParser(
        prog="under-load --audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="less of everything: some 20 seconds")
    parser.add_argument("--seconds", type=float, help="how long a service alone has; all together eight times that (2; 0.4)")
    parser.add_argument("--sample", type=int, default=8, help="one frame of so many is compared whole (8)")
    parser.add_argument("--workers", type=int, choices=[1, 2], default=1, help="2: half of the flows are handed over")
    parser.add_argument("--inject", action="store_true", help="only see whether every kind of fault is found")
    parser.add_argument("--json", action="store_true", help="a JSON line for each case and phase")
    parser.add_argument("--cores", default="0,1", help="control's and the auditor's core, and the worker's")
    given = parser.parse_args(words)
    given.seconds = given.seconds or (0.4 if given.short else 2.0)
    return given


def phases(given, services):
    """What is done, in order."""
    everything, long = list(range(len(services))), 8 * given.seconds
    inject = Phase("inject", max(1.0, given.seconds), everything, rules="inject")
    if given.inject:
        return [inject]
    alone = [Phase(f"{service.name} alone", given.seconds, [place], 40) for place, service in enumerate(services)]
    return [
        *alone,
        Phase("all mixed", long, everything),
        inject,
        Phase("rules change", long, everything, 80, changes="edits", drops=REMOVED),
        Phase("rules reload", long, everything, 100, "reload", "reloads", REMOVED | ALL_GONE),
    ]


class Auditor:
    """The running auditor. `end` it, whatever happens."""

    def __init__(self, plan, socket, core, queues, log):
        self._log = log
        self.child = sandbox.spawn(
            [appliance.binary("audit"), plan, socket, core, queues], log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._line("ready")

    def begin(self, phase, sample):
        """Begins a phase."""
        places = ",".join(map(str, phase.services))
        name = phase.name.replace(" ", "_")
        self.child.stdin.write(f"{name} {phase.seconds} {phase.share} {sample} {phase.rules} {places}\n")
        self.child.stdin.flush()

    def results(self):
        """The lines of the phase that was begun, the last one about the phase itself."""
        while True:
            line = json.loads(self._line())
            yield line
            if "seconds" in line:
                return

    def _line(self, wanted=None):
        line = self.child.stdout.readline().strip()
        if not line or wanted not in (None, line):
            raise RigError(f"the auditor has ended: {sandbox.last_words(self._log)}")
        return line

    def end(self):
        """Stops it."""
        sandbox.end(self.child)


class Audit:
    """The appliance and the auditor, and what came out so far."""

    def __init__(self, given, services, running, auditor):
        self._given, self._services, self._running, self._auditor = given, services, running, auditor
        self._faults = []
        self.bad = 0

    def run(self, phase):
        """Prints a line for each case; counts what is bad."""
        before, changes = self._counted(), 0
        self._auditor.begin(phase, self._given.sample)
        if phase.changes:
            lines = iter(self._auditor.results())
            with Changes(self._running.ipvsadm, self._services, phase.changes) as changing:
                results = [next(lines)]
            results += lines
            changes = changing.made
        else:
            results = list(self._auditor.results())
        after = self._counted()
        self._show(phase, results, after - before, changes)

    def _counted(self):
        """Sums over the workers."""
        workers = self._running.stats()["workers"]
        counted = collections.Counter(received=sum(worker["received"] for worker in workers))
        counted["handed"] = sum(worker["handed_in"] for worker in workers)
        for worker in workers:
            counted.update(worker["dropped"])
        return counted

    def _show(self, phase, results, counted, changes):
        cases = [line for line in results if "case" in line]
        total = results[-1]
        sums = {name: sum(case[name] for case in cases) for name in ("sent", "came", "checked", "wrong", "lost", "moved")}
        sums["wrong"] += total["strange"]
        whole = {"case": phase.name, **sums, "seconds": total["seconds"], "changes": changes}
        whole |= {name: counted.pop(name, 0) for name in ("received", "handed")} | {"dropped": dict(counted)}
        whole["mpps"] = round(sums["came"] / total["seconds"] / 1e6, 3) if total["seconds"] else 0.0
        whole["refusals"] = total["refusals"]
        faults = total["faults"]
        if sums["lost"] != counted.total() or set(+counted) - phase.drops - CROWDED:
            faults.append({"sentence": f"{sums['lost']} frames are lost, counters tell of {dict(counted)}", "frame": ""})
        faults += [
            {"sentence": f"{case['case']}: no frame was compared", "frame": ""} for case in cases if not case["checked"]
        ]
        for kind in (line for line in results if "injected" in line):
            whole["faults made"] = whole.get("faults made", 0) + kind["made"]
            whole["faults found"] = whole.get("faults found", 0) + kind["found"]
            if not kind["made"] or kind["found"] != kind["made"]:
                text = f"the fault `{kind['injected']}` was made {kind['made']} times and found {kind['found']} times"
                faults.append({"sentence": text, "frame": ""})
        self.bad += sums["wrong"] + len(faults)
        self._print([*(cases if len(cases) > 1 else []), whole], faults)

    def _print(self, lines, faults):
        for line in lines:
            print(json.dumps(line) if self._given.json else row(line), flush=True)
        for fault in faults:
            print(json.dumps(fault) if self._given.json else f"WRONG: {fault['sentence']}\n       {fault['frame']}", flush=True)


HEADER = f"{'case':22} {'sent':>10} {'came':>10} {'compared':>10} {'wrong':>6} {'lost':>8} {'moved':>7} {'Mpps':>6}"


def row(line):
    """A line of the table."""
    numbers = "".join(
        f" {line[name]:>{width}}" for name, width in
        (("sent", 10), ("came", 10), ("checked", 10), ("wrong", 6), ("lost", 8), ("moved", 7))
    )  # fmt: skip
    if "seconds" not in line:
        return f"  {line['case']:20}{numbers}"
    text = f"{line['case']:22}{numbers} {line['mpps']:>6.2f}"
    for name in ("changes", "refusals", "handed", "faults made", "faults found"):
        text += f"  {line[name]} {name}" if line.get(name) else ""
    text += "".join(f"  {count} {reason}" for reason, count in line["dropped"].items())
    return text


def begun(given, where, services):
    """The appliance and the auditor, both running; the caller ends both."""
    cores = tuple(map(int, given.cores.split(",")))
    settings = audit_plan.Settings(f"sluice-audit-{os.getpid()}", cores, services, given.workers)
    running = appliance.Appliance(settings, where)
    try:
        running.wait_until("sluiced does not answer", running.stats, PATIENCE)
        meter.favour(meter.task(running.child.pid, appliance.WORKER))
        plan = where / "plan.txt"
        plan.write_text(audit_plan.in_words(services), encoding="utf-8")
        return running, Auditor(plan, where / "memif.sock", cores[0], given.workers, where / "audit.log")
    except BaseException:
        running.end()
        raise


def main(words):
    """Returns the exit status."""
    given = arguments(words)
    appliance.build()
    sandbox.enter()
    sandbox.stop_on_signals()
    services = audit_plan.services(SHORT_FLOWS if given.short else FLOWS)
    pages = audit_plan.Settings("", (0, 1), services, given.workers).pages
    try:
        with hugepages.taken(pages), sandbox.directory() as where:
            return _audited(given, where, services)
    except sandbox.Stopped:
        return 1


def _audited(given, where, services):
    running, auditor = begun(given, where, services)
    try:
        if not given.json:
            print(f"machine  {machine.description()}\ncommit   {machine.commit()}\n{HEADER}", flush=True)
        audit = Audit(given, services, running, auditor)
        plan = phases(given, services)
        for number, phase in enumerate(plan, 1):
            if sys.stderr.isatty():
                print(f"{number} of {len(plan)}: {phase.name}", file=sys.stderr)
            audit.run(phase)
    finally:
        auditor.end()
        running.end()
    if given.short and not given.json:
        print(f"{len(plan) if not audit.bad else 0} passed, {audit.bad} failed")
    return 1 if audit.bad else 0
