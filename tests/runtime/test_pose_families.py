"""Every layout of pose nets: skeletons written down the way its models would give them."""

import numpy as np
import pytest

from edgelane.benchmarks.pose_decoding import STANDING, crowd, render
from edgelane.core import ModelError, UsageError
from edgelane.core.card import METADATA_KEY
from edgelane.runtime.backends import TensorSpec
from edgelane.runtime.pose import (
    COCO_17,
    OPENPOSE_18,
    Skeleton,
    build_pose,
    build_pose_detector,
)
from edgelane.runtime.pose.families import decode_simcc
from edgelane.runtime.registry.entries import load_entries
from edgelane.runtime.testing import FakeBackend

pytest.importorskip("cv2")

SIZE = (320, 256)


def people(count=3, points=17, seed=0, size=SIZE):
    """`(n, k, 3)` points in pixels of the input, and the boxes around them."""
    random = np.random.default_rng(seed)
    low = random.uniform([5, 5], [size[0] - 110, size[1] - 110], (count, 1, 2))
    place = low + random.uniform(0, 100, (count, points, 2))
    score = random.uniform(0.3, 1, (count, points, 1))
    keypoints = np.concatenate((place, score), axis=2).astype(np.float32)
    boxes = np.concatenate((place.min(axis=1) - 3, place.max(axis=1) + 3), axis=1)
    return keypoints, boxes.astype(np.float32)


def centre_size(boxes):
    return np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), 1)


def cells(size=SIZE, strides=(8, 16, 32)):
    return sum(-(-size[0] // s) * -(-size[1] // s) for s in strides)


SCORES = np.array([0.9, 0.8, 0.7], np.float32)


def yolo_pose(keypoints, boxes, scores):
    table = np.zeros((1, 5 + 3 * keypoints.shape[1], cells()), np.float32)
    for i, at in enumerate((17, 600, 1100)):
        table[0, :4, at] = centre_size(boxes)[i]
        table[0, 4, at] = scores[i]
        table[0, 5:, at] = keypoints[i].ravel()
        table[0, :, at + 1] = table[0, :, at]  # its neighbour sees the same, less surely
        table[0, 4, at + 1] = scores[i] - 0.2
    return {"output0": table}


def yolov7_pose(keypoints, boxes, scores):
    table = np.zeros((1, 3 * cells(), 6 + 3 * keypoints.shape[1]), np.float32)
    for i, at in enumerate((17, 600, 3100)):
        table[0, at, :4] = centre_size(boxes)[i]
        table[0, at, 4:6] = [scores[i] / 0.95, 0.95]
        table[0, at, 6:] = keypoints[i].ravel()
    return {"output": table}


def end_to_end(keypoints, boxes, scores):
    table = np.zeros((1, 300, 6 + 3 * keypoints.shape[1]), np.float32)
    for i, at in enumerate((0, 1, 2)):
        table[0, at] = np.concatenate((boxes[i], [scores[i], 0], keypoints[i].ravel()))
    return {"output0": table}


def rtmo(keypoints, boxes, scores):
    return {
        "dets": np.concatenate((boxes, scores[:, None]), axis=1)[None],
        "keypoints": keypoints[None],
    }


def movenet_multi(keypoints, boxes, scores):
    table = np.zeros((1, 6, 3 * keypoints.shape[1] + 5), np.float32)
    for i in range(3):
        share = keypoints[i] / [*SIZE, 1]
        table[0, i, :-5] = share[:, [1, 0, 2]].ravel()
        table[0, i, -5:-1] = (boxes[i] / (SIZE * 2))[[1, 0, 3, 2]]
        table[0, i, -1] = scores[i]
    return {"output_0": table}


LAYOUTS = {
    "yolo-pose": yolo_pose,
    "yolov7-pose": yolov7_pose,
    "pose-end-to-end": end_to_end,
    "rtmo": rtmo,
    "movenet-multi": movenet_multi,
}


def fake(outputs, size=SIZE, dtype=np.float32, metadata=None, nhwc=False):
    shape = (1, size[1], size[0], 3) if nhwc else (1, 3, size[1], size[0])
    return FakeBackend(
        outputs, inputs=[TensorSpec("image", shape, np.dtype(dtype))], metadata=metadata
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_known_people_come_back(name):
    """In pixels of the picture, each once, best first; the layout is recognised."""
    keypoints, boxes = people()
    model = build_pose_detector(fake(LAYOUTS[name](keypoints, boxes, SCORES)))
    assert model.card.decoder == name and model.classes == ("person",)
    found = model(np.zeros((512, 640, 3), np.uint8))  # twice the input
    np.testing.assert_allclose(found.score, SCORES, atol=1e-6)
    np.testing.assert_allclose(found.xyxy, boxes * 2, atol=1e-3)
    np.testing.assert_allclose(found.keypoints[:, :, :2], keypoints[:, :, :2] * 2, atol=1e-3)
    np.testing.assert_allclose(found.keypoints[:, :, 2], keypoints[:, :, 2], atol=1e-6)


@pytest.mark.parametrize("name", LAYOUTS)
def test_padding_is_taken_away(name):
    """A picture of another ratio lies in the input with a margin, which points do not keep."""
    keypoints, boxes = people(seed=4)
    model = build_pose_detector(fake(LAYOUTS[name](keypoints, boxes, SCORES)))
    picture = np.zeros((200, 640, 3), np.uint8)
    _, transform = model.preprocess(picture)
    found = model(picture)
    expected = transform.points_to_image(keypoints[:, :, :2])
    kept = [
        int(np.abs(expected[:, 0] - row[0, :2]).sum(axis=1).argmin()) for row in found.keypoints
    ]
    np.testing.assert_allclose(found.keypoints[:, :, :2], expected[kept], atol=1e-3)
    assert (found.xyxy[:, 3] <= 200).all() and len(found) >= 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_nobody_and_what_is_no_number(name, caplog):
    """Empty detections with key points of the right shape; rows with NaN are dropped."""
    keypoints, boxes = people()
    model = build_pose_detector(fake(LAYOUTS[name](keypoints, boxes, SCORES * 0)))
    found = model(np.zeros((256, 320, 3), np.uint8))
    assert found.xyxy.shape == (0, 4) and found.keypoints.shape == (0, 17, 3)
    keypoints[1, 4, 0] = np.nan
    model = build_pose_detector(fake(LAYOUTS[name](keypoints, boxes, SCORES)))
    for _ in range(2):
        assert len(model(np.zeros((256, 320, 3), np.uint8))) == 2
    assert caplog.text.count("not finite") == 1


def test_a_file_may_say_how_many_points_it_gives():
    """Also points without a score of their own, which have that of their person."""
    keypoints, boxes = people(points=5)
    table = np.zeros((1, 4 + 2 + 10, cells()), np.float32)
    for i, at in enumerate((17, 600, 1100)):
        table[0, :4, at] = centre_size(boxes)[i]
        table[0, 4 + i % 2, at] = SCORES[i]
        table[0, 6:, at] = keypoints[i, :, :2].ravel()
    notes = {"kpt_shape": "[5, 2]", "names": "{0: 'cat', 1: 'dog'}"}
    names = {"names": list("abcde")}
    model = build_pose_detector(fake({"o": table}, metadata=notes), skeleton=names)
    found = model(np.zeros((256, 320, 3), np.uint8))
    assert model.classes == ("cat", "dog")
    np.testing.assert_array_equal(found.class_id, [0, 1, 0])
    np.testing.assert_allclose(found.keypoints[:, :, :2], keypoints[:, :, :2], atol=1e-4)
    np.testing.assert_allclose(found.keypoints[:, :, 2], np.repeat(SCORES[:, None], 5, 1))
    with pytest.raises(ModelError, match="fits the outputs"):
        build_pose_detector(fake({"o": table}, metadata=notes))  # 5 points are not COCO's


def test_decoders_that_do_not_fit_are_told():
    """By name, by layout, by task."""
    table = {"output0": np.zeros((1, 84, cells()), np.float32)}
    with pytest.raises(ModelError, match="no decoder of poses in whole pictures fits"):
        build_pose_detector(fake(table))
    with pytest.raises(ModelError, match="decoder 'yolo-pose' does not fit"):
        build_pose_detector(fake(table), decoder="yolo-pose")
    with pytest.raises(UsageError, match="Did you mean 'yolo-pose'"):
        build_pose_detector(fake(table), decoder="yolopose")


def simcc_of(places, size=(192, 256), split=2.0):
    """Two soft classifications with their best bins nearest to places `(n, k, 2)`."""
    answers = []
    for axis in range(2):
        bins = np.arange(int(size[axis] * split))
        off = bins - np.rint(places[..., axis : axis + 1] * split)
        answers.append((0.9 - 0.1 * axis) * np.exp(-((off / 6) ** 2)).astype(np.float32))
    return answers


def test_simcc_is_the_best_bin_of_each_axis():
    """At half a pixel with two bins a pixel; the score is that of the less sure axis."""
    places = np.random.default_rng(0).uniform(10, 180, (4, 17, 2))
    x, y = simcc_of(places)
    found = decode_simcc(x, y, 2.0)
    np.testing.assert_array_equal(found.place, np.rint(places * 2) / 2)
    np.testing.assert_allclose(found.score, 0.8, atol=1e-6)
    x[0, 0] = np.nan
    assert np.isnan(decode_simcc(x, y, 2.0).score[0, 0])


def test_a_simcc_net_is_recognised():
    """And its points come back through the crop."""
    places = np.random.default_rng(1).uniform(10, 180, (1, 17, 2))
    x, y = simcc_of(places)
    model = build_pose(fake({"simcc_y": y, "simcc_x": x}, (192, 256)))
    assert model.card.decoder == "simcc"
    box = np.array([[0, 0, 192, 256]], float)
    _, crops = model.preprocess(np.zeros((300, 300, 3), np.uint8), box)
    found = model(np.zeros((300, 300, 3), np.uint8), box)
    np.testing.assert_allclose(
        crops.to_input(found[:, :, :2].astype(float)), np.rint(places * 2) / 2, atol=1e-4
    )


def test_movenet_takes_whole_numbers_and_gives_shares():
    """An input of int32 is fed with pixels as they are; a share of the input is a place in the
    box."""
    places = np.random.default_rng(2).uniform(0.1, 0.9, (17, 2))
    table = np.concatenate((places[:, ::-1], np.full((17, 1), 0.6)), axis=1)
    backend = fake({"o": table[None, None].astype(np.float32)}, (192, 192), np.int32, nhwc=True)
    model = build_pose(backend, settings={"padding": 1.0})
    assert model.card.decoder == "movenet-single"
    picture = np.full((192, 192, 3), 200, np.uint8)
    tensor, _ = model.preprocess(picture, np.array([[0, 0, 192, 192]], float))
    assert tensor.dtype == np.int32 and tensor.shape == (1, 192, 192, 3) and (tensor == 200).all()
    found = model(picture, np.array([[0, 0, 192, 192]], float))
    np.testing.assert_allclose(found[0, :, :2], places * 192 - 0.5, atol=1e-4)
    np.testing.assert_allclose(found[0, :, 2], 0.6)


def matched(found, bodies):
    """Found people in the order of the bodies, by their noses or what there is."""
    order = []
    for body in bodies:
        known = np.isfinite(body[:, 0])
        off = np.abs(found[:, known, :2] - body[known]).sum(axis=(1, 2))
        order.append(int(off.argmin()))
    assert len(set(order)) == len(order)
    return found[order]


def paf_backend(maps, fields, stride=8):
    size = (maps.shape[2] * stride, maps.shape[1] * stride)
    return fake({"heatmaps": maps[None], "pafs": fields[None]}, size)


@pytest.mark.parametrize("swapped", [False, True])
def test_twenty_people_are_put_together(swapped):
    """Every point goes to its own person, to a fifth of a cell, through input and picture."""
    bodies = crowd()
    maps, fields = render(bodies, OPENPOSE_18, (128, 72))
    outputs = {"heatmaps": maps[None], "pafs": fields[None]}
    if swapped:
        outputs = {"a": fields[None], "b": maps[None]}
    model = build_pose_detector(fake(outputs, (1024, 576)))
    assert model.card.decoder == "paf" and model.skeleton is OPENPOSE_18
    picture = np.zeros((288, 512, 3), np.uint8)  # half the input: 4 pixels a cell
    found = model(picture)
    assert len(found) == 20
    points = matched((found.keypoints - [1.5, 1.5, 0]) / [4, 4, 1], bodies)
    assert np.abs(points[:, :, :2] - bodies).max() < 0.2
    assert (points[:, :, 2] > 0.7).all()
    inside = (found.keypoints[:, :, :2] >= found.xyxy[:, None, :2]).all()
    assert inside and (found.keypoints[:, :, :2] <= found.xyxy[:, None, 2:]).all()


def test_people_who_cross_keep_their_limbs():
    """Two people whose arms cross: the field tells whose is whose."""
    left, right = STANDING + [20, 10], STANDING + [31, 10]
    left[3], left[4] = left[3], left[4]
    left[6], left[7] = [26, 17], [29, 21]
    right[3], right[4] = [26, 21], [22, 17]
    maps, fields = render([left, right], OPENPOSE_18, (64, 48))
    found = build_pose_detector(paf_backend(maps, fields))(np.zeros((384, 512, 3), np.uint8))
    points = matched((found.keypoints - [3.5, 3.5, 0]) / [8, 8, 1], [left, right])
    assert np.abs(points[0, [6, 7], :2] - left[[6, 7]]).max() < 0.5
    assert np.abs(points[1, [3, 4], :2] - right[[3, 4]]).max() < 0.5


def test_half_a_person_has_half_the_points():
    """What is not there is 0, 0 without a score; two points alone are nobody."""
    half = STANDING + [20, 10]
    half[8:14] = np.nan
    bit = STANDING + [45, 10]
    bit[2:] = np.nan
    maps, fields = render([half, bit], OPENPOSE_18, (64, 48))
    found = build_pose_detector(paf_backend(maps, fields))(np.zeros((384, 512, 3), np.uint8))
    assert len(found) == 1
    np.testing.assert_array_equal(found.keypoints[0, 8:14], 0)
    assert (found.keypoints[0, :8, 2] > 0.5).all()


def test_maps_of_nobody_and_of_no_numbers():
    """Nothing, and no warning but the one."""
    for value in (0.0, 0.3, np.nan, np.inf, -np.inf):
        maps = np.full((1, 19, 24, 32), value, np.float32)
        fields = np.full((1, 38, 24, 32), value, np.float32)
        model = build_pose_detector(fake({"m": maps, "f": fields}, (256, 192)))
        assert len(model(np.zeros((192, 256, 3), np.uint8))) == 0


def test_part_fields_of_another_skeleton():
    """Edges of the skeleton are the limbs, in the order of the fields."""
    skeleton = Skeleton(("tail", "body", "head"), edges=((1, 0), (1, 2)))
    bodies = np.array([[[5, 5], [10, 8], [15, 5]], [[25, 15], [20, 10], [26, 8]]], float)
    maps, fields = render(bodies, skeleton, (32, 24))
    model = build_pose_detector(
        fake({"m": maps[None], "f": fields[None]}, (256, 192)), skeleton=skeleton
    )
    found = model(np.zeros((192, 256, 3), np.uint8))
    points = matched((found.keypoints - [3.5, 3.5, 0]) / [8, 8, 1], bodies)
    assert np.abs(points[:, :, :2] - bodies).max() < 0.2
    assert len(COCO_17) == 17


@pytest.mark.parametrize("name", ["rtmpose-t", "rtmpose-s", "rtmpose-m"])
def test_pose_nets_of_the_registry_run_by_their_cards(name):
    """The card that is stamped into the file brings skeleton and crops that are known."""
    entry = load_entries()[name]
    places = np.random.default_rng(2).uniform(10, 180, (1, 17, 2))
    x, y = simcc_of(places)
    card = entry.model_card()
    backend = fake(
        {"simcc_x": x, "simcc_y": y}, card.input.size, metadata={METADATA_KEY: card.to_json()}
    )
    model = build_pose(backend)
    assert model.skeleton == COCO_17 and model.settings.padding == 1.25
    assert model.card.licence == "Apache-2.0" and model.card.input.colour == "rgb"
    box = np.array([[0, 0, 192, 256]], float)
    image = np.zeros((300, 300, 3), np.uint8)
    _, crops = model.preprocess(image, box)
    found = crops.to_input(model(image, box)[:, :, :2].astype(float))
    np.testing.assert_allclose(found, np.rint(places * 2) / 2, atol=1e-4)
