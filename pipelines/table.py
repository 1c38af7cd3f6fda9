"""Columns of state with one row for each living track."""

from typing import Any, Dict, List, Tuple

import numpy as np


class TrackTable:
    """What an analysis remembers of each track, as columns that numpy works on at once.

    A row is taken when a track is first asked for and given back with `drop`, so memory follows
    the number of tracks alive at a time, not the number ever seen.

    Args:
        columns: For each name the dtype, the shape of one value and what a new row holds.
    """

    def __init__(self, **columns: Tuple[Any, Tuple[int, ...], Any]) -> None:
        self._spec = columns
        self._row_of: Dict[int, int] = {}
        self._free: List[int] = []
        self._capacity = 0
        self._columns: Dict[str, np.ndarray] = {}
        self._grow(16)

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, track_id: int) -> bool:
        return track_id in self._row_of

    def __getitem__(self, name: str) -> np.ndarray:
        """The whole column `(capacity, …)`; free rows hold what a new row holds."""
        return self._columns[name]

    def ids(self) -> List[int]:
        """The living tracks, oldest row first."""
        return list(self._row_of)

    def row(self, track_id: int) -> int:
        """Row of a track that has one."""
        return self._row_of[track_id]

    def rows(self, track_ids: List[int]) -> np.ndarray:
        """Rows of the tracks, new ones where they have none. `(n,)` intp."""
        row_of = self._row_of
        found = [row_of.get(track_id, -1) for track_id in track_ids]
        if -1 in found:
            found = [self._take(track_id) for track_id in track_ids]
        return np.array(found, dtype=np.intp)

    def drop(self, track_id: int) -> None:
        """Forget a track, if it is known."""
        row = self._row_of.pop(track_id, -1)
        if row >= 0:
            for name, (_, _, fill) in self._spec.items():
                self._columns[name][row] = fill
            self._free.append(row)

    def state(self) -> Dict[str, Any]:
        """Ids and columns of the living tracks."""
        rows = np.array(list(self._row_of.values()), dtype=np.intp)
        columns = {name: column[rows] for name, column in self._columns.items()}
        return {"ids": np.array(list(self._row_of), dtype=np.int64), "columns": columns}

    def load_state(self, state: Dict[str, Any]) -> None:
        """Take up what `state` gave; row numbers may differ, nothing else."""
        for track_id in self.ids():
            self.drop(track_id)
        rows = self.rows(state["ids"].tolist())
        for name in self._spec:
            self._columns[name][rows] = state["columns"][name]

    def _take(self, track_id: int) -> int:
        row = self._row_of.get(track_id, -1)
        if row < 0:
            if not self._free:
                self._grow(self._capacity * 2)
            row = self._free.pop()
            self._row_of[track_id] = row
        return row

    def _grow(self, capacity: int) -> None:
        for name, (dtype, shape, fill) in self._spec.items():
            column = np.full((capacity, *shape), fill, dtype=dtype)
            if self._capacity:
                column[: self._capacity] = self._columns[name]
            self._columns[name] = column
        self._free.extend(range(capacity - 1, self._capacity - 1, -1))
        self._capacity = capacity
