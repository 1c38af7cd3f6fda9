"""Models in other sizes and precisions, made once, or it is said why not."""

import numpy as np
import pytest
from profiles import MODEL, write_data

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgelane.benchmarks.profile.data import find_data  # noqa: E402
from edgelane.benchmarks.profile.resize import input_size, resize  # noqa: E402
from edgelane.benchmarks.profile.variants import (  # noqa: E402
    Making,
    Variant,
    make_variants,
    own_precision,
    parse_sizes,
)
from edgelane.core import ModelError  # noqa: E402

CHANNELS = 8


def net(size=(64, 64), *, anchors=False, shuffled=True, channels=CHANNELS):
    """A net whose exporter wrote its size into Reshape and Resize, `(width, height)`."""
    width, height = size
    w, h = width // 4, height // 4
    rng = np.random.RandomState(1)
    kernel = rng.normal(0, 0.1, (channels, 3, 4, 4)).astype(np.float32)
    constants = [numpy_helper.from_array(kernel, "kernel")]

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    nodes = [helper.make_node("Conv", ["images", "kernel"], ["c"], strides=[4, 4])]
    last = "c"
    if shuffled:
        groups = constant("groups", [1, 2, channels // 2, h, w])
        nodes += [
            helper.make_node("Reshape", ["c", groups], ["r"]),
            helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3, 4]),
            helper.make_node("Reshape", ["t", constant("back", [1, -1, h, w])], ["s"]),
        ]
        last = "s"
    nodes += [
        helper.make_node("MaxPool", [last], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["p", "", "", constant("up", [1, channels, h, w])], ["u"]),
        helper.make_node("Add", ["u", last], ["a"]),
        helper.make_node("Reshape", ["a", constant("flat", [1, channels, h * w])], ["output"]),
    ]
    if anchors:
        nodes[-1].output[0] = "flat_out"
        grid = rng.normal(0, 1, (1, channels, h * w)).astype(np.float32)
        constants.append(numpy_helper.from_array(grid, "grid"))
        nodes.append(helper.make_node("Mul", ["flat_out", "grid"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, channels, h * w])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    return made


def run(model, image):
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"images": image})[0]


@pytest.mark.parametrize("size", [(32, 32), (96, 96), (64, 64), (128, 32), (32, 64)])
@pytest.mark.parametrize("channels", [8, 16])
def test_a_resized_net_computes_what_one_made_for_that_size_does(size, channels):
    """16 channels are as many as rows of the map: what is which has to be told by place."""
    image = np.random.RandomState(2).normal(0, 1, (1, 3, size[1], size[0])).astype(np.float32)
    made = resize(net(channels=channels), size)
    assert input_size(made) == size
    np.testing.assert_array_equal(run(made, image), run(net(size, channels=channels), image))


def test_an_open_size_is_settled():
    model = net(shuffled=False)
    axes = model.graph.input[0].type.tensor_type.shape.dim
    axes[2].dim_param, axes[3].dim_param = "h", "w"
    assert input_size(model) == (None, None)
    assert input_size(resize(model, (96, 32))) == (96, 32)


def test_a_grid_of_the_old_size_is_refused():
    with pytest.raises(ModelError, match="constants of its size 64x64.*Export it from its source"):
        resize(net(anchors=True), (96, 96), "net.onnx")


def test_a_size_that_its_strides_do_not_divide_is_refused():
    with pytest.raises(ModelError, match="cannot be made to take 50x50"):
        resize(net(), (50, 50))


def test_a_model_without_picture_is_refused():
    model = net()
    del model.graph.input[0].type.tensor_type.shape.dim[3]
    with pytest.raises(ModelError, match="no picture"):
        resize(model, (32, 32))


@pytest.fixture
def making(tmp_path):
    return Making(tmp_path / "out", find_data(write_data(tmp_path / "data")))


def test_a_file_as_it_is_needs_nothing(making):
    (found,) = make_variants([MODEL], [], [], making)
    assert (found.model, found.precision, found.path) == ("store_person", "fp32", str(MODEL))
    assert not (making.folder / "models").exists()


def test_precisions_are_made_once_and_kept(making):
    (half,) = make_variants([MODEL], [], ["fp16"], making)
    assert half.error is None and own_precision(half.path) == "fp16"
    before = {p: p.stat().st_mtime_ns for p in (making.folder / "models").iterdir()}
    (again,) = make_variants([MODEL], [], ["fp16"], making)
    assert again == half
    assert {p: p.stat().st_mtime_ns for p in (making.folder / "models").iterdir()} == before
    (refused,) = make_variants([half.path], [], ["fp32"], making)
    assert "is FP16 already" in refused.error


def test_a_size_that_cannot_be_made_says_why_and_the_others_go_on(making):
    found = list(make_variants([MODEL], parse_sizes(["37", "160"]), [], making))
    assert found[0].error is not None and "37x37" in found[0].error
    assert found[0].path is None
    assert len(found) == 2


def test_models_of_one_name_are_told_apart(making, tmp_path):
    other = tmp_path / "other" / MODEL.name
    other.parent.mkdir()
    other.write_bytes(MODEL.read_bytes())
    names = [v.model for v in make_variants([MODEL, other], [], [], making)]
    assert names == ["models/store_person", "other/store_person"]


def test_a_variant_travels_through_a_job_file():
    one = Variant("a", "a.onnx", (64, 32), "fp16", "b.onnx", None, ("note",), False)
    assert Variant.from_dict(one.to_dict()) == one
