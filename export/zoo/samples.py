"""What the network sees in training: pieces of rendered stores, and their people elsewhere."""

from pathlib import Path
from typing import Any, List, NamedTuple, Tuple

import numpy as np
from torch.utils.data import Dataset

from ...runtime.sources.base import load_cv2
from .pictures import Picture, Pictures
from .textures import background, occluder, weather

VISIBLE = 0.25
"""Whoever is visible to a smaller share need not be found."""

_BARELY = 0.03  # below this nothing is to be seen, and finding somebody is wrong
_MOST = 48  # people in a sample
_GREY = 114


class Canvas:
    """A sample in the making.

    Attributes:
        image: `(h, w, 3)` uint8.
        labels: `(h, w)` uint8: 1 + the row of the person seen there, or 0.
        boxes: `(4,)` float each.
        full: Pixels of each whole figure, had nothing hidden it.
    """

    def __init__(self, image: np.ndarray, labels: np.ndarray) -> None:
        self.image, self.labels = image, labels
        self.boxes: List[np.ndarray] = []
        self.full: List[float] = []

    def truth(self) -> Tuple[np.ndarray, np.ndarray]:
        """Boxes `(n, 4)` cut at the edges, and the visible share `(n,)`."""
        height, width = self.labels.shape
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        seen = np.bincount(self.labels.ravel(), minlength=256)[1 : len(boxes) + 1]
        share = seen / np.maximum(np.array(self.full), 1.0)
        return np.clip(boxes, 0, np.array([width, height, width, height], np.float32)), share


class Figure(NamedTuple):
    """One person cut out of a picture: pixels, where they are the person's, whole pixels."""

    image: np.ndarray
    mask: np.ndarray
    box: np.ndarray
    full: float


class Samples:
    """Makes samples from pictures.

    Args:
        pictures: Rendered ones.
        size: `(width, height)` of a sample in pixels.
    """

    def __init__(self, pictures: Pictures, size: Tuple[int, int]) -> None:
        self._cv2: Any = load_cv2()
        self._cv2.setNumThreads(1)
        self.pictures, self.size = pictures, size
        self._pool: List[Picture] = []

    def draw(self, rng: np.random.RandomState, count: int) -> None:
        """Take pictures from the disk, which the next samples are made from."""
        rows = rng.randint(len(self.pictures), size=count).tolist()
        self._pool = [self.pictures[row] for row in rows]

    def sample(self, rng: np.random.RandomState) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One sample.

        Returns:
            Image `(h, w, 3)` uint8 BGR, boxes `(n, 4)` float32 pixels, and `(n,)` bool: whether
            each is to be found; the others are neither to be found nor wrong.
        """
        width, height = self.size
        if rng.rand() < 0.2:
            canvas = self._mosaic(rng)
        else:
            canvas = self._canvas(rng, width, height)
        if rng.rand() < 0.3:
            self._hide(rng, canvas)
        boxes, share = canvas.truth()
        image = weather(self._cv2, rng, canvas.image)
        if rng.rand() < 0.5:
            image = image[:, ::-1]
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        extent = boxes[:, 2:] - boxes[:, :2]
        kept = (share > _BARELY) & (extent.min(axis=1, initial=99) > 2)
        good = (share >= VISIBLE) & (extent[:, 1] > 9) if len(boxes) else kept
        return image, boxes[kept][:_MOST], good[kept][:_MOST]

    def _canvas(self, rng: np.random.RandomState, width: int, height: int) -> Canvas:
        kind = rng.rand()
        if kind < 0.2:
            canvas = Canvas(
                background(self._cv2, rng, width, height), np.zeros((height, width), np.uint8)
            )
            self._paste(rng, canvas, rng.randint(1, 11))
            return canvas
        picture = self._pool[rng.randint(len(self._pool))]
        canvas = self._piece(rng, picture, width, height)
        if kind < 0.4:
            self._elsewhere(rng, canvas)
        if kind > 0.75:
            self._paste(rng, canvas, rng.randint(1, 7))
        return canvas

    def _mosaic(self, rng: np.random.RandomState) -> Canvas:
        width, height = self.size
        x, y = int(rng.uniform(0.3, 0.7) * width), int(rng.uniform(0.3, 0.7) * height)
        whole = Canvas(np.empty((height, width, 3), np.uint8), np.zeros((height, width), np.uint8))
        for left, top, right, bottom in (
            (0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height),
        ):  # fmt: skip
            part = self._canvas(rng, right - left, bottom - top)
            whole.image[top:bottom, left:right] = part.image
            if len(whole.boxes) + len(part.boxes) > 200:
                continue
            labels = part.labels
            labels[labels > 0] += len(whole.boxes)
            whole.labels[top:bottom, left:right] = labels
            shift = np.array([left, top, left, top], np.float32)
            edge = np.array([right - left, bottom - top] * 2, np.float32)
            whole.boxes += [np.clip(box, 0, edge) + shift for box in part.boxes]
            whole.full += part.full
        return whole

    def _piece(
        self, rng: np.random.RandomState, picture: Picture, width: int, height: int
    ) -> Canvas:
        """A picture as the runtime would lay it, or some of it, larger or smaller."""
        high, wide = picture.labels.shape
        if rng.rand() < 0.3:
            scale = min(width / wide, height / high)
            sx = sy = scale
            left = top = 0.0
        else:
            # Half of the full frame's scale to thrice: people from far to near.
            scale = 0.65 * float(np.exp(rng.uniform(np.log(0.4), np.log(2.0))))
            stretch = float(np.exp(rng.uniform(-0.12, 0.12)))
            sx, sy = scale * stretch, scale / stretch
            seen = np.flatnonzero(picture.visibility > 0.3)
            if len(seen) and rng.rand() < 0.9:  # somebody is in it
                x1, y1, x2, y2 = picture.boxes[rng.choice(seen)].tolist()
                cx, cy = 0.5 * (x1 + x2), 0.5 * (y1 + y2)
            else:
                cx, cy = rng.uniform(0, wide), rng.uniform(0, high)
            left = cx * sx - rng.uniform(0.05, 0.95) * width
            top = cy * sy - rng.uniform(0.05, 0.95) * height
            if rng.rand() < 0.8:  # no more emptiness beside the picture than need be
                left = _into(left, wide * sx - width)
                top = _into(top, high * sy - height)
        move = np.array([[sx, 0, -left], [0, sy, -top]], np.float64)
        cv2 = self._cv2
        fill = (_GREY,) * 3 if rng.rand() < 0.7 else tuple(rng.randint(0, 255, 3).tolist())
        image = cv2.warpAffine(
            picture.image, move, (width, height), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=fill,
        )  # fmt: skip
        labels = cv2.warpAffine(picture.labels, move, (width, height), flags=cv2.INTER_NEAREST)
        canvas = Canvas(image, labels)
        seen = np.bincount(picture.labels.ravel(), minlength=256)[1 : len(picture.boxes) + 1]
        full = seen / np.maximum(picture.visibility, 1e-3) * sx * sy
        scales = np.array([sx, sy, sx, sy])
        shift = np.array([left, top, left, top])
        canvas.boxes = list(picture.boxes * scales - shift)
        canvas.full = np.where(seen > 0, full, 1e9).tolist()
        return canvas

    def _elsewhere(self, rng: np.random.RandomState, canvas: Canvas) -> None:
        """The same people before another background."""
        cv2 = self._cv2
        height, width = canvas.labels.shape
        other = background(cv2, rng, width, height)
        mask = cv2.compare(canvas.labels, 0, cv2.CMP_GT)
        canvas.image = _blend(cv2, other, canvas.image, mask)

    def _figure(self, rng: np.random.RandomState) -> Any:
        """Somebody who is seen almost whole, or None."""
        picture = self._pool[rng.randint(len(self._pool))]
        height = picture.boxes[:, 3] - picture.boxes[:, 1]
        rows = np.flatnonzero((picture.visibility > 0.92) & (height > 50))
        if not len(rows):
            return None
        row = int(rng.choice(rows))
        x1, y1 = np.floor(picture.boxes[row, :2]).astype(int) - 1
        x2, y2 = np.ceil(picture.boxes[row, 2:]).astype(int) + 1
        x1, y1 = max(x1, 0), max(y1, 0)
        labels = picture.labels[y1:y2, x1:x2]
        mask = self._cv2.compare(np.ascontiguousarray(labels), row + 1, self._cv2.CMP_EQ)
        count = self._cv2.countNonZero(mask)
        box = picture.boxes[row] - np.array([x1, y1, x1, y1], np.float32)
        full = count / float(picture.visibility[row])
        return Figure(picture.image[y1:y2, x1:x2], mask, box, full)

    def _paste(self, rng: np.random.RandomState, canvas: Canvas, count: int) -> None:
        """Put people from other pictures into this one, small to large, in other light."""
        cv2 = self._cv2
        height, width = canvas.labels.shape
        sizes = np.sort(np.exp(rng.uniform(np.log(16), np.log(150), count)))
        if rng.rand() < 0.5:  # a crowd at about one distance
            sizes = sizes[rng.randint(count)] * rng.uniform(0.8, 1.25, count)
        for size in sizes.tolist():
            figure = self._figure(rng)
            if figure is None or len(canvas.boxes) > 200:
                continue
            scale = size / max(float(figure.box[3] - figure.box[1]), 1.0)
            wide = max(int(figure.mask.shape[1] * scale * np.exp(rng.uniform(-0.15, 0.15))), 3)
            high = max(int(figure.mask.shape[0] * scale), 8)
            sx, sy = wide / figure.mask.shape[1], high / figure.mask.shape[0]
            image = cv2.resize(figure.image, (wide, high), interpolation=cv2.INTER_AREA)
            mask = cv2.resize(figure.mask, (wide, high), interpolation=cv2.INTER_AREA)
            if rng.rand() < 0.5:
                image, mask = image[:, ::-1], mask[:, ::-1]
                x1, y1, x2, y2 = figure.box.tolist()
                box = np.array([figure.mask.shape[1] - x2, y1, figure.mask.shape[1] - x1, y2])
            else:
                box = figure.box
            gain = np.exp(rng.uniform(-0.8, 0.4)) * np.exp(rng.uniform(-0.12, 0.12, 3))
            offset = rng.uniform(-15, 25)
            image = np.clip(image * gain + offset, 0, 255).astype(np.uint8)
            x = int(rng.uniform(-0.3 * wide, width - 0.7 * wide))
            y = int(rng.uniform(-0.2 * high, height - 0.6 * high))
            a, b = max(x, 0), max(y, 0)
            c, d = min(x + wide, width), min(y + high, height)
            if c - a < 2 or d - b < 2:
                continue
            inner = (slice(b - y, d - y), slice(a - x, c - x))
            outer = (slice(b, d), slice(a, c))
            part = np.ascontiguousarray(mask[inner])
            if rng.rand() < 0.5:
                _shadow(cv2, rng, canvas.image, x + wide / 2, y + high, wide)
            piece = np.ascontiguousarray(image[inner])
            canvas.image[outer] = _blend(cv2, canvas.image[outer], piece, part, False)
            canvas.boxes.append(box * np.array([sx, sy, sx, sy]) + np.array([x, y, x, y]))
            canvas.full.append(figure.full * sx * sy)
            canvas.labels[outer][part > 127] = len(canvas.boxes)

    def _hide(self, rng: np.random.RandomState, canvas: Canvas) -> None:
        """Things before people."""
        height, width = canvas.labels.shape
        for _ in range(rng.randint(1, 4)):
            wide = int(np.exp(rng.uniform(np.log(6), np.log(width / 4))))
            high = int(np.exp(rng.uniform(np.log(6), np.log(height / 2))))
            x, y = rng.randint(-wide // 2, width), rng.randint(-high // 2, height)
            if canvas.boxes and rng.rand() < 0.6:
                box = canvas.boxes[rng.randint(len(canvas.boxes))]
                x = int(rng.uniform(box[0], box[2]) - wide / 2)
                y = int(rng.uniform(box[1], box[3] + high / 2) - high / 4)
            a, b, c, d = max(x, 0), max(y, 0), min(x + wide, width), min(y + high, height)
            if c - a < 2 or d - b < 2:
                continue
            canvas.image[b:d, a:c] = occluder(self._cv2, rng, c - a, d - b)
            canvas.labels[b:d, a:c] = 0


def _into(start: float, room: float) -> float:
    return min(max(start, min(room, 0.0)), max(room, 0.0))


def _blend(
    cv2: Any, under: np.ndarray, over: np.ndarray, mask: np.ndarray, soften: bool = True
) -> np.ndarray:
    """`over` where the mask is, with soft edges."""
    if soften:
        mask = cv2.GaussianBlur(mask, (3, 3), 0)
    alpha = cv2.merge((mask,) * 3)
    clear = cv2.bitwise_not(alpha)
    return cv2.add(
        cv2.multiply(over, alpha, scale=1 / 255), cv2.multiply(under, clear, scale=1 / 255)
    )


def _shadow(
    cv2: Any, rng: np.random.RandomState, image: np.ndarray, x: float, y: float, wide: float
) -> None:
    """Darken the ground at somebody's feet."""
    mask = np.full(image.shape[:2], 255, np.uint8)
    axes = (max(int(wide * rng.uniform(0.4, 1.0)), 1), max(int(wide * rng.uniform(0.1, 0.3)), 1))
    cv2.ellipse(mask, (int(x), int(y)), axes, 0, 0, 360, int(rng.uniform(90, 200)), -1, cv2.LINE_AA)
    image[:] = cv2.multiply(image, cv2.merge((mask,) * 3), scale=1 / 255)


class Batches(Dataset):
    """Batches by number: number and seed alone decide what is in one, so a run can go on.

    Args:
        folder: With rendered pictures.
        seed: Of the training.
        count: Batches in all.
        batch: Samples in each.
        size: `(width, height)` of a sample.
        stores: Learn from the first so many stores only.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        count: int,
        batch: int,
        size: Tuple[int, int],
        stores: int = 10**9,
    ) -> None:
        self._samples = Samples(Pictures(folder, stores), size)
        self._seed, self._count, self._batch = seed, count, batch

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images `(b, 3, h, w)` uint8, boxes `(b, m, 4)` float32, kinds `(b, m)` int8.

        A kind is 1 for who is to be found, 2 for who is ignored, 0 for an empty row.
        """
        rng = np.random.RandomState([self._seed, number])
        self._samples.draw(rng, self._batch)
        made = [self._samples.sample(rng) for _ in range(self._batch)]
        most = max(max(len(boxes) for _, boxes, _ in made), 1)
        boxes = np.zeros((len(made), most, 4), np.float32)
        kinds = np.zeros((len(made), most), np.int8)
        for i, (_, own, good) in enumerate(made):
            boxes[i, : len(own)] = own
            kinds[i, : len(own)] = np.where(good, 1, 2)
        images = np.stack([image.transpose(2, 0, 1) for image, _, _ in made])
        return images, boxes, kinds
