"""What good parts have in common: light, focus, size, colour; and which of them do not."""

import math
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ...core import DataError
from ...runtime.inspect.gauges.checks import choose_marks, keep_marks, mark_shifts
from ...runtime.inspect.gauges.colour import ciede2000
from ...runtime.inspect.judging.conditions import MOVED, has_colour
from .parts import Sample, one_size

FAR = 8.0  # robust standard deviations from the others
DRIFT_LIGHT = 0.06  # share of the light
DRIFT_FOCUS = 0.25  # share of the sharpness
LIGHT = (0.6, 1.6)  # of the light when taught
REACH = 4.0  # standard deviations of what good parts show that are no other light
FOCUS = 0.5  # of the usual sharpness: good parts below it lower what is taken as usual
MOST_NAMED = 5


def refuse_few(parts: Sequence[Sample]) -> None:
    """Raise where so few good parts cannot tell how much good parts differ."""
    if len(parts) == 1:
        raise DataError(
            "one good part does not tell how much good parts may differ",
            expected="3 at least, better 20",
            remedy="take more pictures, each of another good part",
        )
    if len(parts) < 3:
        raise DataError(
            "two good parts do not tell how much good parts may differ",
            expected="3 at least, better 20",
            remedy="take more pictures, each of another good part",
        )
    first = parts[0].look.image
    if all(p.look.image.shape == first.shape and (p.look.image == first).all() for p in parts):
        raise DataError(
            f"the {len(parts)} pictures of good parts are one and the same",
            expected="each of another good part",
        )


def refuse_strangers(parts: Sequence[Sample], outlined: bool) -> None:
    """Raise where good parts differ too much among themselves, naming those that do."""
    columns: List[Tuple[str, np.ndarray, float, str]] = []

    def add(name: str, values: Sequence[float], least: float, unit: str) -> None:
        columns.append((name, np.array(values, float), least, unit))

    # What is out of focus has another size as well: the cause is told, not what follows of it.
    add("focus", [math.log(max(p.focus, 1e-3)) for p in parts], 0.15, "")
    if outlined:
        for name in ("length", "width"):
            values = [float(getattr(p.look, name)) for p in parts]
            add(name, values, 0.02 * float(np.median(values)) + 0.5, " px")
        areas = [p.look.area for p in parts]
        add("area", areas, 0.03 * float(np.median(areas)), " px2")
    middle = np.median([p.colour for p in parts], axis=0)
    add("colour", ciede2000(np.array([p.colour for p in parts]), middle).tolist(), 1.5, "")
    faults: Dict[str, str] = {}
    if outlined:
        faults.update(_other_light(parts))
    for name, values, least, unit in columns:
        centre = float(np.median(values))
        spread = max(1.4826 * float(np.median(np.abs(values - centre))), least)
        for k in np.flatnonzero(np.abs(values - centre) > FAR * spread).tolist():
            shown = (values[k], centre) if name != "focus" else (values[k] - centre, 0.0)
            told = f"{name} {shown[0]:.3g}{unit} where others have {shown[1]:.3g}{unit}"
            if name == "focus":
                told = f"{math.exp(shown[0]):.2g} times as sharp as the others"
            faults.setdefault(parts[k].name, told)
    if faults:
        named = [f"{name}: {why}" for name, why in list(faults.items())[:MOST_NAMED]]
        more = f" and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise DataError(
            f"{len(faults)} of {len(parts)} good parts differ too much from the others",
            got="; ".join(named) + more,
            remedy="leave them out if they are not good, or teach them as another part",
        )


def _other_light(parts: Sequence[Sample]) -> Dict[str, str]:
    """Pictures whose ground is in another light than that of the others."""
    lights = np.log(np.maximum([p.light for p in parts], 1.0))
    middle = float(np.median(lights))
    usual = REACH * 1.4826 * float(np.median(np.abs(lights - middle)))
    light = math.exp(middle)
    dark = min(light * min(LIGHT[0], math.exp(-usual)), light - 12)
    bright = max(light * max(LIGHT[1], math.exp(usual)), light + 20)
    return {
        p.name: f"light {p.light:.3g} where others have {light:.3g} grey levels"
        for p in parts
        if not dark <= p.light <= bright
    }


def refuse_other_sizes(good: Sequence[Sample], bad: Sequence[Sample]) -> None:
    """Raise where pictures of bad parts have not the one size of those of good parts."""
    for part in bad:
        if part.size != good[0].size:
            raise DataError(
                f"{part.name} has another size than the pictures of good parts",
                got=f"{part.size[0]} x {part.size[1]}",
                expected=f"{good[0].size[0]} x {good[0].size[1]}",
                remedy="take all pictures with the camera and the setting that will inspect",
            )


def drifts(parts: Sequence[Sample]) -> List[str]:
    """Sentences about light or focus that changed from the first pictures to the last."""
    told = []
    n = len(parts)
    for name, values, most, words in (
        ("light", [p.light for p in parts], DRIFT_LIGHT, "grew darker|grew brighter"),
        ("focus", [p.focus for p in parts], DRIFT_FOCUS, "grew less sharp|grew sharper"),
    ):
        found = np.log(np.maximum(np.array(values, float), 1e-3))
        if n < 5:
            continue
        # Theil and Sen's slope: a few odd pictures do not make a drift.
        i, j = np.triu_indices(n, 1)
        slope = float(np.median((found[j] - found[i]) / (j - i)))
        change = math.expm1(slope * (n - 1))
        order = np.sign(found[j] - found[i]).sum()
        # Kendall's test: is the order more than chance?
        sigma = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
        if abs(change) > most and abs(order) > 2.6 * sigma:
            way = words.split("|")[change > 0]
            told.append(
                f"The pictures {way} from the first to the last, by {abs(change):.0%}: "
                f"{name} drifted while they were taken. Let it settle, and take them again."
            )
            continue
        half = [found[: n // 2], found[n // 2 :]]
        jump = math.expm1(abs(float(np.median(half[0]) - np.median(half[1]))))
        within = float(np.median([np.abs(h - np.median(h)).mean() for h in half]))
        if jump > 2 * most and jump > 6 * within:
            told.append(
                f"The {name} of the first half of the pictures is not that of the second half: "
                f"they differ by {jump:.0%}."
            )
    return told


def learn_conditions(parts: Sequence[Sample]) -> Dict[str, Any]:
    """What a picture must be like to be judged, for the recipe's `taught`."""
    lights = [p.light for p in parts]
    light = float(np.median(lights))
    # Where the part fills the picture its own surface is seen, which may differ by more.
    usual = REACH * float(np.log(np.maximum(lights, 1.0)).std())
    least, most = min(LIGHT[0], math.exp(-usual)), max(LIGHT[1], math.exp(usual))
    inside = [p.look.image[p.look.mask > 0] for p in parts]
    grey = [v @ np.array((0.114, 0.587, 0.299)) for v in inside]
    ground = np.median([p.look.ground for p in parts], axis=0)
    focus = [p.focus for p in parts]
    found: Dict[str, Any] = {
        "ground": [round(float(v), 2) for v in ground],
        # A black ground stays black in any light: a few grey levels are no change.
        "light": [
            round(min(least * light, light - 12), 2),
            round(max(most * light, light + 20), 2),
        ],
        # Beyond these it is another light than that of the good parts, though one can judge in it.
        "lights": [round(min(lights), 2), round(max(lights), 2)],
        "focus": round(min(float(np.median(focus)), min(focus) / FOCUS), 4),
        "white": round(max(float(np.mean(g >= 253)) for g in grey), 4),
        "black": round(max(float(np.mean(g <= 2)) for g in grey), 4),
    }
    if one_size(parts):
        found["picture"] = [int(v) for v in parts[0].size]
        found.update(_fixed(parts))
    kinds = {has_colour(p.look.image) for p in parts}
    if len(kinds) == 1:
        found["coloured"] = kinds.pop()
    return found


def _fixed(parts: Sequence[Sample]) -> Dict[str, Any]:
    """Things around the parts that stay where they are, and how far they may seem to move."""
    shown = [p for p in parts if p.around is not None]
    if len(shown) < 3:
        return {}
    pictures = [p.around[..., 0] for p in shown if p.around is not None]
    free = np.all([p.around[..., 1] > 0 for p in shown if p.around is not None], axis=0)
    boxes = choose_marks(pictures, free)
    if not boxes:
        return {}
    middle = np.median(np.array(pictures), axis=0).astype(np.uint8)
    marks = [{**mark, "box": box} for mark, box in zip(keep_marks(middle, boxes), boxes)]
    seen = [shift for picture in pictures for shift in mark_shifts(picture, marks)]
    most = max((float(np.hypot(*shift)) for shift in seen if shift is not None), default=0.0)
    return {"marks": marks, "moved": round(MOVED + most, 2)}
