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


def keep(result, run, commit):
    """Adds a line to the run's: what is known stays, also of a run that does not end."""
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / f"{run}.jsonl", "a", encoding="utf-8") as lines:
        lines.write(line(result, run, commit) + "\n")


def keep_plot(run):
    """Writes the plot of a run's lines beside them; returns its path."""
    lines, picture = RESULTS / f"{run}.jsonl", RESULTS / f"{run}.svg"
    picture.write_text(plot.over_flows(read([lines])), encoding="utf-8")
    return picture


def read(paths):
    """The kept lines of some files. Where they measured the same case, the later file has it."""
    lines = [json.loads(text) for path in paths for text in Path(path).read_text(encoding="utf-8").splitlines()]
    return list({one["case"]: one for one in lines}.values())
