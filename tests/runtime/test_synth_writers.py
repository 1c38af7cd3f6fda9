"""Scenes in files: a video that plays, rows and annotations that others read."""

import json

import numpy as np
import pytest

from edgelane.core import StorageError, UsageError
from edgelane.runtime.mot import read_mot
from edgelane.runtime.sources import open_source
from edgelane.runtime.synth import open_scene, render_to_file, write_coco, write_mot

cv2 = pytest.importorskip("cv2")
SMALL = {"size": (320, 180), "seconds": 2, "fps": 10}


@pytest.mark.parametrize("ending", [".mp4", ".avi"])
def test_a_scene_in_a_file_plays_as_the_scene(tmp_path, ending):
    scene = open_scene("store", seed=2, **SMALL)
    path = render_to_file(scene, tmp_path / f"store{ending}")
    with open_source(path) as source:
        assert source.size == scene.size and source.fps == pytest.approx(10)
        frames = list(source)
    assert [f.timestamp for f in frames] == pytest.approx([i / 10 for i in range(20)])
    for index in (0, 11, 19):
        off = frames[index].image.astype(int) - scene.render(index)[0].image
        assert np.abs(off).mean() < 6
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    scene = open_scene("store", **SMALL)
    with pytest.raises(UsageError, match=".mp4 or .avi"):
        render_to_file(scene, tmp_path / "store.gif")
    with pytest.raises(StorageError, match="cannot be written"):
        render_to_file(scene, tmp_path / "no" / "store.mp4")
    with pytest.raises(StorageError):
        write_mot(scene, tmp_path / "no" / "gt.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_coco(scene, tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_rows_of_the_truth_read_back(tmp_path):
    scene = open_scene("store", seed=3, **SMALL)
    frames = read_mot(write_mot(scene, tmp_path / "gt.txt", visible=0.1))
    assert frames.tracked and len(frames) == scene.frames
    for index, found in enumerate(frames):
        truth = scene.truth(index)
        rows = truth.visibility >= 0.1
        assert np.array_equal(np.sort(found.track_id), truth.track_id[rows])
        np.testing.assert_allclose(found.xyxy, truth.xyxy[rows], atol=2e-3)


@pytest.mark.parametrize("name", ["store", "gym", "bench"])
def test_annotations_fit_their_pictures(tmp_path, name):
    scene = open_scene(name, seed=5, **SMALL)
    data = json.loads(write_coco(scene, tmp_path, step=7).read_text())
    assert [i["id"] for i in data["images"]] == [0, 7, 14]
    for image in data["images"]:
        picture = cv2.imread(str(tmp_path / image["file_name"]))
        assert picture.shape == (image["height"], image["width"], 3) == (180, 320, 3)
    known = {c["id"]: c["name"] for c in data["categories"]}
    assert list(known.values()) == list(scene.categories)
    truth = scene.truth(7)
    rows = [a for a in data["annotations"] if a["image_id"] == 7]
    assert [a["track_id"] for a in rows] == truth.track_id[truth.visibility > 0].tolist()
    assert {a["category_id"] for a in data["annotations"]} <= known.keys()
    for row in rows:
        x, y, w, h = row["bbox"]
        assert x >= 0 and y >= 0 and x + w <= 320.01 and y + h <= 180.01 and w > 0 and h > 0
        if name != "bench":
            points = np.array(row["keypoints"]).reshape(17, 3)
            assert (points[:, 2] > 0).sum() == row["num_keypoints"]
