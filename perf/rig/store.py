"""Results on disk: a file of JSON lines a run, named by the commit and its how-manieth run it is, and its plot."""

import json
from pathlib import Path

from rig import machine, plot

RESULTS = Path(__file__).resolve().parent.parent / "results"


def line(result, run, commit):
    """A JSON line."""
    return json.dumps({"id": run, "commit": commit, "machine": machine.description()} | result.as_dict())


def next_id(commit):
    """The name of this run."""
    taken = {path.stem for path in RESULTS.glob("*.jsonl")}
    return next(name for name in (f"{commit}-{number}" for number in range(1, 10_000)) if name not in taken)


def keep(results, run, commit):
    """Writes the lines and the plot; returns the paths."""
    RESULTS.mkdir(exist_ok=True)
    lines, picture = RESULTS / f"{run}.jsonl", RESULTS / f"{run}.svg"
    lines.write_text("".join(line(result, run, commit) + "\n" for result in results), encoding="utf-8")
    picture.write_text(plot.over_flows(results, f"{machine.description()}; commit {commit}"), encoding="utf-8")
    return lines, picture
