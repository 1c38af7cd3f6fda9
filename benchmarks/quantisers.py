"""One quantiser in a process of its own: seconds, processor seconds and peak memory.

    python -m edgelane.benchmarks.quantisers '{"quantiser": "entropy", "model": …, "images": …}'

`edgelane` is ours, `edgelane/percentile` ours with that method for every tensor; `minmax`,
`entropy` and `percentile` are onnxruntime's `quantize_static` with the settings that come nearest
to what TensorRT takes. All are fed with the same pictures, preprocessed alike. What is read and
prepared before (libraries, onnxruntime's own `quant_pre_process`, the change to operators of
version 13) is not timed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np

from ..calibration.calibrate import calibrate
from ..calibration.feeds import Feeds, open_feeds
from ..calibration.graph import read_model, write_model
from ..core.card import METADATA_KEY
from ..runtime.onnx_metadata import write_metadata

RIVALS = ("minmax", "entropy", "percentile")
TYPES = ["Conv", "Add", "MaxPool", "MatMul", "Gemm"]


def measure(quantiser: str, **job: Any) -> Dict[str, Any]:
    """Run one quantiser in a process of its own.

    Args:
        quantiser: `edgelane`, `edgelane/METHOD`, or one of `RIVALS`.
        job: `model`, `images`, `out`, `count`, and for poses `labels`.

    Returns:
        `seconds`, `processor_seconds`, `peak_mb` of the whole process and `base_mb` before it
        began; or `error`, what the quantiser said when it failed.
    """
    command = [sys.executable, "-m", __name__, json.dumps({"quantiser": quantiser, **job})]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        said = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
        return {"error": said[:200]}
    return json.loads(lines[-1])


class Reader:
    """Feeds as onnxruntime's calibrators take them."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self.rewind()

    def rewind(self) -> None:
        """Begin anew."""
        self._left: Iterator[Dict[str, np.ndarray]] = iter(self._feeds)

    def get_next(self) -> Optional[Dict[str, np.ndarray]]:
        """The next picture, None at the end."""
        return next(self._left, None)


def prepared(model: Path, folder: Path) -> Path:
    """The model as onnxruntime's guide asks for: batch norms folded, shapes inferred."""
    from onnx import version_converter
    from onnxruntime.quantization.shape_inference import quant_pre_process

    proto = read_model(model)
    if max(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")) < 13:
        proto = version_converter.convert_version(proto, 13)
    raised, ready = folder / "raised.onnx", folder / "ready.onnx"
    write_model(proto, raised)
    quant_pre_process(str(raised), str(ready), skip_symbolic_shape=True)
    return ready


def rival(kind: str, model: Path, feeds: Feeds, out: Path) -> None:
    """onnxruntime's quantiser, with the settings that come nearest to what TensorRT takes."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }
    quantize_static(
        str(model),
        str(out),
        Reader(feeds),  # type: ignore[arg-type]
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=TYPES,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=methods[kind],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "AddQDQPairToWeight": True,
            "DedicatedQDQPair": True,
            "QDQKeepRemovableActivations": True,
            "ForceQuantizeNoInputCheck": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": TYPES,
            "QDQOpTypePerChannelSupportToAxis": {"Conv": 0, "ConvTranspose": 1},
        },
    )


def _memory(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return float("nan")


def main(arguments: Optional[List[str]] = None) -> int:
    """Do one job and print what it cost as JSON."""
    job = json.loads((arguments or sys.argv[1:])[0])
    quantiser, model, out = job["quantiser"], Path(job["model"]), Path(job["out"])
    options = {k: job[k] for k in ("count", "labels") if job.get(k) is not None}
    import onnx  # noqa: F401 - loaded before the clock starts, for both
    import onnxruntime  # noqa: F401

    name, _, method = quantiser.partition("/")
    if name == "edgelane":
        before, base = time.perf_counter(), _memory("VmRSS")
        began = sum(os.times()[:4])
        calibrate(
            model,
            job["images"],
            out,
            job.get("cache"),
            statistics=False,
            method=method or "auto",
            **options,
        )
    else:
        with tempfile.TemporaryDirectory() as folder:
            ready = prepared(model, Path(folder))
            feeds = open_feeds(model, job["images"], **options)
            before, base = time.perf_counter(), _memory("VmRSS")
            began = sum(os.times()[:4])
            rival(quantiser, ready, feeds, out)
    seconds, processor = time.perf_counter() - before, sum(os.times()[:4]) - began
    if name != "edgelane":
        write_metadata(out, {METADATA_KEY: feeds.card.to_json()})
    cost = {
        "seconds": seconds,
        "processor_seconds": processor,
        "peak_mb": _memory("VmHWM"),
        "base_mb": base,
    }
    print(json.dumps(cost))
    return 0


if __name__ == "__main__":
    sys.exit(main())
