"""Detections, tracks, lines and zones drawn over a picture."""

from collections import deque
from typing import Any, Deque, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..core import Detections, Event, Tracks
from .loop import Step
from .pose.skeleton import SKELETONS, Skeleton
from .sources.base import load_cv2

Point = Tuple[float, float]
Colour = Tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (34, 28, 24)
LINE: Colour = (60, 200, 255)
ZONE: Colour = (230, 170, 70)
# Distinct in hue and all light enough for dark text, in BGR.
PALETTE: Tuple[Colour, ...] = (
    (110, 205, 255), (120, 220, 130), (255, 190, 110), (190, 150, 255), (235, 215, 90),
    (120, 160, 255), (140, 235, 215), (255, 160, 215), (90, 230, 240), (205, 205, 205),
)  # fmt: skip
TRAIL_S = 3.0


class _Pen:
    """Line widths and text sizes that suit the size of the picture."""

    def __init__(self, image: np.ndarray) -> None:
        self.cv2: Any = load_cv2()
        self.image = image
        unit = max(min(image.shape[0], image.shape[1]) / 540.0, 0.5)
        self.width = max(round(2 * unit), 1)
        self.text_scale = max(0.5 * unit, 0.36)
        self.text_width = 1 if unit < 1.5 else round(unit)

    def line(self, points: Any, colour: Colour, width: int, closed: bool = False) -> None:
        # Four bits of fraction keep slow movement smooth.
        scaled = np.round(np.asarray(points, np.float64) * 16).astype(np.int32).reshape(-1, 1, 2)
        self.cv2.polylines(self.image, [scaled], closed, colour, max(width, 1), self.cv2.LINE_AA, 4)

    def fill(self, points: Any, colour: Colour, alpha: float) -> None:
        """A polygon through which the picture is seen."""
        points = np.asarray(points, np.float64)
        height, width = self.image.shape[:2]
        left, top = np.clip(np.floor(points.min(0)).astype(int), 0, (width, height))
        right, bottom = np.clip(np.ceil(points.max(0)).astype(int) + 1, 0, (width, height))
        if right <= left or bottom <= top:
            return
        part = self.image[top:bottom, left:right]
        over = part.copy()
        moved = np.round((points - (left, top)) * 16).astype(np.int32)
        self.cv2.fillPoly(over, [moved], colour, self.cv2.LINE_AA, 4)
        self.cv2.addWeighted(over, alpha, part, 1 - alpha, 0, dst=part)

    def tag(
        self, text: str, at: Point, colour: Colour, anchor: Point = (0.0, 1.0), ink: Colour = INK
    ) -> None:
        """Text on a plate; `anchor` says which point of the plate, 0..1, lies `at`."""
        cv2 = self.cv2
        text = text.encode("ascii", "replace").decode("ascii")
        font = cv2.FONT_HERSHEY_SIMPLEX
        (wide, high), below = cv2.getTextSize(text, font, self.text_scale, self.text_width)
        pad = max(round(high * 0.4), 2)
        width, height = wide + 2 * pad, high + below // 2 + 2 * pad
        rows, columns = self.image.shape[:2]
        left = int(np.clip(at[0] - anchor[0] * width, 0, max(columns - width, 0)))
        top = int(np.clip(at[1] - anchor[1] * height, 0, max(rows - height, 0)))
        plate = self.image[top : top + height, left : left + width]
        if not plate.size:
            return
        paint = np.empty_like(plate)
        paint[:] = colour
        cv2.addWeighted(paint, 0.85, plate, 0.15, 0, dst=plate)
        cv2.putText(
            self.image,
            text,
            (left + pad, top + pad + high),
            font,
            self.text_scale,
            ink,
            self.text_width,
            cv2.LINE_AA,
        )


def _box(pen: _Pen, box: np.ndarray, colour: Colour, strong: bool = True) -> None:
    left, top, right, bottom = (float(v) for v in box)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    pen.line(corners, INK, pen.width + 2, closed=True)
    pen.line(corners, colour, pen.width if strong else 1, closed=True)


def _class(classes: Sequence[str], class_id: int) -> str:
    return classes[class_id] if 0 <= class_id < len(classes) else str(class_id)


def draw_detections(
    image: np.ndarray, detections: Detections, classes: Sequence[str] = ()
) -> np.ndarray:
    """Draw boxes with class and score.

    Args:
        image: `(h, w, 3)` uint8 BGR, drawn upon.
        detections: In pixels of the image.
        classes: Names by class id; numbers are shown for what has none.

    Returns:
        The image.
    """
    pen = _Pen(image)
    for box, class_id in zip(detections.xyxy, detections.class_id):
        _box(pen, box, PALETTE[int(class_id) % len(PALETTE)])
    for box, score, class_id in zip(detections.xyxy, detections.score, detections.class_id):
        text = f"{_class(classes, int(class_id))} {score:.2f}"
        pen.tag(text, (box[0], box[1]), PALETTE[int(class_id) % len(PALETTE)])
    return image


def draw_tracks(
    image: np.ndarray,
    tracks: Tracks,
    trails: Optional[Mapping[int, Sequence[Point]]] = None,
    words: Optional[Mapping[int, Sequence[str]]] = None,
) -> np.ndarray:
    """Draw confirmed tracks with their ids; thin where a track is predicted.

    Args:
        image: `(h, w, 3)` uint8 BGR, drawn upon.
        tracks: In pixels of the image.
        trails: Foot points by track id, oldest first.
        words: What is to be said of each beside its id.

    Returns:
        The image.
    """
    pen = _Pen(image)
    rows = np.flatnonzero(tracks.confirmed)
    for row in rows:
        track = int(tracks.track_id[row])
        colour = PALETTE[track % len(PALETTE)]
        trail = (trails or {}).get(track, ())
        if len(trail) > 1:
            pen.line(trail, INK, pen.width + 2)
            pen.line(trail, colour, pen.width)
        _box(pen, tracks.xyxy[row], colour, bool(tracks.observed[row]))
    for row in rows:
        track = int(tracks.track_id[row])
        at = (float(tracks.xyxy[row, 0]), float(tracks.xyxy[row, 1]))
        text = " ".join([str(track), *(words or {}).get(track, ())])
        pen.tag(text, at, PALETTE[track % len(PALETTE)])
    return image


def draw_poses(
    image: np.ndarray, poses: Detections, skeleton: Optional[Skeleton] = None, least: float = 0.2
) -> np.ndarray:
    """Draw skeletons: the left side light, the right side in the track's colour.

    Args:
        image: `(h, w, 3)` uint8 BGR, drawn upon.
        poses: With `keypoints`, in pixels of the image.
        skeleton: What joins the points; None to tell by their number, points alone where that
            tells nothing.
        least: Points that score no more are left out, and what leads to them.

    Returns:
        The image.
    """
    if poses.keypoints is None or not len(poses):
        return image
    pen, count = _Pen(image), poses.keypoints.shape[1]
    if skeleton is None:
        skeleton = next((s for s in SKELETONS.values() if len(s) == count), None)
    edges = () if skeleton is None or len(skeleton) != count else skeleton.edges
    left = set() if skeleton is None else {a for a, _ in skeleton.flip_pairs}
    ids = poses.track_id if poses.track_id is not None else np.zeros(len(poses), np.int64)
    for points, track in zip(poses.keypoints, ids.tolist()):
        colour = PALETTE[track % len(PALETTE)]
        light = tuple((v + 2 * 255) // 3 for v in colour)
        there = np.isfinite(points).all(axis=1)
        there[there] = (points[there, 2] > least) & (np.abs(points[there, :2]) < 1e5).all(axis=1)
        bones = [(a, b) for a, b in edges if there[a] and there[b]]
        for a, b in bones:
            pen.line([points[a, :2], points[b, :2]], INK, pen.width + 2)
        for a, b in bones:
            shade = light if a in left and b in left else colour
            pen.line([points[a, :2], points[b, :2]], shade, pen.width)
        for k in np.flatnonzero(there).tolist():
            centre = tuple(int(v) for v in np.round(points[k, :2] * 16))
            radius = max(int(1.5 * pen.width * 16), 16)
            pen.cv2.circle(image, centre, radius + 12, INK, -1, pen.cv2.LINE_AA, 4)
            paint = light if k in left else colour
            pen.cv2.circle(image, centre, radius, paint, -1, pen.cv2.LINE_AA, 4)
    return image


def draw_map(image: np.ndarray, seen: np.ndarray, alpha: float = 0.55) -> np.ndarray:
    """Lay a class-activation map over a picture: the stronger, the warmer and the less see-through.

    Args:
        image: `(h, w, 3)` uint8 BGR, drawn upon.
        seen: `(h, w)` of 0..1.
        alpha: How much of the strongest place is covered.

    Returns:
        The image.
    """
    cv2: Any = load_cv2()
    shares = np.clip(np.nan_to_num(seen), 0, 1)
    warm = cv2.applyColorMap((shares * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    cover = (alpha * shares)[:, :, None]
    image[...] = (image * (1 - cover) + warm * cover).astype(np.uint8)
    return image


def draw_classes(image: np.ndarray, seen: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    """Draw the class of a picture, or of its parts: light where it is not certain.

    Args:
        image: `(h, w, 3)` uint8 BGR, drawn upon.
        seen: As `Classification.seen` gives it.

    Returns:
        The image.
    """
    pen = _Pen(image)
    for number, (part, told) in enumerate(seen.items()):
        colour = PALETTE[number % len(PALETTE)] if told["certain"] else WHITE
        text = f"{told['class']} {told['score']:.2f}"
        if part:
            _box(pen, np.asarray(told["box"]), colour, bool(told["certain"]))
            text = f"{part}: {text}"
        pen.tag(text, (told["box"][0], told["box"][1]), colour, (0.0, 0.0))
    return image


def draw_line(
    image: np.ndarray, start: Point, end: Point, text: str, colour: Colour = LINE
) -> np.ndarray:
    """Draw a counting line with an arrow to its `in` side and a text.

    The arrow points to the right-hand side of someone standing at `start` and looking to `end`.
    """
    pen = _Pen(image)
    first, last = np.asarray(start, np.float64), np.asarray(end, np.float64)
    along = last - first
    length = float(np.hypot(*along))
    if length == 0:
        return image
    along /= length
    inward = np.array([-along[1], along[0]])
    middle = (first + last) / 2
    reach = float(np.clip(0.16 * length, 9 * pen.width, 16 * pen.width))
    tip, head = middle + inward * reach, 0.45 * reach
    wings = [tip - inward * head + along * head * s for s in (0.7, -0.7)]
    for paint, more in ((INK, 2), (colour, 0)):
        pen.line([first, last], paint, 2 * pen.width + more)
        pen.line([middle, tip], paint, 2 * pen.width + more)
        pen.line([wings[0], tip, wings[1]], paint, 2 * pen.width + more)
    for point in (first, last):
        centre = tuple(int(v) for v in np.round(point * 16))
        radius = int(3 * pen.width * 16)
        pen.cv2.circle(image, centre, radius + 16, INK, -1, pen.cv2.LINE_AA, 4)
        pen.cv2.circle(image, centre, radius, colour, -1, pen.cv2.LINE_AA, 4)
    # Opposite the arrow, where the plate covers nothing of it.
    place = middle - inward * 5 * pen.width
    pen.tag(text, (place[0], place[1]), colour, ((1 + inward[0]) / 2, (1 + inward[1]) / 2))
    return image


def draw_zone(
    image: np.ndarray, polygon: Sequence[Point], text: str, colour: Colour = ZONE
) -> np.ndarray:
    """Draw a zone, see-through, with a text in its middle."""
    pen = _Pen(image)
    pen.fill(polygon, colour, 0.22)
    pen.line(polygon, INK, pen.width + 2, closed=True)
    pen.line(polygon, colour, pen.width, closed=True)
    middle = np.asarray(polygon, np.float64).mean(axis=0)
    pen.tag(text, (middle[0], middle[1]), colour, (0.5, 0.5))
    return image


class Overlay:
    """Draws what a pipeline sees: shapes with live counts, tracks with trails, the time.

    Counts come from the events `crossing` (`line`, `direction`), `entry` and `visit` (`zone`).
    Where the pipeline tells poses, skeletons are drawn, and what its rules have found of each;
    where it tells classes, these, and where they were seen if the model says so.

    Args:
        classes: Names by class id.
        lines: `(start, end)` by name, in pixels of the picture.
        zones: Points by name, in pixels of the picture.
        events: Events of before a restart, to count on from.
    """

    def __init__(
        self,
        classes: Sequence[str] = (),
        lines: Optional[Mapping[str, Tuple[Point, Point]]] = None,
        zones: Optional[Mapping[str, Sequence[Point]]] = None,
        events: Iterable[Event] = (),
    ) -> None:
        self.classes = classes
        self.lines = dict(lines or {})
        self.zones = dict(zones or {})
        self.crossings: Dict[Tuple[str, str], int] = {}
        self.entries: Dict[str, int] = {}
        self.inside: Dict[str, int] = {}
        self._trails: Dict[int, Deque[Tuple[float, float, float]]] = {}
        self._started: Optional[float] = None
        self._found: Dict[int, List[str]] = {}
        self._signals: Dict[str, str] = {}
        self.hear(events)

    def hear(self, events: Iterable[Event]) -> None:
        """Count events."""
        for event in events:
            payload = event.payload
            if event.kind == "crossing":
                key = (str(payload.get("line")), str(payload.get("direction")))
                self.crossings[key] = self.crossings.get(key, 0) + 1
            elif event.kind == "entry":
                zone = str(payload.get("zone"))
                self.entries[zone] = self.entries.get(zone, 0) + 1
                self.inside[zone] = self.inside.get(zone, 0) + 1
            elif event.kind == "visit":
                zone = str(payload.get("zone"))
                self.inside[zone] = max(self.inside.get(zone, 0) - 1, 0)
            elif event.kind == "released":
                told = self._found.get(int(payload["track"]), [])
                if payload["rule"] in told:
                    told.remove(payload["rule"])
            elif event.kind == "person":
                self._found.pop(int(payload["track"]), None)
            elif event.kind == "signal":
                if payload["on"]:
                    self._signals[str(payload["name"])] = str(payload["by"])
                else:
                    self._signals.pop(str(payload["name"]), None)
            elif "keypoints" in payload and "track" in payload and "count" not in payload:
                self._found.setdefault(int(payload["track"]), []).append(event.kind)

    def __call__(self, step: Step) -> Optional[np.ndarray]:
        """The annotated copy of a step's picture, or None where it has none."""
        self.hear(step.events)
        observation = step.observation
        if observation is None or observation.image is None:
            return None
        image = observation.image.copy()
        seen = getattr(observation.findings, "map", None)
        if seen is not None:
            draw_map(image, seen)
        for name, polygon in self.zones.items():
            counts = f"{name}  {self.inside.get(name, 0)} now  {self.entries.get(name, 0)} in all"
            if hasattr(step.pipeline, "poses"):
                counts = name
            draw_zone(image, polygon, counts)
        if step.tracks is not None:
            self._follow(step.tracks, observation.timestamp)
            trails = {k: [(x, y) for _, x, y in v] for k, v in self._trails.items()}
            tell_words = getattr(step.pipeline, "attributes", None)
            words = None if tell_words is None else tell_words()
            draw_tracks(image, step.tracks, trails, words)
        else:
            draw_detections(image, observation.detections, self.classes)
        tell_classes = getattr(step.pipeline, "seen", None)
        if tell_classes is not None:
            draw_classes(image, tell_classes())
        tell_poses = getattr(step.pipeline, "poses", None)
        poses = None if tell_poses is None else tell_poses()
        if poses is not None:
            draw_poses(image, poses)
            self._tell_found(image, poses)
        for name, (start, end) in self.lines.items():
            into, out = (self.crossings.get((name, d), 0) for d in ("in", "out"))
            draw_line(image, start, end, f"{name}  in {into}  out {out}")
        self._time(image, observation.timestamp)
        return image

    def _tell_found(self, image: np.ndarray, poses: Detections) -> None:
        """What is found of each person, over the head; signals that are on, in a corner."""
        pen = _Pen(image)
        for k, track in enumerate([] if poses.track_id is None else poses.track_id.tolist()):
            if self._found.get(track):
                box = poses.xyxy[k]
                at = (float(box[0] + box[2]) / 2, float(box[1]))
                text = ", ".join(sorted(set(self._found[track])))
                pen.tag(text, at, PALETTE[track % len(PALETTE)], (0.5, 1.0))
        if self._signals:
            text = "  ".join(f"{name}: {by}" for name, by in sorted(self._signals.items()))
            pen.tag(text, (image.shape[1], 0), LINE, (1.0, 0.0))

    def _follow(self, tracks: Tracks, now: float) -> None:
        for row in np.flatnonzero(tracks.confirmed):
            box = tracks.xyxy[row]
            trail = self._trails.setdefault(int(tracks.track_id[row]), deque(maxlen=256))
            trail.append((now, float(box[0] + box[2]) / 2, float(box[3])))
        for track in list(self._trails):
            trail = self._trails[track]
            while trail and now - trail[0][0] > TRAIL_S:
                trail.popleft()
            if not trail:
                del self._trails[track]

    def _time(self, image: np.ndarray, now: float) -> None:
        if self._started is None:
            self._started = now if now > 1e8 else 0.0  # Unix time is shown from the start
        seconds = max(now - self._started, 0.0)
        minutes, rest = divmod(int(seconds * 10), 600)
        text = f"{minutes // 60}:{minutes % 60:02}:{rest // 10:02}.{rest % 10}"
        height = image.shape[0]
        _Pen(image).tag(text, (0, height), INK, (0.0, 1.0), WHITE)
