"""What an inspection says about one part, and why."""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, Optional, Tuple

PASS, FAIL, UNSURE = "pass", "fail", "unsure"


@dataclass(frozen=True)
class Reason:
    """One measured value against its limits.

    Attributes:
        name: What was measured.
        value: The measured value, or None where nothing could be measured.
        low: Least that is good, or None.
        high: Most that is good, or None.
        uncertainty: Half width of the interval that holds the true value in 95 % of cases; a value
            nearer to a limit than this decides nothing.
        unit: Of the value and its limits.
        condition: Whether this is about the picture and not about the part: outside its limits
            nothing else that was measured can be trusted.
        text: A sentence for people.
    """

    name: str
    value: Optional[float]
    low: Optional[float] = None
    high: Optional[float] = None
    uncertainty: float = 0.0
    unit: str = ""
    condition: bool = False
    text: str = ""

    @property
    def margin(self) -> Optional[float]:
        """How far inside the nearest limit the value is; negative outside."""
        if self.value is None:
            return None
        sides = [self.value - self.low] if self.low is not None else []
        sides += [self.high - self.value] if self.high is not None else []
        return min(sides) if sides else None

    @property
    def outcome(self) -> str:
        """`pass`, `fail` or `unsure` by this value alone."""
        if self.value is None or self.value != self.value:
            return UNSURE
        margin = self.margin
        if margin is None or margin >= self.uncertainty:
            return PASS
        return UNSURE if self.condition or margin > -self.uncertainty else FAIL

    @property
    def limits(self) -> str:
        """What the value should be, in words; empty without limits."""
        if self.low is not None and self.high is not None:
            same = self.low == self.high
            return f"{self.low:g}" if same else f"{self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"at least {self.low:g}"
        return "" if self.high is None else f"at most {self.high:g}"

    @property
    def sentence(self) -> str:
        """All of it in one line: what is wrong, the value and its limits."""
        if self.value is None:
            return f"{self.name}: {self.text}" if self.text else f"{self.name} is not known"
        value = f"{self.value:.4g} {self.unit}".rstrip()
        wanted = f", expected {self.limits}" if self.limits else ""
        if self.condition and self.text:
            return f"{self.name}: {self.text} ({value}{wanted})"
        doubt = self.uncertainty if self.outcome == UNSURE else 0.0
        return f"{self.name} {value}{wanted}" + (f", uncertain by {doubt:.2g}" if doubt else "")

    def as_dict(self) -> Dict[str, Any]:
        """For JSON."""
        rounded = {
            "value": self.value, "uncertainty": self.uncertainty or None, "margin": self.margin,
        }  # fmt: skip
        said: Dict[str, Any] = {"name": self.name, "outcome": self.outcome}
        for key, value in rounded.items():
            if key != "uncertainty" or value is not None:
                finite = value is not None and value == value
                said[key] = round(value, 5) if finite and value is not None else None
        said["limits"] = [self.low, self.high]
        if self.unit:
            said["unit"] = self.unit
        if self.condition:
            said["condition"] = True
        if self.text:
            said["text"] = self.text
        return said


@dataclass(frozen=True)
class Verdict:
    """What an inspection says about one part.

    Attributes:
        verdict: `pass`, `fail` or `unsure`.
        reasons: Everything that was judged.
        score: 0..1, how bad the worst place is; a defect from 0.5 on. None where nothing is known.
    """

    verdict: str
    reasons: Tuple[Reason, ...] = ()
    score: Optional[float] = None

    @classmethod
    def of(cls, reasons: Iterable[Reason], score: Optional[float] = None) -> "Verdict":
        """The verdict that follows from the reasons.

        A broken condition makes it unsure whatever else was measured; then one bad value fails
        the part, and one doubtful value leaves it unsure. Without any reason it is unsure.
        """
        reasons = tuple(reasons)
        outcomes = {reason.outcome for reason in reasons}
        broken = any(r.condition and r.outcome != PASS for r in reasons)
        if broken or not reasons:
            verdict = UNSURE
        else:
            verdict = next((v for v in (FAIL, UNSURE) if v in outcomes), PASS)
        return cls(verdict, reasons, score)

    @property
    def why(self) -> Tuple[str, ...]:
        """Sentences for people; where a condition is broken nothing else means anything."""
        wrong = [r for r in self.reasons if r.outcome != PASS]
        broken = [r for r in wrong if r.condition]
        return tuple(r.sentence for r in broken or wrong)

    @property
    def told(self) -> Tuple[Reason, ...]:
        """The reasons that decided: those that are not passed, or the first one."""
        return tuple(r for r in self.reasons if r.outcome != PASS) or self.reasons[:1]
