"""Which options are worth having, and which one a budget picks."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from ...core import DEVICES, UsageError
from .rows import place_of, title

Row = Dict[str, Any]

TIE = 0.002
"""Difference of a metric that is none: the better of two is then the faster."""


@dataclass(frozen=True)
class Budget:
    """What an option may cost.

    Attributes:
        fps: Frames a second that it must reach.
        ms: Milliseconds that a frame may take.
        watts: Power that may be drawn.
        max_drop: Points, hundredths of the metric, that it may be below the best.
    """

    fps: Optional[float] = None
    ms: Optional[float] = None
    watts: Optional[float] = None
    max_drop: Optional[float] = None

    def __post_init__(self) -> None:
        for name in ("fps", "ms", "watts", "max_drop"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 if name == "max_drop" else value > 0):
                raise UsageError(
                    f"the budget of {name} makes no sense", got=value, expected="a number above 0"
                )

    def __bool__(self) -> bool:
        return any(v is not None for v in (self.fps, self.ms, self.watts, self.max_drop))

    def words(self) -> str:
        """The budget as a reader says it."""
        parts = []
        if self.fps is not None:
            parts.append(f"{self.fps:g} fps")
        if self.ms is not None:
            parts.append(f"{self.ms:g} ms a frame")
        text = " and ".join(parts)
        if self.watts is not None:
            text += f"{' at ' if text else 'at most '}{self.watts:g} W"
        if self.max_drop is not None:
            text += f"{' within ' if text else 'within '}{self.max_drop:g} points of the best"
        return text


def mark_front(rows: Sequence[Row]) -> None:
    """Note in each row with `front` whether nothing on its device, in its power mode, is both
    faster and more right, and with `energy_front` likewise for energy; None where that cannot be
    told."""
    for row in rows:
        row["front"] = row["energy_front"] = None
    for group in by_device(rows).values():
        for cost, name in (("ms", "front"), ("energy_mj", "energy_front")):
            known = [
                r for r in group if r.get(cost) and r.get("accuracy") is not None and _as_said(r)
            ]
            for row in known:
                row[name] = not any(
                    o[cost] <= row[cost]
                    and o["accuracy"] >= row["accuracy"]
                    and (o[cost] < row[cost] or o["accuracy"] > row["accuracy"])
                    for o in known
                    if _comparable(o, row)
                )


def _as_said(row: Row) -> bool:
    """Whether it would run in its precision: a Nano has no INT8, and would run it in FP16."""
    return row.get("runs_as") in (None, row.get("precision"))


def _comparable(one: Row, two: Row) -> bool:
    """Whether two rows are of one kind and metric: AP and OKS AP are not set against each other."""
    return one["kind"] == two["kind"] and one.get("metric") == two.get("metric")


def by_device(rows: Sequence[Row]) -> Dict[str, List[Row]]:
    """Rows that have times, by device and power mode (see `rows.place_of`), in the order in which
    they appear."""
    found: Dict[str, List[Row]] = {}
    for row in rows:
        if row.get("ms") and not row.get("error"):
            found.setdefault(place_of(row), []).append(row)
    return found


def answers(rows: Sequence[Row], budget: Budget) -> List[Dict[str, Any]]:
    """The option to take on each device in each of its modes, in words.

    Returns:
        For each of them `device`, `text`, and `row`, the one that was picked, or None where none
        fits.
    """
    found = []
    for device, group in by_device(rows).items():
        # What was measured on a device is better than what was estimated for it.
        measured = [r for r in group if r["kind"] == "measured"]
        options = measured or [r for r in group if _as_said(r)]
        if options:
            found.append(_answer(device, options, budget))
    return found


def _answer(device: str, rows: List[Row], budget: Budget) -> Dict[str, Any]:
    metrics = {r.get("metric") for r in rows if r.get("accuracy") is not None}
    judged = [r for r in rows if r.get("accuracy") is not None]
    where = place_of(rows[0], titled=True)
    where = f"a {where}" if rows[0]["device"] in DEVICES else where
    if len(metrics) > 1:
        text = f"On {where}: models of different tasks ({', '.join(sorted(map(str, metrics)))}) "
        return {"device": device, "text": text + "are not set against each other.", "row": None}
    if budget.watts is not None and not any(r.get("watts") for r in rows):
        reason = "estimates tell no power" if rows[0]["kind"] == "estimate" else (
            "this machine has no sensor that tells its power")  # fmt: skip
        text = f"On {where}: whether {budget.watts:g} W are kept is not known, {reason}."
        return {"device": device, "text": text, "row": None}
    best = max(judged, key=lambda r: r["accuracy"]) if judged else None
    fitting = [r for r in rows if _fits(r, budget, best)]
    if not fitting:
        return {"device": device, "text": _none(where, rows, budget), "row": None}
    known = [r for r in fitting if r.get("accuracy") is not None]
    if known and (not budget or budget.fps is not None or budget.ms is not None):
        # Of those that are as right as the best within what a metric can tell, the fastest.
        top = max(r["accuracy"] for r in known)
        fitting = [r for r in known if r["accuracy"] >= top - TIE]
    chosen = min(fitting, key=lambda r: r["ms"])
    aim = f"For {budget.words()} on {where}" if budget else f"On {where}"
    text = f"{aim}: {title(chosen)}, {_facts(chosen)}; {_against(chosen, best, rows)}."
    if chosen["kind"] == "estimate":
        text += " Estimated, not measured."
    return {"device": device, "text": text, "row": chosen}


def _fits(row: Row, budget: Budget, best: Optional[Row]) -> bool:
    if budget.fps is not None and _fps(row) < budget.fps:
        return False
    if budget.ms is not None and row["ms"] > budget.ms:
        return False
    if budget.watts is not None and not (row.get("watts") and row["watts"] <= budget.watts):
        return False
    if budget.max_drop is None:
        return True
    if best is None or row.get("accuracy") is None:
        return False
    return 100 * (best["accuracy"] - row["accuracy"]) <= budget.max_drop + 1e-9


def _fps(row: Row) -> float:
    return float(row.get("fps") or 1e3 / row["ms"])


def _facts(row: Row) -> str:
    parts = [f"{row['ms']:.1f} ms a frame"]
    if row["kind"] == "estimate":
        parts = [f"{row['ms']:.1f} ms of inference ({row['low_ms']:.1f} to {row['high_ms']:.1f})"]
    else:
        parts.append(f"{_fps(row):.0f} fps")
    if row.get("watts"):
        parts.append(f"{row['watts']:.1f} W")
    if row.get("accuracy") is not None:
        parts.append(f"{row['metric']} {row['accuracy']:.3f}")
    return ", ".join(parts)


def _against(row: Row, best: Optional[Row], rows: Sequence[Row]) -> str:
    if best is None:
        if len(rows) == 1:
            return "there is nothing to compare it with"
        slowest = max(rows, key=lambda r: r["ms"])
        return f"{slowest['ms'] / row['ms']:.1f}× as fast as the slowest; nothing tells how right"
    if row is best:
        others = [r for r in rows if r is not best]
        return "the most right of all" if others else "there is nothing to compare it with"
    drop = 100 * (best["accuracy"] - row["accuracy"])
    below = f"{drop:.1f} points below the best" if drop >= 0.05 else "as right as the best"
    faster = best["ms"] / row["ms"]
    speed = f"{faster:.1f}× as fast" if faster >= 1.05 else f"{1 / faster:.1f}× as slow"
    return f"{below} ({title(best)}), {speed if abs(faster - 1) >= 0.05 else 'about as fast'}"


def _none(where: str, rows: Sequence[Row], budget: Budget) -> str:
    near = min(rows, key=lambda r: r["ms"])
    return (
        f"For {budget.words()} on {where}: nothing that was tried fits; the fastest is "
        f"{title(near)} with {_facts(near)}."
    )
