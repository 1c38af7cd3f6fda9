"""Torch models of every kind become the same ONNX, proved against torch."""

import json
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgelane.core import MissingDependency, ModelError, UsageError  # noqa: E402
from edgelane.export import export_model  # noqa: E402

MODULE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, 2, 1)
        self.norm = nn.BatchNorm2d(outside)
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(Block(3, 8), Block(8, 8), nn.Hardswish())
        self.norm = nn.LayerNorm(8)
        self.up = nn.Upsample(scale_factor=2)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, x):
        x = self.norm(self.body(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.head(self.up(x))


class Two(nn.Module):
    def forward(self, x):
        return {"boxes": x.mean((2, 3)), "scores": torch.sigmoid(x)}


class Branch(nn.Module):
    def forward(self, x):
        if x.mean() > 0:
            return x * 2
        return x


class Odd(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvalsh(x[:, 0])


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Grid(nn.Module):
    def forward(self, x):
        grid = torch.zeros(x.shape[0], 4, 4, 2)
        return torch.nn.functional.grid_sample(x, grid, align_corners=False)


def net(classes=4):
    torch.manual_seed(0)
    return Net(classes)


def fails():
    raise RuntimeError("no weights here")


def number():
    return 3


two, odd, noisy, grid = Two, Odd, Noisy, Grid
ready = Two()


def branch():
    return torch.jit.script(Branch())
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(MODULE)
    sys.modules.pop("shop", None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    sys.modules.pop("shop", None)


def kinds(path):
    model = onnx.load(str(path))
    return model.opset_import[0].version, {n.op_type for n in model.graph.node}


@pytest.mark.parametrize("target, opset", [("nano", 13), ("trt8.5", 17), (None, 17)])
def test_the_graph_suits_the_target(tmp_path, target, opset):
    report = export_model(
        "shop:net", tmp_path / "m.onnx", size="32x24", target=target, factory_args={"classes": 5}
    )
    version, found = kinds(tmp_path / "m.onnx")
    assert version == report["opset"] == opset and report["exporter"] == "trace"
    assert "BatchNormalization" not in found
    assert ("HardSwish" in found, "LayerNormalization" in found) == (opset == 17, opset == 17)
    assert report["inputs"] == [{"name": "images", "shape": [1, 3, 24, 32], "dtype": "float32"}]
    assert report["outputs"] == [{"name": "output", "shape": [1, 5, 12, 16], "dtype": "float32"}]
    assert report["parity"]["torch"][0]["relative"] < 1e-5
    json.dumps(report)


def test_names_batch_and_layers(tmp_path):
    report = export_model(
        "shop:net", tmp_path / "m.onnx", size=16, batch="dynamic", inputs=["camera"],
        outputs=["map"], parity="layers",
    )  # fmt: skip
    assert report["inputs"][0] == {"name": "camera", "shape": ["n", 3, 16, 16], "dtype": "float32"}
    assert report["outputs"][0]["name"] == "map" and report["outputs"][0]["shape"][0] == "n"
    layers = {row["name"]: row["relative"] for row in report["parity"]["layers"]}
    assert {"body.0.conv", "body.0.norm", "body.0", "norm", "up", "head"} <= set(layers)
    assert max(layers.values()) < 1e-5 and report["parity"]["first"] is None


def test_outputs_of_a_dict_keep_their_names(tmp_path):
    report = export_model("shop:two", tmp_path / "m.onnx", size=16)
    assert [o["name"] for o in report["outputs"]] == ["boxes", "scores"]
    report = export_model("shop:ready", tmp_path / "m.onnx", size=16, batch=2)
    assert report["inputs"][0]["shape"] == [2, 3, 16, 16]


def test_newer_opsets_come_from_the_newer_exporter(tmp_path):
    pytest.importorskip("onnxscript")
    report = export_model("shop:net", tmp_path / "m.onnx", size=16, opset=21)
    assert kinds(tmp_path / "m.onnx")[0] == 21 and report["exporter"] == "dynamo"


def test_a_module_and_a_program_and_a_script_give_the_same(tmp_path):
    sys.path.insert(0, str(tmp_path))
    try:
        import shop
    finally:
        sys.path.remove(str(tmp_path))
    net = shop.net().eval()
    example = torch.zeros(1, 3, 16, 16)
    torch.export.save(torch.export.export(net, (example,)), str(tmp_path / "m.pt2"))
    torch.jit.trace(net, example).save(str(tmp_path / "m.ts"))
    import onnxruntime

    given = np.random.RandomState(0).rand(1, 3, 16, 16).astype(np.float32)
    results = []
    for source, size in ((net, 16), (tmp_path / "m.pt2", None), (tmp_path / "m.ts", 16)):
        out = tmp_path / "m.onnx"
        report = export_model(source, out, size=size, target="trt8.2")
        assert report["opset"] == 13
        session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
        results.append(session.run(None, {"images": given})[0])
    assert np.abs(results[0] - results[1]).max() < 1e-5
    assert np.abs(results[0] - results[2]).max() < 1e-5
    with pytest.raises(ModelError, match="fixed to its size"):
        export_model(tmp_path / "m.pt2", tmp_path / "x.onnx", size=32)


def weights(classes=4, seed=1):
    import importlib

    sys.path.insert(0, ".")
    try:
        shop = importlib.import_module("shop")
    finally:
        sys.path.remove(".")
    torch.manual_seed(seed)
    return shop.Net(classes).state_dict()


def test_a_checkpoint_is_read_wherever_it_keeps_its_weights(tmp_path):
    state = weights()
    for index, content in enumerate(
        (state, {"model": state, "epoch": 3}, {f"module.{k}": v for k, v in state.items()})
    ):
        torch.save(content, "w.pt")
        report = export_model("shop:net", tmp_path / f"{index}.onnx", size=16, checkpoint="w.pt")
        assert report["parity"]["torch"][0]["relative"] < 1e-5
    heads = [
        next(t for t in onnx.load(f"{i}.onnx").graph.initializer if t.name == "head.weight")
        for i in range(3)
    ]
    for head in heads:
        assert np.array_equal(onnx.numpy_helper.to_array(head), state["head.weight"].numpy())


def test_a_checkpoint_that_does_not_fit_is_told(tmp_path):
    state = weights()
    extra = {**state, "aux.weight": torch.zeros(2)}
    torch.save(extra, "extra.pt")
    report = export_model("shop:net", tmp_path / "m.onnx", size=16, checkpoint="extra.pt")
    assert "1 weights of the checkpoint are not in the model: aux.weight" in report["notes"]
    short = {k: v for k, v in state.items() if not k.startswith("head")}
    cases = {
        "lacks 2 of": short,
        "have another shape than in the model, first 'head.weight'": weights(classes=7),
        "holds no weights by name": {"epoch": 3},
        "holds more than weights": {"model": Unloadable()},
    }
    for told, content in cases.items():
        torch.save(content, "w.pt")
        with pytest.raises(ModelError, match=told):
            export_model("shop:net", tmp_path / "x.onnx", size=16, checkpoint="w.pt")
    with pytest.raises(ModelError, match="there is no checkpoint"):
        export_model("shop:net", tmp_path / "x.onnx", size=16, checkpoint="none.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(ModelError, match="cannot be read"):
        export_model("shop:net", tmp_path / "x.onnx", size=16, checkpoint="junk.pt")
    assert not (tmp_path / "x.onnx").exists()


class Unloadable:
    """What a checkpoint must not bring along: code that would run when it is read."""


@pytest.mark.parametrize(
    "source, error, told",
    [
        ("shop:branch", ModelError, "control flow at .* got If"),
        ("shop:odd", ModelError, "cannot be written as ONNX of opset 17: .*eigvalsh"),
        ("shop:noisy", ModelError, "onnxruntime does not give what torch gives"),
        ("shop:number", ModelError, "gives no model: got int"),
        ("shop:fails", ModelError, "shop:fails fails: got RuntimeError: no weights here"),
        ("shop:nett", UsageError, "Did you mean 'net'"),
        ("shopp:net", UsageError, "no module 'shopp'"),
        ("shop.py", UsageError, "there is no way to export"),
        ("none.pt2", ModelError, "there is no model"),
        ("w.pt", ModelError, "is no TorchScript file.*module:factory --checkpoint"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(tmp_path, capfd, source, error, told):
    if source == "w.pt":
        torch.save(weights(), "w.pt")
    with pytest.raises(error, match=told) as caught:
        export_model(source, tmp_path / "x.onnx", size=16)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.onnx").exists()
    assert capfd.readouterr() == ("", ""), "what exporters print is kept from the terminal"


def test_an_operator_too_new_for_the_target_is_told(tmp_path):
    assert export_model("shop:grid", tmp_path / "m.onnx", size=16, task="pose")["opset"] == 17
    with pytest.raises(ModelError, match="cannot be written as ONNX of opset 13"):
        export_model("shop:grid", tmp_path / "x.onnx", size=16, target="nano")


def test_the_size_must_be_said(tmp_path):
    with pytest.raises(UsageError, match="nothing says how large the input is"):
        export_model("shop:net", tmp_path / "x.onnx")
    with pytest.raises(ModelError, match="fails on its input"):
        export_model("shop:net", tmp_path / "x.onnx", shapes={"x": [1, 5, 8, 8]})


def test_half_precision_of_a_torch_model(tmp_path):
    report = export_model("shop:net", tmp_path / "m.onnx", size=16, precision="fp16", task="pose")
    assert report["fp16"]["half"] >= 3
    assert "LayerNormalization" in {
        n.op_type for n in onnx.load(str(tmp_path / "m.onnx")).graph.node
    }
    kept = " ".join(report["fp16"]["kept"].values())
    assert "sums or interpolates" in kept
    assert any("made-up pictures" in note for note in report["notes"])


def test_onnx_needs_no_torch(tmp_path, monkeypatch):
    export_model("shop:net", tmp_path / "m.onnx", size=16)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert export_model(tmp_path / "m.onnx", tmp_path / "o.onnx", precision="fp16")["fp16"]
    with pytest.raises(MissingDependency, match=r"edgelane\[export,cpu\]"):
        export_model("shop:net", tmp_path / "x.onnx", size=16)
