"""Anomaly learnt from good parts: what is told apart, what is exported, what is refused."""

import json

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.core import DataError, InputSpec, UsageError  # noqa: E402
from edgelane.export.anomaly import learn, wrap  # noqa: E402
from edgelane.export.anomaly.calibrate import auroc, threshold  # noqa: E402
from edgelane.export.anomaly.defects import KINDS, make_defect  # noqa: E402
from edgelane.export.anomaly.features import build_features  # noqa: E402
from edgelane.export.anomaly.methods import Looked, lie_still  # noqa: E402
from edgelane.export.anomaly.tape import Tape  # noqa: E402
from edgelane.export.complete import check_target  # noqa: E402
from edgelane.export.targets import find_target  # noqa: E402
from edgelane.runtime.inspect.judging.anomaly import boxes_of, lay, load_anomaly  # noqa: E402


def part(seed: int, size=(96, 96)) -> np.ndarray:
    """A brushed surface in uneven light."""
    random = np.random.default_rng(seed)
    width, height = size
    grey = 120 + 30 * random.random() + random.normal(0, 6, (height, width))
    grey += cv2.GaussianBlur(random.normal(0, 30, (1, width)), (5, 1), 1)
    grey *= 1 + 0.2 * np.linspace(-1, 1, height)[:, None] * random.normal()
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def spoiled(seed: int) -> tuple:
    """A part with a dark spot, and where it is."""
    image = part(seed)
    random = np.random.default_rng(seed)
    mask = np.zeros(image.shape[:2], np.uint8)
    x, y = random.integers(20, 76, 2)
    cv2.circle(mask, (int(x), int(y)), 5, 255, -1)
    image[mask > 0] = image[mask > 0] // 3
    return image, mask


@pytest.fixture(scope="module")
def learnt():
    return learn([part(i) for i in range(20)], size=(96, 96), minutes=0.1, false_reject=0.05)


@pytest.fixture(scope="module")
def model(learnt, tmp_path_factory):
    path = tmp_path_factory.mktemp("anomaly") / "m.onnx"
    learnt.save(path)
    with load_anomaly(path) as anomaly:
        yield anomaly


def test_defects_never_seen_are_told_from_good_parts_never_seen(model):
    good = np.array([model(part(i))[0] for i in range(500, 530)])
    bad, hits = [], 0
    for i in range(600, 620):
        image, mask = spoiled(i)
        score, heat = model(image)
        bad.append(score)
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        hits += bool(cv2.dilate(mask, np.ones((9, 9)))[y, x])
    assert auroc(np.array(bad), good) > 0.95
    assert hits >= 17


def test_one_is_the_threshold_of_held_out_good_parts(learnt):
    assert len(learnt.scores) == 20
    assert (learnt.scores > 1.0).mean() <= 0.05
    assert 0 < learnt.scores.min() < np.median(learnt.scores) < 1
    origin = learnt.report["threshold"]
    assert origin["parts"] == 20 and origin["more_parts"] == 39
    assert origin["interval"][0] <= 0.05 <= origin["interval"][1]


def test_the_file_says_what_it_rests_on_and_holds_its_preprocessing(learnt, model):
    session = onnxruntime.InferenceSession(learnt.onnx.SerializeToString())
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("image", [1, 96, 96, 3], "tensor(uint8)")
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("score", [1]),
        ("map", [1, 96, 96]),
    ]
    assert model.card.task == "anomaly"
    assert model.limits["parity"]["difference"] <= 1e-4
    assert len(model.limits["pictures"]) == 64
    assert {n.domain for n in learnt.onnx.graph.node} == {""}
    assert check_target(learnt.onnx, find_target("trt8.5"), "the model") == []
    assert {o.version for o in learnt.onnx.opset_import} == {13}
    assert json.loads(json.dumps(learnt.report)) == learnt.report


def test_each_candidate_is_reported_and_the_best_one_kept(learnt):
    tried = [c for c in learnt.report["candidates"] if "skipped" not in c]
    figures = {c["name"]: c["figure"] for c in tried}
    assert {"statistics", "discriminator"} <= set(figures)
    assert figures[learnt.report["chosen"]] == max(figures.values())
    for candidate in tried:
        low, high = candidate["auroc_interval"]
        assert low <= candidate["auroc"] <= high


def test_a_refused_part_has_a_place_to_look_at(model):
    refused = 0
    for i in range(900, 920):
        score, heat = model(spoiled(i)[0])
        if score >= 1:
            refused += 1
            assert model.boxes(heat)[0]["score"] >= 1
    assert refused >= 10


def test_the_same_seed_gives_the_same_model():
    parts = [part(i, (64, 64)) for i in range(8)]
    one, two = (learn(parts, minutes=0.01, candidates=["statistics"]) for _ in range(2))
    assert one.onnx.SerializeToString() == two.onnx.SerializeToString()


def test_known_defects_are_learnt_from_and_scored_when_held_out():
    bad, masks = zip(*(spoiled(i) for i in range(700, 708)))
    found = learn(
        [part(i) for i in range(10)],
        size=(96, 96),
        bad=bad,
        masks=[*masks[:7], None],
        minutes=0.05,
        candidates=["discriminator"],
    )
    assert len(found.bad_scores) == 8
    assert auroc(found.bad_scores, found.scores) > 0.9
    assert found.report["candidates"][0]["auroc_known"] > 0.9


@pytest.mark.slow
def test_a_network_by_torch_gives_through_onnx_what_torch_gives():
    pytest.importorskip("torch")
    parts = [part(i, (64, 64)) for i in range(12)]
    found = learn(parts, size=(64, 64), minutes=0.04, candidates=["network"])
    assert found.report["chosen"] == "network"
    assert found.report["parity"] <= 1e-4
    assert np.isfinite(found.scores).all()


def test_pictures_of_several_sizes_are_taken(model):
    score, heat = model(part(900, (160, 120)))
    assert heat.shape == (120, 160) and np.isfinite(score)
    assert model(part(900, (160, 120))[..., 0])[0] == pytest.approx(score)


@pytest.mark.parametrize(
    "good, given, message",
    [
        ([part(0)], {}, "too few good parts"),
        ([part(i) for i in range(7)] + [np.zeros((96, 96, 3), np.uint8)], {}, "all black"),
        ([part(i) for i in range(8)], {"false_reject": 0.0}, "no sense"),
        ([part(i) for i in range(8)], {"size": (100, 100)}, "divide by 32"),
        ([part(i) for i in range(8)], {"candidates": ["statistic"]}, "Did you mean 'statistics'"),
        ([part(i) for i in range(8)], {"candidates": ["ensemble"]}, "made of"),
        ([part(i) for i in range(8)], {"masks": [None]}, "without the defective parts"),
        ([part(0)] * 12, {}, "copies"),
        ([part(i)[..., 0].astype(np.float32) for i in range(8)], {}, "is no picture"),
        ([part(i, (96, 20)) for i in range(8)], {}, "too small"),
        (["nowhere.png"] * 8, {}, "cannot be read"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(good, given, message):
    with pytest.raises((DataError, UsageError), match=message):
        learn(good, **given)


def test_good_parts_of_two_kinds_are_refused():
    other = [np.clip(part(i).astype(int) // 5, 0, 255).astype(np.uint8) for i in range(20, 25)]
    with pytest.raises(DataError, match="differ too much"):
        learn([part(i) for i in range(10)] + other)


@pytest.mark.parametrize(
    "masks, message",
    [
        ([], "do not match the defective parts"),
        ([np.ones((10, 10))], "does not match its picture"),
        ([np.zeros((96, 96))], "marks nothing"),
        ([np.ones((96, 96))], "marks everything"),
    ],
)
def test_masks_that_do_not_match_are_refused(masks, message):
    with pytest.raises(DataError, match=message):
        learn([part(i) for i in range(8)], bad=[spoiled(1)[0]], masks=masks)


def test_an_unreadable_picture_is_named(tmp_path):
    paths = []
    for i in range(8):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), part(i))
    paths[3].write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"3\.png"):
        learn(paths)


def test_thresholds_from_few_and_many_parts():
    scores = np.random.default_rng(0).normal(0, 1, 2000)
    cut, origin = threshold(scores, 0.01)
    assert origin["interval"][0] < 0.01 < origin["interval"][1] < 0.02
    assert cut == pytest.approx(2.33, abs=0.2) and origin["more_parts"] == 0
    few, origin = threshold(scores[:20], 0.01)
    assert few > scores[:20].max()
    assert origin["interval"][1] == pytest.approx(1 - 0.025 ** (1 / 20))
    assert origin["more_parts"] == 299 - 20


def test_the_share_above_an_order_statistic_lies_in_its_interval():
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        cut, origin = threshold(random.normal(0, 1, 120), 0.05)
        share = (random.normal(0, 1, 5000) >= cut).mean()
        inside += origin["interval"][0] <= share <= origin["interval"][1]
    assert inside / 300 > 0.92


@pytest.mark.parametrize("kind", KINDS)
def test_every_made_up_defect_changes_what_its_mask_says(kind):
    random = np.random.default_rng(3)
    inside = np.ones((96, 96), bool)
    inside[80:] = False
    seen = 0
    for number in range(12):
        image = part(number)
        changed, mask = make_defect(image, part(number + 50), inside, random, kind)
        gap = np.abs(changed.astype(int) - image).max(axis=2)
        assert not gap[80:].any() and not mask[80:].any()
        if mask.any():
            assert gap[mask].mean() > 2 * gap[~mask].mean()
            seen += 1
        else:
            assert not gap.any()
    assert seen >= 6


def test_parts_that_lie_still_are_known_and_judged_place_by_place():
    random = np.random.default_rng(0)
    base = cv2.GaussianBlur(random.normal(0, 300, (64, 64)), (0, 0), 3) + 128

    def still(seed, move=0):
        noise = np.random.default_rng(seed)
        image = np.roll(base, noise.integers(-move, move + 1, 2), axis=(0, 1))
        grey = np.clip(image + noise.normal(0, 3, base.shape), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)

    tape = Tape((64, 64))
    features = build_features(tape, False, False)

    def look(image):
        values, valid = tape.run(image, [features.values, features.valid])
        return Looked(values, valid[0] > 0)

    assert lie_still([look(still(i)) for i in range(16)])
    assert not lie_still([look(still(i, 32)) for i in range(16)])
    # What is usual elsewhere is a defect here.
    found = learn(
        [still(i) for i in range(24)], size=(64, 64), minutes=0.05, candidates=["statistics"]
    )
    session = onnxruntime.InferenceSession(found.onnx.SerializeToString())
    bad = still(100)
    bad[20:40, 20:40] = still(101)[40:60, 4:24]
    scores = [session.run(["score"], {"image": i[None]})[0].item() for i in (still(102), bad)]
    assert scores[0] < 1 < scores[1]


def test_padding_is_known_by_its_grey_and_tells_nothing():
    spec = InputSpec(size=(128, 128), layout="nhwc", colour="bgr", scale=1.0, resize="letterbox")
    laid, _ = lay(part(1, (128, 64)), spec)
    tape = Tape((128, 128))
    features = build_features(tape, True, False)
    values, valid = tape.run(laid, [features.values, features.valid])
    assert valid[0, :16].all() and not valid[0, 17:].any()
    assert np.isfinite(values).all()


def test_boxes_of_a_map():
    heat = np.zeros((40, 60), np.float32)
    heat[5:10, 20:30] = 1.5
    heat[30:34, 1:5] = 3.0
    heat[0, 59] = 2.0
    assert boxes_of(heat) == [
        {"xyxy": [1.0, 30.0, 5.0, 34.0], "score": 3.0},
        {"xyxy": [20.0, 5.0, 30.0, 10.0], "score": 1.5},
    ]
    assert boxes_of(heat[:1]) == [{"xyxy": [59.0, 0.0, 60.0, 1.0], "score": 2.0}]
    assert boxes_of(heat, 5.0) == []


def network(head: bool, opset: int = 13, size: int = 64):
    """Two convolutions, and a head of two classes that answers to what is dark."""
    random = np.random.default_rng(0)
    first = random.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
    first[0] = -1 / 27  # dark
    bias = np.zeros(8, np.float32)
    bias[0] = 0.35
    second = np.zeros((8, 8, 1, 1), np.float32)
    second[np.arange(8), np.arange(8)] = 1
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], kernel_shape=[3, 3],
                         pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], kernel_shape=[1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
    ]  # fmt: skip
    weights = {"w1": first, "b1": bias, "w2": second}
    output, shape = "r2", [1, 8, size // 4, size // 4]
    if head:
        fc = np.zeros((2, 8), np.float32)
        fc[1, 0] = 40.0
        weights.update(fc=fc, fb=np.array([0.5, 0.0], np.float32))
        nodes += [
            helper.make_node("GlobalAveragePool", ["r2"], ["g"]),
            helper.make_node("Flatten", ["g"], ["f"]),
            helper.make_node("Gemm", ["f", "fc", "fb"], ["logits"], transB=1),
            helper.make_node("Softmax", ["logits"], ["p"]),
        ]
        output, shape = "p", [1, 2]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    return made


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("opset", [13, 17])
def test_a_network_of_ones_own_goes_through_the_same_door(head, opset, tmp_path):
    source = tmp_path / "net.onnx"
    onnx.save(network(head, opset), str(source))
    bad = [spoiled(i)[0] for i in range(700, 710)]
    found = wrap(source, [part(i) for i in range(30)], bad=bad, false_reject=0.05)
    assert ("activation" in found.report["chosen"]) is head
    assert found.report["parity"] <= 1e-4
    path = tmp_path / "m.onnx"
    found.save(path)
    with load_anomaly(path) as anomaly:
        image, mask = spoiled(800)
        _, heat = anomaly(image)
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        assert cv2.dilate(mask, np.ones((15, 15)))[y, x]


def test_layers_of_a_network_are_named_or_refused():
    parts = [part(i) for i in range(8)]
    assert "r1" in wrap(network(True), parts, layers=["r1"]).report["chosen"]
    with pytest.raises(UsageError, match="Did you mean 'r1'"):
        wrap(network(True), parts, layers=["r1x"])
    with pytest.raises(UsageError, match="sees no places"):
        wrap(network(True), parts, layers=["logits"])


def test_the_map_in_the_model_is_the_one_that_is_judged_by():
    from edgelane.export.anomaly.maps import bounds, spread, top_means
    from edgelane.export.anomaly.parts import choose_input, placed, read_parts
    from edgelane.export.anomaly.settle import settle, try_all
    from edgelane.export.anomaly.trial import Workbench

    names, images = read_parts([part(i, (64, 64)) for i in range(10)], "good")
    spec = choose_input(images, (64, 64))
    parts, none = placed(names, images, spec), placed([], [], spec)
    bench = Workbench(parts, none, [], False, False, 0, lambda *_: None, 0.02)
    outcomes = try_all(bench, ["discriminator"], False, lambda *_: None)
    made = settle(bench, outcomes, 0.05, lambda *_: None)
    held = outcomes[0].held
    image = spoiled(5)[0][:64, :64]
    look = bench.look(image)
    raw = bench.learn("discriminator").heat(look)[None]
    wanted = spread(raw, bounds(held.good))[0]
    score, heat = (v[0] for v in made.tape.run(image, [made.score, made.heat]))
    large = cv2.resize(wanted, heat.shape[::-1], interpolation=cv2.INTER_LINEAR)
    gain, bias = np.polyfit(large.ravel(), heat.ravel(), 1)  # one unit for the whole map
    assert gain > 0
    # What is learnt from is kept in half precision, the model's own features are not.
    assert np.abs(gain * large + bias - heat).max() < 0.02 * np.ptp(heat)
    low = made.low
    assert score.item() == pytest.approx(
        (top_means(raw, outcomes[0].top)[0] - low) / (made.cut - low), abs=0.02
    )


def test_one_odd_place_does_not_outweigh_a_region():
    from edgelane.export.anomaly.maps import bounds, spread

    random = np.random.default_rng(0)
    good = random.normal(0, 1, (20, 24, 24)).astype(np.float32)
    maps = random.normal(0, 1, (1, 24, 24)).astype(np.float32)
    maps[0, 4, 4] = 80.0
    maps[0, 12:22, 12:22] += 3.0
    (found,) = spread(maps, bounds(good))
    assert np.unravel_index(found.argmax(), found.shape)[0] in (3, 4, 5)
    assert found[14:20, 14:20].mean() > 2 * found[4, 8:11].mean()
