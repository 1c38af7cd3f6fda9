"""MOTChallenge rows: recorded detections in, tracks out.

A row is `frame,id,x,y,w,h,score,…`: frames from 1, pixels of the picture, `id` -1 where nothing
is tracked yet. Format: https://motchallenge.net/instructions/.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Set, TextIO, Tuple, Union

import numpy as np

from ..core import DataError, Detections, StorageError, Tracks
from .files import whole_file

PathLike = Union[str, "os.PathLike[str]"]

_FORMAT = "frame,id,x,y,w,h,score and up to three columns more"
_LAST_FRAME = 100_000_000
_REMEDY = "free some space or choose another folder with --out"
_TENTATIVE = "?"  # marks the rows of a tentative track in the unfinished file
_ROW = re.compile(r"(\d{1,9}),-?\d+(?:,[-+.e\d]+){8}\??\n\Z")


class MotFrames(Sequence):
    """Recorded detections by frame: element `i` is frame `i + 1`; missing frames are empty.

    Attributes:
        path: Where they were read.
        tracked: Whether the rows carry ids above 0; `Detections.track_id` is set then.
        dropped: How many rows were no finite box with area and a finite score.
        warnings: Sentences that a user should see.
    """

    def __init__(
        self,
        path: Path,
        frame: np.ndarray,
        boxes: np.ndarray,
        score: np.ndarray,
        class_id: np.ndarray,
        track_id: Optional[np.ndarray],
        length: int,
        dropped: int,
    ) -> None:
        self.path = path
        self.tracked = track_id is not None
        self.dropped = dropped
        self.warnings: List[str] = []
        if dropped:
            rows = "1 row was" if dropped == 1 else f"{dropped} rows were"
            self.warnings.append(
                f"{path}: {rows} dropped, being no finite box with area and a finite score."
            )
        self._frame, self._boxes, self._score = frame, boxes, score
        self._class_id, self._track_id = class_id, track_id
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, item):
        if isinstance(item, slice):
            return [self[i] for i in range(*item.indices(self._length))]
        index = item + self._length if item < 0 else item
        if not 0 <= index < self._length:
            raise IndexError(item)
        first, last = np.searchsorted(self._frame, (index + 1, index + 2))
        ids = self._track_id
        return Detections(
            self._boxes[first:last],
            self._score[first:last],
            self._class_id[first:last],
            None if ids is None else ids[first:last],
        )


def read_mot(path: PathLike) -> MotFrames:
    """Read recorded detections or tracks.

    Columns are parted by commas or blanks; empty lines and lines that begin with `#` are passed
    over. Rows whose ids are all above 0 are tracks already. Ten columns that end in `-1,-1` may
    name the class id in the eighth, as `DetectionsWriter` does; else every class id is 0.

    Raises:
        DataError: The file is missing, empty, no text, has a row that is no such row, has rows
            with and without ids, or one id twice in a frame. The line number is told.
    """
    path = Path(path)
    numbers, rows = _rows(path)
    frame = rows[:, 0]
    track_id = rows[:, 1]
    for column, name in ((frame, "frame"), (track_id, "id")):
        wrong = np.flatnonzero(~(np.abs(column) < 1e15) | (column != np.floor(column)))
        if len(wrong):
            at = wrong[0]
            raise DataError(
                f"{path}, line {numbers[at]}: {name} must be a whole number", got=column[at]
            )
    wrong = np.flatnonzero((frame < 1) | (frame > _LAST_FRAME))
    if len(wrong):
        at = wrong[0]
        raise DataError(
            f"{path}, line {numbers[at]}: frame is out of range",
            got=int(frame[at]),
            expected=f"1 to {_LAST_FRAME}",
            remedy="frames are counted from 1" if frame[at] < 1 else None,
        )
    with np.errstate(over="ignore", invalid="ignore"):
        # Corners are summed in float64, so that what DetectionsWriter wrote comes back exactly.
        boxes = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], 1).astype(np.float32)
        score = rows[:, 6].astype(np.float32)
        good = (
            (boxes[:, 2] > boxes[:, 0])
            & (boxes[:, 3] > boxes[:, 1])
            & (np.abs(boxes) < np.float32(1e7)).all(1)
            & np.isfinite(score)
        )
    length = int(frame.max())
    dropped = int((~good).sum())
    numbers, frame, track_id = numbers[good], frame[good].astype(np.int64), track_id[good]
    ids = _ids(path, numbers, frame, track_id.astype(np.int64))
    order = np.argsort(frame, kind="stable")
    return MotFrames(
        path,
        frame[order],
        boxes[good][order],
        score[good][order],
        _classes(rows[good])[order],
        None if ids is None else ids[order],
        length,
        dropped,
    )


def _rows(path: Path) -> Tuple[np.ndarray, np.ndarray]:
    """Line numbers `(n,)` and values `(n, columns)` float64."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", remedy="check the path") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read", got=error.strerror) from None
    try:
        text = data.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError
    except ValueError:
        raise DataError(
            f"{path} is no text", got="binary data", expected=f"rows of {_FORMAT}"
        ) from None
    numbers: List[int] = []
    values: List[List[float]] = []
    width = 0
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] == "#":
            continue
        fields = line.split(",") if "," in line else line.split()
        try:
            row = [float(field) for field in fields]
        except ValueError:
            raise DataError(
                f"{path}, line {number} is no row of numbers",
                got=repr(line[:60]),
                expected=_FORMAT,
            ) from None
        if not 7 <= len(row) <= 10 or (width and len(row) != width):
            raise DataError(
                f"{path}, line {number} has the wrong number of columns",
                got=len(row),
                expected=f"{width}, as before" if width else _FORMAT,
            )
        width = len(row)
        numbers.append(number)
        values.append(row)
    if not values:
        raise DataError(f"{path} has no rows", expected=_FORMAT)
    return np.array(numbers), np.array(values, np.float64)


def _ids(
    path: Path, numbers: np.ndarray, frame: np.ndarray, ids: np.ndarray
) -> Optional[np.ndarray]:
    tracked = ids > 0
    if not tracked.any():
        return None
    if not tracked.all():
        raise DataError(
            f"{path} mixes tracks and detections: line {numbers[tracked][0]} has an id above 0, "
            f"line {numbers[~tracked][0]} has none",
            expected="ids above 0 in all rows (tracks) or in none (detections, id -1)",
        )
    order = np.lexsort((ids, frame))
    again = (np.diff(frame[order]) == 0) & (np.diff(ids[order]) == 0)
    if again.any():
        at = order[1:][again].min()
        raise DataError(
            f"{path}, line {numbers[at]}: track {ids[at]} is twice in frame {frame[at]}"
        )
    return ids


def _classes(rows: np.ndarray) -> np.ndarray:
    named = np.zeros(len(rows), np.int64)
    # Ground truth has world coordinates or a benchmark's own classes in the eighth column;
    # only rows that are otherwise padded with -1 carry our class ids there.
    if rows.shape[1] == 10 and (rows[:, 8:] == -1).all():
        column = rows[:, 7]
        if (column == np.floor(column)).all() and (np.abs(column) < 1e9).all():
            named = np.maximum(column, 0).astype(np.int64)
    return named


def shortest(value: float) -> str:
    """The shortest decimal that reads back as the same float32."""
    return np.format_float_positional(np.float32(value), unique=True, trim="-")


def _extent(low: str, high: np.float32) -> str:
    """The shortest width whose sum with `low` gives the float32 `high`, by `read_mot`'s rule."""
    start = float(low)
    extent = float(high) - start
    text = shortest(extent)
    # In float64 the sum is within one part in 2**52 of `high`, and rounds to it as float32.
    return text if np.float32(start + float(text)) == high else repr(extent)


def mot_row(frame: int, track_id: int, box: np.ndarray, score: float, class_id: int = 0) -> str:
    """One row. `box` is `(4,)` float32 xyxy; `read_mot` gives back the very same floats."""
    x, y = shortest(box[0]), shortest(box[1])
    w, h = _extent(x, box[2]), _extent(y, box[3])
    kind = int(class_id) if class_id > 0 else -1
    return f"{frame},{track_id},{x},{y},{w},{h},{shortest(score)},{kind},-1,-1"


class DetectionsWriter:
    """Records detections, so that `replay` gives the same events as the run did.

    Args:
        path: The file to write; its folder must exist.
        resume: Index of the last frame to keep of an earlier file; None begins anew.
    """

    def __init__(self, path: PathLike, resume: Optional[int] = None) -> None:
        self.path = Path(path)
        self._file = _open(self.path, resume)

    def write(self, index: int, detections: Detections) -> None:
        """Add the detections of frame `index` (from 0).

        Raises:
            StorageError: The disk is full.
        """
        ids = detections.track_id
        rows = [
            mot_row(index + 1, -1 if ids is None else int(ids[i]), box, score, class_id)
            for i, (box, score, class_id) in enumerate(
                zip(detections.xyxy, detections.score, detections.class_id)
            )
        ]
        _append(self._file, self.path, rows)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def __enter__(self) -> "DetectionsWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class TracksWriter:
    """Writes `tracks.txt`: the boxes of confirmed tracks, from the first frame to the last.

    What is known only later is used: a track is told from before it was confirmed, and moments
    in which it was out of sight are bridged by boxes on the straight way. Until `close` the rows
    stand in `tracks.txt.part`, complete at every moment, so a killed run goes on there.

    Args:
        path: The file to write; its folder must exist.
        resume: Index of the last frame to keep of an interrupted run; None begins anew.
        bridge: Frames out of sight that are bridged at most.
    """

    def __init__(self, path: PathLike, resume: Optional[int] = None, bridge: int = 10) -> None:
        self.path = Path(path)
        self._bridge = bridge
        self._part = self.path.with_name(self.path.name + ".part")
        if resume is not None and not self._part.exists() and self.path.exists():
            os.replace(self.path, self._part)
        self._file = _open(self._part, resume)

    def write(self, index: int, tracks: Optional[Tracks]) -> None:
        """Add the tracks of frame `index` (from 0).

        Raises:
            StorageError: The disk is full.
        """
        if tracks is None or not len(tracks):
            return
        rows = []
        for i in np.flatnonzero(tracks.observed):
            row = mot_row(
                index + 1, int(tracks.track_id[i]), tracks.xyxy[i], tracks.score[i],
                tracks.class_id[i],
            )  # fmt: skip
            rows.append(row if tracks.confirmed[i] else row + _TENTATIVE)
        _append(self._file, self._part, rows)

    def close(self) -> None:
        """Leave out tracks that were never confirmed, bridge gaps, put `tracks.txt` in place."""
        if self._file.closed:
            return
        self._file.close()
        confirmed: Set[str] = set()
        for row in _lines(self._part):
            if not row.endswith(_TENTATIVE):
                confirmed.add(row.split(",", 2)[1])
        told = (
            row.rstrip(_TENTATIVE)
            for row in _lines(self._part)
            if row.split(",", 2)[1] in confirmed
        )
        try:
            with whole_file(self.path, _REMEDY) as file:
                file.writelines(row.encode("ascii") + b"\n" for row in _bridged(told, self._bridge))
            self._part.unlink()
        except OSError as error:
            raise _storage(self.path, error) from None

    def __enter__(self) -> "TracksWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _bridged(rows: Iterable[str], most: int) -> Iterator[str]:
    """Rows in the order of frames, with rows between for gaps of up to `most` frames."""
    last: Dict[str, Tuple[int, List[float]]] = {}
    waiting: Dict[int, List[str]] = {}
    for row in rows:
        fields = row.split(",")
        frame, track_id, box = int(fields[0]), fields[1], [float(v) for v in fields[2:6]]
        for early in sorted(f for f in waiting if f < frame - most):
            yield from waiting.pop(early)
            last = {k: v for k, v in last.items() if v[0] >= frame - most - 1}
        before, start = last.get(track_id, (frame, box))
        for between in range(before + 1, frame) if frame - before <= most + 1 else ():
            share = (between - before) / (frame - before)
            way = (shortest(a + share * (b - a)) for a, b in zip(start, box))
            waiting.setdefault(between, []).append(
                ",".join([str(between), track_id, *way, *fields[6:]])
            )
        waiting.setdefault(frame, []).append(row)
        last[track_id] = (frame, box)
    for frame in sorted(waiting):
        yield from waiting[frame]


def _lines(path: Path) -> Iterator[str]:
    with open(path, encoding="ascii") as file:
        for line in file:
            yield line.rstrip("\n")


def _open(path: Path, resume: Optional[int]) -> TextIO:
    try:
        if resume is not None and path.exists():
            with open(path, encoding="ascii", errors="replace") as old, whole_file(
                path, _REMEDY
            ) as new:
                for line in old:
                    # A line that a kill cut off, or a power cut filled with nothing, belongs to a
                    # frame that comes again.
                    row = _ROW.match(line)
                    if row is not None and int(row.group(1)) <= resume + 1:
                        new.write(line.encode("ascii"))
            return open(path, "a", encoding="ascii")
        return open(path, "w", encoding="ascii")
    except OSError as error:
        raise _storage(path, error) from None


def _append(file: TextIO, path: Path, rows: List[str]) -> None:
    if not rows:
        return
    try:
        file.write("\n".join(rows) + "\n")
        file.flush()  # kill -9 loses what Python still buffers
    except OSError as error:
        raise _storage(path, error) from None


def _storage(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written",
        got=error.strerror,
        remedy=_REMEDY,
    )
