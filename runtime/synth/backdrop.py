"""The store without people, drawn once: a ray through each pixel, the nearest surface it meets."""

from dataclasses import dataclass
from typing import Any, List, Tuple

import numpy as np

from . import textures
from .camera import Camera
from .draws import Draws, grey, mix, shade
from .layout import Furniture, Plan
from .navigate import Box
from .textures import DENSE

SURFACES = 6  # stream of chance
_OUTSIDE_M = 9.0  # from the far wall to the house across the street


@dataclass(frozen=True)
class Backdrop:
    """An empty scene.

    Attributes:
        image: `(h, w, 3)` uint8 BGR.
        reach: `(h, w)` float32, metres ahead along the floor of what stands there; infinite where
            there is nothing that people could be behind.
        floor: `(h, w)` uint8, 255 where shadows fall.
    """

    image: np.ndarray
    reach: np.ndarray
    floor: np.ndarray


class Canvas:
    """Colours and distances of rays, in a picture twice as fine as the final one."""

    def __init__(self, cv2: Any, camera: Camera, scale: int) -> None:
        self.cv2, self.camera, self.scale = cv2, camera, scale
        self.rays = camera.rays(scale)
        self.eye = np.array(camera.position, np.float32)
        height, width = self.rays.shape[:2]
        self.near = np.full((height, width), np.inf, np.float32)
        self.image = np.zeros((height, width, 3), np.float32)
        self.solid = np.zeros((height, width), bool)
        self.floor = np.zeros((height, width), bool)

    def plane(
        self,
        axis: int,
        at: float,
        texture: np.ndarray,
        origin: Tuple[float, float],
        low: Tuple[float, float],
        high: Tuple[float, float],
        light: float = 1.0,
        dense: float = DENSE,
        solid: bool = True,
        floor: bool = False,
        window: Any = None,
    ) -> None:
        """Paint an upright or level rectangle.

        Args:
            axis: 0, 1 or 2: the coordinate that is the same all over it.
            at: That coordinate in metres.
            texture: `(h, w, 3)` float32. Its rows go down from the top of an upright rectangle,
                and away from the camera on a level one.
            origin: The other two coordinates of the texture's first pixel (upright: of its top).
            low: Least values of the other two coordinates.
            high: Greatest values of them.
            light: Factor on the colours.
            dense: Pixels of texture a metre.
            solid: Whether people behind it are hidden.
            floor: Whether shadows fall on it.
            window: `(x from, y from, x to, y to)` in pixels of the canvas; None is all of it.
        """
        part = (slice(None), slice(None))
        if window is not None:
            x1, y1, x2, y2 = window
            part = (slice(y1, y2), slice(x1, x2))
        rays = self.rays[part]
        if 0 in rays.shape:
            return
        one, two = [k for k in (0, 1, 2) if k != axis]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            t = (np.float32(at) - self.eye[axis]) / rays[..., axis]
            u = self.eye[one] + t * rays[..., one]
            v = self.eye[two] + t * rays[..., two]
            good = (t > 0.05) & (t < self.near[part] - 1e-4)
            good &= (u >= low[0]) & (u <= high[0]) & (v >= low[1]) & (v <= high[1])
        if not good.any():
            return
        tx = (u[good] - np.float32(origin[0])) * dense
        ty = (v[good] - np.float32(origin[1])) * dense
        if axis != 2:
            ty = -ty
        # OpenCV wants maps narrower than 32768.
        count = len(tx)
        wide = 4096
        pad = -count % wide
        tx = np.pad(tx, (0, pad)).reshape(-1, wide).astype(np.float32)
        ty = np.pad(ty, (0, pad)).reshape(-1, wide).astype(np.float32)
        rows = []
        for k in range(0, len(tx), 8192):
            rows.append(
                self.cv2.remap(
                    texture, tx[k : k + 8192], ty[k : k + 8192], self.cv2.INTER_LINEAR,
                    borderMode=self.cv2.BORDER_REFLECT,
                )
            )  # fmt: skip
        colours = np.concatenate(rows).reshape(-1, 3)[:count] * np.float32(light)
        self.image[part][good] = colours
        self.near[part][good] = t[good]
        self.solid[part][good] = solid
        self.floor[part][good] = floor

    def window_of(self, low: np.ndarray, high: np.ndarray) -> Any:
        """Where a box from `low` to `high` can be seen, for `plane`."""
        points = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1])
                           for z in (low[2], high[2])])  # fmt: skip
        local = (points - self.eye) @ self.camera.axes.T
        if (local[:, 2] < 0.2).any():
            return None
        pixels = self.camera.project(points)[0] * self.scale
        height, width = self.near.shape
        x1, y1 = np.floor(pixels.min(axis=0)).astype(int) - 1
        x2, y2 = np.ceil(pixels.max(axis=0)).astype(int) + 2
        return max(x1, 0), max(y1, 0), min(max(x2, 0), width), min(max(y2, 0), height)

    def finish(self, soft: float) -> Backdrop:
        """The picture at its size, blurred by `soft` pixels (of a picture 640 wide)."""
        cv2, camera, scale = self.cv2, self.camera, self.scale
        image = cv2.resize(self.image, camera.size, interpolation=cv2.INTER_AREA)
        image = cv2.GaussianBlur(image, (0, 0), soft * max(camera.size[0] / 640, 0.5))
        ahead = camera.ahead.astype(np.float32)
        reach = self.near * (self.rays[..., 0] * ahead[0] + self.rays[..., 1] * ahead[1])
        reach = np.where(self.solid, reach, np.float32(1e6))
        return Backdrop(
            np.clip(np.rint(image), 0, 255).astype(np.uint8),
            np.ascontiguousarray(reach[scale - 1 :: scale, scale - 1 :: scale]).astype(np.float32),
            np.ascontiguousarray(self.floor[::scale, ::scale]).astype(np.uint8) * 255,
        )


def store_backdrop(cv2: Any, plan: Plan, camera: Camera, seed: int) -> Backdrop:
    """The empty store."""
    draw = Draws(seed, SURFACES)
    scale = 2 if camera.size[0] * camera.size[1] <= 1_000_000 else 1
    canvas = Canvas(cv2, camera, scale)
    width, depth, height = plan.width, plan.depth, plan.height
    day = draw.uniform(0.7, 1.25)  # how bright it is outside

    # The street: the house across, the road and the pavement.
    far = depth + _OUTSIDE_M
    canvas.plane(
        1, far, textures.facade(cv2, draw, 40, 14), (-16, 14), (-16, -0.1), (width + 20, 14),
        light=day, dense=DENSE // 3, solid=False,
    )  # fmt: skip
    road = np.full((6 * DENSE, 6 * DENSE, 3), draw.uniform(70, 130), np.float32)
    rng = np.random.RandomState(draw.whole(2**31))
    road *= 1 + 0.1 * textures.cloud(cv2, rng, 6 * DENSE, 6 * DENSE, 40)[..., None]
    canvas.plane(2, 0.0, road, (-8, depth), (-16, depth + 3.6), (width + 20, far), light=day,
                 solid=False)  # fmt: skip
    pavement = road * np.float32(draw.uniform(1.1, 1.6))
    slab = int(draw.uniform(0.4, 0.7) * DENSE)
    pavement[::slab] *= 0.85
    pavement[:, ::slab] *= 0.85
    canvas.plane(2, 0.0, pavement, (-8, depth), (-16, depth), (width + 20, depth + 3.6),
                 light=day, solid=False, floor=True)  # fmt: skip

    # The wall to the street, with its openings and their frames.
    back = textures.wall(cv2, draw, width, height)
    frame = grey(draw.uniform(40, 210), draw.uniform(-0.05, 0.1))
    _far_wall(canvas, plan, back, draw.uniform(0.8, 0.95), frame)

    side = textures.wall(cv2, draw, depth + 5, height)
    for x, light in ((0.0, draw.uniform(0.72, 0.95)), (width, draw.uniform(0.72, 0.95))):
        canvas.plane(0, x, side, (-5, height), (-6, 0), (depth, height), light=light)
    ceiling = np.full((64, 64, 3), draw.uniform(150, 215), np.float32)
    canvas.plane(2, height, ceiling, (0, 0), (0, -6), (width, depth), light=0.8)
    ground = textures.floor(cv2, draw, width, depth + 4)
    ground *= _floor_light(cv2, plan, draw)[..., None]
    canvas.plane(2, 0.0, ground, (0, -4), (0, -4), (width, depth), solid=False, floor=True)
    for thing in plan.furniture:
        _furniture(canvas, draw, thing)

    return canvas.finish(draw.uniform(0.4, 0.8))


def room_backdrop(
    cv2: Any, camera: Camera, width: float, depth: float, boxes: List[Box], seed: int
) -> Backdrop:
    """A plain room with boxes 0.45 m high in it: floor, three walls, a ceiling."""
    draw = Draws(seed, SURFACES)
    canvas = Canvas(cv2, camera, 2 if camera.size[0] * camera.size[1] <= 1_000_000 else 1)
    height = 3.4
    far = textures.wall(cv2, draw, width, height)
    canvas.plane(1, depth, far, (0, height), (0, 0), (width, height), draw.uniform(0.8, 1.0))
    side = textures.wall(cv2, draw, depth + 5, height)
    for x in (0.0, width):
        canvas.plane(0, x, side, (-5, height), (-6, 0), (depth, height), draw.uniform(0.7, 0.95))
    ceiling = np.full((64, 64, 3), draw.uniform(150, 215), np.float32)
    canvas.plane(2, height, ceiling, (0, 0), (0, -6), (width, depth), light=0.8)
    ground = textures.floor(cv2, draw, width, depth + 4)
    canvas.plane(2, 0.0, ground, (0, -4), (0, -4), (width, depth), solid=False, floor=True)
    for box in boxes:
        _furniture(canvas, draw, Furniture("seat", box, 0.0, 0.45))
    return canvas.finish(draw.uniform(0.4, 0.8))


def _far_wall(canvas: Canvas, plan: Plan, texture: np.ndarray, light: float, frame) -> None:
    depth, height, width = plan.depth, plan.height, plan.width
    plain = np.empty((8, 8, 3), np.float32)
    plain[:] = frame
    left, right = plan.door
    openings = [(left, right, 0.0, plan.door_height), *plan.windows]

    def piece(x1: float, x2: float, z1: float, z2: float, framed: bool) -> None:
        if x2 > x1 and z2 > z1:
            canvas.plane(1, depth, plain if framed else texture, (0, height), (x1, z1), (x2, z2),
                         light=light)  # fmt: skip

    # Between openings, left to right, then below and above each of them.
    openings.sort()
    at = 0.0
    for x1, x2, z1, z2 in openings:
        piece(at, x1 - 0.06, 0, height, False)
        piece(x1 - 0.06, x1, 0, z2 + 0.06, True)
        piece(x2, x2 + 0.06, 0, z2 + 0.06, True)
        piece(x1, x2, z2, z2 + 0.06, True)
        piece(x1 - 0.06, x2 + 0.06, z2 + 0.06, height, False)
        piece(x1, x2, 0, z1 - 0.06, False)
        piece(x1, x2, z1 - 0.06, z1, True)
        if z1 > 0:  # a window: bars about every 1.3 m
            bars = max(int((x2 - x1) / 1.3), 1)
            for k in range(1, bars + 1):
                x = x1 + (x2 - x1) * k / (bars + 1)
                piece(x - 0.025, x + 0.025, z1, z2, True)
        at = x2 + 0.06
    piece(at, width, 0, height, False)


def _floor_light(cv2: Any, plan: Plan, draw: Draws) -> np.ndarray:
    """Pools of light under lamps, and the dark at the foot of furniture and walls."""
    dense = 24
    h, w = int((plan.depth + 4) * dense), int(plan.width * dense)
    dark = np.zeros((h, w), np.float32)
    for thing in plan.furniture:
        if thing.bottom > 0:
            continue
        x1, y1, x2, y2 = (int(v * dense) for v in thing.box)
        dark[max(y1 + 4 * dense, 0) : max(y2 + 4 * dense, 0), max(x1, 0) : max(x2, 0)] = 1
    dark[:, : dense // 8] = dark[:, -dense // 8 :] = dark[-dense // 8 :] = 1
    near = cv2.GaussianBlur(dark, (0, 0), 0.13 * dense) * 0.42
    wide = cv2.GaussianBlur(dark, (0, 0), 0.5 * dense) * 0.3
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / dense
    pools = np.zeros((h, w), np.float32)
    spread = draw.uniform(1.0, 1.8)
    for row in range(4):
        for column in range(3):
            cx = plan.width * (column + 0.5) / 3
            cy = (plan.depth + 4) * (row + 0.5) / 4
            pools += np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * spread * spread))
    amount = draw.uniform(0.05, 0.25)
    # Daylight falls in through the door and the windows.
    day = draw.uniform(0.0, 0.3) * np.exp(-np.maximum(plan.depth + 4 - y, 0) / 1.2)
    light = (0.92 + amount * (pools / pools.max() - 0.6) + day) * (1 - near) * (1 - wide)
    big = (int(plan.width * DENSE), int((plan.depth + 4) * DENSE))
    return cv2.resize(light.astype(np.float32), big)


def _furniture(canvas: Canvas, draw: Draws, thing: Furniture) -> None:
    cv2 = canvas.cv2
    x1, y1, x2, y2 = thing.box
    z1, z2 = thing.bottom, thing.top
    window = canvas.window_of(np.array([x1, y1, z1]), np.array([x2, y2, z2]))
    colour = grey(draw.uniform(60, 220), draw.uniform(-0.05, 0.12))
    if thing.kind == "counter" or draw.chance(0.3):
        wood = mix((60, 95, 140), (120, 160, 195), draw.unit())
        colour = mix(colour, wood, draw.uniform(0.3, 1.0))
    if thing.kind == "till":
        colour = grey(draw.uniform(25, 60))
    stocked = thing.kind in ("shelf", "stand")

    def face(wide: float, along_y: bool) -> np.ndarray:
        # A shelf offers its goods on its long sides, a stand all round.
        if stocked and (along_y or thing.kind == "stand"):
            return textures.goods(cv2, draw, wide, z2 - z1)
        return textures.panel(cv2, draw, wide, z2 - z1, colour)

    shades = (draw.uniform(0.72, 1.0), draw.uniform(0.72, 1.0), draw.uniform(0.75, 0.95))
    canvas.plane(0, x1, face(y2 - y1, True), (y1, z2), (y1, z1), (y2, z2), shades[0],
                 window=window)  # fmt: skip
    canvas.plane(0, x2, face(y2 - y1, True), (y1, z2), (y1, z1), (y2, z2), shades[1],
                 window=window)  # fmt: skip
    canvas.plane(1, y1, face(x2 - x1, False), (x1, z2), (x1, z1), (x2, z2), shades[2],
                 window=window)  # fmt: skip
    lid = textures.panel(cv2, Draws(0, 1), x2 - x1, y2 - y1, shade(colour, 1.08))
    if thing.kind in ("stand", "crate"):
        lid = textures.goods(cv2, draw, x2 - x1, y2 - y1)
    canvas.plane(2, z2, lid, (x1, y1), (x1, y1), (x2, y2), 1.0, window=window)
