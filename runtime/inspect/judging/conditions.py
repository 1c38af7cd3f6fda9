"""Whether a picture can be judged by a recipe at all: its size, light, colours and view."""

from typing import Any, List, Mapping, Sequence, Tuple

import numpy as np

from ....core.verdict import PASS, Reason
from ..gauges.checks import mark_shifts
from .finding import Look

MOVED = 1.5  # pixels that fixed things may have moved


def picture_problems(image: np.ndarray, taught: Mapping[str, Any]) -> Tuple[Reason, ...]:
    """What is wrong with a picture as a whole; nothing that is right is told.

    Args:
        image: `(h, w, 3)` uint8 BGR.
        taught: What the recipe keeps of good pictures.
    """
    reasons: List[Reason] = []
    size = taught.get("picture")
    seen = (image.shape[1], image.shape[0])
    if size and seen != (int(size[0]), int(size[1])):
        text = (f"the picture is {seen[0]} x {seen[1]}, and the recipe was taught with "
                f"{size[0]} x {size[1]}: another camera, or another setting of it")  # fmt: skip
        return (Reason("picture", None, condition=True, text=text),)
    light = taught.get("light")
    if light:
        level = picture_light(image)
        dark = level < float(light[0])
        text = (f"the ground is {'darker' if dark else 'lighter'} than when taught: look at "
                "the exposure and the lamp")  # fmt: skip
        reasons.append(
            Reason("light", level, float(light[0]), float(light[1]), unit="grey levels",
                   condition=True, text=text)
        )  # fmt: skip
    wrong = [r for r in reasons if r.outcome != PASS]
    colour = taught.get("coloured")
    if not wrong and colour is not None and colour != has_colour(image):
        text = ("the picture is grey and the taught ones have colours" if colour
                else "the picture has colours and the taught ones are grey")  # fmt: skip
        text += ": another camera, or another setting of it"
        wrong.append(Reason("colours", None, condition=True, text=text))
    return tuple(wrong)


def is_fixed(look: Look, taught: Mapping[str, Any]) -> bool:
    """Whether what was found is a thing that was there when taught, and no part."""
    return any(
        (look.middle >= m["box"][:2]).all() and (look.middle <= m["box"][2:]).all()
        and look.length < 1.5 * (m["box"][2] - m["box"][0])
        for m in taught.get("marks") or ()
    )  # fmt: skip


def moved_camera(
    image: np.ndarray, looks: Sequence[Look], taught: Mapping[str, Any]
) -> Tuple[Reason, ...]:
    """Whether fixed things that no part hides lie elsewhere than when taught."""
    marks = taught.get("marks") or ()
    shown = [m for m in marks if not any(_hides(look, m["box"]) for look in looks)]
    if not shown:
        return ()
    found = mark_shifts(image, shown)
    away = sorted(float(np.hypot(*shift)) for shift in found if shift is not None)
    text = "what is fixed in view lies elsewhere: the camera or its mount was moved"
    if len(away) * 2 < len(found):
        return (Reason("moved", None, condition=True, text=text),)
    limit = float(taught.get("moved", MOVED))
    reason = Reason("moved", away[len(away) // 2], high=limit, unit="px", condition=True,
                    text=text)  # fmt: skip
    return () if reason.outcome == PASS else (reason,)


def _hides(look: Look, box: Sequence[float]) -> bool:
    """Whether a part, or its shadow, may cover a box."""
    room = 0.15 * (look.xyxy[2:] - look.xyxy[:2]) + 4
    low, high = look.xyxy[:2] - room, look.xyxy[2:] + room
    return bool((low < np.array(box[2:])).all() and (high > np.array(box[:2])).all())


def has_colour(image: np.ndarray) -> bool:
    """Whether the channels of a picture differ anywhere in a fine grid."""
    few = image[::4, ::4]
    return not (few[..., :1] == few).all()


def picture_light(image: np.ndarray) -> float:
    """Grey level of the commonest ground: the median along the border."""
    edge = max(min(image.shape[:2]) // 20, 2)
    rim = np.concatenate(
        [image[:edge, ::7].reshape(-1, 3), image[-edge:, ::7].reshape(-1, 3),
         image[::7, :edge].reshape(-1, 3), image[::7, -edge:].reshape(-1, 3)]
    )  # fmt: skip
    return float(np.median(rim @ np.array((0.114, 0.587, 0.299))))
