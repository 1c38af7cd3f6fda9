"""The tracker on real detections, with its default settings, against the annotated truth."""

import numpy as np
import pytest

from edgelane.core import Detections
from edgelane.pipelines.tracking import Tracker
from edgelane.runtime.mot import read_mot

pytest.importorskip("trackeval", reason="pip install 'edgelane[bench]'")

FLOORS = {
    "S2L1 + YOLOX-nano": (0.80, 0.80),
    "S2L1 + FRCNN": (0.62, 0.62),
    "S2L1 + PicoDet": (0.82, 0.80),
    "TUD-Campus": (0.61, 0.73),
}


@pytest.mark.data
def test_the_defaults_stay_as_right_as_they_were_measured(data):
    from edgelane.benchmarks.mot import evaluate
    from edgelane.benchmarks.tracking import recordings, track

    for recording in recordings(data):
        mota, idf1 = FLOORS[recording.name]
        result = evaluate(recording.truth, track(recording))
        assert result.mota >= mota, recording.name
        assert result.idf1 >= idf1, recording.name


@pytest.mark.data
def test_half_the_frames_do_not_make_it_fall_apart(data):
    from edgelane.benchmarks.mot import evaluate
    from edgelane.benchmarks.tracking import Recording, recordings, track

    for recording in recordings(data)[:3]:
        half = Recording(
            recording.name, recording.fps / 2, recording.truth[::2], recording.detections[::2]
        )
        result = evaluate(half.truth, track(half))
        assert result.mota >= FLOORS[recording.name][0] - 0.08, recording.name
        assert result.idf1 >= 0.5, recording.name


@pytest.mark.data
def test_true_boxes_give_true_tracks(data):
    from edgelane.benchmarks.mot import evaluate

    truth = read_mot(data / "mot/PETS09-S2L1/gt/gt_f1-400.txt")
    tracker, told = Tracker(), []
    for i, frame in enumerate(truth):
        # The score of a true row is a mark for evaluators, no score.
        sure = Detections(frame.xyxy, np.ones(len(frame)), frame.class_id)
        tracks = tracker.update(sure, i / 7)
        told.append((tracks.track_id[tracks.confirmed], tracks.xyxy[tracks.confirmed]))
    result = evaluate([(np.asarray(f.track_id), f.xyxy) for f in truth], told)
    assert result.mota >= 0.97
    assert result.idf1 >= 0.9
