"""OKS AP is pycocotools', and labels are read as they stand."""

import contextlib
import io
import json

import numpy as np
import pytest

from edgelane.benchmarks import pose as benchmark
from edgelane.calibration.accuracy import paired_interval
from edgelane.calibration.accuracy.oks import PoseFound, PoseTruth, oks, oks_ap, pck
from edgelane.calibration.accuracy.poses import (
    evaluate_poses,
    load_poses,
    pose_crops,
    read_pose_text,
)
from edgelane.core import DataError
from edgelane.runtime.pose import COCO_17, load_pose


def scene(seed, pictures=12, crowds=True):
    """Labels and found poses with everything that makes matching hard: hidden points, poses
    without labels, crowds, misses, doubles, ties and more than twenty in one picture."""
    random = np.random.default_rng(seed)
    truths, found = [], []
    for number in range(pictures):
        n = int(random.integers(0, 6)) if number else 24
        low = random.uniform(0, 300, (n, 2))
        extent = random.uniform(15, 200, (n, 2))
        points = np.concatenate(
            (
                low[:, None] + random.uniform(0, 1, (n, 17, 2)) * extent[:, None],
                random.choice([0, 1, 2], (n, 17, 1)),
            ),
            axis=2,
        )
        points[random.random(n) < 0.15, :, 2] = 0
        area = random.uniform(0.3, 0.7, n) * extent.prod(axis=1)
        crowd = (random.random(n) < 0.15) & crowds
        truths.append(PoseTruth(points, np.concatenate((low, low + extent), 1), area, crowd))
        rows = np.concatenate(
            (np.flatnonzero(random.random(n) < 0.9), random.integers(0, n, n // 2))
        )
        guess = points[rows.astype(int)].copy()
        guess[..., :2] += random.normal(0, 1, guess[..., :2].shape) * random.uniform(
            0.5, 15, (len(guess), 1, 1)
        )
        guess[..., 2] = 1
        found.append(PoseFound(guess, np.round(random.random(len(guess)), 1)))
    return truths, found


def by_pycocotools(truths, found):
    """The same figures from pycocotools."""
    coco_module = pytest.importorskip("pycocotools.coco")
    evaluator_module = pytest.importorskip("pycocotools.cocoeval")
    annotations, rows = [], []
    for image, (truth, poses) in enumerate(zip(truths, found)):
        for k in range(len(truth)):
            left, top, right, bottom = truth.xyxy[k]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": truth.area[k],
                    "iscrowd": int(truth.crowd[k]),
                    "keypoints": truth.keypoints[k].ravel().tolist(),
                    "num_keypoints": int((truth.keypoints[k, :, 2] > 0).sum()),
                }
            )
        for points, score in zip(*poses):
            rows.append(
                {
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": points.ravel().tolist(),
                    "score": float(score),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person"}],
        }
        coco.createIndex()
        evaluator = evaluator_module.COCOeval(coco, coco.loadRes(rows), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    names = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR")
    return {f"OKS_{n}": v for n, v in zip(names, evaluator.stats)}


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_that_of_pycocotools(seed):
    """On scenes made to be hard to match, to the last digits."""
    truths, found = scene(seed)
    ours = oks_ap(truths, found, COCO_17.sigmas)
    for name, value in by_pycocotools(truths, found).items():
        assert ours.get(name, -1) == pytest.approx(value, abs=1e-9), name


def test_perfect_poses_are_perfect():
    """And half of them found is half."""
    truths, _ = scene(3, crowds=False)
    whole = [PoseFound(t.keypoints, np.ones(len(t))) for t in truths[1:]]
    figures = oks_ap(truths[1:], whole, COCO_17.sigmas)
    assert figures["OKS_AP"] == figures["OKS_AR"] == pytest.approx(1)
    nothing = [PoseFound(np.zeros((0, 17, 3)), np.zeros(0)) for _ in truths[1:]]
    assert oks_ap(truths[1:], nothing, COCO_17.sigmas)["OKS_AP"] == 0


def test_similarity_of_a_known_distance():
    """A point off by one standard deviation is alike by the root of 1/e."""
    points = np.zeros((1, 17, 3))
    points[0, 5] = [40, 40, 2]
    truth = PoseTruth(points, [[0, 0, 100, 100]])
    assert truth.area == pytest.approx([5300])
    guess = points.copy()
    guess[0, 5, 0] += 2 * COCO_17.sigmas[5] * np.sqrt(5300)
    assert oks(truth, guess, COCO_17.sigmas)[0, 0] == pytest.approx(np.exp(-0.5))


def test_pck_counts_points_near_enough():
    """Within a fifth of the longer side, and only those with a label."""
    points = np.zeros((1, 3, 3))
    points[0, :, 2] = [2, 1, 0]
    guess = points.copy()
    guess[0, :, 0] = [19, 21, 500]
    figures = pck([PoseTruth(points, [[0, 0, 50, 100]])], [PoseFound(guess, np.ones(1))])
    assert figures["pck"] == 0.5 and figures["points"] == 2
    assert figures["by_point"][:2] == [1.0, 0.0] and np.isnan(figures["by_point"][2])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda t, f: oks_ap(t, f[:1], COCO_17.sigmas), "as many pictures"),
        (lambda t, f: oks_ap(t, f, COCO_17.sigmas[:5]), "another number of points"),
        (lambda t, f: pck(t, [PoseFound(p[0][:0], p[1][:0]) for p in f]), "one found pose for"),
        (lambda t, f: PoseTruth(np.zeros((2, 17, 3)), [[0, 0, 1, 1]]), "for each point of each"),
        (
            lambda t, f: oks_ap(t[:1], [PoseFound(f[0][0] * np.nan, f[0][1])], COCO_17.sigmas),
            "must be finite",
        ),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    """Rather than counted wrong."""
    truths, found = scene(1, 3)
    with pytest.raises(DataError, match=message):
        call(truths, found)


def test_text_labels_are_shares_of_the_picture(tmp_path):
    """And come back in pixels."""
    file = tmp_path / "a.txt"
    points = [0.5, 0.25, 2] * 17
    file.write_text("0 0.5 0.5 0.5 1.0 " + " ".join(map(str, points)) + "\n\n")
    truth = read_pose_text(file, (200, 100))
    np.testing.assert_allclose(truth.xyxy, [[50, 0, 150, 100]])
    np.testing.assert_allclose(truth.keypoints[0, 3], [100, 25, 2])
    assert truth.area == pytest.approx([0.53 * 100 * 100])
    file.write_text("")
    assert len(read_pose_text(file, (200, 100))) == 0


@pytest.mark.parametrize("line", ["0 0.5 0.5 1 1", "0 a b c d", "0 .5 .5 nan 1 " + "0 " * 51])
def test_lines_that_are_no_pose_are_named(tmp_path, line):
    """With file and number."""
    file = tmp_path / "a.txt"
    file.write_text("0 .5 .5 1 1 " + "0 0 0 " * 17 + "\n" + line)
    with pytest.raises(DataError, match="a.txt line 2 "):
        read_pose_text(file, (200, 100))


def test_folders_without_labels_are_told(tmp_path):
    """Each by what is missing."""
    with pytest.raises(DataError, match="there is no folder"):
        load_poses(tmp_path / "none", tmp_path)
    with pytest.raises(DataError, match="there are no labels"):
        load_poses(tmp_path, tmp_path / "none")
    with pytest.raises(DataError, match="no picture in"):
        load_poses(tmp_path, tmp_path)


@pytest.mark.data
def test_a_coco_file_says_the_same_as_text(data, tmp_path):
    """The labels of the pictures written as COCO JSON give the same poses."""
    pytest.importorskip("cv2")
    folder = data / "coco_kp" / "images"
    images, annotations = [], []
    texts = load_poses(folder, data / "coco_kp" / "labels")[:4]
    for number, picture in enumerate(texts):
        image, truth = picture.read()
        size = {"width": image.shape[1], "height": image.shape[0]}
        images.append({"id": number, "file_name": picture.path.name, **size})
        for points, (left, top, right, bottom) in zip(truth.keypoints, truth.xyxy):
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "keypoints": points.ravel().tolist(),
                }
            )
    file = tmp_path / "labels.json"
    categories = [{"id": 1, "name": "person"}]
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    for text, other in zip(texts, load_poses(folder, file)):
        (image, truth), (same, again) = text.read(), other.read()
        np.testing.assert_array_equal(image, same)
        np.testing.assert_allclose(truth.keypoints, again.keypoints)
        np.testing.assert_allclose(truth.xyxy, again.xyxy)
        np.testing.assert_allclose(truth.area, again.area)


@pytest.mark.data
@pytest.mark.parametrize("name, least", [("tinypose_256x192", 0.6), ("tinypose_128x96", 0.5)])
def test_tinypose_is_as_right_as_it_should_be(data, capsys, name, least):
    """With the labelled boxes; a crop or map that is off by half a cell falls below this."""
    pytest.importorskip("onnxruntime")
    folder = data / "coco_kp"
    arguments = ["--model", str(data / "weights" / f"{name}.onnx"), "--images"]
    arguments += [str(folder / "images"), "--labels", str(folder / "labels"), "--json"]
    figures = benchmark.main(arguments)
    assert json.loads(capsys.readouterr().out) == figures
    assert figures["OKS_AP"] > least and figures["PCK"] > 0.93
    assert figures["pictures"] == 27


@pytest.mark.data
def test_crops_for_calibration_are_the_nets_input(data):
    """One labelled box at a time, as the net is fed with them."""
    pytest.importorskip("onnxruntime")
    folder = data / "coco_kp"
    with load_pose(data / "weights" / "tinypose_128x96.onnx", threads=1) as model:
        feeds = list(pose_crops(folder / "images", folder / "labels", model, limit=9))
        assert len(feeds) == 9
        for feed in feeds:
            assert list(feed) == ["image"]
            assert feed["image"].shape == (1, 3, 128, 96) and feed["image"].dtype == np.float32
        assert -2.2 < np.mean([f["image"].mean() for f in feeds]) < 2.7
        outputs = model.backend.infer(feeds[0])
        assert outputs["out0"].shape == (1, 17, 32, 24)


@pytest.mark.data
def test_two_nets_are_compared_on_drawn_pictures(data):
    """The larger net is surely better, and the interval of a net with itself is empty."""
    pytest.importorskip("onnxruntime")
    pictures = load_poses(data / "coco_kp" / "images", data / "coco_kp" / "labels")
    weights = data / "weights"
    small = evaluate_poses(weights / "tinypose_128x96.onnx", pictures, threads=1)
    large = evaluate_poses(weights / "tinypose_256x192.onnx", pictures, threads=1)
    better = paired_interval(small, large)
    assert better.low > 0 and better.difference == large.score - small.score
    assert paired_interval(small, small)[:3] == (0, 0, 0)
    whole = np.ones((1, len(pictures)))
    assert large.redraw(whole)["OKS_AP"][0] == pytest.approx(large.score)
