"""The director, in process: replays traces and says where it differs from the kernel. See control/examples/replay.rs."""

import json
import re
import subprocess
from pathlib import Path

from fuzzkit import packet
from fuzzkit.kernel import CannotRun

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = ("cargo", "build", "--quiet", "--package", "control", "--example", "replay", "--message-format", "json")
BUILD_SECONDS, RUN_SECONDS = 900, 300
STEP = re.compile(r"^step (\d+):\n", re.MULTILINE)


class Difference:
    """The first difference of a trace: the place of its step, what it is, and what the step was."""

    def __init__(self, trace, place, text):
        self.place, self.text = place, text
        steps = [step for step in trace["steps"] if step["op"] not in ("recv", "recv_none")]
        step = steps[place] if place is not None else {"op": "end"}
        #: Two differences of the same kind are taken for the same fault.
        self.kind = (step["op"], *_words(step), *_sides(text))


class Director:
    """The program that replays, built once."""

    def __init__(self):
        self.program = _build()

    def differences(self, traces):
        """The first difference of each trace that has one, by name."""
        lines = "".join(json.dumps(trace) + "\n" for trace in traces.values())
        argv = [str(self.program)]
        done = subprocess.run(argv, input=lines, capture_output=True, text=True, timeout=RUN_SECONDS, cwd=TOP, check=False)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode or len(answers) != len(traces):
            raise CannotRun(f"the director's replay ended with {done.returncode}: {done.stderr[-2000:]}")
        found = {}
        for trace, answer in zip(traces.values(), answers):
            if answer["differences"]:
                found[trace["name"]] = _first(trace, answer["differences"])
        return found


def _first(trace, text):
    parts = STEP.split(text)
    if len(parts) < 3:
        return Difference(trace, None, text)
    return Difference(trace, int(parts[1]), parts[2])


def _words(step):
    """Of a command, what it is but for what it is given."""
    words = step.get("args", "").split()
    return words if words[:1] and words[0].startswith("-L") else words[:1]


def _sides(text):
    """Who sent what where, or what a panic said."""
    frames = re.findall(r"^  ((?:kernel|ours) on \w+): (\w+)", text, re.MULTILINE)
    sides = sorted({f"{side} {packet.name(bytes.fromhex(frame))}" for side, frame in frames})
    return sides or [line.strip() for line in text.splitlines()[:1] if "panicked" in line]


def _build():
    try:
        # As scripts/check builds it, so that what is built already serves.
        has_dpdk = subprocess.run(("pkg-config", "--exists", "libdpdk"), timeout=20, check=False).returncode == 0
        features = ("--features", "dpdk") if has_dpdk else ()
        done = subprocess.run((*BUILD, *features), capture_output=True, text=True, timeout=BUILD_SECONDS, cwd=TOP, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired) as fault:
        raise CannotRun(f"the director's replay cannot be built: {fault}") from fault
    if done.returncode:
        raise CannotRun(f"the director's replay cannot be built: {done.stderr[-2000:]}")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return next(message["executable"] for message in messages if message.get("executable"))
