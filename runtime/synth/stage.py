"""Puts figures on an empty scene and notes what can be seen of each."""

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .backdrop import Backdrop
from .camera import Camera
from .draw import Painter, Shapes, no_shapes, outline, smear
from .looks import Looks
from .pose import AT
from .textures import cloth
from .truth import Truth

_COARSE = 4  # shadows are drawn in a picture so many times smaller


class Seen(NamedTuple):
    """What a stage says about `n` figures.

    Attributes:
        image: `(h, w, 3)` uint8, or None where none was asked for.
        shapes: Their outlines.
        visibility: `(n,)`.
        seen: `(n, 4)` pixels around what can be seen.
        keypoints: `(n, 17, 3)`.
        ids: `(h, w)` uint8: 1 + the number of the figure that can be seen there, or 0.
    """

    image: Optional[np.ndarray]
    shapes: Shapes
    visibility: np.ndarray
    seen: np.ndarray
    keypoints: np.ndarray
    ids: np.ndarray


class Stage:
    """One camera's view of an empty scene.

    Args:
        cv2: OpenCV.
        camera: What looks at it.
        backdrop: The empty scene.
        seed: Of the scene.
        shadow: Metres on the floor by which shadows are thrown, and how dark they are, 0..1.
        soft: Blur of the lens in pixels.
    """

    def __init__(
        self,
        cv2: Any,
        camera: Camera,
        backdrop: Backdrop,
        seed: int,
        shadow: Tuple[float, float, float] = (0.1, 0.0, 0.3),
        soft: float = 0.5,
    ) -> None:
        self._cv2, self.camera, self.backdrop = cv2, camera, backdrop
        self._painter = Painter(cv2, cloth(cv2, seed))
        self._shadow, self._soft = shadow, soft
        self._dry = cv2.bitwise_not(backdrop.floor)

    def show(
        self,
        joints: np.ndarray,
        facing: np.ndarray,
        looks: Sequence[Looks],
        motion: np.ndarray,
        lights: Sequence[float],
        lying: Any = 0.0,
        picture: bool = True,
    ) -> Seen:
        """The scene with figures.

        Args:
            joints: `(n, joints, 3)` metres; n at most 254.
            facing: `(n, 2)`.
            looks: One a figure.
            motion: `(n, 2)` pixels by which each moves while the shutter is open.
            lights: How brightly each is lit.
            lying: `(n,)` 0 upright to 1 lying.
            picture: Whether to draw, or only to say what would be seen.
        """
        cv2 = self._cv2
        width, height = self.camera.size
        n = len(joints)
        ids = np.zeros((height, width), np.uint8)
        image = self.backdrop.image.copy() if picture else None
        if not n:
            nothing = np.zeros((0, 17, 3))
            return Seen(image, no_shapes(), np.zeros(0), np.zeros((0, 4)), nothing, ids)
        shapes = outline(self.camera, joints, facing, looks, lying)
        if image is not None:
            image = self._shade(image, joints, looks)
        full = np.zeros(n, np.int64)
        for i in np.argsort(-shapes.reach, kind="stable").tolist():
            box = shapes.box[i]
            patch, (left, top) = self._painter.paint(shapes, i, looks[i], lights[i])
            solid = cv2.compare(cv2.extractChannel(patch, 3), 127, cv2.CMP_GT)
            full[i] = cv2.countNonZero(solid)
            if box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
                continue
            x1, y1 = max(left, 0), max(top, 0)
            x2 = min(left + patch.shape[1], width)
            y2 = min(top + patch.shape[0], height)
            inner = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
            open_ = cv2.compare(
                self.backdrop.reach[y1:y2, x1:x2], float(shapes.reach[i]), cv2.CMP_GE
            )
            mask = cv2.bitwise_and(solid[inner], open_)
            np.copyto(ids[y1:y2, x1:x2], i + 1, where=mask.view(np.bool_))
            if image is None:
                continue
            patch = smear(cv2, patch, motion[i, 0], motion[i, 1], self._soft)[inner]
            patch = cv2.bitwise_and(patch, patch, mask=open_)
            clear = cv2.bitwise_not(cv2.extractChannel(patch, 3))
            under = cv2.multiply(image[y1:y2, x1:x2], cv2.merge((clear,) * 3), scale=1 / 255)
            image[y1:y2, x1:x2] = cv2.add(under, cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR))
        shown = cv2.calcHist([ids], [0], None, [256], [0, 256]).reshape(-1)[1 : n + 1]
        visibility = np.where(full > 0, shown / np.maximum(full, 1), 0.0)
        seen = self._boxes(ids, shapes.box, shown)
        return Seen(image, shapes, visibility, seen, self._keypoints(shapes, ids), ids)

    def _boxes(self, ids: np.ndarray, boxes: np.ndarray, shown: np.ndarray) -> np.ndarray:
        cv2 = self._cv2
        found = np.zeros((len(boxes), 4))
        height, width = ids.shape
        for i, box in enumerate(boxes):
            if shown[i] == 0:
                continue
            x1, y1 = max(int(box[0]) - 7, 0), max(int(box[1]) - 7, 0)
            x2, y2 = min(int(box[2]) + 8, width), min(int(box[3]) + 8, height)
            same = cv2.compare(np.ascontiguousarray(ids[y1:y2, x1:x2]), i + 1, cv2.CMP_EQ)
            x, y, w, h = cv2.boundingRect(same)
            found[i] = (x + x1, y + y1, x + x1 + w, y + y1 + h)
        return found

    def _keypoints(self, shapes: Shapes, ids: np.ndarray) -> np.ndarray:
        """COCO's points; what another body, furniture or the own body hides is marked as such."""
        n = len(shapes.pixels)
        height, width = ids.shape
        points = np.zeros((n, 17, 3))
        points[:, :, :2] = shapes.pixels[:, :17]
        x, y = np.floor(points[:, :, 0]), np.floor(points[:, :, 1])
        within = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        xi, yi = np.clip(x, 0, width - 1).astype(int), np.clip(y, 0, height - 1).astype(int)
        # A point at an outline's very edge may fall beside it: its neighbours count, too.
        mine = np.zeros(within.shape, bool)
        own = (np.arange(n) + 1)[:, None]
        for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            near = ids[np.clip(yi + dy, 0, height - 1), np.clip(xi + dx, 0, width - 1)]
            mine |= near == own
        # The face is hidden from behind, an ear from the other side; arms by the trunk.
        away = shapes.away
        depth = shapes.depth
        head = depth[:, AT["crown"]]
        mine[:, 0] &= away < 0.3
        for k in (1, 2):
            mine[:, k] &= (away < 0.25) & (depth[:, k] < head + 0.03)
        for k in (3, 4):
            mine[:, k] &= depth[:, k] < head + 0.045
        a, b = shapes.pixels[:, AT["chest"]], shapes.pixels[:, AT["pelvis"]]
        wide = 0.5 * np.abs(
            shapes.pixels[:, AT["left_shoulder"], 0] - shapes.pixels[:, AT["right_shoulder"], 0]
        )
        wide = np.maximum(wide, 0.35 * np.sqrt(((a - b) ** 2).sum(axis=1)) * 0.5)
        way = b - a
        square = np.maximum((way * way).sum(axis=1), 1e-6)
        for k in range(7, 11):
            share = ((shapes.pixels[:, k] - a) * way).sum(axis=1) / square
            off = shapes.pixels[:, k] - a - np.clip(share, 0, 1)[:, None] * way
            over = np.sqrt((off * off).sum(axis=1)) < 0.85 * wide
            behind = shapes.aside[:, k] > shapes.aside[:, AT["chest"]] + 0.07
            mine[:, k] &= ~(over & behind)
        points[:, :, 2] = np.where(within, np.where(mine, 2, 1), 0)
        return points

    def _shade(self, image: np.ndarray, joints: np.ndarray, looks: Sequence[Looks]) -> np.ndarray:
        """Soft shadows of bodies and darker ones of shoes on the floor."""
        cv2 = self._cv2
        height, width = image.shape[:2]
        small = np.full((-(-height // _COARSE), -(-width // _COARSE)), 255, np.uint8)
        dx, dy, dark = self._shadow
        angle = np.arange(12) * (np.pi / 6)
        ring = np.stack((np.cos(angle), np.sin(angle)), axis=1)
        blobs: List[Tuple[np.ndarray, float, float]] = []
        body = joints[:, [AT["left_ankle"], AT["right_ankle"], AT["pelvis"], AT["chest"]], :2]
        blobs.append((body.mean(axis=1) + np.array([dx, dy]), 0.32, 0.55 * dark))
        blobs.append((body[:, 2] + np.array([dx, dy]) * 0.5, 0.22, 0.9 * dark))
        for name in ("left", "right"):
            feet = joints[:, [AT[name + "_heel"], AT[name + "_toe"]], :2].mean(axis=1)
            blobs.append((feet, 0.13, min(1.7 * dark, 0.75)))
        unit = float(1 << 4) / _COARSE
        for centres, radius, depth in blobs:
            pixels = self.camera.floor_pixels((centres[:, None] + ring * radius).reshape(-1, 2))
            polygons = np.rint(pixels * unit).astype(np.int32).reshape(-1, 12, 2)
            for polygon in polygons:
                cv2.fillConvexPoly(small, polygon, int(255 * (1 - depth)), cv2.LINE_AA, 4)
        small = cv2.GaussianBlur(small, (5, 5), 1.1)
        shadow = cv2.resize(small, (small.shape[1] * _COARSE, small.shape[0] * _COARSE))
        shadow = cv2.max(np.ascontiguousarray(shadow[:height, :width]), self._dry)
        return cv2.multiply(image, cv2.cvtColor(shadow, cv2.COLOR_GRAY2BGR), scale=1 / 255)


def truth_of(
    camera: Camera,
    index: int,
    timestamp: float,
    seen: Seen,
    ids: Sequence[int],
    places: np.ndarray,
    roles: Sequence[str],
    actions: Sequence[str],
) -> Truth:
    """The truth about the figures that are not wholly beside the picture.

    Rounded to thousandths of a pixel, so that the last bit of a sine does not tell machines apart.
    """
    width, height = camera.size
    boxes = seen.shapes.box
    there = (boxes[:, 0] < width) & (boxes[:, 1] < height) & (boxes[:, 2] > 0)
    rows: List[int] = np.flatnonzero(there & (boxes[:, 3] > 0)).tolist()
    whole = np.round(boxes[rows], 3)
    place = np.round(places[rows], 6)
    return Truth(
        index=index,
        timestamp=timestamp,
        track_id=np.array([ids[i] for i in rows], np.int64),
        xyxy=np.clip(whole, 0.0, np.array([width, height, width, height], float)),
        whole=whole,
        seen=seen.seen[rows],
        visibility=np.round(seen.visibility[rows], 4),
        keypoints=np.round(seen.keypoints[rows], 3),
        foot=np.round(camera.floor_pixels(place), 3),
        place=place,
        role=[roles[i] for i in rows],
        action=[actions[i] for i in rows],
    )
