"""Verdicts on the lines of a file, counted as they come: how many are valid, and what breaks."""

from collections import Counter

from helpers.published import PublishedVerdict
from helpers.rules import Verdict


class Tally:
    """What was judged and found, counted line by line.

    Args:
        levels: what plans and traces may be beyond valid, in the order in which it is told.
    """

    def __init__(self, levels: dict[str, tuple[str, ...]]):
        self.levels = levels
        self.judged = self.malformed = 0
        self.plans, self.traces = Counter(), Counter()  # how many are valid, optimal, …
        self.errors = {"plans": Counter(), "traces": Counter()}

    def add(self, verdict: Verdict | PublishedVerdict) -> None:
        self.judged += 1
        for name, part in (("plans", verdict.plan), ("traces", verdict.trace)):
            if part:
                found = part._asdict()
                levels = {level for level, reached in found.items() if reached is True}
                getattr(self, name).update({"judged", *levels})
                self.errors[name].update([found["error"]] if found.get("error") else [])

    def summary(self) -> str:
        """In three lines."""

        def found(name):
            counts = getattr(self, name)
            total = counts["judged"]
            share = f" ({counts['valid'] / total:.1%})" if total else ""
            return (f"{name}: {counts['valid']} of {total}{share} valid"
                    + "".join(f", {counts[level]} {level}" for level in self.levels[name])
                    + "".join(f"; {error} {n}" for error, n in self.errors[name].most_common(3)))

        return "\n".join([f"lines: {self.judged} judged, {self.malformed} malformed",
                          found("plans"), found("traces")])
