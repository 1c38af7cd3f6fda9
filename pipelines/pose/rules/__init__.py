"""What skeletons tell, as small state machines; see `HeldRule`.

base        readings held over time, with hysteresis and cool-down
gestures    signs that people give
safety      falls, long lies, bad lifts, hands in forbidden zones
repeats     repetitions
"""

from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Union

import msgspec

from ....core import ConfigError, did_you_mean
from ....runtime.config import decode
from ..areas import Areas
from .base import Finding, FunctionRule, HeldRule, Memory, Reading, rule
from .gestures import CrossedArms, HandRaised, HandsUp, Pointing, Wave
from .repeats import Repetitions, Squat
from .safety import BentLift, Fall, LongLie, Reach, lying

RULES: Dict[str, Any] = {
    "hand_raised": HandRaised,
    "hands_up": HandsUp,
    "wave": Wave,
    "crossed_arms": CrossedArms,
    "pointing": Pointing,
    "fall": Fall,
    "long_lie": LongLie,
    "bent_lift": BentLift,
    "reach": Reach,
    "squat": Squat,
}
"""Rules by name."""

DEFAULT_RULES = [name for name in RULES if name != "squat"]
TAKEN = ("person", "crowded", "released", "signal", "gap")
"""Kinds of events that a rule may not be named as."""

Named = Union[str, Dict[str, Dict[str, Any]]]


def make_rules(
    given: Sequence[Named],
    zones: Areas,
    forbidden: Areas,
    load: Optional[Callable[[str], Any]] = None,
) -> Dict[str, Any]:
    """Rules from what a config names.

    Args:
        given: A name of `RULES`, or `module:rule` of the user's own; or `{name: settings}`.
        zones: What may be pointed at.
        forbidden: Where no hand may be.
        load: Finds `module:rule`.

    Returns:
        Rules by the kind of their events: the name, or what stands after the colon.

    Raises:
        ConfigError: A name is unknown or there twice, or a setting is wrong.
    """
    made: Dict[str, Any] = {}
    for place, entry in enumerate(given):
        pairs = {entry: {}} if isinstance(entry, str) else entry
        for name, settings in pairs.items():
            kind = name.rpartition(":")[2]
            if kind in made or kind in TAKEN:
                why = "is there twice" if kind in made else "is the name of another kind of event"
                raise ConfigError(f"rules[{place}]: {kind!r} {why}")
            made[kind] = _make(name, settings, f"rules[{place}].{name}", load)
            if isinstance(made[kind], Pointing):
                made[kind] = msgspec.structs.replace(made[kind], zones=zones)
            elif isinstance(made[kind], Reach):
                made[kind] = msgspec.structs.replace(made[kind], zones=forbidden)
    return made


def _make(
    name: str, settings: Mapping[str, Any], path: str, load: Optional[Callable[[str], Any]]
) -> Any:
    if ":" not in name:
        if name not in RULES:
            raise ConfigError(f"{path}: there is no such rule", remedy=did_you_mean(name, RULES))
        return _set(RULES[name], settings, path)
    if load is None:
        raise ConfigError(f"{path}: nothing here finds a rule of one's own")
    found: Any = load(name)
    if isinstance(found, type) and callable(getattr(found, "step", None)):
        return _set(found, settings, path) if settings else found()
    if callable(getattr(found, "step", None)):
        if not settings:
            return found
        struct: Any = found
        try:
            return msgspec.structs.replace(struct, **settings)
        except TypeError as error:
            raise ConfigError(f"{path}: {error}") from None
    if callable(found):
        return _set(FunctionRule, {**settings, "function": found}, path)
    raise ConfigError(
        f"{path} is no rule", got=type(found).__name__, expected="a function of a body"
    )


def _set(kind: Any, settings: Mapping[str, Any], path: str) -> Any:
    for key in settings:
        if key == "zones":
            raise ConfigError(f"{path}.zones is set by the camera's zones")
    function = settings.get("function")
    if function is not None:
        rest = {k: v for k, v in settings.items() if k != "function"}
        made = decode(FunctionRule, rest, path)
        return msgspec.structs.replace(made, function=function)
    return decode(kind, dict(settings), path)


__all__ = [
    "DEFAULT_RULES",
    "RULES",
    "BentLift",
    "CrossedArms",
    "Fall",
    "Finding",
    "HandRaised",
    "HandsUp",
    "HeldRule",
    "LongLie",
    "Memory",
    "Pointing",
    "Reach",
    "Reading",
    "Repetitions",
    "Squat",
    "Wave",
    "lying",
    "make_rules",
    "rule",
]
