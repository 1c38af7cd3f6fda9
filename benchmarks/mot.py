"""How right a tracker is: MOTA, IDF1 and identity switches by TrackEval's own metrics."""

from typing import NamedTuple, Sequence, Tuple

import numpy as np

from ..core import DataError, MissingDependency

FrameBoxes = Tuple[np.ndarray, np.ndarray]
"""Ids `(n,)` and boxes `(n, 4)` in pixels of one frame."""


class Accuracy(NamedTuple):
    """What came out of one sequence.

    Attributes:
        mota: 1 - (missed + false + switches) / true boxes (CLEAR MOT, Bernardin 2008).
        idf1: F1 of the boxes under the best one-to-one matching of ids (Ristani 2016).
        switches: How often a true object changed its id.
        recall: Share of the true boxes that were found.
        precision: Share of the found boxes that are true.
    """

    mota: float
    idf1: float
    switches: int
    recall: float
    precision: float


def evaluate(
    truth: Sequence[FrameBoxes], found: Sequence[FrameBoxes], threshold: float = 0.5
) -> Accuracy:
    """Compare tracks with the truth, frame by frame.

    Args:
        truth: One entry a frame.
        found: One entry for each of the same frames.
        threshold: IoU from which a box counts as found.

    Raises:
        DataError: The two have not the same number of frames, or an id stands twice in a frame.
        MissingDependency: TrackEval is not installed.
    """
    if len(truth) != len(found):
        raise DataError("truth and tracks differ in frames", got=len(found), expected=len(truth))
    try:
        from trackeval.metrics import CLEAR, Identity
    except ImportError:
        raise MissingDependency(
            "TrackEval is not installed, and it measures the accuracy",
            remedy="install it with pip install 'edgelane[bench]'",
        ) from None
    truth_ids, truth_number = _renumbered("truth", truth)
    found_ids, found_number = _renumbered("tracks", found)
    data = {
        "num_timesteps": len(truth),
        "num_gt_ids": truth_number,
        "num_tracker_ids": found_number,
        "num_gt_dets": sum(map(len, truth_ids)),
        "num_tracker_dets": sum(map(len, found_ids)),
        "gt_ids": truth_ids,
        "tracker_ids": found_ids,
        "similarity_scores": [iou(t[1], f[1]) for t, f in zip(truth, found)],
    }
    if data["num_tracker_dets"] == 0 or data["num_gt_dets"] == 0:
        # TrackEval leaves the final figures out where one side is empty.
        perfect = data["num_tracker_dets"] == data["num_gt_dets"]
        return Accuracy(float(perfect), float(perfect), 0, float(perfect), float(perfect))
    quiet = {"THRESHOLD": threshold, "PRINT_CONFIG": False}
    clear = CLEAR(quiet).eval_sequence(data)
    identity = Identity(quiet).eval_sequence(data)
    return Accuracy(
        float(clear["MOTA"]),
        float(identity["IDF1"]),
        int(clear["IDSW"]),
        float(clear["CLR_Re"]),
        float(clear["CLR_Pr"]),
    )


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union `(n, m)` of boxes `(n, 4)` and `(m, 4)`, left top right bottom."""
    a = np.asarray(a, float).reshape(-1, 1, 4)
    b = np.asarray(b, float).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.prod(np.maximum(sides, 0), axis=-1)
    areas = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1)
    return common / np.maximum(areas - common, 1e-9)


def _renumbered(name: str, frames: Sequence[FrameBoxes]):
    """Ids as 0..n-1, as TrackEval wants them, and n."""
    sizes = [len(ids) for ids, _ in frames]
    for index, (ids, _) in enumerate(frames):
        if len(np.unique(ids)) != len(ids):
            raise DataError(f"{name}: an id stands twice in frame {index}", got=np.asarray(ids))
    together = np.concatenate([np.asarray(ids, np.int64) for ids, _ in frames] or [[]])
    known, numbers = np.unique(together, return_inverse=True)
    parts = np.split(numbers.reshape(-1).astype(int), np.cumsum(sizes)[:-1]) if sizes else []
    return list(parts), len(known)
