"""Networks that somebody else trained, in a recipe: a classifier, its map, its features."""

import sys

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.cli.teaching import teach  # noqa: E402
from edgelane.core import ConfigError, InputSpec, ModelCard, UsageError  # noqa: E402
from edgelane.core.card import METADATA_KEY  # noqa: E402
from edgelane.runtime.inspect.judging.judge import Judge  # noqa: E402
from edgelane.runtime.inspect.judging.pictured import inspect_by_recipe  # noqa: E402
from edgelane.runtime.inspect.recipe.config import load_recipe  # noqa: E402

SIZE, FILTERS = 64, 12
random = np.random.default_rng(4)
BANK = random.normal(0, 0.25, (FILTERS, 3, 5, 5)).astype(np.float32)
BANK -= BANK.mean(axis=(1, 2, 3), keepdims=True)
SHIFT = random.normal(0, 0.1, FILTERS).astype(np.float32)


def duct(seed: int, dirty: bool = False) -> np.ndarray:
    """The inside of a duct, `(64, 64, 3)` uint8, with dirt on it or clean."""
    random = np.random.default_rng(seed)
    grey = 150 + 12 * np.linspace(-1, 1, SIZE)[:, None] + random.normal(0, 3, (SIZE, SIZE))
    if dirty:
        for _ in range(5):
            x, y = (int(v) for v in random.integers(8, 40, 2))  # at the upper left
            cv2.circle(grey, (x, y), 3, float(random.uniform(40, 80)), -1)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def seen(images) -> np.ndarray:
    """`(n, 12)` what the fixed filters see on average."""
    rows = []
    for image in images:
        x = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
        maps = [
            sum(cv2.filter2D(x[..., c], -1, k[c], borderType=cv2.BORDER_CONSTANT) for c in range(3))
            for k in BANK
        ]
        rows.append([np.maximum(m + s, 0).mean() for m, s in zip(maps, SHIFT)])
    return np.array(rows)


def trained() -> tuple:
    """A linear layer on those features by logistic regression: weight `(2, 12)` and bias."""
    x = seen([duct(i, bool(i % 2)) for i in range(40)])
    y = np.arange(40) % 2
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-6
    z, w, b = (x - mean) / std, np.zeros(FILTERS), 0.0
    for _ in range(400):
        p = 1 / (1 + np.exp(-(z @ w + b)))
        w -= 0.3 * (z.T @ (p - y) / len(y) + 1e-3 * w)
        b -= 0.3 * float(np.mean(p - y))
    weight = w / std
    shift = b - float(weight @ mean)
    return (
        np.stack([-weight / 2, weight / 2]).astype(np.float32),
        np.array([-shift / 2, shift / 2], np.float32),
    )


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A clean/dirty classifier with its card, and the same without its head."""
    folder = tmp_path_factory.mktemp("nets")
    weight, bias = trained()
    node = helper.make_node
    body = [
        node("Conv", ["x", "bank", "shift"], ["c"], kernel_shape=[5, 5], pads=[2] * 4),
        node("Relu", ["c"], ["all"]),
        node("AveragePool", ["all"], ["f"], kernel_shape=[4, 4], strides=[4, 4]),
    ]
    head = [
        node("GlobalAveragePool", ["f"], ["g"]),
        node("Flatten", ["g"], ["flat"]),
        node("Gemm", ["flat", "w", "b"], ["y"], transB=1),
        node("Softmax", ["y"], ["out"], axis=1),
    ]
    weights = {"bank": BANK, "shift": SHIFT, "w": weight, "b": bias}
    for name, nodes, end, shape in (
        ("clean_dirty", body + head, "out", [1, 2]),
        ("backbone", body, "f", [1, FILTERS, SIZE // 4, SIZE // 4]),
    ):
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
            [helper.make_tensor_value_info(end, TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(v, k) for k, v in weights.items()
             if name == "clean_dirty" or k in ("bank", "shift")],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        if name == "clean_dirty":
            spec = InputSpec((SIZE, SIZE), resize="stretch")
            card = ModelCard("classify", "softmax", spec, classes=("clean", "dirty"), nms_iou=None)
            model.metadata_props.add(key=METADATA_KEY, value=card.to_json())
        onnx.checker.check_model(model)
        onnx.save(model, str(folder / f"{name}.onnx"))
    return folder


@pytest.fixture
def desk(tmp_path, networks):
    for name in ("clean_dirty.onnx", "backbone.onnx"):
        (tmp_path / name).write_bytes((networks / name).read_bytes())
    for name, first, count in (("good", 100, 20), ("clean", 300, 12), ("dirty", 400, 12)):
        (tmp_path / name).mkdir()
        for k in range(count):
            path = tmp_path / name / f"{name}{k:02d}.png"
            cv2.imwrite(str(path), duct(first + k, name == "dirty"))
    return tmp_path


def recipe(desk, checks: str):
    path = desk / "duct.yaml"
    path.write_text(f"pipeline: inspection\nchecks: {checks}\n")
    return path


def judged(desk, taught):
    """Scores and verdicts of clean and of dirty ducts."""
    found = [list(inspect_by_recipe(desk / name, taught)) for name in ("clean", "dirty")]
    scores = [np.array([one.verdict.score for one in group], float) for group in found]
    return scores, [[one.verdict.verdict for one in group] for group in found], found


def test_a_trained_classifier_judges_by_the_limit_that_good_parts_set(desk):
    lesson = teach(recipe(desk, "{classifier: {model: clean_dirty.onnx, good: [clean]}}"),
                   str(desk / "good"))  # fmt: skip
    check = load_recipe(lesson.recipe).settings.checks.classifier
    assert check.model == "clean_dirty.onnx" and 0.5 < check.least < 1
    (clean, dirty), (passed, failed), found = judged(desk, lesson.recipe)
    assert passed.count("pass") >= 11 and failed.count("fail") == 12
    assert dirty.min() > clean.max()
    reason = next(r for r in found[1][0].verdict.reasons if r.name == "classifier")
    assert reason.low == check.least and reason.value < reason.low
    judge = Judge(load_recipe(lesson.recipe))
    assert judge.single(duct(900)).verdict.verdict == "pass"
    judge.close()


def test_a_class_that_the_classifier_has_not_is_refused(desk):
    path = recipe(desk, "{classifier: {model: clean_dirty.onnx, good: [claen]}}")
    with pytest.raises(ConfigError, match="Did you mean 'clean'"):
        teach(path, str(desk / "good"))
    assert not list(desk.glob("*.v1*"))


@pytest.mark.parametrize(
    "keys, how",
    [
        ("backbone: clean_dirty.onnx", "class-activation map"),
        ("backbone: backbone.onnx", "statistics of f"),
        ("backbone: clean_dirty.onnx, layers: [f]", "statistics of f"),
    ],
)
def test_a_network_of_ones_own_tells_where_and_how_bad(desk, keys, how):
    lesson = teach(recipe(desk, f"{{anomaly: {{{keys}}}}}"), str(desk / "good"))
    (one,) = lesson.surface
    assert one.facts["chosen"] == how and one.facts["parity"] <= 1e-4
    loaded = load_recipe(lesson.recipe)
    check = loaded.settings.checks.anomaly
    assert check.model == "duct.v1/anomaly.onnx" and f"backbone: {check.backbone}" in keys
    (clean, dirty), (passed, failed), found = judged(desk, lesson.recipe)
    assert dirty.min() > clean.max()
    assert passed.count("pass") >= 11 and failed.count("fail") >= 11
    for part in found[1]:
        if len(part.xyxy):
            x1, y1, x2, y2 = part.xyxy[0]
            assert (x1 + x2) / 2 < 48 and (y1 + y2) / 2 < 48
    # Taught once more from the recipe that was written: the backbone is still known.
    again = teach(lesson.recipe, str(desk / "good"))
    assert again.version == 2 and again.surface[0].facts["chosen"] == how


def test_a_layer_that_the_network_has_not_is_refused(desk):
    path = recipe(desk, "{anomaly: {backbone: backbone.onnx, layers: [ff]}}")
    with pytest.raises(UsageError, match="Did you mean 'f'"):
        teach(path, str(desk / "good"))
    path = recipe(desk, "{anomaly: {layers: [f]}}")
    with pytest.raises(ConfigError, match="layers names tensors of `backbone`"):
        teach(path, str(desk / "good"))


def test_teaching_a_learnt_model_needs_no_torch(desk, monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] in ("torch", "onnxslim", "onnxscript")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("torch", "onnxslim", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    lesson = teach(recipe(desk, "{anomaly: {minutes: 0.02}}"), str(desk / "good"))
    assert not lesson.surface[0].skipped
    assert (lesson.recipe.parent / "duct.v1" / "anomaly.onnx").is_file()


def test_without_onnx_the_extra_is_named(desk, monkeypatch):
    from edgelane.core import MissingDependency

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependency, match=r"edgelane\[teach\]"):
        teach(recipe(desk, "{anomaly: {minutes: 0.02}}"), str(desk / "good"))
