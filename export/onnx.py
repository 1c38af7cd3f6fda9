"""A torch module as an ONNX with its card inside, checked against torch before it is there."""

import importlib
import tempfile
import warnings
from pathlib import Path
from typing import Any, Tuple

import numpy as np

from ..core import MissingDependency, ModelCard, ModelError
from ..core.card import METADATA_KEY
from ..runtime.files import write_whole
from ..runtime.onnx_metadata import write_metadata

OPSET = 13
"""The oldest that holds all that is used: TensorRT 8 reads it, as any onnxruntime does."""

TOLERANCE = 1e-4
"""Largest difference between torch and onnxruntime, in units of the output."""


def export_onnx(
    module: Any, path: Path, card: ModelCard, *, batch: int = 1, opset: int = OPSET
) -> float:
    """Write a torch module that takes one picture tensor and gives one tensor.

    The file stands there only when it has passed: the graph is well formed, and onnxruntime
    gives what torch gives.

    Args:
        module: A `torch.nn.Module` in float32; exported as in `eval()`.
        path: The file to write.
        card: Goes into the file; its input's size is the graph's.
        batch: Pictures a run; 0 leaves it open.
        opset: ONNX operator set.

    Returns:
        The largest absolute difference between torch and onnxruntime.

    Raises:
        ModelError: The graph is not valid, or its numbers are not those of torch.
        MissingDependency: torch, onnx or onnxruntime is not installed.
        StorageError: The file cannot be written.
    """
    torch, onnx = _load("torch"), _load("onnx")
    module = module.eval().cpu()
    width, height = card.input.size
    shape = (batch or 2, 3, height, width)
    example = torch.from_numpy(_picture(shape, card))
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracing exporter is to stay for these operators
            torch.onnx.export(
                module,
                (example,),
                str(draft),
                input_names=["images"],
                output_names=["output"],
                opset_version=opset,
                dynamic_axes=None if batch else {"images": {0: "n"}, "output": {0: "n"}},
                dynamo=False,
            )
        try:
            onnx.checker.check_model(onnx.load(str(draft)), full_check=True)
        except onnx.checker.ValidationError as error:
            raise ModelError("the exported graph is not valid", got=str(error)) from None
        write_metadata(draft, {METADATA_KEY: card.to_json()})
        difference = parity(module, draft, shape, card)
        if not difference <= TOLERANCE:
            raise ModelError(
                "onnxruntime does not give what torch gives",
                got=f"a difference of {difference:g}",
                expected=f"at most {TOLERANCE:g}",
                remedy="export the module in float32, with its batch norms folded",
            )
        write_whole(Path(path), draft.read_bytes())
    return difference


def parity(module: Any, path: Path, shape: Tuple[int, ...], card: ModelCard) -> float:
    """The largest absolute difference between a module and an ONNX of it, over three pictures.

    Args:
        module: The torch module.
        path: The ONNX.
        shape: `(n, 3, h, w)` of the input.
        card: Says what values the input takes.
    """
    torch, runtime = _load("torch"), _load("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    worst = 0.0
    for seed in range(3):
        tensor = _picture(shape, card, seed)
        with torch.no_grad():
            wanted = module(torch.from_numpy(tensor)).numpy()
        got = session.run(None, {name: tensor})[0]
        if wanted.shape != got.shape or not np.isfinite(got).all():
            return float("inf")
        worst = max(worst, float(np.abs(wanted - got).max()))
    return worst


def _picture(shape: Tuple[int, ...], card: ModelCard, seed: int = 0) -> np.ndarray:
    """A tensor of the values that a picture has: patches of colour with noise."""
    rng = np.random.RandomState(seed)
    n, channels, height, width = shape
    patches = rng.uniform(0, 255, (n, channels, height // 16 + 1, width // 16 + 1))
    pixels = np.kron(patches, np.ones((1, 1, 16, 16)))[:, :, :height, :width]
    pixels = np.clip(pixels + rng.normal(0, 10, pixels.shape), 0, 255)
    mean = np.reshape(card.input.mean, (1, 3, 1, 1))
    std = np.reshape(card.input.std, (1, 3, 1, 1))
    return ((pixels * card.input.scale - mean) / std).astype(np.float32)


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingDependency(
            f"exporting needs {name}", remedy="run: pip install 'edgelane[export,cpu]'"
        ) from None
