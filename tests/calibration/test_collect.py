"""Statistics of activations."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from nets import make, small_net  # noqa: E402
from onnx import helper  # noqa: E402

from edgelane.calibration.collect import activations, collect, hash_model  # noqa: E402
from edgelane.calibration.graph import Graph  # noqa: E402
from edgelane.calibration.histograms import Histogram  # noqa: E402
from edgelane.calibration.store import Statistics  # noqa: E402
from edgelane.core import DataError, ModelError, StorageError  # noqa: E402

FLOATS = ["x", "c1", "s1", "m1", "c2", "r2", "a", "y", "z"]


def pictures(count, size=8, seed=0):
    random = np.random.default_rng(seed)
    return [
        (random.standard_normal((1, 3, size, size)) * (i + 1)).astype(np.float32)
        for i in range(count)
    ]


def fed(arrays):
    return ({"x": array} for array in arrays)


def same(one, two):
    assert list(one) == list(two)
    for name in one:
        a, b = one[name], two[name]
        assert (a.minimum, a.maximum, a.count) == (b.minimum, b.maximum, b.count), name
        assert (a.channels is None) == (b.channels is None)
        if a.channels is not None:
            assert np.array_equal(a.channels, b.channels), name
        assert a.histogram.base == b.histogram.base
        assert a.histogram.zeros == b.histogram.zeros
        assert np.array_equal(a.histogram.counts, b.histogram.counts), name


def test_every_float_activation_and_nothing_else():
    found = collect(small_net(), fed(pictures(2)))
    assert list(found) == FLOATS
    assert found.images == 2
    assert "shape" in activations(Graph(small_net()))
    assert "folded" not in activations(Graph(small_net()))


def test_what_is_seen_is_what_the_graph_computes():
    model = small_net()
    arrays = pictures(4)
    found = collect(model, fed(arrays))
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=n) for n in FLOATS[1:])
    session = onnxruntime.InferenceSession(shown.SerializeToString())
    values = [session.run(FLOATS[1:], {"x": a}) for a in arrays]
    for index, name in enumerate(FLOATS[1:]):
        whole = np.concatenate([v[index] for v in values])
        seen = found[name]
        assert seen.minimum == pytest.approx(whole.min(), rel=1e-5, abs=1e-6)
        assert seen.maximum == pytest.approx(whole.max(), rel=1e-5)
        assert seen.count == whole.size
        expected = np.abs(whole).max(axis=(0, 2, 3))
        assert seen.channels == pytest.approx(expected, rel=1e-5)
        assert seen.histogram.quantile(0.9) == pytest.approx(
            np.quantile(np.abs(whole), 0.9), rel=0.02
        )


def test_parts_see_what_the_whole_sees():
    arrays = pictures(3)
    same(collect(small_net(), fed(arrays)), collect(small_net(), fed(arrays), budget=2000))


def test_a_batch_is_its_pictures():
    arrays = pictures(4)
    pairs = [np.concatenate(arrays[:2]), np.concatenate(arrays[2:])]
    one, two = collect(small_net(), fed(arrays)), collect(small_net(2), fed(pairs))
    assert one.images == two.images == 4
    for name in FLOATS:
        assert one[name].maximum == pytest.approx(two[name].maximum, rel=1e-5)
        assert one[name].count == two[name].count


def test_no_more_than_two_pictures_are_held():
    alive, most = 0, 0

    class Held(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def batches():
        nonlocal alive, most
        for array in pictures(6):
            alive += 1
            most = max(most, alive)
            yield {"x": array.view(Held)}
            del array

    collect(small_net(), batches())
    assert most <= 3, "two, and the one that is being made"


def test_only_some_tensors_and_their_hashes():
    arrays = pictures(2)
    some, whole = (
        collect(small_net(), fed(arrays), tensors=["c2", "x"]),
        collect(small_net(), fed(arrays)),
    )
    assert list(some) == ["x", "c2"]
    assert np.array_equal(some["c2"].histogram.counts, whole["c2"].histogram.counts)
    assert some.inputs == whole.inputs
    assert whole.inputs != collect(small_net(), fed(pictures(3))).inputs


def test_a_smaller_sample_keeps_what_is_exact():
    arrays = pictures(3, size=32)
    whole = collect(small_net(size=32), fed(arrays))
    some = collect(small_net(size=32), fed(arrays), sample=512)
    none = collect(small_net(size=32), fed(arrays), sample=0)
    for name in FLOATS:
        assert (none[name].amax, none[name].histogram.total) == (whole[name].amax, 0)
        assert (some[name].amax, some[name].count) == (whole[name].amax, whole[name].count)
        assert np.array_equal(some[name].channels, whole[name].channels)
        assert some[name].histogram.total <= 3 * 512 < whole[name].histogram.total


def test_a_reader_of_pictures_that_fails_is_heard():
    def batches():
        yield {"x": pictures(1)[0]}
        raise DataError("the disk was pulled out")

    with pytest.raises(DataError, match="pulled out"):
        collect(small_net(), batches())


def test_the_hash_of_a_model_is_of_what_it_computes():
    one, other = small_net(), small_net()
    note = other.metadata_props.add()
    note.key, note.value = "edgelane", "{}"
    assert hash_model(one) == hash_model(other)
    assert hash_model(one) != hash_model(small_net(seed=1))


def test_statistics_come_back_from_their_file(tmp_path):
    found = collect(small_net(), fed(pictures(3)))
    found.save(tmp_path / "s.npz")
    again = Statistics.load(tmp_path / "s.npz")
    same(found, again)
    assert (again.model, again.inputs, again.images) == (found.model, found.inputs, 3)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_file_that_holds_no_statistics(tmp_path, content):
    path = tmp_path / "s.npz"
    if content is None:
        collect(small_net(), fed(pictures(1))).save(path)
        content = path.read_bytes()[:200]
    path.write_bytes(content)
    with pytest.raises(DataError, match="holds no calibration statistics"):
        Statistics.load(path)


def test_statistics_that_cannot_be_kept_leave_nothing(tmp_path):
    found = collect(small_net(), fed(pictures(1)))
    with pytest.raises(StorageError):
        found.save(tmp_path / "no" / "s.npz")
    with pytest.raises(DataError, match="there are no statistics"):
        Statistics.load(tmp_path / "s.npz")
    with pytest.raises(KeyError, match="Did you mean|did you mean"):
        found["c11"]


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "NaN"), (np.inf, "infinity|NaN")])
def test_numbers_that_are_none_name_tensor_and_picture(value, kind):
    arrays = pictures(3)
    arrays[1][0, 0, 0, 0] = value
    with pytest.raises(DataError, match=f"'x' is not finite on b.jpg.*({kind})"):
        collect(small_net(), fed(arrays), names=["a.jpg", "b.jpg", "c.jpg"])
    pair = np.concatenate(arrays[:2])
    with pytest.raises(DataError, match="on b.jpg"):
        collect(small_net(2), fed([pair]), names=["a.jpg", "b.jpg"])


def test_overflow_inside_the_graph_names_the_tensor():
    with pytest.raises(DataError, match="'c1' is not finite"):
        collect(small_net(), fed([np.full((1, 3, 8, 8), 3e38, np.float32)]))


def test_no_pictures():
    with pytest.raises(DataError, match="no picture"):
        collect(small_net(), iter(()))


def test_a_model_that_is_quantised_already():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q1"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="dq1"),
    ]
    weights = {"s": np.float32(0.1), "z": np.int8(0)}
    model = make(nodes, weights, {"x": [1, 3]}, {"y": [1, 3]})
    with pytest.raises(ModelError, match="quantised already, at 'q1'"):
        collect(model, fed([np.ones((1, 3), np.float32)]))


def test_feeds_that_do_not_fit():
    with pytest.raises(ModelError, match="failed while it was calibrated"):
        collect(small_net(), fed([np.ones((1, 4, 8, 8), np.float32)]))


def test_an_operator_that_nobody_knows():
    model = make(
        [helper.make_node("Mystery", ["x"], ["y"], domain="nowhere")],
        {},
        {"x": [1, 3]},
        {"y": [1, 3]},
    )
    model.opset_import.append(helper.make_opsetid("nowhere", 1))
    with pytest.raises(ModelError, match="cannot be run"):
        collect(model, fed([np.ones((1, 3), np.float32)]))


def test_memory_of_statistics_does_not_grow():
    few, many = (collect(small_net(), fed(pictures(n))) for n in (2, 9))
    for found in (few, many):
        assert sum(a.histogram.counts.nbytes for a in found.values()) == len(FLOATS) * (
            Histogram().counts.nbytes
        )
