"""What was so and for how long, on a line of time for each rule, class or signal, as bars."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from .charts import Mark, time_marks
from .words import Clock, duration, is_number, number, plural

MOST_SPELLS = 400
"""Spells of one rule that are drawn; all are counted."""
MOST_RULES = 40


@dataclass(frozen=True)
class SpellBar:
    """One spell: left edge and width in percent, and what a reader who points at it is told."""

    left: float
    width: float
    text: str


@dataclass(frozen=True)
class SpellRow:
    """All spells of one rule."""

    name: str
    count: str
    total: str
    bars: Tuple[SpellBar, ...]


@dataclass(frozen=True)
class SpellView:
    """The spells of a camera.

    Attributes:
        rows: One a rule, by name.
        x: Marks of the time axis.
        note: One sentence that says the same in words.
    """

    rows: Tuple[SpellRow, ...]
    x: Tuple[Mark, ...]
    note: str


class Spells:
    """Takes in what was so for a while, e.g. `released` events of the pose pipeline, in bounded
    memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rules: Dict[str, List[Any]] = {}  # count, seconds, [(begin, end, text)]

    def __len__(self) -> int:
        return sum(rule[0] for rule in self._rules.values())

    def add(self, time: float, payload: Dict[str, Any]) -> None:
        """One spell that is over.

        Raises:
            KeyError, TypeError, ValueError: It is no such event.
        """
        begin, end = payload["since"], payload["until"]
        if not (is_number(begin) and is_number(end)):
            raise ValueError("a spell without times")
        where = [str(payload[key]) for key in ("side", "zone") if payload.get(key)]
        text = ", ".join([f"person {int(payload['track'])}", *where])
        local = self._clock.local
        self.stretch(str(payload["rule"]), local(begin), local(end), text)

    def add_class(self, time: float, payload: Dict[str, Any]) -> None:
        """One spell of a class that a camera or a part of its picture showed.

        Raises:
            KeyError, TypeError, ValueError: It is no such event.
        """
        begin, end = payload["since"], payload["until"]
        if not (is_number(begin) and is_number(end)):
            raise ValueError("a spell without times")
        name = ": ".join(str(payload[key]) for key in ("part", "class") if payload.get(key))
        score = f"score {float(payload['score']):.2f}"
        self.stretch(name, self._clock.local(begin), self._clock.local(end), score)

    def stretch(self, name: str, begin: float, end: float, text: str) -> None:
        """One bar of a row, in the clock's local seconds."""
        if name not in self._rules and len(self._rules) >= MOST_RULES:
            name = "others"
        rule = self._rules.setdefault(name, [0, 0.0, []])
        rule[0] += 1
        rule[1] += max(end - begin, 0.0)
        if len(rule[2]) < MOST_SPELLS:
            text = ", ".join([text, duration(max(end - begin, 0.0))])
            rule[2].append((begin, end, text))

    def view(self) -> Optional[SpellView]:
        """What is drawn; None where nothing was found."""
        drawn = [spell for rule in self._rules.values() for spell in rule[2]]
        if not drawn:
            return None
        low, high = min(s[0] for s in drawn), max(s[1] for s in drawn)
        margin = max(0.02 * (high - low), 0.5)
        low, high = max(low - margin, 0.0), high + margin
        rows = []
        for name in sorted(self._rules):
            count, seconds, spells = self._rules[name]
            bars = tuple(
                SpellBar(
                    round(100 * (begin - low) / (high - low), 3),
                    round(max(100 * (end - begin) / (high - low), 0.25), 3),
                    f"{self._clock.text(begin)}: {text}",
                )
                for begin, end, text in spells
            )
            rows.append(SpellRow(name.replace("_", " "), number(count), duration(seconds), bars))
        note = "Each bar is one time, from its beginning to its end. " + plural(len(self), "time")
        left_out = len(self) - len(drawn)
        note += f" in all; {number(left_out)} of them are not drawn." if left_out else " in all."
        return SpellView(tuple(rows), time_marks(low, high, self._clock), note)
