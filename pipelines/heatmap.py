"""Where people are: seconds of presence in each cell of a grid over the picture."""

import math
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np


class HeatmapPart(NamedTuple):
    """Presence since the part before; parts add up.

    Attributes:
        start: Seconds on the frame clock.
        duration_s: Seconds from start to the end of the part.
        cells: Indices of the cells that hold anything, row by row from the top left.
        seconds: Seconds of presence in each of these.
    """

    start: float
    duration_s: float
    cells: List[int]
    seconds: List[float]


class Heatmap:
    """Presence in seconds for each cell, by foot point.

    Someone stands where last seen until the next frame, yet at most `gap_s`, so a stalled camera
    does not pour minutes into a cell. Feet outside the picture count at its border.

    Args:
        size: `(width, height)` of the picture in pixels.
        columns: Cells across; cells are about square.
        period_s: Seconds that a part covers.
        gap_s: Seconds that a position holds without a new frame.
    """

    def __init__(
        self,
        size: Tuple[int, int],
        columns: int = 64,
        period_s: float = 600.0,
        gap_s: float = 2.0,
    ) -> None:
        width, height = size
        self.grid = (columns, max(1, round(columns * height / width)))
        self._period_s, self._gap_s = period_s, gap_s
        self._scale = np.array([columns / width, self.grid[1] / height])
        self._top = np.array([columns - 1, self.grid[1] - 1], dtype=np.float64)
        self._seconds = np.zeros(columns * self.grid[1])
        self._cells = np.zeros(0, np.int64)
        self._now = math.nan
        self._until = math.nan
        self._start = math.nan

    @property
    def seconds(self) -> np.ndarray:
        """`(rows, columns)` float64, seconds not told yet."""
        return self._seconds.reshape(self.grid[1], self.grid[0])

    def update(self, feet: np.ndarray, timestamp: float) -> Optional[HeatmapPart]:
        """Take in where people stand from now on.

        Args:
            feet: `(n, 2)` foot points in pixels.
            timestamp: Seconds on the frame clock.

        Returns:
            A part, when its time is over and it holds anything.
        """
        part = self.advance(timestamp)
        if self._now != self._now:
            self._now = self._start = timestamp
        self._until = timestamp + self._gap_s
        if len(feet):
            place = np.minimum(np.maximum(feet * self._scale, 0.0), self._top).astype(np.int64)
            self._cells = place[:, 0] + place[:, 1] * self.grid[0]
        elif len(self._cells):
            self._cells = self._cells[:0]
        return part

    def advance(self, timestamp: float) -> Optional[HeatmapPart]:
        """Let time pass without a new frame."""
        if not timestamp > self._now:
            return None
        passed = min(timestamp, self._until) - self._now
        if passed > 0 and len(self._cells):
            # Two people may share a cell, so a plain += with an index would lose one.
            self._seconds += np.bincount(self._cells, minlength=len(self._seconds)) * passed
        self._now = timestamp
        if timestamp - self._start >= self._period_s:
            return self.finish()
        return None

    def finish(self) -> Optional[HeatmapPart]:
        """What was not told yet, if it is anything."""
        if self._now != self._now:
            return None
        start, self._start = self._start, self._now
        told = np.maximum(np.round(self._seconds, 3), 0.0)
        cells = np.flatnonzero(told)
        if not len(cells):
            return None
        # What rounding left over is told with the next part.
        self._seconds -= told
        seconds = [round(s, 3) for s in told[cells].tolist()]
        return HeatmapPart(start, self._now - start, cells.tolist(), seconds)

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types and arrays."""
        return {
            "seconds": self._seconds,
            "cells": self._cells,
            "clock": [self._now, self._until, self._start],
        }

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._seconds = state["seconds"]
        self._cells = state["cells"]
        self._now, self._until, self._start = state["clock"]
