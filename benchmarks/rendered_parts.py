"""Parts of known sizes rendered through a lens that distorts, and how well they can be measured.

What a pixel sees is summed up over many places in it, then blurred, shaded and made noisy.
"""

import math
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from ..runtime.inspect.gauges.camera import Board, Camera
from ..runtime.sources.base import load_cv2

Inside = Callable[[np.ndarray], np.ndarray]

LIGHT = {
    "typical": ((0.8, 2.0, 0.0), (1.2, 4.0, 0.3)),
    "hard": ((2.0, 8.0, 0.5),),
}  # blur in pixels, noise in grey levels, share of the light that is missing at one side
SIZE, TIMES = (480, 360), 12
CONTRAST = 140.0  # grey levels


def draw_camera(random: np.random.RandomState) -> Camera:
    """A camera 110 mm or so above its plane, tilted by up to eight degrees, with a real lens."""
    focal = random.uniform(780, 860)
    middle = SIZE[0] / 2 + random.uniform(-5, 5), SIZE[1] / 2 + random.uniform(-5, 5)
    tilt = random.uniform(0, math.radians(8))
    turn = random.uniform(0, 2 * math.pi)
    return Camera(
        SIZE,
        np.array([[focal, 0, middle[0]], [0, focal * random.uniform(0.998, 1.002), middle[1]],
                  [0, 0, 1.0]]),
        np.array([random.uniform(-0.28, 0.1), random.uniform(-0.05, 0.08),
                  *random.uniform(-8e-4, 8e-4, 2), 0.0]),
        np.array([tilt * math.cos(turn), tilt * math.sin(turn), random.uniform(-0.1, 0.1)]),
        np.array([-30.0, -22.0, random.uniform(108, 118)]),
    )  # fmt: skip


def render(
    camera: Camera,
    inside: Inside,
    light: Tuple[float, float, float],
    random: np.random.RandomState,
    thickness: float = 0.0,
    wall: float = 0.0,
) -> np.ndarray:
    """A part with upright walls as a camera sees it, `(h, w, 3)` uint8.

    Args:
        camera: Above the plane on which the part lies.
        inside: Whether millimetres `(n, 2)` lie within the part.
        light: Blur, noise and missing light; see `LIGHT`.
        random: Noise, and whether the part is darker than the ground.
        thickness: Millimetres.
        wall: 0 for walls as dark as the ground, 1 for walls as light as the face.
    """
    cv2 = load_cv2()
    blur, noise, shade = light
    width, height = camera.size
    face, ground = (60.0, 60.0 + CONTRAST) if random.uniform() < 0.5 else (170.0, 170.0 - CONTRAST)

    def levels(x: np.ndarray, y: np.ndarray, times: int) -> np.ndarray:
        """Mean levels of pixels, each by one place at random in each of its small squares."""
        inner = np.arange(times) / times - 0.5
        at = np.stack(np.broadcast_arrays(
            x[:, None, None] + inner, y[:, None, None] + inner[:, None]
        )).reshape(2, -1)  # fmt: skip
        pixels = (at + random.uniform(0, 1 / times, at.shape)).T
        top = camera.to_mm(pixels, thickness)
        grey = np.where(inside(top), face, ground)
        if thickness:
            foot = camera.to_mm(pixels, 0.0)
            side = np.zeros(len(pixels), bool)
            for share in np.linspace(0, 1, 16)[:-1]:
                side |= inside(foot + share * (top - foot))
            grey = np.where(side & ~inside(top), ground + wall * (face - ground), grey)
        return grey.reshape(len(x), -1).mean(axis=1)

    y, x = (v.ravel() for v in np.mgrid[0:height, 0:width])
    image = levels(x, y, 2).reshape(height, width)
    # A camera sums up all light of a pixel: few places where an edge runs are noise of their own.
    y, x = np.nonzero(cv2.dilate(image, np.ones((3, 3))) > cv2.erode(image, np.ones((3, 3))))
    if len(y):
        image[y, x] = levels(x, y, TIMES)
    image = cv2.GaussianBlur(image, (0, 0), blur)
    image = image * (1 - shade * np.linspace(0, 1, width))
    image = image + random.normal(0, noise, image.shape)
    return cv2.cvtColor(np.clip(np.rint(image), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def disc(x: float, y: float, diameter: float) -> Inside:
    """Within a circle."""
    return lambda p: np.hypot(p[:, 0] - x, p[:, 1] - y) < diameter / 2


def bar(x: float, y: float, length: float, width: float, angle: float) -> Inside:
    """Within a rectangle turned by `angle` radians."""
    c, s = math.cos(angle), math.sin(angle)

    def inside(p: np.ndarray) -> np.ndarray:
        u, v = p[:, 0] - x, p[:, 1] - y
        return (np.abs(c * u + s * v) < length / 2) & (np.abs(c * v - s * u) < width / 2)

    return inside


def without(outer: Inside, *holes: Inside) -> Inside:
    """Within the first and none of the others."""
    return lambda p: outer(p) & ~np.any([hole(p) for hole in holes], axis=0)


def washer(random: np.random.RandomState) -> Tuple[Inside, Dict[str, Any], Dict[str, float], Any]:
    """A washer somewhere in view: where it is, its gauges, what they should show, its middle."""
    x, y = 29 + random.uniform(-6, 6), 23 + random.uniform(-4, 4)
    outer = random.uniform(20, 30)
    bore = outer * random.uniform(0.35, 0.6)
    gauges = {
        "diameter": {"kind": "diameter", "of": "outline"},
        "bore": {"kind": "diameter", "at": [0, 0], "nominal": bore * random.uniform(0.99, 1.01)},
    }
    inside = without(disc(x, y, outer), disc(x, y, bore))
    return inside, gauges, {"diameter": outer, "bore": bore}, (x, y)


def plate(random: np.random.RandomState) -> Tuple[Inside, Dict[str, Any], Dict[str, float], Any]:
    """A plate with two holes, however it lies; as `washer`."""
    x, y = 29 + random.uniform(-4, 4), 23 + random.uniform(-2, 2)
    angle = random.uniform(-math.pi, math.pi)
    length = random.uniform(25, 29)
    width = length * random.uniform(0.45, 0.6)
    at, size = 0.3 * length, random.uniform(4, 6)
    c, s = math.cos(angle), math.sin(angle)
    holes = [disc(x + k * at * c, y + k * at * s, size) for k in (-1, 1)]
    off = random.uniform(0.99, 1.01)
    gauges = {
        "length": {"kind": "width", "at": [0, 0], "along": 0, "nominal": length * off,
                   "length": 0.7 * width},
        "width": {"kind": "width", "at": [0, 0], "along": 90, "nominal": width * off,
                  "length": 0.7 * length},
        "hole1": {"kind": "diameter", "at": [-at, 0], "nominal": size},
        "hole2": {"kind": "diameter", "at": [at, 0], "nominal": size},
        "pitch": {"kind": "distance", "between": ["hole1", "hole2"]},
        "side": {"kind": "line", "from": [-0.4 * length, width / 2],
                 "to": [0.4 * length, width / 2]},
        "other": {"kind": "line", "from": [-0.4 * length, -width / 2],
                  "to": [0.4 * length, -width / 2]},
        "angle": {"kind": "angle", "between": ["side", "other"], "nominal": 0},
        "end": {"kind": "line", "from": [length / 2, -0.35 * width],
                "to": [length / 2, 0.35 * width]},
        "square": {"kind": "angle", "between": ["side", "end"], "nominal": 90},
        "edge": {"kind": "distance", "between": ["hole1", "side"]},
    }  # fmt: skip
    true = {"length": length, "width": width, "hole1": size, "hole2": size, "pitch": 2 * at,
            "angle": 0.0, "square": 90.0, "edge": width / 2}  # fmt: skip
    return without(bar(x, y, length, width, angle), *holes), gauges, true, (x, y)


def board_views(camera: Camera, random: np.random.RandomState) -> Tuple[List[np.ndarray], Board]:
    """Pictures of a chessboard by a camera, the last one in its plane."""
    board = Board("chessboard", 10, 7, 5.0)
    pictures = []
    for k in range(9):
        turn = camera.rotation + random.uniform(-0.3, 0.3, 3) * (k < 8)
        shift = camera.translation + (random.uniform(-3, 3, 3) + (0, 0, 14)) * (k < 8)
        view = Camera(camera.size, camera.matrix, camera.distortion, turn, shift)

        def white(p: np.ndarray) -> np.ndarray:
            x, y = p[:, 0] / 5.0, p[:, 1] / 5.0
            on = (x > 0) & (x < 10) & (y > 0) & (y < 7)
            return ~(on & ((np.floor(x) + np.floor(y)) % 2 == 0))

        width, height = camera.size
        y, x = np.mgrid[0 : height * 3, 0 : width * 3]
        pixels = np.stack((x.ravel(), y.ravel()), axis=1) / 3 - 0.5 + 0.5 / 3
        grey = np.where(white(view.to_mm(pixels)), 215.0, 30.0)
        image = grey.reshape(height, 3, width, 3).mean(axis=(1, 3))
        image = load_cv2().GaussianBlur(image, (0, 0), 0.8) + random.normal(0, 2, image.shape)
        whole = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        pictures.append(load_cv2().cvtColor(whole, load_cv2().COLOR_GRAY2BGR))
    return pictures, board


def edge_bound(contrast: float, blur: float, noise: float) -> float:
    """Standard deviation in pixels to which a pixel's length of a straight edge can be placed.

    The bound of Cramér and Rao for the shift of a blurred step of known levels in white noise:
    noise^2 over the integral of the squared slope, which is contrast^2 / (2 s sqrt(pi)).

    Args:
        contrast: Grey levels.
        blur: Standard deviation of the lens, pixels, before a pixel sums up its light.
        noise: Grey levels a pixel.
    """
    s = math.sqrt(blur**2 + 1 / 12)
    return noise / contrast * math.sqrt(2 * s * math.sqrt(math.pi))


def bounds(sizes: Dict[str, float], sure: float) -> Dict[str, float]:
    """Least standard deviation of each gauge of `washer` or `plate`, pixels and degrees.

    Args:
        sizes: True sizes in pixels by name of the gauge.
        sure: What `edge_bound` gives.
    """

    def circle(size: float) -> float:
        return 2 * sure / math.sqrt(math.pi * size)

    def middle(size: float) -> float:
        return sure * math.sqrt(2 / (math.pi * size))

    def turn(size: float) -> float:
        return math.degrees(sure * math.sqrt(12 / size**3))

    if "bore" in sizes:
        return {name: circle(size) for name, size in sizes.items()}
    length, width, hole = sizes["length"], sizes["width"], sizes["hole1"]
    long, short = 0.8 * length, 0.7 * width  # of `side` and `end`
    return {
        "length": sure * math.sqrt(2 / (0.7 * width)),
        "width": sure * math.sqrt(2 / (0.7 * length)),
        "hole1": circle(hole), "hole2": circle(hole),
        "pitch": math.sqrt(2) * middle(hole),
        "angle": math.sqrt(2) * turn(long),
        "square": math.hypot(turn(long), turn(short)),
        # The hole lies beside the side's middle by three eighths of its length.
        "edge": math.sqrt(middle(hole) ** 2 + sure**2 / long * (1 + 12 * 0.375**2)),
    }  # fmt: skip
