"""Agreement of verdicts: among the trials of one operator, among operators, and with the truth.

Kappa of Cohen (Educational and Psychological Measurement 20, 1960) for two, of Fleiss
(Psychological Bulletin 76, 1971) for many; effectiveness, miss and false-alarm rate as in the
AIAG's Measurement Systems Analysis, 4th ed.
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike

from ...core import DataError, UsageError, did_you_mean
from .intervals import Rate
from .tables import Judgements

FAIL = ("fail", "failed", "bad", "ng", "nok", "reject", "rejected", "defect", "0")
PASS = ("pass", "passed", "good", "ok", "accept", "accepted", "1")


@dataclass(frozen=True)
class OperatorAgreement:
    """What one operator's verdicts are worth; what needs a reference is None without one.

    Attributes:
        name: The operator.
        within: Fleiss' kappa among their trials; None with one trial or one verdict throughout.
        repeated: Parts on which all their trials agree.
        kappa: Cohen's kappa with the reference; None also where it is not defined.
        effective: Parts on which all their trials agree with the reference.
        miss: Bad parts passed, of all verdicts on bad parts.
        false_alarm: Good parts failed, of all verdicts on good parts.
        verdict: `good`, `marginal` or `bad`, by the manual's limits.
    """

    name: str
    within: Optional[float]
    repeated: Rate
    kappa: Optional[float]
    effective: Optional[Rate]
    miss: Optional[Rate]
    false_alarm: Optional[Rate]
    verdict: Optional[str]


@dataclass(frozen=True)
class AttributeStudy:
    """Agreement of a study.

    Attributes:
        size: Parts, operators and trials.
        labels: The verdicts that were given, and those of the reference.
        operators: Each operator on their own.
        between: Cohen's kappa of each pair, trial by trial.
        fleiss: Fleiss' kappa of all verdicts on a part.
        agreed: Parts on which all verdicts agree.
        effective: Parts on which all verdicts agree with the reference; None without one.
        verdict: The worst of the operators'; without a reference by `fleiss`.
        warnings: What a reader must know, a sentence each.
    """

    size: Tuple[int, int, int]
    labels: Tuple[str, ...]
    operators: Tuple[OperatorAgreement, ...]
    between: Tuple[Tuple[str, str, Optional[float]], ...]
    fleiss: Optional[float]
    agreed: Rate
    effective: Optional[Rate]
    verdict: str
    warnings: Tuple[str, ...]

    def as_dict(self) -> Dict[str, Any]:
        """The study as plain values for JSON."""
        return {
            "parts": self.size[0],
            "operators": [
                {
                    "name": o.name,
                    "kappa_within": o.within,
                    "repeated": _rate(o.repeated),
                    "kappa_reference": o.kappa,
                    "effective": _rate(o.effective),
                    "miss": _rate(o.miss),
                    "false_alarm": _rate(o.false_alarm),
                    "verdict": o.verdict,
                }
                for o in self.operators
            ],
            "trials": self.size[2],
            "labels": list(self.labels),
            "between": [{"operators": [a, b], "kappa": k} for a, b, k in self.between],
            "fleiss_kappa": self.fleiss,
            "agreed": _rate(self.agreed),
            "effective": _rate(self.effective),
            "verdict": self.verdict,
            "warnings": list(self.warnings),
        }


def attribute_study(judgements: Judgements, fail: Optional[str] = None) -> AttributeStudy:
    """Agreement of a balanced attribute study.

    A third verdict such as `unsure` on a bad part is no miss and on a good one no false alarm;
    it counts as disagreement with the reference.

    Args:
        judgements: Verdicts, and the reference where it is known.
        fail: Verdict that means a bad part; found by its name where it has a usual one.

    Raises:
        UsageError: `fail` is not among the verdicts, or cannot be told by name.
        DataError: Fewer than two parts, or one verdict throughout.
    """
    verdicts = judgements.verdicts
    parts, people, trials = verdicts.shape
    truth = judgements.reference
    labels: Tuple[str, ...] = tuple(sorted({*verdicts.ravel().tolist(), *(truth or ())}))
    if parts < 2:
        raise DataError("an attribute study needs two parts at least", got=parts, remedy="take 50")
    if people * trials < 2 and truth is None:
        raise DataError(
            "one verdict a part agrees with nothing",
            expected="a second operator, a second trial or a reference",
        )
    if len(labels) < 2:
        raise DataError(
            f"every verdict is {', '.join(labels)!r}", expected="good and bad parts in the study"
        )
    bad = _bad_label(labels, fail) if truth is not None or fail is not None else ""
    operators = tuple(
        _operator(name, verdicts[:, i], truth, bad) for i, name in enumerate(judgements.operators)
    )
    names = judgements.operators
    between = tuple(
        (names[i], names[j], cohen_kappa(verdicts[:, i].ravel(), verdicts[:, j].ravel()))
        for i in range(people)
        for j in range(i + 1, people)
    )
    rows = verdicts.reshape(parts, -1)
    same = (rows == rows[:, :1]).all(1)
    fleiss = fleiss_kappa(rows) if rows.shape[1] > 1 else None
    effective = None
    warnings: List[str] = []
    if truth is not None:
        reference = np.array(truth)
        effective = Rate(int((rows == reference[:, None]).all(1).sum()), parts)
        verdict = max(
            (o.verdict for o in operators if o.verdict), key=("good", "marginal", "bad").index
        )
        for what, count in (("bad", (reference == bad).sum()), ("good", (reference != bad).sum())):
            if count == 0:
                warnings.append(f"No part of the study is {what}: half of the question is open.")
    else:
        verdict = _by_kappa(fleiss)
        warnings.append("Without a reference, operators may agree and all be wrong.")
    if parts < 20:
        warnings.append(f"{parts} parts are few: the intervals are wide, and 50 are usual.")
    return AttributeStudy(
        (parts, people, trials), labels, operators, between, fleiss, Rate(int(same.sum()), parts),
        effective, verdict, tuple(warnings),
    )  # fmt: skip


def cohen_kappa(first: ArrayLike, second: ArrayLike) -> Optional[float]:
    """Agreement of two rows of verdicts beyond chance; None where both give one verdict only."""
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1 or not a.size:
        raise DataError("kappa takes two rows as long", got=f"{a.shape} and {b.shape}")
    seen = float((a == b).mean())
    labels = np.union1d(a, b)
    chance = float(sum((a == v).mean() * (b == v).mean() for v in labels))
    return (seen - chance) / (1 - chance) if len(labels) > 1 else None


def fleiss_kappa(rows: ArrayLike) -> Optional[float]:
    """Agreement of `(parts, n)` verdicts beyond chance; None where all are one."""
    table = np.asarray(rows)
    if table.ndim != 2 or table.shape[1] < 2 or not len(table):
        raise DataError("Fleiss' kappa takes two verdicts a part at least", got=table.shape)
    n = table.shape[1]
    labels = np.unique(table)
    if len(labels) < 2:
        return None
    counts = np.stack([(table == v).sum(1) for v in labels], 1).astype(np.float64)
    seen = float(((counts**2).sum(1) - n).mean() / (n * (n - 1)))
    chance = float(((counts.sum(0) / counts.sum()) ** 2).sum())
    return (seen - chance) / (1 - chance)


def _operator(
    name: str, verdicts: np.ndarray, truth: Optional[Tuple[str, ...]], bad: str
) -> OperatorAgreement:
    parts, trials = verdicts.shape
    within = fleiss_kappa(verdicts) if trials > 1 else None
    repeated = Rate(int((verdicts == verdicts[:, :1]).all(1).sum()), parts)
    if truth is None:
        return OperatorAgreement(name, within, repeated, None, None, None, None, None)
    reference = np.repeat(np.array(truth)[:, None], trials, 1)
    effective = Rate(int((verdicts == reference).all(1).sum()), parts)
    is_bad = reference == bad
    passed = is_bad & (verdicts != bad) & ~np.isin(verdicts, ("unsure",))
    miss = Rate(int(passed.sum()), int(is_bad.sum()))
    alarm = Rate(int((~is_bad & (verdicts == bad)).sum()), int((~is_bad).sum()))
    kappa = cohen_kappa(reference.ravel(), verdicts.ravel())
    verdict = _by_rates(effective, miss, alarm)
    return OperatorAgreement(name, within, repeated, kappa, effective, miss, alarm, verdict)


def _bad_label(labels: Tuple[str, ...], fail: Optional[str]) -> str:
    if fail is not None:
        if fail.lower() not in labels:
            raise UsageError(f"no verdict is {fail!r}", remedy=did_you_mean(fail.lower(), labels))
        return fail.lower()
    found = [v for v in labels if v in FAIL]
    if len(found) == 1:
        return found[0]
    rest = [v for v in labels if v not in PASS and v != "unsure"]
    if not found and len(rest) == 1:
        return rest[0]
    raise UsageError(
        "which verdict means a bad part cannot be told",
        got=", ".join(labels),
        remedy="name it: --fail VERDICT",
    )


def _by_rates(effective: Rate, miss: Rate, alarm: Rate) -> str:
    """The manual's limits: effectiveness 90 and 80 %, misses 2 and 5 %, false alarms 5 and 10 %."""
    shares = (effective.value or 0.0, miss.value or 0.0, alarm.value or 0.0)
    for name, least, missed, alarmed in (("good", 0.9, 0.02, 0.05), ("marginal", 0.8, 0.05, 0.1)):
        if shares[0] >= least and shares[1] <= missed and shares[2] <= alarmed:
            return name
    return "bad"


def _by_kappa(kappa: Optional[float]) -> str:
    """The manual's limits of kappa: above .75 good, below .40 poor."""
    if kappa is None or kappa < 0.4:
        return "bad"
    return "good" if kappa > 0.75 else "marginal"


def _rate(rate: Optional[Rate]) -> Optional[Dict[str, Any]]:
    return None if rate is None else rate.as_dict()
