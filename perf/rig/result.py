"""What came out of a case, and what it is worth."""

import statistics
from dataclasses import dataclass, field

LEAST_QUIET = 2


@dataclass
class Result:
    """A line of the table. `value` is what its targets are about, in `unit`; each round is a dict with one, and with `floor`
    and `ours` (nanoseconds) where there is a floor, `quiet`, and `lost` where something was."""

    case: str
    what: str
    unit: str
    must: float | None = None
    aim: float | None = None
    dpvs: str = ""
    at_least: bool = False
    rounds: list = field(default_factory=list)
    extra: str = ""
    # What DPVS's authors publish of one worker, and of what.
    published: str = ""

    def median(self, name):
        """The middle of the rounds, or None if they have no such value."""
        values = [one[name] for one in self.rounds if name in one]
        return statistics.median(values) if values else None

    @property
    def value(self):
        """The median of what the targets are about."""
        return self.median("value")

    @property
    def quiet(self):
        """How many rounds were undisturbed."""
        return sum(one["quiet"] for one in self.rounds)

    @property
    def lost(self):
        """What the first round that lost packets lost, or was wrong otherwise."""
        return next((one["lost"] for one in self.rounds if one.get("lost")), "")

    def reaches(self, target):
        """Whether a target is met."""
        return self.value >= target if self.at_least else self.value <= target

    @property
    def verdict(self):
        """In a word or two."""
        if self.lost:
            return f"LOSES PACKETS: {self.lost}"
        if self.quiet < min(LEAST_QUIET, len(self.rounds)):
            return "DISTURBED, proves nothing"
        if self.must is None:
            return ""
        if not self.reaches(self.must):
            return "MISSED"
        return "aim met" if self.aim is None or self.reaches(self.aim) else "must met"

    @property
    def is_good(self):
        """Whether nothing was lost, the machine was quiet and the target is met."""
        return self.verdict in ("", "aim met", "must met")

    def as_dict(self):
        """For a JSON line."""
        medians = {f"{name}_ns": self.median(name) for name in ("floor", "ours", "beside")}
        shown = {"case": self.case, "what": self.what, "unit": self.unit, "value": round(self.value, 4)}
        shown |= {name: value for name, value in medians.items() if value is not None}
        if self.median("floor") is not None:
            shown["added_ns"] = round(self.median("ours") - self.median("floor"), 3)
        shown |= {"must": self.must, "aim": self.aim, "dpvs": self.dpvs, "published": self.published, "verdict": self.verdict}
        return shown | {"quiet": f"{self.quiet}/{len(self.rounds)}", "rounds": self.rounds, "extra": self.extra}


def of_case(case):
    """An empty result of a case over the capture device."""
    dpvs = f"{case.dpvs[0]} ns ({case.dpvs[1]} x)" if case.dpvs else ""
    unit = "x IPv4" if case.beside else "x floor"
    return Result(case.name, case.what, unit, case.must, case.aim, dpvs, published=case.published)
