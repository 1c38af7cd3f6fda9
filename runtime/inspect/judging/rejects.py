"""Pictures of parts that did not pass, in a folder that never grows beyond its room."""

import contextlib
import os
from pathlib import Path
from typing import Any, List, Mapping, Tuple

import numpy as np

from ....core.verdict import Reason, Verdict
from ...files import write_whole
from ...sources.base import load_cv2
from ..golden.verdicts import Inspected, overlay

AROUND = 0.25  # of a part's size: what is kept around it
SHOWN = 480  # pixels: smaller pictures are enlarged, so that words can be read


def around(image: np.ndarray, box: Any) -> Tuple[np.ndarray, Tuple[int, int]]:
    """The part with a little around it, a copy, and its left upper corner in the picture."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(v) for v in box)
    more = AROUND * max(x2 - x1, y2 - y1)
    left, top = max(int(x1 - more), 0), max(int(y1 - more), 0)
    right, bottom = min(int(x2 + more) + 1, width), min(int(y2 + more) + 1, height)
    return image[top:bottom, left:right].copy(), (left, top)


def reject_picture(part: np.ndarray, corner: Tuple[int, int], payload: Mapping[str, Any]) -> bytes:
    """A JPEG of the part with its defects, the verdict and the reasons.

    Args:
        part: `(h, w, 3)` uint8 BGR.
        corner: Its left upper corner in the picture that the payload speaks of.
        payload: Of the event `verdict`.
    """
    cv2 = load_cv2()
    factor = max(SHOWN / max(part.shape[:2]), 1.0)
    if factor > 1:
        size = (round(part.shape[1] * factor), round(part.shape[0] * factor))
        part = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)
    boxes = np.array([d["xyxy"] for d in payload["defects"]], np.float32).reshape(-1, 4)
    boxes = (boxes - np.array([*corner, *corner], np.float32)) * factor
    scores = np.array([d["score"] for d in payload["defects"]], np.float32)
    reasons = [_reason(r) for r in payload["reasons"]]
    told = Inspected(
        payload["serial"], Verdict(payload["verdict"], tuple(reasons), payload["score"]), boxes,
        scores,
    )  # fmt: skip
    options = [cv2.IMWRITE_JPEG_QUALITY, 88]
    return cv2.imencode(".jpg", overlay(part, told), options)[1].tobytes()


def _reason(told: Mapping[str, Any]) -> Reason:
    low, high = told["limits"]
    # What was decided is told, not decided anew.
    return Reason(
        told["name"], told["value"], low, high, float(told.get("uncertainty") or 0.0),
        told.get("unit", ""), text=told.get("text", ""),
    )  # fmt: skip


class RejectFolder:
    """A folder of pictures within a budget; the oldest go first.

    Args:
        folder: Made with the first picture.
        megabytes: Its room; with 0 nothing is kept.
    """

    def __init__(self, folder: Path, megabytes: float) -> None:
        self.folder, self.room = folder, int(megabytes * 1e6)
        self._files: List[Tuple[float, str, int]] = []
        if folder.is_dir():
            for path in folder.glob("*.jpg"):
                with contextlib.suppress(OSError):
                    stat = path.stat()
                    self._files.append((stat.st_mtime, path.name, stat.st_size))
            self._files.sort()

    def keep(self, name: str, content: bytes) -> None:
        """Put a picture in, and the oldest out where it needs room.

        Raises:
            StorageError: The folder cannot be written.
        """
        if len(content) > self.room:
            return
        self._files = [f for f in self._files if f[1] != name]
        total = sum(size for _, _, size in self._files) + len(content)
        while self._files and total > self.room:
            _, old, size = self._files.pop(0)
            with contextlib.suppress(OSError):
                os.unlink(self.folder / old)
            total -= size
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / name, content)
        last = self._files[-1][0] if self._files else 0.0
        self._files.append((last, name, len(content)))
