"""Gauge repeatability and reproducibility, after the AIAG's Measurement Systems Analysis, 4th ed.

σ²(total) = σ²(part) + σ²(gauge), σ²(gauge) = repeatability + reproducibility, and reproducibility
= operator + operator × part. Two ways to estimate them: analysis of variance, which sees the
interaction, and averages and ranges, which can be followed with a pocket calculator.
"""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from scipy.special import fdtrc

from ...core import DataError, UsageError, did_you_mean
from .constants import MOST, d2, d2_one
from .tables import HUGE, Study

POOL_ABOVE = 0.25
"""An interaction less significant than this is taken for repeatability (MSA, appendix A)."""

LEAST_NDC = 5


@dataclass(frozen=True)
class Source:
    """One line of the table of an analysis of variance; `f` and `p` None where none is tested."""

    name: str
    degrees: int
    squares: float
    mean_square: float
    f: Optional[float] = None
    p: Optional[float] = None


@dataclass(frozen=True)
class Component:
    """One source of variation.

    Attributes:
        name: `gauge`, `repeatability`, `reproducibility`, `operator`, `interaction`, `part` or
            `total`.
        variance: In squared units of the values, never negative.
        contribution: Percent of the total variance.
        of_total: Percent of the total standard deviation.
        of_tolerance: Six standard deviations in percent of the tolerance, or None without one.
    """

    name: str
    variance: float
    contribution: float
    of_total: float
    of_tolerance: Optional[float]

    @property
    def sd(self) -> float:
        """Standard deviation, in units of the values."""
        return math.sqrt(self.variance)


@dataclass(frozen=True)
class GaugeStudy:
    """What a study says of a gauge.

    Attributes:
        method: `anova` or `range`.
        size: Parts, operators and trials.
        components: By name, in the order to print them in.
        anova: Table of the analysis with the interaction; empty with `range`.
        pooled: Whether the interaction was taken for repeatability.
        ndc: Number of distinct categories the gauge tells apart, or None where its own variation
            is nothing.
        grr: %GRR that the verdict rests on: of the tolerance where there is one.
        verdict: `good`, `marginal` or `bad`.
        tolerance: Width of the tolerance, in units of the values.
        warnings: What a reader must know, a sentence each.
    """

    method: str
    size: Tuple[int, int, int]
    components: Dict[str, Component]
    anova: Tuple[Source, ...]
    pooled: bool
    ndc: Optional[int]
    grr: float
    verdict: str
    tolerance: Optional[float]
    warnings: Tuple[str, ...]

    def as_dict(self) -> Dict[str, Any]:
        """The study as plain values for JSON."""
        return {
            "method": self.method,
            "parts": self.size[0],
            "operators": self.size[1],
            "trials": self.size[2],
            "tolerance": self.tolerance,
            "verdict": self.verdict,
            "grr_percent": self.grr,
            "grr_of_total": self.components["gauge"].of_total,
            "grr_of_tolerance": self.components["gauge"].of_tolerance,
            "ndc": self.ndc,
            "interaction_pooled": self.pooled,
            "components": [
                {
                    "name": c.name,
                    "variance": c.variance,
                    "sd": c.sd,
                    "contribution_percent": c.contribution,
                    "of_total_percent": c.of_total,
                    "of_tolerance_percent": c.of_tolerance,
                }
                for c in self.components.values()
            ],
            "anova": [vars(s) for s in self.anova],
            "warnings": list(self.warnings),
        }


def gauge_study(
    study: Study,
    tolerance: Optional[float] = None,
    method: str = "anova",
    operators: bool = True,
) -> GaugeStudy:
    """Repeatability and reproducibility of a gauge.

    Args:
        study: Balanced and crossed: every operator measured every part equally often.
        tolerance: Upper minus lower limit, in units of the values; None where there is none.
        method: `anova` or `range`.
        operators: False for a gauge that nobody handles: what the operators measured counts as
            further trials, and the gauge is its repeatability.

    Raises:
        UsageError: The tolerance is not above 0, or the method is unknown.
        DataError: Fewer than two parts, operators or trials, or all values are one.
    """
    if tolerance is not None and not 1 / HUGE < tolerance < HUGE:
        raise UsageError("a tolerance must be above 0, and a length one can have", got=tolerance)
    if method not in ("anova", "range"):
        raise UsageError(
            f"there is no method {method!r}", remedy=did_you_mean(method, ("anova", "range"))
        )
    values = np.asarray(study.values, dtype=np.float64)
    if not operators and values.ndim == 3:
        values = values.reshape(len(values), 1, -1)
    _check(values, operators)
    if method == "anova":
        sources, variances, pooled = _anova(values)
    else:
        sources, variances, pooled = (), _ranges(values), False
    return _judge(values, method, sources, variances, pooled, tolerance)


def words(percent: float) -> str:
    """`good` below 10 %, `marginal` to 30 %, `bad` above: the MSA manual's limits of %GRR."""
    return "good" if percent < 10 else "marginal" if percent <= 30 else "bad"


def _check(values: np.ndarray, operators: bool) -> None:
    if values.ndim != 3:
        raise DataError(
            "a study has three axes", got=values.shape, expected="(part, operator, trial)"
        )
    parts, people, trials = values.shape
    if parts < 2:
        raise DataError("a gauge study needs two parts at least", got=parts, remedy="take ten")
    if operators and people < 2:
        raise DataError(
            "a gauge study needs two operators at least",
            got=people,
            remedy="let somebody else measure too, or say that nobody handles the gauge "
            "(--no-operator)",
        )
    if trials < 2:
        raise DataError(
            "a gauge study needs two trials at least",
            got=trials,
            remedy="measure every part again: repeatability shows in nothing else",
        )
    if max(parts, people, trials) > MOST:
        raise DataError("the study is too large", got=values.shape, expected=f"at most {MOST} each")
    if not np.isfinite(values).all():
        part, person, trial = np.argwhere(~np.isfinite(values))[0] + 1
        raise DataError(
            f"the value of part {part}, operator {person}, trial {trial} is not a finite number"
        )
    if np.abs(values).max() > HUGE:
        raise DataError("a value is too large to be measured", got=f"{np.abs(values).max():g}")
    if np.ptp(values) < 1 / HUGE:
        raise DataError(
            f"all {values.size} values are {values.flat[0]:g}",
            expected="parts that differ, as production makes them",
        )


def _anova(values: np.ndarray):
    """Crossed two-way analysis with random effects; one-way where there is one operator."""
    p, o, r = values.shape
    values = values - values.mean()  # sums of squares of large numbers would cancel
    cell, part, person = values.mean(2), values.mean((1, 2)), values.mean((0, 2))
    squares = {
        "part": o * r * float(part @ part),
        "operator": p * r * float(person @ person),
        "interaction": r * float(np.sum((cell - part[:, None] - person[None, :]) ** 2)),
        "repeatability": float(np.sum((values - cell[:, :, None]) ** 2)),
    }
    degrees = {
        "part": p - 1,
        "operator": o - 1,
        "interaction": (p - 1) * (o - 1),
        "repeatability": p * o * (r - 1),
    }
    # Where cells repeat exactly, what is left of rounding must not be tested against itself.
    floor = float(np.sum(values * values)) * 1e-24
    squares = {name: s if s > floor else 0.0 for name, s in squares.items()}
    mean = {name: squares[name] / degrees[name] for name in squares if degrees[name]}
    error, pooled = mean["repeatability"], False
    if o == 1:
        within = ("part", "repeatability")
        tests = {"part": "repeatability"}
        variances = {"repeatability": error, "part": (mean["part"] - error) / r}
    else:
        within = ("part", "operator", "interaction", "repeatability")
        tests = {"part": "interaction", "operator": "interaction", "interaction": "repeatability"}
        across = mean["interaction"]
        _, chance = _f(across, degrees["interaction"], error, degrees["repeatability"])
        if chance is None or chance > POOL_ABOVE:
            pooled = True
            across = error = (squares["interaction"] + squares["repeatability"]) / (
                degrees["interaction"] + degrees["repeatability"]
            )
        variances = {
            "repeatability": error,
            "operator": (mean["operator"] - across) / (p * r),
            "interaction": (across - error) / r,
            "part": (mean["part"] - across) / (o * r),
        }
    table: List[Source] = []
    for name in within:
        f = chance = None
        if name in tests:
            other = tests[name]
            f, chance = _f(mean[name], degrees[name], mean[other], degrees[other])
        table.append(Source(name, degrees[name], squares[name], mean[name], f, chance))
    return tuple(table), variances, pooled


def _f(upper: float, up: int, lower: float, low: int) -> Tuple[Optional[float], Optional[float]]:
    if lower <= 0:
        # Against no variation at all anything is certain, and nothing is not.
        return (None, 0.0) if upper > 0 else (None, None)
    return upper / lower, float(fdtrc(up, low, upper / lower))


def _ranges(values: np.ndarray) -> Dict[str, float]:
    """Averages and ranges: EV = R̄/d2, AV² = (X̄diff/d2*)² − EV²/(nr), PV = Rp/d2*."""
    p, o, r = values.shape
    equipment = float(np.ptp(values, axis=2).mean()) / d2(r)
    variances = {"repeatability": equipment**2}
    if o > 1:
        apart = float(np.ptp(values.mean((0, 2)))) / d2_one(o)
        variances["operator"] = apart**2 - equipment**2 / (p * r)
    variances["part"] = (float(np.ptp(values.mean((1, 2)))) / d2_one(p)) ** 2
    return variances


def _judge(values, method, sources, variances, pooled, tolerance) -> GaugeStudy:
    p, o, r = values.shape
    found = {name: max(0.0, v) for name, v in variances.items()}
    repeat = found["repeatability"]
    reproduce = found.get("operator", 0.0) + found.get("interaction", 0.0)
    order = {"gauge": repeat + reproduce, "repeatability": repeat}
    if o > 1:
        order["reproducibility"] = reproduce
        order["operator"] = found["operator"]
        if "interaction" in found and not pooled:
            order["interaction"] = found["interaction"]
    order["part"] = found["part"]
    order["total"] = total = order["gauge"] + order["part"]
    components = {
        name: Component(
            name,
            v,
            100 * (v / total) if total else 0.0,
            100 * math.sqrt(v / total) if total else 0.0,
            None if tolerance is None else 600 * math.sqrt(v) / tolerance,
        )
        for name, v in order.items()
    }
    gauge = components["gauge"]
    ndc = None
    if gauge.variance:
        # 1.41, not √2, and cut, not rounded: as the manual has it.
        ndc = max(1, math.floor(1.41 * components["part"].sd / gauge.sd))
    percent = gauge.of_total if gauge.of_tolerance is None else gauge.of_tolerance
    warnings = []
    if p * o < 15 and o > 1:
        warnings.append(
            f"{p} parts by {o} operators is a small study: the manual asks for parts times "
            "operators above 15."
        )
    if ndc is not None and ndc < LEAST_NDC:
        warnings.append(
            f"The gauge tells {ndc} kinds of part apart, fewer than the {LEAST_NDC} that control "
            "of a process needs; the parts of the study may also be too alike."
        )
    if not gauge.variance:
        warnings.append(
            "No trial differs from another: the values may be rounded too coarsely, or copied."
        )
    if not found["part"]:
        warnings.append("The parts differ no more than the gauge does.")
    if method == "range" and o > 1:
        warnings.append("Averages and ranges cannot see that operators differ on certain parts.")
    return GaugeStudy(
        method, (p, o, r), components, sources, pooled, ndc, percent, words(percent), tolerance,
        tuple(warnings),
    )  # fmt: skip
