"""Crops, heatmaps and skeletons: what is put in at a known place is found at that place."""

import logging

import numpy as np
import pytest

from edgelane.core import ConfigError, DataError, InputSpec, ModelCard, ModelError, UsageError
from edgelane.runtime.backends import TensorSpec
from edgelane.runtime.pose import (
    COCO_17,
    Skeleton,
    build_pose,
    decode_heatmaps,
    load_pose,
    place_crops,
    pose_score,
    read_skeleton,
)
from edgelane.runtime.testing import FakeBackend

SIZE = (48, 64)


def gaussians(places, size=SIZE, sigma=2.0):
    """`(1, k, h, w)` maps with a peak at each x, y."""
    x, y = np.arange(size[0]), np.arange(size[1])[:, None]
    maps = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2)) for a, b in places]
    return np.stack(maps).astype(np.float32)[None]


@pytest.mark.parametrize("refine, exact", [("none", 0.5), ("quarter", 0.25), ("dark", 0.01)])
def test_the_peak_of_a_gaussian_is_found(refine, exact):
    """At its very place by DARK, and as near as a cell or half of one allows by the others."""
    places = np.random.default_rng(1).uniform([8, 8], [40, 56], (40, 2))
    found, score = decode_heatmaps(gaussians(places), refine)
    assert np.abs(found[0] - places).max() <= exact + 1e-6
    assert (score > 0.9).all()


def test_udp_finds_the_peak_too():
    """With differences of a single cell; near a cell's border less exactly than DARK."""
    places = np.random.default_rng(2).uniform([8, 8], [40, 56], (40, 2))
    found, _ = decode_heatmaps(gaussians(places), "udp")
    assert np.abs(found[0] - places).max() < 0.01


def test_noise_moves_dark_less_than_the_quarter():
    """Smoothing is what it is for."""
    random = np.random.default_rng(3)
    places = random.uniform([8, 8], [40, 56], (100, 2))
    maps = gaussians(places) + random.normal(0, 0.03, (1, 100, 64, 48)).astype(np.float32)
    error = {
        refine: np.abs(decode_heatmaps(maps, refine)[0][0] - places).mean()
        for refine in ("none", "quarter", "dark")
    }
    assert error["dark"] < 0.5 * error["quarter"] < 0.5 * error["none"]


def test_maps_without_a_peak_stay_finite():
    """Flat, negative, at the edge: the best cell as it is; what is no number has no score."""
    maps = np.zeros((1, 5, 64, 48), np.float32)
    maps[0, 1] = -1
    maps[0, 2, 0, 47] = 0.8
    maps[0, 3, 30, 20] = np.nan
    maps[0, 4] = np.inf
    for refine in ("none", "quarter", "dark", "udp"):
        place, score = decode_heatmaps(maps, refine)
        assert np.isfinite(place).all()
        np.testing.assert_array_equal(np.isnan(score[0]), [False, False, False, True, True])
        np.testing.assert_allclose(place[0, 2], [47, 0], atol=0.26)
        np.testing.assert_allclose(score[0, :3], [0, 0, 0.8])


def test_an_unknown_refinement_is_told():
    """With the nearest that there is."""
    with pytest.raises(UsageError, match="Did you mean 'dark'"):
        decode_heatmaps(gaussians([(9, 9)]), "drak")


def test_crops_meet_edges_with_edges():
    """The padded box's edges are the edges of the input, at every size of the box."""
    boxes = np.array([[10, 20, 58, 84], [100, 100, 101, 101], [-40, 5, 600, 25]], float)
    crops = place_crops(boxes, (192, 256), padding=1.0)
    edges = crops.boxes()
    np.testing.assert_allclose(edges[0], boxes[0], atol=1e-9)
    np.testing.assert_allclose(edges[:, :2] + edges[:, 2:], boxes[:, :2] + boxes[:, 2:])
    extent = edges[:, 2:] - edges[:, :2]
    np.testing.assert_allclose(extent[:, 0] / extent[:, 1], 0.75)
    assert (extent >= boxes[:, 2:] - boxes[:, :2] - 1e-9).all()
    # The first pixel's centre lies half an input pixel inside of the edge.
    np.testing.assert_allclose(crops.offset[0] + 0.5, boxes[0, :2] + 0.5 * 48 / 192)


def test_points_go_to_the_crop_and_back():
    """`to_input` and `to_image` are inverse."""
    crops = place_crops(np.array([[3, 4, 50, 90], [0, 0, 7, 7]], float), (96, 128))
    points = np.random.default_rng(0).uniform(0, 96, (2, 17, 2))
    np.testing.assert_allclose(crops.to_input(crops.to_image(points)), points, atol=1e-9)


@pytest.mark.parametrize("box", [[0, 0, 0, 10], [5, 5, 4, 9], [0, np.nan, 4, 4], [0, 0, np.inf, 1]])
def test_boxes_without_area_are_refused(box):
    """By their row."""
    with pytest.raises(DataError, match="box 1 is not finite or has no area"):
        place_crops(np.array([[0, 0, 5, 5], box], float), (96, 128))


def seeing(grid="stride", dynamic=True):
    """A net whose maps are its input's first colour, sampled where each cell lies."""

    def answer(feeds):
        picture = feeds["image"][:, :1]
        if grid == "stride":
            maps = picture[:, :, ::4, ::4]
        elif grid == "centres":  # the centre of a cell of 4 lies between two pixels
            maps = 0.25 * sum(picture[:, :, i::4, j::4] for i in (1, 2) for j in (1, 2))
        else:
            rows = np.round(np.linspace(0, 255, 64)).astype(int)
            columns = np.round(np.linspace(0, 191, 48)).astype(int)
            maps = picture[:, :, rows][:, :, :, columns]
        return {"maps": np.repeat(maps, 17, axis=1)}

    batch = None if dynamic else 1
    return FakeBackend(
        answer,
        inputs=[TensorSpec("image", (batch, 3, 256, 192), np.dtype(np.float32))],
        outputs=[TensorSpec("maps", (batch, 17, 64, 48), np.dtype(np.float32))],
    )


def spot(x, y, sigma, size=(320, 240)):
    """A grey picture with one soft spot, whose centre is at these pixel coordinates."""
    a, b = np.arange(size[0]), np.arange(size[1])[:, None]
    value = 255 * np.exp(-((a - x) ** 2 + (b - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.round(value).astype(np.uint8)[..., None], 3, axis=2)


PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


@pytest.mark.parametrize("grid, exact", [("stride", 0.06), ("centres", 0.06), ("corners", 0.3)])
@pytest.mark.parametrize("place", [(100.0, 80.0), (131.3, 120.6), (155.75, 60.2)])
@pytest.mark.parametrize("height", [64, 128, 205, 300])
def test_a_spot_is_found_where_it_is(grid, exact, place, height):
    """Through crop, net and maps, whether the crop enlarges or shrinks the picture: to a
    twentieth of a pixel, so no half pixel is lost anywhere."""
    pytest.importorskip("cv2")
    scale = 1.25 * height / 256
    model = build_pose(seeing(grid), settings={"grid": grid}, input=PLAIN)
    x, y = place
    box = [x - 0.3 * height, y - 0.45 * height, x + 0.35 * height, y + 0.55 * height]
    found = model(spot(x, y, 8 * scale), np.array([box]))
    assert found.shape == (1, 17, 3)
    assert np.abs(found[0, :, :2] - place).max() < exact * max(4 * scale, 1)
    assert (found[0, :, 2] > 0.9).all()


def test_all_crops_go_in_one_batch_where_the_graph_allows_it():
    """And one by one where it does not, with the same result."""
    pytest.importorskip("cv2")
    picture = spot(100, 80, 10)
    boxes = np.array([[60, 20, 140, 160], [50, 40, 160, 130], [80, 60, 130, 120]], float)
    together, single = seeing(), seeing(dynamic=False)
    a = build_pose(together, input=PLAIN)(picture, boxes)
    b = build_pose(single, input=PLAIN)(picture, boxes)
    np.testing.assert_array_equal(a, b)
    assert [feed["image"][0] for feed in together.feeds] == [3]
    assert [feed["image"][0] for feed in single.feeds] == [1, 1, 1]


def test_crops_beyond_the_picture_are_filled():
    """Half of a person or none of it: numbers all the same."""
    pytest.importorskip("cv2")
    model = build_pose(seeing(), input={**PLAIN, "pad": 51})
    picture = np.full((240, 320, 3), 255, np.uint8)
    tensor, _ = model.preprocess(picture, np.array([[-400, -400, -300, -250]], float))
    np.testing.assert_allclose(tensor, 0.2, atol=1e-6)
    tensor, crops = model.preprocess(picture, np.array([[-50, 0, 50, 133]], float))
    assert (tensor[0, :, 60:200, :90] < 0.21).all() and (tensor[0, :, 60:200, 102:] == 1).all()
    assert np.isfinite(model(picture, np.array([[-50, 0, 50, 133]], float))).all()


def test_nobody_is_no_special_case():
    """No box, no run."""
    pytest.importorskip("cv2")
    backend = seeing()
    found = build_pose(backend)(np.zeros((50, 50, 3), np.uint8), np.zeros((0, 4)))
    assert found.shape == (0, 17, 3) and found.dtype == np.float32
    assert not backend.feeds


def test_what_is_no_number_scores_nothing_and_is_told_once(caplog):
    """As an INT8 or FP16 net may give."""
    pytest.importorskip("cv2")
    maps = gaussians([(9, 9)] * 17)
    maps[0, 3] = np.nan
    spec = TensorSpec("image", (1, 3, 256, 192), np.dtype(np.float32))
    model = build_pose(FakeBackend({"maps": maps}, inputs=[spec]))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            found = model(np.zeros((50, 50, 3), np.uint8), np.array([[1, 1, 40, 40]], float))
    np.testing.assert_array_equal(found[0, 3], 0)
    assert (found[0, [0, 1, 2, 4], 2] > 0.9).all()
    assert caplog.text.count("not finite") == 1


def carded(extra, points=5, task="pose", decoder="pose-heatmap"):
    """A net of that many points with this card."""
    card = ModelCard(task, decoder, InputSpec((192, 256), resize="stretch"), extra=extra)
    return FakeBackend(
        {"maps": np.zeros((1, points, 64, 48), np.float32)},
        inputs=[TensorSpec("image", (1, 3, 256, 192), np.dtype(np.float32))],
        metadata={"edgelane": card.to_json()},
    )


FIVE = {
    "names": ["nose", "left_eye", "right_eye", "left_ear", "right_ear"],
    "edges": [["nose", "left_eye"], [0, 2]],
    "flip_pairs": [["left_eye", "right_eye"], [3, 4]],
    "sigmas": [0.1] * 5,
}


def test_a_card_brings_its_own_skeleton_and_settings():
    """Points by name or by index."""
    pytest.importorskip("cv2")
    model = build_pose(carded({"skeleton": FIVE, "pose": {"padding": 1.1, "refine": "udp"}}))
    assert model.skeleton.names == tuple(FIVE["names"])
    assert model.skeleton.edges == ((0, 1), (0, 2))
    np.testing.assert_array_equal(model.skeleton.mirror, [0, 2, 1, 4, 3])
    assert (model.settings.padding, model.settings.refine) == (1.1, "udp")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"names": FIVE["names"][:4], "flip_pairs": [], "sigmas": []}, "4 in the skeleton"),
        ({"names": []}, "names is empty"),
        ({"names": ["nose"] * 5}, "a name twice: got nose"),
        ({"names": 5}, "must be a list of names"),
        ({"flip_pairs": [[1, 2], [2, 3]]}, "in more than one pair: got right_eye"),
        ({"flip_pairs": [[1, 1]]}, "pairs a point with itself"),
        ({"flip_pairs": [[1, 9]]}, "a point that is not there"),
        ({"flip_pairs": [[1, 2, 3]]}, "must hold pairs"),
        ({"edges": [["nose", "tail"]]}, "must hold pairs"),
        ({"edges": 3}, "must hold pairs"),
        ({"sigmas": [0.1] * 4}, "sigmas must be one a point: got 4"),
        ({"sigmas": [0.1, 0.1, 0.1, 0.1, float("nan")]}, "sigmas must be numbers above 0"),
        ({"egdes": []}, "Did you mean 'edges'"),
    ],
)
def test_skeletons_that_make_no_sense_are_refused(change, message):
    """Each by what is wrong with it."""
    pytest.importorskip("cv2")
    with pytest.raises(ModelError, match=message):
        build_pose(carded({"skeleton": {**FIVE, **change}}))


def test_a_skeleton_can_be_named():
    """And an unknown name is told."""
    assert read_skeleton("coco-17") is COCO_17
    with pytest.raises(ModelError, match="Did you mean 'coco-17'"):
        read_skeleton("coco-71")
    with pytest.raises(ModelError, match="an object with names"):
        read_skeleton(7)
    with pytest.raises(ModelError, match="Did you mean 'nose'"):
        COCO_17.index("noose")
    assert COCO_17.index("left_hip") == 11


def test_sides_of_the_coco_skeleton_mirror():
    """Left becomes right, and back."""
    mirrored = [COCO_17.names[i] for i in COCO_17.mirror]
    swap = {"left": "right", "right": "left"}
    expected = [
        "_".join([swap.get(n.split("_")[0], n.split("_")[0]), *n.split("_")[1:]])
        for n in COCO_17.names
    ]
    assert mirrored == expected


@pytest.mark.parametrize(
    "backend, kind, message",
    [
        (carded({}, task="detect"), ModelError, "no pose net"),
        (carded({}), ModelError, "gives 5 points, and nothing says what they are"),
        (carded({"pose": {"paddin": 1}}, 17), ConfigError, "Did you mean 'padding'"),
        (carded({"pose": {"padding": 0}}, 17), ConfigError, "out of range"),
        (carded({"pose": {"refine": "drak"}}, 17), ConfigError, "Did you mean 'dark'"),
        (carded({"pose": 5}, 17), ConfigError, "pose is no object"),
        (carded({}, 17, decoder="pose-heatmop"), UsageError, "Did you mean 'pose-heatmap'"),
        (FakeBackend({"x": np.zeros((1, 85, 22))}), ModelError, "no decoder of poses fits"),
    ],
)
def test_cards_and_nets_that_do_not_fit_are_refused(backend, kind, message):
    """In one sentence."""
    pytest.importorskip("cv2")
    with pytest.raises(kind, match=message):
        build_pose(backend)


def test_a_pose_scores_by_the_points_that_are_there():
    """Points that are not found do not pull it down, and one with none scores nothing."""
    points = np.zeros((2, 4, 3), np.float32)
    points[0, :2, 2] = [0.8, 0.4]
    np.testing.assert_allclose(pose_score(points, np.array([0.5, 1.0])), [0.3, 0.0])
    assert pose_score(np.zeros((0, 4, 3))).shape == (0,)


def test_skeletons_are_values():
    """Built by hand as well."""
    assert Skeleton(("a", "b"), edges=((0, 1),)) == read_skeleton(
        {"names": ["a", "b"], "edges": [["a", "b"]]}, 2
    )


@pytest.mark.data
@pytest.mark.parametrize("name, points", [("tinypose_256x192", 17), ("tinypose_128x96", 17)])
def test_tinypose_needs_no_card(data, name, points):
    """It is recognised, and fed in red, green, blue as ImageNet is."""
    pytest.importorskip("onnxruntime")
    with load_pose(data / "weights" / f"{name}.onnx", threads=1) as model:
        assert model.card.decoder == "pose-heatmap" and model.card.input.colour == "rgb"
        assert len(model.skeleton) == points
        assert model.card.input.size in ((192, 256), (96, 128))
