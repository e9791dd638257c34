"""What runs in the guest: takes scenarios out of the shared folder and puts traces into it, until the folder goes.

Several processes do, so that one's waiting is another's time.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fuzzkit import bench, record

POLL = 0.01


def claim(folder):
    """A scenario that no other process has taken, or None."""
    for path in sorted((folder / "jobs").glob("*.json")):
        mine = folder / "claimed" / path.name
        try:
            path.rename(mine)
        except FileNotFoundError:
            continue
        return json.loads(mine.read_text(encoding="utf-8"))
    return None


def serve(folder):
    """Records scenarios; ends when the folder is gone."""
    # Its usual place cannot be written, and one that is held by another process is a failure.
    os.environ["XTABLES_LOCKFILE"] = str(folder / f"xtables.{os.getpid()}")
    wire = bench.Wire()
    while (folder / "jobs").is_dir():
        scenario = claim(folder)
        if scenario is None:
            time.sleep(POLL)
            continue
        try:
            trace = record.record(scenario, wire)
        except Exception:  # whatever it is, the host is told and the next scenario is taken
            trace = {"name": scenario["name"], "failed": traceback.format_exc()}
        part = folder / "claimed" / f"{scenario['name']}.part"
        part.write_text(json.dumps(trace), encoding="utf-8")
        part.rename(folder / "done" / f"{scenario['name']}.json")


def main():
    """Starts the processes and waits for them."""
    folder = Path(sys.argv[1])
    children = int((folder / "processes").read_text(encoding="ascii"))
    for _ in range(children):
        if os.fork() == 0:
            serve(folder)
            return
    for _ in range(children):
        os.wait()


if __name__ == "__main__":
    main()
