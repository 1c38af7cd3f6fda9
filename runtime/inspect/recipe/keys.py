"""What a recipe may say: its keys, checked one by one."""

import math
from typing import Any, Dict, List, Optional, Tuple

import msgspec

TRIGGERS = ("arrival", "picture", "timer", "input")
FINDS = ("whole", "outline")


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Checked key by key."""


def _one_of(name: str, value: str, known: Tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}, and must be one of {', '.join(known)}")


def _limits(name: str, pair: Optional[List[Optional[float]]]) -> None:
    if pair is None:
        return
    given = [v for v in pair if v is not None]
    if len(pair) != 2 or not given or not all(math.isfinite(v) for v in given):
        raise ValueError(f"{name} must be [least, most], of which one may be null")
    if len(given) == 2 and given[0] > given[1]:
        raise ValueError(f"{name}: the least is above the most")


class PartSettings(_Struct, frozen=True):
    """How a part is found in a picture.

    Attributes:
        find: `whole`: the picture is of one part as it lies in its fixture. `outline`: parts lie
            anywhere and turned, on a ground from which they stand out; each is cut out and turned
            upright.
        count: How many parts a picture must show where pictures are triggered.
        least_area: Pixels; what is smaller is dirt. Only with `outline`.
        size: `[width, height]` of an upright part in pixels; learnt.
    """

    find: str = "whole"
    count: int = 1
    least_area: float = 400.0
    size: Optional[List[int]] = None

    def __post_init__(self) -> None:
        _one_of("find", self.find, FINDS)
        if self.count < 1 or not self.least_area > 0:
            raise ValueError("count and least_area must be above 0")
        if self.count > 1 and self.find == "whole":
            raise ValueError("count above 1 needs `find: outline`")


class InputLine(_Struct, frozen=True):
    """A digital input.

    Attributes:
        chip: Such as `/dev/gpiochip0`, or `sysfs`.
        line: Number of the line.
        edge: `rising` or `falling`.
    """

    chip: str
    line: int
    edge: str = "rising"

    def __post_init__(self) -> None:
        _one_of("edge", self.edge, ("rising", "falling"))


class TriggerSettings(_Struct, frozen=True):
    """When a part is judged.

    Attributes:
        by: `arrival`: once for each part, when it lies still or has reached the place; `picture`:
            every picture is of a new part; `timer`: every so many seconds; `input`: at each edge of
            a digital input. `arrival` for parts that are found by their outline, else `picture`.
        every: Seconds, of the timer.
        place: Where parts are seen best, `[x, y]` as shares of the picture.
        gate: Share of the picture, to both sides of that place, in which parts are looked at
            closely; others are only followed. Unless given, 0.04 with gauges, which take their
            time, 0.12 where parts travel, else everywhere.
        travel: `x` or `y`: the way parts travel, along which the gate is measured; learnt.
        still: Seconds that a part must lie still to be judged away from that place.
        input: The digital input.
        delay: Seconds from its edge to the picture that shows the part.
        within: Seconds after that by which the picture must have come.
    """

    by: Optional[str] = None
    every: float = 0.0
    place: List[float] = msgspec.field(default_factory=lambda: [0.5, 0.5])
    gate: Optional[float] = None
    travel: Optional[str] = None
    still: float = 0.4
    input: Optional[InputLine] = None
    delay: float = 0.0
    within: float = 0.5

    def __post_init__(self) -> None:
        if self.by is not None:
            _one_of("by", self.by, TRIGGERS)
        if self.by == "timer" and not self.every > 0:
            raise ValueError("a timer needs `every`, in seconds")
        if (self.by == "input") != (self.input is not None):
            raise ValueError("`by: input` and `input` go together")
        if len(self.place) != 2 or not all(0 <= v <= 1 for v in self.place):
            raise ValueError("place must be [x, y], each from 0 to 1")
        if self.gate is not None and not 0 < self.gate <= 1:
            raise ValueError("gate must be above 0, to 1")
        if self.travel is not None:
            _one_of("travel", self.travel, ("x", "y"))
        if not (self.still >= 0 and self.delay >= 0 and self.within > 0):
            raise ValueError("still and delay must not be below 0, within above it")


class OutlineCheck(_Struct, frozen=True):
    """Size of a part that was found by its outline, in pixels near the place where it is judged.

    Attributes:
        length: `[least, most]` of the longer side; learnt unless given.
        width: Of the shorter side, likewise.
        area: Within the outline, holes as well, in square pixels, likewise.
    """

    length: Optional[List[Optional[float]]] = None
    width: Optional[List[Optional[float]]] = None
    area: Optional[List[Optional[float]]] = None

    def __post_init__(self) -> None:
        for name in ("length", "width", "area"):
            _limits(name, getattr(self, name))


class ColourCheck(_Struct, frozen=True):
    """Colour of the part as a whole.

    Attributes:
        lab: CIE Lab; learnt unless given.
        high: Most that it may differ, as CIEDE2000; learnt unless given.
    """

    lab: Optional[List[float]] = None
    high: Optional[float] = None

    def __post_init__(self) -> None:
        if self.lab is not None and len(self.lab) != 3:
            raise ValueError("lab must be [L, a, b]")


class GoldenCheck(_Struct, frozen=True):
    """Difference from good parts.

    Attributes:
        pictures: Pictures of good parts, beside the recipe; learnt. Others are laid upon the first;
            the first twelve show what differences there may be, all of them how much each place
            varies.
        high: Largest difference in one place, in pixels of full contrast; learnt unless given.
        deviation: Farthest that a place may lie from good parts, in times of what is usual for
            them in their worst place; learnt unless given.
        usual: What that is, in standard deviations, for details from the finest to the coarsest;
            learnt.
        slack: Pixels by which an edge may lie elsewhere; learnt unless given.
        spread: How many standard deviations of good parts are allowed beyond what they showed;
            learnt unless given.
        tolerance: Least difference that is told, as a share of the contrast.
    """

    pictures: Optional[List[str]] = None
    high: Optional[float] = None
    slack: Optional[int] = None
    spread: Optional[float] = None
    tolerance: float = 0.06
    deviation: Optional[float] = None
    usual: Optional[List[float]] = None

    def __post_init__(self) -> None:
        if not 0 <= (self.slack or 0) <= 20 or not 0 < self.tolerance < 1:
            raise ValueError("slack must be 0 to 20 and tolerance between 0 and 1")
        if self.spread is not None and not self.spread > 0:
            raise ValueError("spread must be above 0")
        if self.high is not None and not self.high > 0:
            raise ValueError("high must be above 0")
        if self.deviation is not None and not self.deviation > 0:
            raise ValueError("deviation must be above 0")
        if self.usual is not None and (len(self.usual) != 4 or not min(self.usual) > 0):
            raise ValueError("usual must be four numbers above 0")


class AnomalyCheck(_Struct, frozen=True):
    """A model that has learnt what good parts look like.

    Attributes:
        model: ONNX beside the recipe; learnt unless given.
        high: Highest score that passes, where the model's own threshold is 1; learnt.
        minutes: Most that learning may take.
        backbone: ONNX of a network of your own, beside the recipe: teaching learns what its layers
            see on good parts, or takes its class-activation map where it is a classifier.
        layers: Names of the backbone's tensors that are looked at; chosen unless given.
    """

    model: Optional[str] = None
    high: Optional[float] = None
    minutes: float = 5.0
    backbone: Optional[str] = None
    layers: Optional[List[str]] = None

    def __post_init__(self) -> None:
        if self.layers is not None and not (self.backbone and self.layers):
            raise ValueError("layers names tensors of `backbone`, at least one")


class ClassifierCheck(_Struct, frozen=True):
    """A trained classifier.

    Attributes:
        model: ONNX with a card of the task `classify`.
        good: Classes of good parts.
        least: Least that those must add up to; learnt unless given.
    """

    model: str
    good: List[str]
    least: Optional[float] = None


class Checks(_Struct, frozen=True):
    """What is judged. Without any, teaching tries all that it can.

    Attributes:
        outline: Size of the part.
        colour: Colour of the part.
        golden: Difference from good parts.
        anomaly: Learnt anomaly.
        surface: `best`: teaching tries golden sample and learnt anomaly and keeps the better one.
        gauges: What is measured and within which limits; see `Gauging`. `camera` beside its other
            keys names the calibrated camera.
        classifier: A trained classifier.
    """

    outline: Optional[OutlineCheck] = None
    colour: Optional[ColourCheck] = None
    golden: Optional[GoldenCheck] = None
    anomaly: Optional[AnomalyCheck] = None
    surface: Optional[str] = None
    gauges: Optional[Dict[str, Any]] = None
    classifier: Optional[ClassifierCheck] = None

    def __post_init__(self) -> None:
        if self.surface is not None:
            _one_of("surface", self.surface, ("best",))

    @property
    def names(self) -> Tuple[str, ...]:
        """Those that are asked for."""
        return tuple(f for f in self.__struct_fields__ if getattr(self, f) is not None)


class Encoder(_Struct, frozen=True):
    """Counts of an encoder on the belt.

    Attributes:
        chip: As of a digital input.
        line: Number of its line.
        counts: From where a part is judged to where it is put out.
        speed: Highest that is possible, in counts a second: tells when a part has surely come.
    """

    chip: str
    line: int
    counts: int
    speed: float = 1000.0

    def __post_init__(self) -> None:
        if self.counts < 1 or not self.speed > 0:
            raise ValueError("counts and speed must be above 0")


class RejectOutput(_Struct, frozen=True):
    """A digital output that puts parts out.

    Attributes:
        chip: Such as `/dev/gpiochip0`, or `sysfs`.
        line: Number of the line.
        delay: Seconds from a part's picture to when it is put out.
        encoder: Counts instead of seconds.
        pulse: Seconds that the output stays on.
        on: Verdicts that put a part out.
        safe: What the output does when a verdict comes too late, and when the run ends in an
            error: `on` puts everything out until verdicts come in time again, `off` lets pass.
        active_low: Whether the output is on at low level.
    """

    chip: str
    line: int
    delay: float = 0.0
    encoder: Optional[Encoder] = None
    pulse: float = 0.1
    on: List[str] = msgspec.field(default_factory=lambda: ["fail", "unsure"])
    safe: str = "on"
    active_low: bool = False

    def __post_init__(self) -> None:
        _one_of("safe", self.safe, ("on", "off"))
        if not self.pulse > 0 or self.delay < 0:
            raise ValueError("pulse must be above 0 and delay not below it")
        for verdict in self.on:
            _one_of("on", verdict, ("pass", "fail", "unsure"))
        if (self.delay > 0) == (self.encoder is not None):
            raise ValueError("give either `delay`, in seconds above 0, or `encoder`")


class HeartbeatOutput(_Struct, frozen=True):
    """A digital output that goes on and off as long as pictures are judged.

    Attributes:
        chip: As of the reject output.
        line: Number of the line.
        period: Seconds of one on and off.
        within: Seconds without a picture after which it stops.
    """

    chip: str
    line: int
    period: float = 1.0
    within: float = 2.0

    def __post_init__(self) -> None:
        if not (self.period > 0 and self.within > 0):
            raise ValueError("period and within must be above 0")


class Outputs(_Struct, frozen=True):
    """What is told to the machine."""

    reject: Optional[RejectOutput] = None
    heartbeat: Optional[HeartbeatOutput] = None


class Rejects(_Struct, frozen=True):
    """Pictures of parts that did not pass.

    Attributes:
        megabytes: Room for them in the run folder; the oldest go first. 0 keeps none.
    """

    megabytes: float = 200.0

    def __post_init__(self) -> None:
        if self.megabytes < 0:
            raise ValueError("megabytes must not be below 0")


class ChallengeSettings(_Struct, frozen=True):
    """Known parts that are judged at the beginning of each shift.

    Attributes:
        set: Folder beside the recipe with folders `pass` and `fail` of pictures.
        shifts: Times of day at which shifts begin, such as `06:00`; the beginning of a run counts
            as one.
    """

    set: str
    shifts: List[str] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        for text in self.shifts:
            hours, _, minutes = text.partition(":")
            digits = hours.isdigit() and minutes.isdigit()
            if not digits or int(hours) > 23 or int(minutes) > 59:
                raise ValueError(f"shifts: {text!r} is no time such as '06:00'")


class Recipe(_Struct, frozen=True):
    """The keys of a recipe beside those of every config.

    Attributes:
        version: 0 before it was taught.
        name: What it is called, where its file is called otherwise, as in a bundle.
        part: How a part is found.
        trigger: When it is judged.
        checks: What is judged.
        outputs: What is told to the machine.
        rejects: Pictures that are kept.
        challenge: Known parts, run at each shift.
        serial: What serial numbers begin with.
        subgroup: Parts in a subgroup of the control charts; 1 for charts of individuals.
        taught: What teaching found: conditions of light and focus, how many parts, at what rate.
        artefacts: SHA-256 of the files that belong to it, by their name beside it.
    """

    version: int = 0
    name: str = ""
    part: PartSettings = PartSettings()
    trigger: TriggerSettings = msgspec.field(default_factory=TriggerSettings)
    checks: Checks = Checks()
    outputs: Outputs = Outputs()
    rejects: Rejects = Rejects()
    challenge: Optional[ChallengeSettings] = None
    serial: str = ""
    subgroup: int = 1
    taught: Dict[str, Any] = msgspec.field(default_factory=dict)
    artefacts: Dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.version < 0:
            raise ValueError("version must not be below 0")
        if not 1 <= self.subgroup <= 10:
            raise ValueError("subgroup must be 1 to 10")
        if self.by == "arrival" and self.part.find != "outline":
            raise ValueError("trigger by arrival needs part: {find: outline}")

    @property
    def by(self) -> str:
        """What triggers."""
        return self.trigger.by or ("arrival" if self.part.find == "outline" else "picture")
