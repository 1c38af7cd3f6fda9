"""What a recipe says of gauges: which measures, where on the part, within which limits."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ....core import ConfigError, did_you_mean

CIRCLES = ("diameter", "radius", "position")
FEATURES = ("diameter", "radius", "width", "line")
KINDS = (
    "diameter", "radius", "width", "distance", "angle", "area", "position", "holes", "parts",
    "contour", "colour", "line",
)  # fmt: skip
EDGES = ("outline", "face")
PART = "part"
_LIMITS = ("nominal", "tolerance", "low", "high", "offset", "doubt")
FORMED = ("diameter", "radius", "width")  # whose edges may have a taught form
_OWN = {
    "diameter": ("at", "of", "reach", "arc"),
    "radius": ("at", "of", "reach", "arc"),
    "width": ("at", "along", "length", "reach"),
    "distance": ("between",),
    "angle": ("between",),
    "area": (),
    "position": ("of", "at"),
    "holes": (),
    "parts": (),
    "contour": (),
    "colour": ("at", "size"),
    "line": ("from", "to", "reach"),
}
_TOP = ("parts", "gauges", "checks", "marks", "grey", "checker", "taught")
_CHECKS = {"saturated": 0.2, "focus": 0.4, "moved": 1.0}


@dataclass(frozen=True)
class Gauge:
    """One measure of a part; lengths in millimetres in the part's own coordinates.

    Attributes:
        name: What the recipe calls it.
        kind: One of `KINDS`.
        at: Middle of a circle, of a width or of a patch of colour.
        nominal: What the value should be; CIE Lab in `lab` for a colour.
        low: Least that is good, or None.
        high: Most that is good, or None.
        of: `outline`, or the name of another gauge.
        between: Names of two other gauges, or `part` for its middle.
        along: Degrees in which a width is measured.
        start: One end of a line.
        end: The other end.
        length: Over how much of the edges a width is measured; None for half of the width.
        reach: How far from the nominal edge an edge is looked for; None to choose.
        arc: Degrees from and to which a circle has an edge; None for all around.
        size: Radius of a patch of colour.
        lab: Nominal colour.
        offset: Added to what is measured: true value of master parts less what is measured on them.
        doubt: 95 % half width of that offset, which then stands for what is not known of rims; None
            where there was no master.
        form: What its edges look like across, by master parts; empty where a step is fitted.
    """

    name: str
    kind: str
    at: Optional[Tuple[float, float]] = None
    nominal: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    of: Optional[str] = None
    between: Tuple[str, ...] = ()
    along: float = 0.0
    start: Optional[Tuple[float, float]] = None
    end: Optional[Tuple[float, float]] = None
    length: Optional[float] = None
    reach: Optional[float] = None
    arc: Optional[Tuple[float, float]] = None
    size: float = 1.0
    lab: Optional[Tuple[float, float, float]] = None
    offset: float = 0.0
    doubt: Optional[float] = None
    form: Tuple[Tuple[float, ...], ...] = ()

    @property
    def limited(self) -> bool:
        """Whether the verdict hangs on it."""
        return self.low is not None or self.high is not None


@dataclass(frozen=True)
class GaugeSettings:
    """All of a recipe's section on gauges, checked.

    Attributes:
        gauges: In the order of the recipe.
        count: How many parts must be in view.
        thickness: Millimetres of the parts' upper rim above the plane of the board.
        edge: `outline`: where parts end against the ground; `face`: where the upper face ends.
        least_area: Pixels; what is smaller is dirt.
        checks: Limits of `saturated`, `focus` and `moved`.
        marks: `x1, y1, x2, y2` pixels of things that stay where they are.
        grey: The same of a grey card, or None.
        reflectance: Of the grey card.
        patches: The same of the patches of a colour checker.
        lab: What those patches are.
        taught: What `Gauging.teach` gave; empty before.
    """

    gauges: Tuple[Gauge, ...] = ()
    count: int = 1
    thickness: float = 0.0
    edge: str = "outline"
    least_area: float = 400.0
    checks: Dict[str, float] = field(default_factory=lambda: dict(_CHECKS))
    marks: Tuple[Tuple[float, ...], ...] = ()
    grey: Optional[Tuple[float, ...]] = None
    reflectance: float = 0.18
    patches: Tuple[Tuple[float, ...], ...] = ()
    lab: Tuple[Tuple[float, ...], ...] = ()
    taught: Mapping[str, Any] = field(default_factory=dict)


def read_settings(content: Mapping[str, Any], path: str = "") -> GaugeSettings:
    """Checked settings of a recipe's section.

    Args:
        content: `parts`, `gauges`, `checks`, `marks`, `grey`, `checker` and `taught`, each of which
            may be absent.
        path: Where the section stands in its file, for errors.

    Raises:
        ConfigError: A key or kind is unknown, a value is no number, or a gauge lacks what its kind
            needs.
    """
    dot = f"{path}." if path else ""
    _known(content, _TOP, path or "the recipe")
    parts = _mapping(content.get("parts"), f"{dot}parts")
    _known(parts, ("count", "thickness", "edge", "least_area"), f"{dot}parts")
    edge = parts.get("edge", "outline")
    if edge not in EDGES:
        raise ConfigError(
            f"{dot}parts.edge is unknown", got=repr(edge), remedy=did_you_mean(str(edge), EDGES)
        )
    count = parts.get("count", 1)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigError(f"{dot}parts.count is a whole number from 1", got=repr(count))
    checks = _mapping(content.get("checks"), f"{dot}checks")
    _known(checks, tuple(_CHECKS), f"{dot}checks")
    limits = {k: _number(checks.get(k, v), f"{dot}checks.{k}", least=0) for k, v in _CHECKS.items()}
    grey = _mapping(content.get("grey"), f"{dot}grey")
    _known(grey, ("at", "reflectance"), f"{dot}grey")
    checker = _mapping(content.get("checker"), f"{dot}checker")
    _known(checker, ("patches", "lab"), f"{dot}checker")
    patches = _rows(checker.get("patches", ()), 4, f"{dot}checker.patches")
    lab = _rows(checker.get("lab", ()), 3, f"{dot}checker.lab")
    if len(patches) != len(lab) or 0 < len(patches) < 6:
        raise ConfigError(
            f"{dot}checker needs at least six patches, and a colour for each",
            got=f"{len(patches)} patches, {len(lab)} colours",
        )
    section = _mapping(content.get("gauges"), f"{dot}gauges")
    gauges = tuple(_gauge(str(k), v, f"{dot}gauges.{k}") for k, v in section.items())
    _references(gauges, f"{dot}gauges")
    gauges = _placed(gauges)
    return GaugeSettings(
        gauges,
        count,
        _number(parts.get("thickness", 0.0), f"{dot}parts.thickness", least=0),
        edge,
        _number(parts.get("least_area", 400.0), f"{dot}parts.least_area", least=1),
        limits,
        _rows(content.get("marks", ()), 4, f"{dot}marks"),
        None if "at" not in grey else _rows([grey["at"]], 4, f"{dot}grey.at")[0],
        _number(grey.get("reflectance", 0.18), f"{dot}grey.reflectance", least=1e-3),
        patches,
        lab,
        _mapping(content.get("taught"), f"{dot}taught"),
    )


def _gauge(name: str, given: Any, path: str) -> Gauge:
    if name == PART:
        raise ConfigError(f"{path}: the name 'part' stands for the middle of the part")
    content = _mapping(given, path)
    kind = content.get("kind")
    if kind not in KINDS:
        got = "nothing" if kind is None else repr(kind)
        raise ConfigError(f"{path}.kind", got=got, remedy=did_you_mean(str(kind), KINDS))
    limits = () if kind == "line" else (*_LIMITS, *(("form",) if kind in FORMED else ()))
    _known(content, ("kind", *_OWN[kind], *limits), path)
    nominal, lab = content.get("nominal"), None
    if kind == "colour":
        if nominal is None:
            raise ConfigError(f"{path}.nominal", expected="a colour: [L, a, b] or '#rrggbb'")
        lab, nominal = _colour(nominal, f"{path}.nominal"), None
    elif nominal is not None:
        nominal = _number(nominal, f"{path}.nominal")
    low, high = _limits(kind, nominal, content, path)
    gauge = Gauge(
        name, kind, _pair(content.get("at"), f"{path}.at"), nominal, low, high,
        _text(content.get("of"), f"{path}.of"),
        tuple(str(v) for v in content.get("between", ())),
        _number(content.get("along", 0.0), f"{path}.along"),
        _pair(content.get("from"), f"{path}.from"), _pair(content.get("to"), f"{path}.to"),
        _maybe(content.get("length"), f"{path}.length"),
        _maybe(content.get("reach"), f"{path}.reach"),
        _pair(content.get("arc"), f"{path}.arc"),
        _number(content.get("size", 1.0), f"{path}.size", least=1e-6), lab,
        _number(content.get("offset", 0.0), f"{path}.offset"),
        None if "doubt" not in content else _number(content["doubt"], f"{path}.doubt", least=0),
        _form(content.get("form", ()), f"{path}.form"),
    )  # fmt: skip
    _complete(gauge, path)
    return gauge


def _form(value: Any, path: str) -> Tuple[Tuple[float, ...], ...]:
    """A taught form, as master parts gave it."""
    if not value:
        return ()
    from .forms import WAVES, places

    rows = _rows(value, len(places()), path)
    if len(rows) != 2 * WAVES + 1:
        raise ConfigError(f"{path} is damaged", remedy="teach it again from master parts")
    return rows


def _limits(
    kind: str, nominal: Optional[float], content: Mapping[str, Any], path: str
) -> Tuple[Optional[float], Optional[float]]:
    low, high = None, None
    tolerance = content.get("tolerance")
    if kind in ("position", "contour", "colour"):
        if tolerance is not None:
            high = _number(tolerance, f"{path}.tolerance", least=0)
    elif kind in ("holes", "parts") and nominal is not None:
        low = high = nominal
    elif tolerance is not None:
        if nominal is None:
            raise ConfigError(f"{path}.tolerance is about a nominal value", remedy="add `nominal`")
        if isinstance(tolerance, (list, tuple)):
            below, above = _pair(tolerance, f"{path}.tolerance") or (0.0, 0.0)
            low, high = nominal - abs(below), nominal + above
        else:
            width = _number(tolerance, f"{path}.tolerance", least=0)
            low, high = nominal - width, nominal + width
    if "low" in content:
        low = _number(content["low"], f"{path}.low")
    if "high" in content:
        high = _number(content["high"], f"{path}.high")
    if low is not None and high is not None and low > high:
        raise ConfigError(
            f"{path}: the lower limit is above the upper one", got=f"{low:g} {high:g}"
        )
    return low, high


def _complete(gauge: Gauge, path: str) -> None:
    """Raise where the kind needs more than was given."""
    kind = gauge.kind
    if kind in ("diameter", "radius") and gauge.of != "outline":
        if gauge.of is not None:
            raise ConfigError(f"{path}.of", got=repr(gauge.of), expected="outline, or `at` instead")
        if gauge.at is None or expected_size(gauge) is None:
            raise ConfigError(
                f"{path} needs `at: [x, y]` and `nominal`, or `of: outline`",
                remedy="both are in millimetres on the part; a nominal without tolerance is only "
                "measured",
            )
    if kind == "width" and (gauge.at is None or expected_size(gauge) is None):
        raise ConfigError(f"{path} needs `at: [x, y]` and `nominal`")
    if kind == "line" and (gauge.start is None or gauge.end is None or gauge.start == gauge.end):
        raise ConfigError(f"{path} needs `from: [x, y]` and `to: [x, y]`, which differ")
    if kind == "colour" and gauge.at is None:
        raise ConfigError(f"{path} needs `at: [x, y]`")
    if kind in ("distance", "angle") and len(gauge.between) != 2:
        raise ConfigError(f"{path}.between names two gauges", got=f"{len(gauge.between)}")
    if kind == "position" and gauge.of is None:
        raise ConfigError(f"{path}.of names the diameter whose place it judges")
    if gauge.arc is not None and not 0 < (gauge.arc[1] - gauge.arc[0]) <= 360:
        raise ConfigError(f"{path}.arc goes from less to more degrees", got=str(list(gauge.arc)))


def expected_size(gauge: Gauge) -> Optional[float]:
    """The diameter, radius or width to look for."""
    if gauge.nominal is not None:
        return gauge.nominal if gauge.nominal > 0 else None
    known = [v for v in (gauge.low, gauge.high) if v is not None and v > 0]
    return sum(known) / len(known) if known else None


def _references(gauges: Sequence[Gauge], path: str) -> None:
    by_name = {gauge.name: gauge for gauge in gauges}
    for gauge in gauges:
        asked: List[Tuple[str, Tuple[str, ...]]] = []
        if gauge.kind == "position":
            asked = [(str(gauge.of), ("diameter", "radius"))]
        elif gauge.kind == "angle":
            asked = [(name, ("line",)) for name in gauge.between]
        elif gauge.kind == "distance":
            asked = [(name, (*FEATURES, PART)) for name in gauge.between]
        for name, kinds in asked:
            if name == PART and PART in kinds:
                continue
            if name not in by_name:
                raise ConfigError(
                    f"{path}.{gauge.name}: there is no gauge {name!r}",
                    remedy=did_you_mean(name, by_name),
                )
            if by_name[name].kind not in kinds:
                raise ConfigError(
                    f"{path}.{gauge.name}: {name} is a {by_name[name].kind}",
                    expected=" or ".join(kinds),
                )


def _placed(gauges: Tuple[Gauge, ...]) -> Tuple[Gauge, ...]:
    """Positions without a place of their own are held against their circle's."""
    at = {gauge.name: (0.0, 0.0) if gauge.of == "outline" else gauge.at for gauge in gauges}
    return tuple(
        replace(g, at=at[str(g.of)]) if g.kind == "position" and g.at is None else g for g in gauges
    )


def _colour(value: Any, path: str) -> Tuple[float, float, float]:
    from .colour import lab

    if isinstance(value, str):
        digits = value.lstrip("#")
        try:
            red, green, blue = (int(digits[k : k + 2], 16) for k in (0, 2, 4))
        except ValueError:
            raise ConfigError(path, got=repr(value), expected="such as '#c03020'") from None
        first, second, third = (float(v) for v in lab([blue, green, red]))
        return first, second, third
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ConfigError(path, got=repr(value), expected="[L, a, b] or '#rrggbb'")
    first, second, third = (_number(v, path) for v in value)
    return first, second, third


def _known(content: Mapping[str, Any], known: Sequence[str], path: str) -> None:
    for key in content:
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key!r}", remedy=did_you_mean(str(key), known))


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path} holds keys and values", got=type(value).__name__)
    return value


def _number(value: Any, path: str, least: float = -math.inf) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < least:
        wanted = "a number" if least == -math.inf else f"a number from {least:g}"
        raise ConfigError(path, got=repr(value), expected=wanted)
    return float(value)


def _maybe(value: Any, path: str) -> Optional[float]:
    return None if value is None else _number(value, path, least=1e-6)


def _text(value: Any, path: str) -> Optional[str]:
    if value is not None and not isinstance(value, str):
        raise ConfigError(path, got=repr(value), expected="a name")
    return value


def _pair(value: Any, path: str) -> Optional[Tuple[float, float]]:
    if value is None:
        return None
    row = _rows([value], 2, path)[0]
    return row[0], row[1]


def _rows(value: Any, count: int, path: str) -> Tuple[Tuple[float, ...], ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(path, got=repr(value), expected="a list")
    rows = []
    for row in value:
        if not isinstance(row, (list, tuple)) or len(row) != count:
            raise ConfigError(path, got=repr(row), expected=f"{count} numbers")
        rows.append(tuple(_number(v, path) for v in row))
    return tuple(rows)
