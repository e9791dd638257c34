"""The results, printed."""

HEADER = (
    f"{'case':18} {'DPVS here':>16} {'published':>9} {'floor ns':>9} {'ours ns':>9} {'added':>7} {'Mpps':>7} {'value':>16}"
    f" {'must':>6} {'aim':>6} {'spread':>15} {'quiet':>6}"
)


def number(value):
    """Three digits, or a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 100 else f"{value:.2f}"


def row(result):
    """A line: medians over the rounds, the least and the greatest value of a round, and the verdict."""
    floor, ours = result.median("floor"), result.median("ours")
    values = [one["value"] for one in result.rounds]
    spread = f"{number(min(values))}..{number(max(values))}"
    cells = [
        f"{result.case:18}", f"{result.dpvs or '-':>16}", f"{result.published or '-':>9}", f"{number(floor):>9}", f"{number(ours):>9}",
        f"{number(None if floor is None else ours - floor):>7}", f"{number(ours and 1e3 / ours):>7}",
        f"{number(result.value) + ' ' + result.unit:>16}", f"{number(result.must):>6}", f"{number(result.aim):>6}",
        f"{spread:>15}", f"{result.quiet:>3}/{len(result.rounds)}", f" {result.verdict}", f" {result.extra}",
    ]  # fmt: skip
    return " ".join(cells).rstrip()
