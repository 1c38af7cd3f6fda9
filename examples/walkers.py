"""Writes walkers.txt: what a detector might have seen in a small shop, made up from a seed.

Sixteen people walk on a floor in perspective. Some enter through the door, look at the shelf, pay
and leave; some turn back, some only pass by. Boxes have noise, some are missed. The truth is known,
so a test can hold the counts against it.

    python examples/walkers.py examples/walkers.txt
"""

import sys
from typing import Dict, List, Tuple

import numpy as np

WIDTH, HEIGHT, FPS = 640, 360, 10
CAMERA_HEIGHT, TILT, FOCAL = 2.8, np.deg2rad(24.0), 420.0  # metres, radians, pixels

# Places on the floor in metres: x to the right, z away from the camera.
STREET_LEFT, STREET_RIGHT = (-7.0, 7.2), (7.0, 7.2)
OUTSIDE, INSIDE = (0.0, 7.0), (0.0, 5.4)
SHELF, CHECKOUT = (-1.5, 4.3), (1.35, 4.1)

VISIT = [OUTSIDE, INSIDE, SHELF, CHECKOUT, INSIDE, OUTSIDE]
PLANS: Dict[str, List[Tuple[float, float]]] = {
    "buys": [STREET_LEFT, *VISIT, STREET_RIGHT],
    "looks": [STREET_RIGHT, OUTSIDE, INSIDE, SHELF, INSIDE, OUTSIDE, STREET_LEFT],
    "stays": [STREET_LEFT, OUTSIDE, INSIDE, SHELF],
    "passes": [STREET_LEFT, STREET_RIGHT],
    "turns": [STREET_RIGHT, (0.2, 6.6), STREET_RIGHT],
}
DAY = ["buys", "passes", "looks", "turns", "buys", "passes", "looks", "buys"] * 2
DAY[-2] = "stays"  # still there when the recording ends


def project(x: float, y: float, z: float) -> Tuple[float, float]:
    """Pixel of a point `x` m right, `y` m above the floor, `z` m away."""
    down = CAMERA_HEIGHT - y
    depth = z * np.cos(TILT) + down * np.sin(TILT)
    low = down * np.cos(TILT) - z * np.sin(TILT)
    return WIDTH / 2 + FOCAL * x / depth, HEIGHT / 2 + FOCAL * low / depth


def walk(plan: List[Tuple[float, float]], start: float, random: np.random.Generator):
    """`(seconds, x, z)` at each frame, from place to place, with a stay at shelf and till."""
    speed = random.uniform(0.9, 1.4)
    shift = random.uniform(-0.25, 0.25, 2)
    now, here, path = start, np.array(plan[0]) + shift, []
    for place in plan[1:]:
        there = np.array(place) + shift
        way = there - here
        seconds = np.linalg.norm(way) / speed
        # People keep to the right of the way, or they would walk through each other.
        right = 0.35 * np.array([way[1], -way[0]]) / np.linalg.norm(way)
        for i in range(int(seconds * FPS)):
            share = i / (seconds * FPS)
            aside = right * min(1.0, 4 * share, 4 * (1 - share))
            path.append((now + i / FPS, *(here + way * share + aside)))
        now, here = now + int(seconds * FPS) / FPS, there
        if place in (SHELF, CHECKOUT):
            stay = random.uniform(4.0, 12.0)
            for i in range(int(stay * FPS)):
                sway = 0.03 * np.sin(np.array([0.7, 1.1]) * i / FPS)
                path.append((now + i / FPS, *(here + sway)))
            now += int(stay * FPS) / FPS
    return path


def simulate(seed: int = 7):
    """Rows `(frame, x, y, w, h, score)`, `(n, 6)` float64, and the truth as a dict of counts."""
    random = np.random.default_rng(seed)
    rows = []
    for number, name in enumerate(DAY):
        tall = random.uniform(1.55, 1.9)
        for seconds, x, z in walk(PLANS[name], 7.0 * number, random):
            foot, head = project(x, 0.0, z), project(x, tall, z)
            high = foot[1] - head[1]
            wide = 0.36 * high
            box = np.array([foot[0] - wide / 2, head[1], wide, high])
            box += random.normal(0.0, 0.012 * high, 4)
            seen = -wide / 2 < foot[0] < WIDTH + wide / 2 and random.random() > 0.04
            if seen:
                score = np.clip(random.normal(0.72, 0.12), 0.31, 0.98)
                rows.append((round(seconds * FPS) + 1, *box, score))
    enter = sum(name in ("buys", "looks", "stays") for name in DAY)
    leave = sum(name in ("buys", "looks") for name in DAY)
    truth = {
        "door": {"in": enter, "out": leave},
        "shelf": enter,
        "checkout": sum(name == "buys" for name in DAY),
        "visitors": len(DAY),
        "passers_by": sum(name in ("passes", "turns") for name in DAY),
    }
    return np.array(sorted(rows)), truth


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="ascii") as file:
        for frame, x, y, w, h, score in simulate()[0]:
            file.write(f"{int(frame)},-1,{x:.1f},{y:.1f},{w:.1f},{h:.1f},{score:.2f},-1,-1,-1\n")
