"""Figures in pixels: from joints in the world to outlines, and from outlines to pictures.

A part is a tapered capsule between two joints, a trunk the hull of four discs. Outlines are drawn
with anti-aliasing onto a picture with alpha (premultiplied), so that a figure can be blurred as it
moves, hidden by what stands before it, and laid over what is behind it.
"""

from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple

import numpy as np

from .camera import Camera
from .draws import shade
from .looks import ENDS, FRONT, HULL_ENDS, HULLS, PART, PARTS, STRIPES, Looks
from .pose import AT

SHIFT = 4  # fractional bits of coordinates
ARC = 6  # points of half a circle
ROUND = [k for k, (name, _, _) in enumerate(PARTS) if name[:-2] in ("thigh", "shin", "arm", "fore")]
"""Parts with a lighter streak along them, which makes them round."""

_P, _R, _H = len(PARTS), len(ROUND), len(HULLS)
_STREAK_OF = {part: _P + k for k, part in enumerate(ROUND)}
_FIRST_STRIPE = _P + _R + _H
_CAPSULES = _FIRST_STRIPE + STRIPES
_DISC = 8
_BIAS = np.zeros(_P + _H)
for _name, _value in {
    "thigh": 0.1, "shin": 0.1, "shoe": 0.08, "arm": -0.08, "fore": -0.1, "hand": -0.1,
    "neck": 0.06, "skull": -0.1, "face": -0.1, "hair": -0.1, "mane": -0.1, "bag": 0.0,
    "brim": -0.13, "shirt": -0.03, "print": -0.03, "eye": -0.14,
}.items():  # fmt: skip
    for _part, (_full, _, _) in enumerate(PARTS):
        if _full in (_name, _name + "_l", _name + "_r"):
            _BIAS[_part] = _value
_BIAS[_P:] = (-0.02, 0.0, -0.05)  # skirt, hips, torso


@dataclass
class Shapes:
    """The outlines of `n` figures.

    Attributes:
        capsules: `(n, capsules, 2 * ARC, 2)` float64 pixels.
        hulls: `(n, hulls, 4 * 8, 2)` float64 pixels; the hull of these points is the outline.
        order: `(n, parts + hulls)` parts and hulls from the farthest to the nearest.
        box: `(n, 4)` pixels around all that is drawn.
        reach: `(n,)` metres ahead along the floor, by which figures hide one another.
        pixels: `(n, joints, 2)`.
        depth: `(n, joints)` metres along the camera's axis.
        away: `(n,)` -1 seen from the front to 1 seen from behind.
        aside: `(n, joints)` metres ahead along the floor of every joint.
    """

    capsules: np.ndarray
    hulls: np.ndarray
    order: np.ndarray
    box: np.ndarray
    reach: np.ndarray
    pixels: np.ndarray
    depth: np.ndarray
    away: np.ndarray
    aside: np.ndarray


def no_shapes() -> Shapes:
    """The outlines of nobody."""
    none = np.zeros((0, 1, 2))
    row = np.zeros(0)
    return Shapes(none, none, none, np.zeros((0, 4)), row, none, row, row, none)


def outline(
    camera: Camera, joints: np.ndarray, facing: np.ndarray, looks: Sequence[Looks], lying=0.0
) -> Shapes:
    """Outlines of figures.

    Args:
        camera: What looks at them.
        joints: `(n, joints, 3)` metres.
        facing: `(n, 2)` unit vectors.
        looks: One a figure.
        lying: `(n,)` 0 upright to 1 lying: what of a body hides what.
    """
    n = len(joints)
    pixels, depth = camera.project(joints)
    scale = camera.focal / depth
    height = np.array([look.body[0] for look in looks])
    along = camera.reach(joints)
    lying = np.broadcast_to(np.asarray(lying, float), (n,))[:, None]
    near = along * (1 - lying) + depth * lying
    # Who sits is where the feet are, before the seat, if that is nearer.
    feet = 0.5 * (along[:, AT["left_ankle"]] + along[:, AT["right_ankle"]])
    place = np.minimum(along[:, AT["pelvis"]], feet)
    pelvis = joints[:, AT["pelvis"], :2]
    view = pelvis - np.array(camera.position[:2])
    view = view / np.maximum(np.sqrt((view * view).sum(axis=1)), 1e-6)[:, None]
    away = (view * facing).sum(axis=1)

    radii = np.stack([look.radii for look in looks]) * height[:, None, None]
    worn = radii[:, :, 0] > 0
    one, two = pixels[:, ENDS[:, 0]], pixels[:, ENDS[:, 1]]
    ra, rb = radii[:, :, 0] * scale[:, ENDS[:, 0]], radii[:, :, 1] * scale[:, ENDS[:, 1]]
    hull_radii = np.stack([look.hull_radii for look in looks]) * height[:, None, None]
    hull_r = hull_radii * scale[:, HULL_ENDS]
    hull_c = pixels[:, HULL_ENDS]
    # Streaks: narrower, towards the light, which comes from above and the left.
    light = np.array([-0.3, -0.18])
    sa, sb = ra[:, ROUND], rb[:, ROUND]
    streak_a = one[:, ROUND] + sa[..., None] * light
    streak_b = two[:, ROUND] + sb[..., None] * light
    upper = hull_c[:, :, :2].mean(axis=2)
    lower = hull_c[:, :, 2:].mean(axis=2)
    broad = 0.5 * np.abs(hull_c[:, :, 0, 0] - hull_c[:, :, 1, 0]) + hull_r[:, :, 0]
    body_a = upper + broad[..., None] * light * 0.8
    body_b = lower + broad[..., None] * light * 0.8
    share = ((np.arange(STRIPES) + 0.3) / STRIPES)[:, None]
    torso = hull_c[:, 2]
    left = torso[:, None, 0] + share * (torso[:, None, 2] - torso[:, None, 0])
    right = torso[:, None, 1] + share * (torso[:, None, 3] - torso[:, None, 1])
    width = np.repeat((0.011 * height * scale[:, AT["chest"]])[:, None], STRIPES, axis=1)
    capsules = _capsules(
        np.concatenate((one, streak_a, body_a, left), axis=1),
        np.concatenate((two, streak_b, body_b, right), axis=1),
        np.concatenate((ra, sa * 0.55, broad * 0.45, width), axis=1),
        np.concatenate((rb, sb * 0.55, broad * 0.45, width), axis=1),
    )
    angle = np.arange(_DISC) * (2 * np.pi / _DISC) + np.pi / 8
    ring = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    hulls = hull_c[:, :, :, None] + hull_r[..., None, None] * ring
    hulls = hulls.reshape(n, _H, -1, 2)

    key = np.concatenate((0.5 * (near[:, ENDS[:, 0]] + near[:, ENDS[:, 1]]),
                          near[:, HULL_ENDS].mean(axis=2)), axis=1)  # fmt: skip
    key += _BIAS
    key[:, _P] = near[:, AT["pelvis"]] - 0.02
    # One head: hair lies behind the face of who looks here and over it on who looks away.
    head = near[:, AT["crown"]] - 0.12
    for name, front, behind in (
        ("mane", 0.004, -0.004), ("skull", 0.003, 0.003), ("hair", 0.002, -0.003),
        ("face", 0.0, 0.0),
    ):  # fmt: skip
        key[:, PART[name]] = head + np.where(away < -0.35, front, behind)
    order = np.argsort(-key, axis=1, kind="stable")

    shown = np.where(worn[:, :, None, None], capsules[:, :_P], np.nan).reshape(n, -1, 2)
    dressed = np.where(hull_r[:, :, :1, None] > 0, hulls, np.nan).reshape(n, -1, 2)
    points = np.concatenate((shown, dressed), axis=1)
    box = np.concatenate((np.nanmin(points, axis=1), np.nanmax(points, axis=1)), axis=1)
    return Shapes(capsules, hulls, order, box, place, pixels, depth, away, along)


def _capsules(a: np.ndarray, b: np.ndarray, ra: np.ndarray, rb: np.ndarray) -> np.ndarray:
    """Outlines `(…, 2 * ARC, 2)` of discs around a and b and what lies between."""
    way = b - a
    length = np.sqrt((way * way).sum(axis=-1))
    unit = np.where((length > 1e-6)[..., None], way / np.maximum(length, 1e-6)[..., None], (0, 1.0))
    across = np.stack((-unit[..., 1], unit[..., 0]), axis=-1)
    angle = np.linspace(0, np.pi, ARC)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    unit, across = unit[..., None, :], across[..., None, :]
    far = b[..., None, :] + rb[..., None, None] * (across * cos + unit * sin)
    near = a[..., None, :] + ra[..., None, None] * (-across * cos - unit * sin)
    return np.concatenate((far, near), axis=-2)


class Painter:
    """Draws figures, one at a time.

    Args:
        cv2: OpenCV.
        cloth: `(h, w, 4)` uint8 around 128: folds and weave, multiplied onto figures.
    """

    def __init__(self, cv2: Any, cloth: np.ndarray) -> None:
        self._cv2, self._cloth = cv2, cloth

    def paint(
        self, shapes: Shapes, i: int, look: Looks, light: float = 1.0
    ) -> Tuple[np.ndarray, Tuple[int, int]]:
        """Figure `i` as a premultiplied `(h, w, 4)` uint8 picture, and its left and top."""
        cv2 = self._cv2
        box = shapes.box[i]
        left, top = int(np.floor(box[0])) - 6, int(np.floor(box[1])) - 6
        width, height = int(np.ceil(box[2])) + 6 - left, int(np.ceil(box[3])) + 6 - top
        patch = np.zeros((height, width, 4), np.uint8)
        origin = np.array([left, top], float)
        unit = float(1 << SHIFT)
        capsules = np.rint((shapes.capsules[i] - origin) * unit).astype(np.int32)
        hulls = np.rint((shapes.hulls[i] - origin) * unit).astype(np.int32)
        fine = height > 52
        fill, aa = cv2.fillConvexPoly, cv2.LINE_AA
        base, bright = palette(look, light)
        for item in shapes.order[i].tolist():
            if item < _P:
                if look.radii[item, 0] == 0 or (item in FRONT and shapes.away[i] > -0.1):
                    continue
                if item >= PART["eye_l"] and height < 150:
                    continue
                fill(patch, capsules[item], base[item], aa, SHIFT)
                if fine and item in _STREAK_OF:
                    fill(patch, capsules[_STREAK_OF[item]], bright[item], aa, SHIFT)
                continue
            hull = item - _P
            if look.hull_radii[hull, 0] == 0:
                continue
            fill(patch, cv2.convexHull(hulls[hull]), base[item], aa, SHIFT)
            if fine:
                fill(patch, capsules[_P + _R + hull], bright[item], aa, SHIFT)
            if hull == 2 and look.stripes is not None:
                stripe = tuple(c * light for c in look.stripes) + (255,)
                for k in range(STRIPES):
                    fill(patch, capsules[_FIRST_STRIPE + k], stripe, aa, SHIFT)
        # Anchored to the body, so that the folds go with it.
        u, v = look.texture
        cloth = self._cloth[v : v + height, u : u + width]
        if cloth.shape[:2] == (height, width):
            patch = cv2.multiply(patch, cloth, scale=1.0 / 128.0)
        return patch, (left, top)


def palette(look: Looks, light: float) -> Tuple[List[Any], List[Any]]:
    """Colours of parts and hulls, of their shaded side and of their streaks; BGR and alpha."""
    cached = getattr(look, "palette", None)
    if cached is not None and cached[0] == light:
        return cached[1], cached[2]
    base, bright = [], []
    for k, colour in enumerate(look.colours + look.hull_colours):
        dark = 1.0 if k in _STREAK_OF or k >= _P else 1.1
        base.append(shade(colour, dark * light) + (255,))
        bright.append(shade(colour, 1.14 * light) + (255,))
    look.palette = (light, base, bright)  # type: ignore[attr-defined]
    return base, bright


def smear(cv2: Any, patch: np.ndarray, dx: float, dy: float, soft: float) -> np.ndarray:
    """Blur a picture along the way `(dx, dy)` in pixels, and by `soft` pixels all round."""
    length = float(np.hypot(dx, dy))
    if length < 0.6 and soft < 0.25:
        return patch
    half = int(min(np.ceil(0.5 * length + 1.5 * soft), 7))
    size = 2 * half + 1
    grid = np.arange(-half, half + 1, dtype=np.float64)
    x, y = grid[None, :], grid[:, None]
    ux, uy = (dx / length, dy / length) if length > 1e-6 else (1.0, 0.0)
    beyond = np.maximum(np.abs(x * ux + y * uy) - 0.5 * length, 0.0)
    off = x * uy - y * ux
    sigma = max(soft, 0.3)
    kernel = np.exp(-(beyond**2 + off**2) / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    return cv2.filter2D(patch, -1, kernel.reshape(size, size))
