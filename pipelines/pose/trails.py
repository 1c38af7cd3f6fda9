"""How people moved, in a few skeletons each: what a report draws of them."""

from typing import Any, Dict, List, Optional

import numpy as np

MOST = 12
"""Skeletons that are kept of a person at most; they stand ever further apart in time."""
STEP_S = 0.5
"""Seconds between two of somebody who was seen briefly."""
LEAST = 0.2
"""Points that score no more are left out."""


class Trails:
    """Keeps a few skeletons of each track, evenly in time, in bounded memory."""

    def __init__(self) -> None:
        self._kept: Dict[int, List[List[Any]]] = {}
        self._step: Dict[int, float] = {}

    def look(self, track_ids: List[int], keypoints: np.ndarray, now: float) -> None:
        """Take in the poses of one moment: `(n, k, 3)` of x, y in pixels and a score."""
        for row, track in enumerate(track_ids):
            kept = self._kept.setdefault(track, [])
            step = self._step.setdefault(track, STEP_S)
            if kept and now - kept[-1][0] < step - 1e-9:
                continue
            points = keypoints[row]
            seen = np.isfinite(points).all(axis=1) & (points[:, 2] > LEAST)
            if seen.sum() < 3:
                continue
            places = np.round(np.where(seen[:, None], points[:, :2], 0)).astype(int).tolist()
            kept.append([now, [p if there else None for p, there in zip(places, seen.tolist())]])
            if len(kept) > MOST:
                self._kept[track] = kept[::2]
                self._step[track] = 2 * step

    def of(self, track: int) -> Optional[List[List[Any]]]:
        """The skeletons of a track that has ended, which is forgotten: `[seconds, points]` each,
        a point being `[x, y]` in pixels or None where it was not seen."""
        self._step.pop(track, None)
        kept = self._kept.pop(track, None)
        return None if not kept else [[round(time, 3), points] for time, points in kept]

    def state(self) -> Dict[str, Any]:
        """Everything remembered, as plain types."""
        return {"kept": self._kept, "step": self._step}

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from `state`."""
        self._kept, self._step = state["kept"], state["step"]
