"""A challenge set: known parts, run at each shift, whose verdicts must come out as known."""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ...core import DataError, did_you_mean
from .intervals import Rate

VERDICTS = ("pass", "fail", "unsure")


@dataclass(frozen=True)
class Wrong:
    """One part that did not come out as known.

    Attributes:
        part: The part.
        expected: Verdict it should have had.
        obtained: Verdict it had; None where it was not inspected.
        kind: `miss` (a bad part passed), `false alarm` (a good part failed), `unsure`, `reason`
            (failed for something else), `not inspected`, or `other`.
        text: It in a sentence.
    """

    part: str
    expected: str
    obtained: Optional[str]
    kind: str
    text: str


@dataclass(frozen=True)
class ChallengeResult:
    """Whether the inspection may go on.

    Attributes:
        passed: Every part came out as known.
        parts: Parts of the set.
        wrong: Those that did not, misses first, then in order of the set.
        unknown: Parts that were inspected and are not of the set.
        verdicts: Of each part of the set what it should be and what it was; None where it was not
            inspected.
    """

    passed: bool
    parts: int
    wrong: Tuple[Wrong, ...]
    unknown: Tuple[str, ...]
    verdicts: Tuple[Tuple[str, str, Optional[str]], ...] = ()

    @property
    def miss(self) -> Rate:
        """Bad parts that passed."""
        return self._rate("fail", "pass")

    @property
    def false_alarm(self) -> Rate:
        """Good parts that failed."""
        return self._rate("pass", "fail")

    def _rate(self, should: str, was: str) -> Rate:
        had = [h for _, expected, h in self.verdicts if expected == should]
        return Rate(had.count(was), len(had))

    def as_dict(self) -> Dict[str, Any]:
        """The result as plain values for JSON."""
        return {
            "passed": self.passed,
            "parts": self.parts,
            "wrong": [vars(w) for w in self.wrong],
            "unknown": list(self.unknown),
            "verdicts": [list(row) for row in self.verdicts],
            "miss": self.miss.as_dict(),
            "false_alarm": self.false_alarm.as_dict(),
        }


def challenge(
    expected: Mapping[str, str],
    obtained: Mapping[str, str],
    expected_reasons: Optional[Mapping[str, str]] = None,
    obtained_reasons: Optional[Mapping[str, Sequence[str]]] = None,
) -> ChallengeResult:
    """Hold the verdicts of a challenge set against what they must be.

    A part that fails for another reason than its own (the light was out, say) proves nothing, so
    a reason may be asked for. Parts not of the set are told and do not count.

    Args:
        expected: Verdict by part: `pass`, `fail` or `unsure`.
        obtained: Verdict by part.
        expected_reasons: By part, a reason that must be among those obtained.
        obtained_reasons: Reasons by part.

    Raises:
        DataError: The set is empty, has no part that must fail, or a verdict is none.
    """
    if not expected:
        raise DataError("the challenge set is empty", expected="known good and known bad parts")
    for where, verdicts in (("expected", expected), ("obtained", obtained)):
        for part, verdict in verdicts.items():
            if verdict not in VERDICTS:
                raise DataError(
                    f"the {where} verdict of part {part!r} is none",
                    got=repr(verdict),
                    remedy=did_you_mean(str(verdict), VERDICTS),
                )
    if "fail" not in expected.values():
        raise DataError(
            "no part of the challenge set must fail",
            expected="a known bad part, or a blind camera would pass it",
        )
    for part in expected_reasons or {}:
        if part not in expected:
            raise DataError(
                f"a reason is asked of {part!r}, which is not of the set",
                remedy=did_you_mean(part, expected),
            )
    wrong: List[Wrong] = []
    for part, should in expected.items():
        reason = (expected_reasons or {}).get(part)
        reasons = list((obtained_reasons or {}).get(part, ()))
        found = _compare(part, should, obtained.get(part), reason, reasons)
        if found is not None:
            wrong.append(found)
    wrong.sort(key=lambda w: w.kind != "miss")
    unknown = tuple(part for part in obtained if part not in expected)
    verdicts = tuple((part, should, obtained.get(part)) for part, should in expected.items())
    return ChallengeResult(not wrong, len(expected), tuple(wrong), unknown, verdicts)


def _compare(
    part: str, should: str, had: Optional[str], reason: Optional[str], reasons: List[str]
) -> Optional[Wrong]:
    if had is None:
        return Wrong(part, should, None, "not inspected", f"{part} was not inspected")
    if had == should:
        if reason is None or reason in reasons:
            return None
        given = ", ".join(reasons) or "nothing"
        return Wrong(
            part, should, had, "reason", f"{part} should {should} for {reason}, and did for {given}"
        )
    kind = {("fail", "pass"): "miss", ("pass", "fail"): "false alarm"}.get((should, had), "other")
    if had == "unsure":
        kind = "unsure"
    return Wrong(part, should, had, kind, f"{part} should be {should} and was {had}")
