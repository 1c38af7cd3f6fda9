"""Surfaces of a store: floors, walls, shelves full of goods, the house across the street."""

from typing import Any, List

import numpy as np

from .draws import Colour, Draws, grey, mix, shade

DENSE = 96  # pixels of texture a metre

GOODS: List[Colour] = [
    (50, 60, 190), (60, 130, 220), (70, 200, 230), (80, 170, 90), (180, 120, 60), (150, 70, 120),
    (200, 200, 205), (60, 60, 70), (120, 170, 200), (40, 80, 130), (190, 170, 90), (110, 100, 210),
]  # fmt: skip


def cloud(cv2: Any, rng: np.random.RandomState, height: int, width: int, coarse: int) -> np.ndarray:
    """Soft noise around 0 within about ±1: sums of ever finer random grids. `(h, w)` float32."""
    total = np.zeros((height, width), np.float32)
    size, weight = coarse, 1.0
    for _ in range(4):
        grid = rng.uniform(-1, 1, (max(height // size, 2), max(width // size, 2)))
        total += weight * cv2.resize(
            grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        size, weight = max(size // 2, 1), weight * 0.6
    return total / 1.6


def floor(cv2: Any, draw: Draws, width: float, depth: float) -> np.ndarray:
    """Tiles, planks, a carpet or plain concrete. `(h, w, 3)` float32, `DENSE` pixels a metre."""
    rng = np.random.RandomState(draw.whole(2**31))
    w, h = int(width * DENSE), int(depth * DENSE)
    kind = draw.pick(["tiles", "tiles", "planks", "plain", "carpet", "checker"])
    tone = draw.uniform(90, 205)
    colour = grey(tone, draw.uniform(-0.06, 0.14))
    if kind == "planks":
        colour = mix((60, 100, 150), (120, 160, 195), draw.unit())
    elif kind == "carpet":
        colour = draw.pick([(90, 80, 75), (120, 90, 70), (70, 80, 120), (90, 110, 90)])
    image = np.empty((h, w, 3), np.float32)
    image[:] = colour
    if kind in ("tiles", "checker"):
        side = int(draw.pick([0.3, 0.4, 0.5, 0.6]) * DENSE)
        second = shade(colour, draw.uniform(0.55, 0.85) if kind == "checker" else 1.0)
        for j, y in enumerate(range(0, h, side)):
            for i, x in enumerate(range(0, w, side)):
                tile = second if (i + j) % 2 else colour
                image[y : y + side, x : x + side] = shade(tile, draw.uniform(0.96, 1.04))
        joint = draw.uniform(0.72, 0.92)
        image[::side] *= joint
        image[1::side] *= joint
        image[:, ::side] *= joint
        image[:, 1::side] *= joint
    elif kind == "planks":
        across = int(draw.uniform(0.12, 0.2) * DENSE)
        for x in range(0, w, across):
            y = -draw.whole(int(1.5 * DENSE))
            while y < h:
                long = int(draw.uniform(0.8, 1.8) * DENSE)
                plank = image[max(y, 0) : max(y + long, 0), x : x + across]
                plank *= draw.uniform(0.86, 1.12)
                plank[-1:] *= 0.75
                y += long
            image[:, x : x + 1] *= 0.75
        grain = cloud(cv2, rng, max(h // 24, 4), w, 8)
        image *= 1 + 0.08 * cv2.resize(grain, (w, h))[..., None]
    elif kind == "carpet":
        image *= 1 + rng.uniform(-0.12, 0.12, (h, w, 1)).astype(np.float32)
    image *= 1 + draw.uniform(0.02, 0.07) * cloud(cv2, rng, h, w, 160)[..., None]
    image *= 1 + rng.uniform(-0.03, 0.03, (h, w, 1)).astype(np.float32)
    return image


def wall(cv2: Any, draw: Draws, width: float, height: float) -> np.ndarray:
    """A wall with a skirting board, perhaps a band, bricks and posters. Row 0 is the top."""
    rng = np.random.RandomState(draw.whole(2**31))
    w, h = int(width * DENSE), int(height * DENSE)
    colour = grey(draw.uniform(120, 220), draw.uniform(-0.08, 0.16))
    if draw.chance(0.3):
        colour = mix(colour, draw.pick(GOODS), 0.35)
    image = np.empty((h, w, 3), np.float32)
    image[:] = colour
    if draw.chance(0.2):
        rows = int(0.085 * DENSE)
        for j, y in enumerate(range(0, h, rows)):
            for x in range(-(j % 2) * int(0.13 * DENSE), w, int(0.26 * DENSE)):
                brick = image[y : y + rows - 1, max(x, 0) : max(x + int(0.25 * DENSE), 0)]
                brick *= draw.uniform(0.82, 1.08)
            image[y + rows - 1 : y + rows] *= 0.85
    if draw.chance(0.5):
        image[int(h - 1.0 * DENSE) :] = shade(colour, draw.uniform(0.6, 0.85))
    image[int(h - 0.12 * DENSE) :] = shade(colour, 0.5)
    for _ in range(draw.whole(4)):
        x, y = draw.whole(max(w - DENSE, 1)), int(draw.uniform(0.9, 1.7) * DENSE)
        poster(cv2, draw, image[y : y + int(0.9 * DENSE), x : x + int(0.65 * DENSE)])
    image *= 1 + 0.04 * cloud(cv2, rng, h, w, 200)[..., None]
    return image


def poster(cv2: Any, draw: Draws, image: np.ndarray) -> None:
    """Fill a part of a picture with something printed."""
    if 0 in image.shape[:2]:
        return
    image[:] = draw.pick(GOODS)
    h, w = image.shape[:2]
    for _ in range(5):
        x, y = draw.whole(w), draw.whole(h)
        corner = (x + int(draw.uniform(0.1, 0.6) * w), y + int(draw.uniform(0.03, 0.3) * h))
        part = np.ascontiguousarray(image)
        cv2.rectangle(part, (x, y), corner, draw.pick(GOODS), -1)
        image[:] = part


def goods(cv2: Any, draw: Draws, width: float, height: float) -> np.ndarray:
    """The front of a shelf: boards with goods in rows. Row 0 is the top."""
    dense = DENSE
    w, h = max(int(width * dense), 2), max(int(height * dense), 2)
    frame = grey(draw.uniform(60, 215), draw.uniform(-0.05, 0.1))
    image = np.empty((h, w, 3), np.float32)
    image[:] = shade(frame, 0.35)
    gap = draw.uniform(0.3, 0.42)
    rows = max(int(height / gap), 1)
    step = h / rows
    for row in range(rows):
        bottom = int((row + 1) * step)
        x = 1
        while x < w:
            wide = int(draw.uniform(0.05, 0.17) * dense)
            tall = int(step * draw.uniform(0.42, 0.84))
            colour = shade(draw.pick(GOODS), draw.uniform(0.65, 1.15))
            label = mix(colour, draw.pick([(235, 235, 235), (30, 30, 40), (60, 200, 240)]), 0.75)
            low, high = draw.uniform(0.2, 0.45), draw.uniform(0.5, 0.8)
            for _ in range(1 + draw.whole(5)):
                if x + wide >= w or draw.chance(0.04):
                    x += wide
                    continue
                top = bottom - tall
                image[top:bottom, x : x + wide - 1] = colour
                image[top : top + 2, x : x + wide - 1] = shade(colour, 1.25)
                band = image[int(top + low * tall) : int(top + high * tall), x + 1 : x + wide - 2]
                band[:] = label
                image[top:bottom, x + wide - 2 : x + wide - 1] = shade(colour, 0.6)
                x += wide
        # The shade of the board above, and the board with its price tags.
        ramp = np.linspace(0.45, 1.0, max(int(step * 0.5), 1), dtype=np.float32)
        part = image[bottom - int(step) : bottom - int(step) + len(ramp)]
        part *= ramp[: len(part), None, None]
        board = image[bottom - max(int(0.035 * dense), 2) : bottom]
        board[:] = frame
        for tag in range(int(0.1 * dense), w, int(0.23 * dense)):
            board[:, tag : tag + int(0.06 * dense)] = (235, 240, 240)
    return image


def panel(cv2: Any, draw: Draws, width: float, height: float, colour: Colour) -> np.ndarray:
    """A plain side with a poster now and then. Row 0 is the top."""
    rng = np.random.RandomState(draw.whole(2**31))
    w, h = max(int(width * DENSE), 4), max(int(height * DENSE), 4)
    image = np.empty((h, w, 3), np.float32)
    image[:] = colour
    image *= 1 + 0.04 * cloud(cv2, rng, h, w, 60)[..., None]
    if draw.chance(0.5) and min(w, h) > 30:
        poster(cv2, draw, image[int(0.15 * h) : int(0.7 * h), int(0.15 * w) : int(0.85 * w)])
    image[-int(0.08 * DENSE) :] *= 0.5
    return image


def facade(cv2: Any, draw: Draws, width: float, height: float) -> np.ndarray:
    """The house across the street. Row 0 is the top."""
    rng = np.random.RandomState(draw.whole(2**31))
    dense = DENSE // 3
    w, h = int(width * dense), int(height * dense)
    colour = mix(grey(draw.uniform(110, 220)), (90, 130, 180), draw.uniform(0, 0.6))
    image = np.empty((h, w, 3), np.float32)
    image[:] = colour
    for y in range(int(0.6 * dense), h, int(3.0 * dense)):
        x = int(draw.uniform(0.3, 1.0) * dense)
        while x < w:
            wide = int(draw.uniform(0.9, 2.2) * dense)
            glass = image[y : y + int(1.7 * dense), x : x + wide]
            glass[:] = shade((150, 130, 110), draw.uniform(0.4, 1.0))
            x += wide + int(draw.uniform(0.4, 1.0) * dense)
    image *= 1 + 0.06 * cloud(cv2, rng, h, w, 60)[..., None]
    return image


def cloth(cv2: Any, seed: int) -> np.ndarray:
    """Folds and weave to multiply onto figures, around 128 (alpha exactly). `(h, w, 4)` uint8."""
    rng = np.random.RandomState(seed & 0x7FFFFFFF)
    folds = cloud(cv2, rng, 1400, 900, 28)
    fine = rng.uniform(-1, 1, folds.shape)
    image = np.empty((*folds.shape, 4), np.uint8)
    # Never above 128: premultiplied colour must not pass its alpha.
    image[..., :3] = np.clip(112 + 14 * folds + 5 * fine, 70, 128)[..., None]
    image[..., 3] = 128
    return image
