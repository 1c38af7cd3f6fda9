"""Small parts in millimetres: outlines, holes, defects, and how they are painted."""

import math
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np

from .coverage import coverage
from .draws import Colour, Draws, grey, shade

KINDS = ("washer", "bracket", "cap")
DEFECTS = ("none", "scratch", "dent", "missing_hole", "wrong_size", "wrong_colour")

FINE = 192  # corners of a circle, which lie a thousandth of a millimetre off it

COLOURS: List[Colour] = [
    (60, 60, 190), (170, 90, 40), (70, 150, 60), (60, 190, 215), (205, 205, 205), (50, 120, 220),
]  # fmt: skip


class Part(NamedTuple):
    """One part on the belt; millimetres, its own middle at 0, 0.

    Attributes:
        id: From 1.
        kind: One of `KINDS`.
        defect: One of `DEFECTS`.
        start: Seconds at which its middle passes x = 0 of the belt.
        across: Millimetres across the belt from its middle line.
        angle: Radians.
        length: Millimetres along its longer side (diameter of round parts).
        width: Millimetres along its shorter side.
        holes: Middle and diameter of each hole that is there.
        lost: The hole that is missing, or None.
        flaw: Middle, length and angle of a scratch or dent, or None.
        colour: BGR.
    """

    id: int
    kind: str
    defect: str
    start: float
    across: float
    angle: float
    length: float
    width: float
    holes: Tuple[Tuple[float, float, float], ...]
    lost: Optional[Tuple[float, float, float]]
    flaw: Optional[Tuple[float, float, float, float]]
    colour: Colour

    @property
    def outline(self) -> np.ndarray:
        """Its edge, `(n, 2)` millimetres, not turned."""
        if self.kind == "bracket":
            a, b, r = self.length / 2, self.width / 2, 0.16 * self.width
            corner = np.linspace(0, math.pi / 2, 6)
            arc = np.stack((np.cos(corner), np.sin(corner)), axis=1) * r
            pieces = []
            for k, (x, y) in enumerate(((a, b), (-a, b), (-a, -b), (a, -b))):
                c, s = round(math.cos(k * math.pi / 2)), round(math.sin(k * math.pi / 2))
                turned = arc @ np.array([[c, s], [-s, c]])
                pieces.append(turned + (x - math.copysign(r, x), y - math.copysign(r, y)))
            return np.concatenate(pieces)
        count = 96 if self.kind == "cap" else FINE
        angle = np.arange(count) * (2 * math.pi / count)
        radius = np.full(count, self.length / 2)
        if self.kind == "cap":  # a knurled rim
            radius = radius * (1 - 0.03 * (np.arange(count) % 2))
        return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)


class Product(NamedTuple):
    """What parts of one kind should be: millimetres and BGR."""

    kind: str
    length: float
    width: float
    holes: Tuple[Tuple[float, float, float], ...]
    colour: Colour


def draw_product(draw: Draws, kind: str) -> Product:
    """The nominal part of a kind, different for each seed."""
    if kind == "washer":
        outer = draw.uniform(24, 40)
        return Product(kind, outer, outer, ((0, 0, outer * draw.uniform(0.4, 0.6)),),
                       grey(draw.uniform(120, 190)))  # fmt: skip
    if kind == "bracket":
        length, width = draw.uniform(46, 66), draw.uniform(20, 28)
        hole = width * draw.uniform(0.25, 0.36)
        at = 0.5 * length - 0.5 * width
        holes = ((-at, 0.0, hole), (at, 0.0, hole))
        return Product(kind, length, width, holes, grey(draw.uniform(110, 190), 0.03))
    size = draw.uniform(27, 38)
    return Product(kind, size, size, (), draw.pick(COLOURS))


def draw_part(draw: Draws, product: Product, number: int, start: float, bad: float) -> Part:
    """One part, with a defect in a share `bad` of the cases."""
    defects = [d for d in DEFECTS[1:] if d != "missing_hole" or product.holes]
    defect = draw.pick(defects) if draw.chance(bad) else "none"
    # Good parts keep within a hundredth; a wrong size is off by far more.
    size = 1 + draw.uniform(-0.004, 0.004)
    if defect == "wrong_size":
        size = 1 + draw.uniform(0.08, 0.2) * (1 if draw.chance(0.5) else -1)
    holes = [(x * size, y * size, d * size) for x, y, d in product.holes]
    lost = holes.pop(draw.whole(len(holes))) if defect == "missing_hole" else None
    flaw = None
    if defect in ("scratch", "dent"):
        long = product.width * (
            draw.uniform(0.45, 0.8) if defect == "scratch" else draw.uniform(0.14, 0.22)
        )
        if product.kind == "washer":  # on the ring, along it
            ring = 0.25 * (product.length + holes[0][2])
            turn = draw.uniform(0, 6.283)
            long = min(long, 0.6 * ring) if defect == "scratch" else 0.16 * ring
            flaw = (ring * math.cos(turn), ring * math.sin(turn), long, turn + math.pi / 2)
        else:
            x = draw.uniform(-0.14, 0.14) * product.length
            flaw = (x, draw.uniform(-0.1, 0.1) * product.width, long, draw.uniform(0, 3.14))
    colour = shade(product.colour, draw.uniform(0.97, 1.03))
    if defect == "wrong_colour":
        others = [c for c in COLOURS if abs(c[0] - colour[0]) + abs(c[2] - colour[2]) > 90]
        colour = draw.pick(others)
    return Part(
        number, product.kind, defect, start, draw.uniform(-55, 55), draw.uniform(0, 6.283),
        product.length * size, product.width * size, tuple(holes), lost, flaw, colour,
    )  # fmt: skip


def turned(points: np.ndarray, part: Part, x: float) -> np.ndarray:
    """Points of a part on the belt, in millimetres, when its middle is at `x`."""
    c, s = math.cos(part.angle), math.sin(part.angle)
    return points @ np.array([[c, s], [-s, c]]) + (x, part.across)


def circle(x: float, y: float, diameter: float, count: int = 40) -> np.ndarray:
    """A circle as a polygon."""
    angle = np.arange(count) * (2 * math.pi / count)
    return np.stack((x + 0.5 * diameter * np.cos(angle), y + 0.5 * diameter * np.sin(angle)), 1)


def flaw_outline(part: Part) -> Optional[np.ndarray]:
    """Around the defect that can be pointed at, in millimetres; None where there is none."""
    if part.lost is not None:
        return circle(*part.lost)
    if part.flaw is None:
        return None
    x, y, long, angle = part.flaw
    wide = 0.9 if part.defect == "scratch" else 0.8 * long
    ring = circle(0, 0, 1.0, 24) * (long, wide)
    c, s = math.cos(angle), math.sin(angle)
    return ring @ np.array([[c, s], [-s, c]]) + (x, y)


def paint(cv2: Any, canvas: np.ndarray, part: Part, to_canvas: Any, grain: np.ndarray) -> None:
    """Draw a part and its shadow onto the belt, its edge exactly where its outline is.

    Args:
        cv2: OpenCV.
        canvas: `(h, w, 3)` uint8, changed in place.
        part: What to draw.
        to_canvas: From millimetres of the part `(n, 2)` to pixels of the canvas.
        grain: `(h, w, 4)` uint8 around 120 of at most 128: the finish, alpha 128.
    """
    edge = to_canvas(part.outline)
    left, top = np.floor(edge.min(axis=0)).astype(int) - 8
    right, bottom = np.ceil(edge.max(axis=0)).astype(int) + 10
    height, width = canvas.shape[:2]
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return
    scale = float(np.hypot(*(to_canvas(np.array([[1.0, 0.0]])) - to_canvas(np.zeros((1, 2))))[0]))
    size = (bottom - top, right - left)
    face = np.zeros((*size, 3), np.float32)

    def within(points: np.ndarray, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
        return coverage(to_canvas(points) + (dx - left, dy - top), size)

    def fill(points: np.ndarray, colour: Colour, dx: float = 0.0, dy: float = 0.0) -> None:
        share = within(points, dx, dy)[..., None]
        face[:] = face * (1 - share) + np.array(colour, np.float32) * share

    drop = 1.2 * scale
    shadow = cv2.GaussianBlur(within(part.outline, drop, drop), (0, 0), max(0.5 * scale, 0.6))
    shadow *= 120 / 255
    solid = within(part.outline)
    base, dark = part.colour, shade(part.colour, 0.62)
    face[:] = dark
    fill(part.outline * 0.975, shade(part.colour, 1.25), -0.25 * scale, -0.25 * scale)
    fill(part.outline * 0.94, base)
    if part.kind == "cap":
        fill(part.outline * 0.78, dark, -0.2 * scale, -0.2 * scale)
        fill(part.outline * 0.76, base)
        fill(part.outline * 0.3, shade(part.colour, 1.1), -2 * scale, -2 * scale)
    for x, y, diameter in part.holes:
        fill(circle(x, y, diameter * 1.08, FINE), dark)
        through = within(circle(x, y, diameter, FINE))
        shadow[through > 0] = 90 / 255
        solid -= through
    flaw = flaw_outline(part)
    if part.defect == "scratch" and flaw is not None:
        fill(flaw, shade(part.colour, 0.5), 0.3 * scale, 0.3 * scale)
        fill(flaw, (235, 235, 235))
    elif part.defect == "dent" and flaw is not None:
        fill(flaw, shade(part.colour, 1.3), 0.5 * scale, 0.5 * scale)
        fill(flaw, shade(part.colour, 0.45))
    finish = grain[: size[0], : size[1], :3]
    if finish.shape == face.shape:
        face *= finish * np.float32(1 / 128)
    solid = solid.clip(0, 1)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    cut = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
    share = solid[cut][..., None]
    under = canvas[y1:y2, x1:x2] * (1 - shadow[cut])[..., None]
    canvas[y1:y2, x1:x2] = np.clip(np.rint(face[cut] * share + under * (1 - share)), 0, 255)
