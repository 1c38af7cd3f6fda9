"""The linter on real models: ours are clean, and what is known of others' output is found."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
# Imported here: later the folder tests/packaging stands before the library of that name.
quantization = pytest.importorskip("onnxruntime.quantization")

from edgelane.calibration.fold import fold  # noqa: E402
from edgelane.calibration.lint import count, lint  # noqa: E402
from edgelane.calibration.quantise import quantise  # noqa: E402


class Ranges(dict):
    """A range for any tensor, each its own."""

    def get(self, name, default=None):
        return 1.0 + sum(name.encode()) % 97 / 10


MODELS = ("yolox_nano_416", "fastestdet", "nanodet_m_416", "picodet_s_320_pedestrian")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", [*MODELS, "tinypose_128x96"])
def test_real_models_as_the_calibrator_writes_them_are_clean(data, name):
    model = quantise(fold(onnx.load(data / "weights" / f"{name}.onnx")), Ranges())
    assert lint(model) == []


@pytest.mark.data
@pytest.mark.slow
def test_the_known_faults_of_onnxruntimes_output_are_found(data, tmp_path):
    source = str(data / "weights" / "yolox_nano_416.onnx")

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            rng = np.random.default_rng(0)
            shape = (1, 3, 416, 416)
            self.left = [{"images": rng.uniform(0, 255, shape).astype(np.float32)}]

        def get_next(self):
            return self.left.pop() if self.left else None

    usual, like_trt = str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")
    quantization.quantize_static(source, usual, Reader())
    counts = count(lint(usual))
    found = {f.rule for f in lint(usual)}
    assert {
        "zero-point", "bias", "split", "float-operator", "graph-output", "per-tensor", "head",
        "residual", "unshared",
    } <= found  # fmt: skip
    assert counts["error"] > 100
    kinds = ["Conv", "Add", "MaxPool", "MatMul", "Gemm", "Concat"]
    quantization.quantize_static(
        source,
        like_trt,
        Reader(),
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=kinds,
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "AddQDQPairToWeight": True,
            "DedicatedQDQPair": True,
            "QDQKeepRemovableActivations": True,
            "ForceQuantizeNoInputCheck": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": kinds,
            "QDQOpTypePerChannelSupportToAxis": {"Conv": 0, "ConvTranspose": 1},
        },
    )
    found = [f.rule for f in lint(like_trt)]
    assert found.count("residual") == 7  # both inputs of every shortcut of the backbone
    assert {"unshared", "opset", "head"} <= set(found)
    assert not {"zero-point", "bias", "split", "graph-output", "per-tensor"} & set(found)
