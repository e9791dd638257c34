"""A scenario that differs made as small as it goes: steps are left out as long as a difference of the same kind remains."""


def shrink(scenario, difference, judge):
    """The smallest scenario found, its trace and its difference.

    `judge` takes scenarios and gives (trace, difference or None) for each, in order.
    """
    end = len(scenario["steps"]) if difference.place is None else difference.place + 1
    best = _judged(judge, [_with(scenario, scenario["steps"][:end], 0)], difference.kind)
    if best is None:
        return None
    pieces = 2
    while True:
        steps = best[0]["steps"]
        pieces = min(pieces, len(steps))
        variants = [_with(scenario, kept, number) for number, kept in enumerate(_left_out(steps, pieces))]
        smaller = _judged(judge, variants, difference.kind)
        if smaller:
            best, pieces = smaller, max(pieces - 1, 2)
        elif pieces == len(steps):
            return best
        else:
            pieces *= 2


def _judged(judge, variants, kind):
    """The first variant that differs in this kind, cut after the step that does."""
    for variant, (trace, difference) in zip(variants, judge(variants)):
        if difference is not None and difference.kind == kind:
            return variant, trace, difference
    return None


def _left_out(steps, pieces):
    """The steps without each of so many pieces of equal length, the last first: what comes late matters least."""
    bounds = [len(steps) * piece // pieces for piece in range(pieces + 1)]
    for first, end in reversed(list(zip(bounds, bounds[1:]))):
        if kept := steps[:first] + steps[end:]:
            yield kept


def _with(scenario, steps, number):
    return scenario | {"name": f"{scenario['name'].split('.')[0]}.{number}", "steps": steps}
