"""The results, printed."""

import statistics

HEADER = f"{'case':14} {'floor ns':>9} {'ours ns':>9} {'Mpps':>7} {'ratio':>7} {'spread':>15} {'quiet':>6}"


def row(case, rounds):
    """A line: medians over the rounds, the ratio of each round to its own floor, and whether the target is met."""
    ratios = [one.ours / one.floor for one in rounds]
    floor, ours = (statistics.median(getattr(one, name) for one in rounds) for name in ("floor", "ours"))
    ratio = statistics.median(ratios)
    quiet = sum(one.quiet for one in rounds)
    line = f"{case.name:14} {floor:9.2f} {ours:9.2f} {1e3 / ours:7.2f} {ratio:7.2f} {min(ratios):7.2f}..{max(ratios):.2f}"
    line = f"{line:66} {quiet:>3}/{len(rounds)}"
    lost = [one.lost for one in rounds if one.lost]
    faults = []
    if lost:
        faults.append(f"LOSES PACKETS: {lost[0]}")
    if quiet < 2:
        faults.append("DISTURBED, proves nothing")
    elif case.target and ratio > case.target:
        faults.append(f"over {case.target}")
    return f"{line}  {', '.join(faults)}".rstrip(), not faults


def rate(flows, rounds):
    """A line for new connections: million a second of processor time."""
    return (
        f"{'new conns':14} {flows} SYNs: {statistics.median(rounds):.2f} million a second "
        f"({min(rounds):.2f}..{max(rounds):.2f}, {1e3 / statistics.median(rounds):.0f} ns each)"
    )
