"""The onnxruntime backend: what it tells about a graph, and what it says of a broken one."""

import threading
from pathlib import Path

import graphs
import layouts
import numpy as np
import pytest

from edgelane.core import MissingDependency, ModelError, UsageError
from edgelane.runtime.backends import TensorSpec, open_backend
from edgelane.runtime.model import load_model
from edgelane.runtime.testing import FakeBackend

onnx = pytest.importorskip("onnx")


def save(tmp_path, **options):
    return graphs.save_graph(tmp_path / "m.onnx", layouts.yolox(), layouts.SIZE, **options)


def test_it_tells_inputs_outputs_and_metadata(tmp_path):
    """Names, shapes with None for open axes, dtypes and the file's own words."""
    path = save(tmp_path, image=(None, 3, 128, 160), metadata={"names": "x", "author": "me"})
    backend = open_backend(path)
    assert backend.inputs == (TensorSpec("images", (None, 3, 128, 160), np.dtype(np.float32)),)
    assert backend.outputs == (TensorSpec("output", (None, 420, 10), np.dtype(np.float32)),)
    assert backend.metadata == {"names": "x", "author": "me"}
    assert backend.dynamic_batch
    assert str(backend.inputs[0]) == "images [?, 3, 128, 160] float32"
    backend.close()
    assert not open_backend(save(tmp_path)).dynamic_batch


def test_it_runs_batches_in_several_threads(tmp_path):
    """One session serves several threads at once."""
    backend = open_backend(save(tmp_path, image=(None, 3, 128, 160)), threads=1)
    wrong = []

    def work(count):
        feeds = {"images": np.zeros((count, 3, 128, 160), np.float32)}
        for _ in range(20):
            if backend.infer(feeds)["output"].shape != (count, 420, 10):
                wrong.append(count)

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    backend.close()
    backend.close()
    with pytest.raises(ModelError, match="has been closed"):
        backend.infer({})


def test_feeds_that_do_not_fit(tmp_path):
    """The error shows what was fed and what the graph wants."""
    backend = open_backend(save(tmp_path))
    with pytest.raises(ModelError) as error:
        backend.infer({"images": np.zeros((1, 3, 8, 8), np.float32)})
    assert "[1, 3, 8, 8]" in str(error.value)
    assert "[1, 3, 128, 160]" in str(error.value)


@pytest.mark.parametrize("threads", [0, -1, True])
def test_threads_must_be_a_count(tmp_path, threads):
    """It is the caller's mistake."""
    with pytest.raises(UsageError, match="1 or more"):
        open_backend(save(tmp_path), threads=threads)


def test_a_missing_file_and_a_folder(tmp_path):
    """Each is said in one sentence."""
    with pytest.raises(ModelError, match="there is no model .*nowhere.onnx"):
        load_model(tmp_path / "nowhere.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"this is a text, not a model", "no ONNX model"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "no ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
    ],
)
def test_files_that_are_no_onnx(tmp_path, content, message):
    """What they are is said as far as it can be told."""
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model(tmp_path, share):
    """A download that broke off is told from a file of another kind."""
    path = tmp_path / "m.onnx"
    whole = Path(save(tmp_path)).read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match="cut short or damaged"):
        load_model(path)


def test_an_operator_or_opset_nobody_knows(tmp_path):
    """The remedy names both ways out."""
    path = save(tmp_path)
    model = onnx.load(path)
    model.graph.node[0].op_type = "FancyNewOperator"
    (tmp_path / "op.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="FancyNewOperator.*update onnxruntime"):
        load_model(tmp_path / "op.onnx")
    model = onnx.load(path)
    model.opset_import[0].version = 999
    (tmp_path / "opset.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="lower opset"):
        load_model(tmp_path / "opset.onnx")
    model = onnx.load(path)
    model.ir_version = 900
    (tmp_path / "ir.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="lower opset"):
        load_model(tmp_path / "ir.onnx")


def test_weights_in_a_file_of_their_own_that_is_missing(tmp_path):
    """The remedy says which file belongs beside the model."""
    model = onnx.load(save(tmp_path))
    onnx.save_model(
        model,
        str(tmp_path / "split.onnx"),
        save_as_external_data=True,
        location="split.onnx.data",
        size_threshold=64,
    )
    with load_model(tmp_path / "split.onnx") as whole:
        assert whole.card.decoder == "yolox"
    (tmp_path / "split.onnx.data").unlink()
    with pytest.raises(ModelError, match="a file of their own are missing.*same folder"):
        load_model(tmp_path / "split.onnx")


def test_the_library_says_nothing_of_its_own(tmp_path, capfd):
    """Nothing but our own error reaches the terminal."""
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08 nonsense")
    with pytest.raises(ModelError):
        load_model(path)
    load_model(save(tmp_path)).close()
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    """A device without onnxruntime learns how to get it."""
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r"pip install 'edgelane\[cpu\]'"):
        load_model(save(tmp_path))


def test_the_fake_answers_by_script_or_function():
    """A scripted fake repeats its answers in turn and notes what it was fed."""
    one, two = {"a": np.ones((1, 2))}, {"a": np.zeros((1, 2))}
    backend = FakeBackend([one, two])
    feeds = {"images": np.zeros((1, 3, 416, 416), np.float32)}
    assert [backend.infer(feeds)["a"].sum() for _ in range(3)] == [2, 0, 2]
    assert backend.feeds == [{"images": (1, 3, 416, 416)}] * 3
    assert backend.outputs == (TensorSpec("a", (1, 2), np.dtype(np.float64)),)
    called = FakeBackend(lambda feeds: {"n": np.array(len(feeds))})
    assert called.infer(feeds)["n"] == 1
    backend.close()
    assert backend.closed


@pytest.mark.data
def test_real_models_load_quietly(data, capfd):
    """The given weights make onnxruntime warn a thousand times unless it is told not to."""
    for name in ("nanodet_m_416", "fastestdet"):
        load_model(data / "weights" / f"{name}.onnx", threads=1).close()
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
