"""The tracker: detections in time become tracks."""

import math
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ...core import DataError, Detections, Tracks
from . import motion
from .association import assign, near, overlap, solver
from .motion import CX, CY, PP, H, W
from .settings import TrackerSettings

# Rows of the state beyond the motion: last score, mean of recent scores, time of birth and of the
# last sight on the tracker's own clock, where it was born.
SCORE, MEAN, BORN, SEEN, FROM_X, FROM_Y = range(motion.ROWS, motion.ROWS + 6)
STATE_ROWS = motion.ROWS + 6
# Rows of whole numbers.
ID, CLASS, HITS, CONFIRMED = range(4)
# Seconds between frames beyond which nothing is stretched to suit them.
SLOWEST = 2.0
# An outermost edge that had not been passed by this share of a height for so many seconds when an
# object was last seen is the end of the picture; one that it was pushing outwards itself is not.
EDGE_STEP, EDGE_S = 0.02, 0.15
OUTWARDS = np.array([[-1.0], [-1.0], [1.0], [1.0]])


class Tracker:
    """Follows objects through detections, all tracks at once.

    Args:
        settings: See `TrackerSettings`.
    """

    def __init__(self, settings: Optional[TrackerSettings] = None) -> None:
        self.settings = TrackerSettings() if settings is None else settings
        solver()  # loaded now, not in the frame in which two people first meet
        self._state = np.zeros((STATE_ROWS, 0))
        self._facts = np.zeros((4, 0), np.int64)
        self._next_id = 1
        self._clock = 0.0
        self._interval = 0.0
        self._level = 0.0
        self._height = 0.0
        # The outermost edges seen so far, and since when they stand: left and top with their sign
        # turned, right, bottom.
        self._bounds = np.full(4, -np.inf)
        self._standing = np.zeros(4)
        self._timestamp: Optional[float] = None

    def update(self, detections: Detections, timestamp: float) -> Tracks:
        """Follow one frame.

        Args:
            detections: What was found in it; may be empty.
            timestamp: Seconds. Time that stands still or goes back counts as no time.

        Returns:
            Tracks seen now, tentative ones among them, and confirmed ones that are predicted
            through a short gap.

        Raises:
            DataError: The timestamp is not finite.
        """
        if not math.isfinite(timestamp):
            raise DataError("the timestamp of a frame must be finite seconds", got=timestamp)
        s = self.settings
        gone = self._advance(timestamp)
        boxes = detections.xyxy.T.astype(float)
        found = np.empty_like(boxes)
        found[:2] = (boxes[:2] + boxes[2:]) / 2
        found[2:] = boxes[2:] - boxes[:2]
        score, kind = detections.score.astype(float), detections.class_id
        if len(score):
            self._widen(boxes, float(found[3].sum()) / len(score))
            if self._level == 0:
                self._level = float(score.max())
        matched, crowd = self._match(found, score, kind)
        rows = (matched >= 0).nonzero()[0]
        taken = matched[rows]
        if len(rows):
            doubt = 1 + s.crowd_noise * crowd[taken]
            known = self._facts[HITS, rows] > 2
            motion.correct(self._state, rows, found[:, taken], doubt, known, s)
            self._see(rows, score[taken])
        free = score >= s.low_score
        free[taken] = False
        newborn = self._new(found, kind, free.nonzero()[0], taken)
        if len(newborn):
            self._add(found[:, newborn], score[newborn], kind[newborn])
            matched = np.concatenate([matched, newborn])
        self._confirm()
        return self._tracks(detections, matched, gone)

    def predict(self, timestamp: float) -> Tracks:
        """Where the confirmed tracks are at a moment after the last frame, for a frame that no
        detector looked at. Nothing is remembered of it, and nothing ends.

        Raises:
            DataError: The timestamp is not finite.
        """
        if not math.isfinite(timestamp):
            raise DataError("the timestamp of a frame must be finite seconds", got=timestamp)
        kept = self._state
        try:
            self._state = kept.copy()
            if self._timestamp is not None:
                motion.predict(self._state, timestamp - self._timestamp, self.settings)
            unmatched = np.full(kept.shape[1], -1)
            return self._tracks(Detections.empty(), unmatched, np.zeros(0, np.int64))
        finally:
            self._state = kept

    def _advance(self, timestamp: float) -> np.ndarray:
        """Bring all tracks to this moment. Returns the ids of those that ended."""
        s = self.settings
        dt = 0.0 if self._timestamp is None else max(0.0, timestamp - self._timestamp)
        self._timestamp = float(timestamp)
        self._clock += dt
        if dt > 0:
            # The usual interval: a duration is never shorter than what so few frames can show.
            usual = self._interval
            change = (min(dt, 3 * usual) - usual) / 10 if usual else min(dt, SLOWEST)
            self._interval = min(usual + change, SLOWEST)
        patience = np.where(
            self._facts[CONFIRMED] > 0,
            max(s.lost_s, 3.5 * self._interval),
            max(s.tentative_s, 1.5 * self._interval),
        )
        keep = self._clock - self._state[SEEN] <= patience
        if keep.all():
            gone = np.zeros(0, np.int64)
        else:
            gone = self._facts[ID, ~keep]
            self._state, self._facts = self._state[:, keep], self._facts[:, keep]
        motion.predict(self._state, dt, s)
        return gone

    def _match(
        self, found: np.ndarray, score: np.ndarray, kind: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """The detection of each track `(n,)`, or -1, and how much others overlap each `(m,)`."""
        s = self.settings
        state, facts = self._state, self._facts
        n, m = state.shape[1], found.shape[1]
        matched = np.full(n, -1)
        if n == 0 or m == 0:
            return matched, np.zeros(m)
        deviation = np.sqrt(state[PP] + s.position_noise**2) * state[H]
        rows, columns = near(state, s.gate * deviation, found, (facts[CLASS], kind))
        if len(rows) == 0:
            return matched, np.zeros(m)
        unseen = self._clock - state[SEEN]
        confirmed = facts[CONFIRMED] > 0
        lost = confirmed & (unseen > max(s.fresh_s, 1.5 * self._interval))

        a, b = state[:4, rows], found[:, columns]
        late, known = lost[rows], confirmed[rows]
        similarity = overlap(a, b, np.where(late, s.lost_buffer, s.buffer))
        crowd = np.bincount(columns, similarity * known, m)
        gain = np.where(late, s.lost_cost, s.match_cost) - 1 + similarity
        gain -= s.distance_weight * np.hypot(a[CX] - b[CX], a[CY] - b[CY]) / deviation[rows]
        gain -= s.height_weight * np.abs(np.log(a[H] / b[H]))
        gain -= s.age_cost * unseen[rows] + s.young_cost * (~known & (facts[HITS, rows] > 1))
        gain *= np.where(known, 1.0, s.young_share)
        good = ((gain > 0) & (score[columns] >= s.low_score)).nonzero()[0]
        rows, columns, gain = rows[good], columns[good], gain[good]

        late, strong = late[good], (score >= s.high_ratio * self._level)[columns]
        shares = (similarity * known)[good]
        free = np.ones(m, bool)

        def settle(part: np.ndarray) -> None:
            use = part.nonzero()[0]
            if len(use):
                use = use[assign(rows[use], columns[use], gain[use])]
                matched[rows[use]] = columns[use]
                free[columns[use]] = False
                crowd[columns[use]] -= shares[use]

        # Strong detections choose first, weak ones only go on with tracks that are left, and
        # what is still free may be a lost track that comes back.
        settle(strong & ~late)
        left = free[columns] & (matched[rows] < 0)
        if left.any():
            settle(left & ~late)
            if late.any():
                settle(late & strong & free[columns] & (matched[rows] < 0))
        return matched, crowd

    def _see(self, rows: np.ndarray, score: np.ndarray) -> None:
        """Note that the tracks `rows` were seen now, and what is usual in this scene."""
        state, facts, s = self._state, self._facts, self.settings
        facts[HITS, rows] += 1
        state[SEEN, rows] = self._clock
        state[SCORE, rows] = score
        old = facts[CONFIRMED, rows] > 0
        sure, young = rows[old], rows[~old]
        if len(young):
            step = np.maximum(1 / facts[HITS, young], self._share(s.mean_s))
            state[MEAN, young] += step * (score[~old] - state[MEAN, young])
        if len(sure):
            off = state[SCORE, sure] - self._level
            # An expectile: scores above pull four times as strongly, so the level is that of
            # objects that are seen well, however many are half hidden.
            pull = float(np.where(off > 0, 4 * off, off).sum()) / (2.5 * len(sure))
            self._level += self._share(s.level_s) * pull
            height = float(state[H, sure].sum()) / len(sure)
            self._height += (self._share(s.level_s) if self._height else 1) * (
                height - self._height
            )
        else:
            # Nobody is sure: the level comes down to what there is, or a weak evening after a
            # bright day would never have a track.
            steady = young[facts[HITS, young] >= s.confirm_hits]
            if len(steady):
                off = float(state[MEAN, steady].max()) - self._level
                slow = 4 if self._height else 40  # the first guess was one frame's best score
                self._level += self._share(s.level_s / slow) * off

    def _share(self, duration: float) -> float:
        """How much of a mean over `duration` seconds one frame changes."""
        return 1 - math.exp(-self._interval / max(duration, 1e-3))

    def _new(
        self, found: np.ndarray, kind: np.ndarray, free: np.ndarray, taken: np.ndarray
    ) -> np.ndarray:
        """Which of the `free` detections are new objects, no duplicates of `taken` ones."""
        if len(free) == 0 or len(taken) == 0:
            return free
        common = overlap(found[:, free, None], found[:, None, taken])
        common *= kind[free, None] == kind[taken]
        return free[common.max(axis=1) < self.settings.birth_overlap]

    def _add(self, boxes: np.ndarray, score: np.ndarray, kind: np.ndarray) -> None:
        n = len(score)
        state = np.zeros((STATE_ROWS, n))
        state[: motion.ROWS] = motion.born(boxes, self.settings)
        state[SCORE] = score
        state[MEAN] = score
        state[BORN] = self._clock
        state[SEEN] = self._clock
        state[FROM_X : FROM_Y + 1] = boxes[:2]
        facts = np.zeros((4, n), np.int64)
        facts[ID] = np.arange(self._next_id, self._next_id + n)
        facts[CLASS] = kind
        facts[HITS] = 1
        self._next_id += n
        self._state = np.concatenate([self._state, state], axis=1)
        self._facts = np.concatenate([self._facts, facts], axis=1)

    def _confirm(self) -> None:
        s = self.settings
        state, facts = self._state, self._facts
        young = (facts[CONFIRMED] == 0).nonzero()[0]
        if len(young) == 0:
            return
        hits = facts[HITS, young]
        seen = state[SEEN, young] - state[BORN, young]
        mean = state[MEAN, young]
        needed = min(s.birth_ratio * self._level, s.birth_cap)
        good = (hits >= s.confirm_hits) & (seen >= s.confirm_s)
        # A weak thing that stands still may be furniture; one that walks is no furniture.
        part = state[:, young]
        walked = np.hypot(part[CX] - part[FROM_X], part[CY] - part[FROM_Y])
        good &= (mean >= needed) | (walked >= s.walk * np.maximum(part[H], self._height))
        facts[CONFIRMED, young[good]] = 1

    def _widen(self, boxes: np.ndarray, height: float) -> None:
        """Learn how far the picture reaches from boxes `(4, m)`, left top right bottom."""
        outer = (boxes * OUTWARDS).max(axis=1)
        wider = outer > self._bounds + EDGE_STEP * height
        if wider.any():
            self._bounds[wider] = outer[wider]
            self._standing[wider] = self._clock

    def _inside(self, part: np.ndarray) -> np.ndarray:
        """The share of each box that lies within the picture, as far as it is known."""
        known = part[SEEN] - self._standing[:, None] >= EDGE_S
        edge = np.where(known, self._bounds[:, None], np.inf)
        half = part[W : H + 1] / 2
        low = np.maximum(part[:2] - half, -edge[:2])
        high = np.minimum(part[:2] + half, edge[2:])
        sides = np.maximum(high - low, 0) / part[W : H + 1]
        return sides[0] * sides[1]

    def _tracks(self, detections: Detections, matched: np.ndarray, gone: np.ndarray) -> Tracks:
        s = self.settings
        state, facts = self._state, self._facts
        observed = matched >= 0
        confirmed = facts[CONFIRMED] > 0
        if not observed.all():
            # A gap is bridged for no longer than the object has been seen in all.
            seen = facts[HITS] * self._interval
            coast = np.minimum(max(s.coast_s, 1.5 * self._interval), seen)
            shown = observed | (confirmed & (self._clock - state[SEEN] <= coast))
            unseen = (shown & ~observed).nonzero()[0]
            if len(unseen):
                shown[unseen] = self._inside(state[:, unseen]) >= s.inside
            state, facts = state[:, shown], facts[:, shown]
            matched, observed, confirmed = matched[shown], observed[shown], confirmed[shown]
        half = state[W : H + 1] / 2
        boxes = np.concatenate([state[:2] - half, state[:2] + half]).T.astype(np.float32)
        measured = boxes.copy()
        measured[observed] = detections.xyxy[matched[observed]]
        return Tracks(
            facts[ID].copy(),
            boxes,
            measured,
            state[SCORE].astype(np.float32),
            facts[CLASS].copy(),
            observed,
            confirmed,
            gone,
        )

    def state(self) -> Dict[str, Any]:
        """The whole state, of plain types and arrays, for `load_state`."""
        return {
            "state": self._state.copy(),
            "facts": self._facts.copy(),
            "next_id": self._next_id,
            "clock": self._clock,
            "interval": self._interval,
            "level": self._level,
            "height": self._height,
            "bounds": self._bounds.copy(),
            "standing": self._standing.copy(),
            "timestamp": self._timestamp,
        }

    def load_state(self, state: Dict[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            DataError: It is not such a state.
        """
        try:
            rows = np.array(state["state"], float)
            facts = np.array(state["facts"], np.int64)
            if rows.shape[0] != STATE_ROWS or facts.shape != (4, rows.shape[1]):
                raise ValueError(f"arrays of shape {rows.shape} and {facts.shape}")
            bounds, standing = (np.array(state[k], float) for k in ("bounds", "standing"))
            if bounds.shape != (4,) or standing.shape != (4,):
                raise ValueError(f"edges of shape {bounds.shape} and {standing.shape}")
            when = state["timestamp"]
            plain = [float(state[name]) for name in ("clock", "interval", "level", "height")]
            following = int(state["next_id"])
            when = None if when is None else float(when)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError("this is no state of a tracker", got=repr(error)) from None
        self._state, self._facts, self._next_id, self._timestamp = rows, facts, following, when
        self._bounds, self._standing = bounds, standing
        self._clock, self._interval, self._level, self._height = plain
