"""What was found, for people and as files."""

import json

from fuzzkit import packet


def show(scenario, trace, difference):
    """Prints a trace up to its difference."""
    print(f"\n## {scenario['name'].split('.')[0]}: {len(scenario['steps'])} steps")
    place = -1
    for step in trace["steps"]:
        place += step["op"] not in ("recv", "recv_none")
        if difference.place is not None and place > difference.place:
            break
        print("\n".join(_lines(step)))
    print("-- differs:")
    for line in difference.text.rstrip("\n").splitlines():
        print(f"  {_readable(line)}")
    print(flush=True)


def keep(folder, scenario, trace, difference):
    """Writes a trace as a file in the format of the golden ones."""
    folder.mkdir(parents=True, exist_ok=True)
    name = scenario["name"].split(".")[0]
    steps = ",\n".join(json.dumps(step) for step in trace["steps"])
    head = ",\n".join(f"{json.dumps(key)}: {json.dumps(trace[key])}" for key in ("name", "desc", "kernel"))
    (folder / f"{name}.json").write_text(f'{{\n{head},\n"steps": [\n{steps}\n]\n}}\n', encoding="utf-8")
    (folder / f"{name}.txt").write_text(difference.text, encoding="utf-8")


def summary(kinds, shown):
    """Prints the kinds of differences and the seeds of each that were not shown."""
    for kind, names in kinds.items():
        others = f", not shown: {' '.join(names[shown:])}" if names[shown:] else ""
        print(f"{len(names)} x {' '.join(kind)}: {names[0]}{others}")


def _lines(step):
    if step["op"] == "send":
        yield f"--> {step['port']} {step['desc']}"
    elif step["op"] == "recv":
        yield f"    <-- {step['port']} {step['desc']}"
    elif step["op"] == "recv_none":
        yield "    (nothing comes out)"
    elif step["op"] == "ipvsadm":
        yield f"$ ipvsadm {step['args']}" + (f"   [{step['rc']}]" if step["rc"] else "")
        yield from (f"    {line}" for line in step.get("out", ()))
    elif step["op"] == "sysctl":
        yield f"$ sysctl {step['key']}={step['value']}"
    else:
        yield f"# {step['op']} {step.get('cmd') or step.get('s') or step.get('text')}"


def _readable(line):
    """A line of a difference, with frames in hex put into words."""
    head, colon, text = line.rpartition(": ")
    try:
        frame = bytes.fromhex(text)
    except ValueError:
        return line
    return f"{head}: {packet.describe(frame)}\n{' ' * 16}{text}" if colon and len(frame) > packet.ETHERNET else line
