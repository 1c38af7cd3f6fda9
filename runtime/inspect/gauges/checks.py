"""Whether a picture can be measured at all: exposure, focus, a camera that stayed where it was."""

import base64
import binascii
import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ....core import DataError
from ....core.verdict import Reason
from ...sources.base import load_cv2
from .camera import Camera
from .segment import Blob
from .settings import GaugeSettings

BLACK, WHITE = 2, 253
SEARCH = 24  # pixels around its place that a mark is looked for in
LIKENESS = 0.5  # correlation below which a mark is not the taught one
FIXED, STILL = 0.8, 1.0  # correlation, and pixels, within which a thing is the same in all pictures
MOST_MARKS, MOST_TRIED = 4, 24


def clipped(image: np.ndarray, mask: np.ndarray) -> Tuple[float, float]:
    """Shares of the masked pixels that are black and white, in any channel."""
    pixels = image.reshape(*image.shape[:2], -1)[mask]
    if not len(pixels):
        return 0.0, 0.0
    dark = float((pixels.max(axis=1) <= BLACK).mean())
    return dark, float((pixels >= WHITE).any(axis=1).mean())


def exposure(image: np.ndarray, mask: np.ndarray, settings: GaugeSettings) -> List[Reason]:
    """Whether what is measured is not lost in black or white."""
    limit, taught = settings.checks["saturated"], settings.taught.get("clipped", (0.0, 0.0))
    black, white = clipped(image, mask)
    return [
        Reason("overexposed", white - float(taught[1]), high=limit, condition=True,
               text="share of the part that is white: lower the exposure or the light"),
        Reason("underexposed", black - float(taught[0]), high=limit, condition=True,
               text="share of the part that is black: raise the exposure or the light"),
    ]  # fmt: skip


def dark_or_bright(image: np.ndarray) -> List[Reason]:
    """The same of a whole picture in which no part was found."""
    grey = image if image.ndim == 2 else image.max(axis=2)
    black, white = float((grey <= 6).mean()), float((grey >= WHITE).mean())
    reasons = []
    for name, share, ink in (("underexposed", black, "black"), ("overexposed", white, "white")):
        if share > 0.9:
            text = f"share of the picture that is {ink}"
            reasons.append(Reason(name, share, high=0.9, condition=True, text=text))
    return reasons


def focus(blur: float, settings: GaugeSettings) -> List[Reason]:
    """Whether edges are nearly as sharp as the taught ones."""
    taught = settings.taught.get("blur_px")
    if taught is None:
        return []
    value = float(taught) / blur if blur > 0 and math.isfinite(blur) else None
    text = "sharpness of edges over that of the taught parts: focus, or hold the part still"
    if value is None:
        text = "no sharp edge was found: focus, or hold the part still"
    return [Reason("focus", value, low=settings.checks["focus"], condition=True, text=text)]


def camera_fits(image: np.ndarray, camera: Any, settings: GaugeSettings) -> List[Reason]:
    """Whether the picture comes from the camera that the recipe was taught with."""
    size = (image.shape[1], image.shape[0])
    taught = settings.taught.get("size")
    reasons = []
    if isinstance(camera, Camera) and camera.size != size:
        text = (
            f"the picture is {size[0]} x {size[1]} and the calibrated camera's are "
            f"{camera.size[0]} x {camera.size[1]}"
        )
        reasons.append(Reason("camera", None, condition=True, text=text))
    elif taught is not None and tuple(taught) != size:
        text = f"the picture is {size[0]} x {size[1]} and the taught ones {taught[0]} x {taught[1]}"
        reasons.append(Reason("camera", None, condition=True, text=text))
    known = settings.taught.get("camera", "")
    own = camera.id if isinstance(camera, Camera) else ""
    if settings.taught and known != own:
        text = (
            f"the recipe was taught with the camera {known or 'without calibration'} and this is "
            f"{own or 'one without calibration'}: teach it again with this one"
        )
        reasons.append(Reason("camera", None, condition=True, text=text))
    return reasons


def parts_in_view(blobs: Sequence[Blob], settings: GaugeSettings) -> List[Reason]:
    """Whether as many parts as there should be lie wholly in view."""
    reasons = []
    if not any(gauge.kind == "parts" for gauge in settings.gauges):
        reasons.append(
            Reason("parts", float(len(blobs)), settings.count, settings.count, condition=True,
                   text="no part is in view" if not blobs else "parts in view")
        )  # fmt: skip
    elif not blobs and not any(g.kind == "parts" and g.limited for g in settings.gauges):
        reasons.append(Reason("parts", None, condition=True, text="no part is in view"))
    cut = float(sum(blob.cut for blob in blobs))
    text = "parts that the border of the picture cuts"
    reasons.append(Reason("cut", cut, high=0, condition=True, text=text))
    return reasons


def keep_marks(image: np.ndarray, marks: Sequence[Sequence[float]]) -> List[Dict[str, Any]]:
    """What fixed things look like, as plain values for a recipe.

    Raises:
        DataError: One lies outside the picture or is even.
    """
    cv2 = load_cv2()
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    kept = []
    for mark in marks:
        x1, y1, x2, y2 = (int(round(v)) for v in mark)
        patch = grey[max(y1, 0) : y2, max(x1, 0) : x2]
        if x1 < 0 or y1 < 0 or patch.shape != (y2 - y1, x2 - x1) or min(patch.shape) < 8:
            raise DataError(
                "a mark lies outside the picture or is smaller than 8 pixels", got=str(list(mark))
            )
        if float(patch.std()) < 4:
            raise DataError("a mark shows nothing that could be found again", got=str(list(mark)))
        data = cv2.imencode(".png", patch)[1].tobytes()
        kept.append({"at": [x1, y1], "png": base64.b64encode(data).decode("ascii")})
    return kept


def moved(image: np.ndarray, settings: GaugeSettings) -> List[Reason]:
    """How far fixed things lie from where they were when the recipe was taught."""
    kept: Sequence[Mapping[str, Any]] = settings.taught.get("marks", ())
    if not kept:
        return []
    found = mark_shifts(image, kept)
    shifts = [shift for shift in found if shift is not None]
    text = "pixels that fixed marks moved: the camera or the bench was touched, calibrate again"
    if len(shifts) < len(kept):
        text = f"{len(kept) - len(shifts)} of {len(kept)} fixed marks are not where they were"
        return [Reason("moved", None, condition=True, text=text)]
    value = max(float(np.hypot(*shift)) for shift in shifts)
    return [Reason("moved", value, high=settings.checks["moved"], unit="px", condition=True,
                   text=text)]  # fmt: skip


def mark_shifts(
    image: np.ndarray, kept: Sequence[Mapping[str, Any]]
) -> List[Optional[Tuple[float, float]]]:
    """Pixels by which each fixed thing moved, to the right and down; None where it is not found.

    Args:
        image: `(h, w, 3)` uint8 BGR, or `(h, w)`.
        kept: What `keep_marks` gave.

    Raises:
        DataError: One of them is damaged.
    """
    cv2 = load_cv2()
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    shifts = []
    for mark in kept:
        try:
            data = np.frombuffer(base64.b64decode(str(mark["png"])), np.uint8)
            patch = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
            x, y = (int(v) for v in mark["at"])
        except (KeyError, ValueError, TypeError, binascii.Error, cv2.error):
            patch, x, y = None, 0, 0
        if patch is None:
            raise DataError("a taught mark is damaged", remedy="teach the recipe again")
        shifts.append(_shift(cv2, grey, patch, x, y))
    return shifts


def choose_marks(pictures: Sequence[np.ndarray], free: np.ndarray) -> List[List[int]]:
    """Things that stay where they are in all pictures and have corners: a moved camera moves them.

    Args:
        pictures: `(h, w)` uint8 grey levels, of the same view.
        free: `(h, w)` bool, where no picture shows a part.

    Returns:
        Boxes of at most four, for `keep_marks`; none where the ground is plain or travels.
    """
    cv2 = load_cv2()
    if len(pictures) < 3:
        return []
    middle = np.median(np.array(pictures), axis=0).astype(np.uint8)
    side = int(np.clip(min(middle.shape) // 8, 24, 64))
    # Corners of what is fixed: edges in two directions, as the lesser eigenvalue tells.
    corner = cv2.cornerMinEigenVal(cv2.GaussianBlur(middle, (0, 0), 1.5), side // 2, 3)
    room = cv2.erode(free.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    half = side // 2
    edge = half + 2
    room[:edge] = room[-edge:] = False
    room[:, :edge] = room[:, -edge:] = False
    marks: List[List[int]] = []
    for _ in range(MOST_TRIED):
        row, column = np.unravel_index(int((corner * room).argmax()), corner.shape)
        if not room[row, column] or len(marks) == MOST_MARKS:
            break
        x, y = int(column) - half, int(row) - half
        room[max(y - half, 0) : y + side + half, max(x - half, 0) : x + side + half] = False
        patch = middle[y : y + side, x : x + side]
        shifts = [_shift(cv2, picture, patch, x, y, FIXED) for picture in pictures]
        if all(s is not None and float(np.hypot(*s)) < STILL for s in shifts):
            marks.append([x, y, x + side, y + side])
    return marks


def _shift(
    cv2: Any, grey: np.ndarray, patch: np.ndarray, x: int, y: int, likeness: float = LIKENESS
) -> Any:
    """Pixels by which a mark moved, or None where it is not found."""
    height, width = patch.shape
    left, top = max(x - SEARCH, 0), max(y - SEARCH, 0)
    area = grey[top : y + height + SEARCH, left : x + width + SEARCH]
    if area.shape[0] < height or area.shape[1] < width:
        return None
    match = cv2.matchTemplate(area, patch, cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(int(match.argmax()), match.shape)
    if match[row, column] < likeness:
        return None

    def part(line: np.ndarray, at: int) -> float:
        if not 0 < at < len(line) - 1:
            return 0.0
        a, b, c = (float(v) for v in line[at - 1 : at + 2])
        return 0.0 if a - 2 * b + c == 0 else 0.5 * (a - c) / (a - 2 * b + c)

    return (
        left + column + part(match[row], int(column)) - x,
        top + row + part(match[:, column], int(row)) - y,
    )
