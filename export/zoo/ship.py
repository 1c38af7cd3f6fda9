"""From a checkpoint to the ONNX that is shipped."""

from pathlib import Path
from typing import Any, Dict, Optional

import torch

from ...core import InputSpec, ModelCard, UsageError
from ..onnx import export_onnx
from .model import SIZE, Detector, fused, parameters

CONFIDENCE = 0.4
NMS_IOU = 0.6
SOURCE = (
    "edgelane, trained from scratch on rendered scenes alone (synth://store, seeds from 1000000), "
    "with random light, textures, scales and hidden parts; never on a photograph"
)


def card_of(extra: Optional[Dict[str, Any]] = None) -> ModelCard:
    """The card of the detector of people."""
    spec = InputSpec(size=SIZE, colour="bgr", scale=1.0, resize="letterbox", pad=114)
    return ModelCard(
        task="detect",
        decoder="yolox",
        input=spec,
        classes=("person",),
        confidence=CONFIDENCE,
        nms_iou=NMS_IOU,
        source=SOURCE,
        licence="Apache-2.0",
        extra=dict(extra or {}),
    )


def ship(folder: Path, path: Optional[Path] = None, extra: Optional[Dict[str, Any]] = None) -> str:
    """Export the running mean of a training's weights.

    Args:
        folder: Of the training.
        path: The file to write; `model.onnx` in the folder by default.
        extra: For the card, e.g. how right it is.

    Returns:
        A line that says what was written.
    """
    checkpoint = folder / "checkpoint.pt"
    if not checkpoint.exists():
        raise UsageError(f"{checkpoint} does not exist", remedy="train first")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = Detector()
    model.load_state_dict(state["mean"])
    notes = {
        "parameters": parameters(model),
        "steps": state["step"],
        "training_minutes": round(state["seconds"] / 60, 1),
        "seed": state["seed"],
        **(extra or {}),
    }
    path = path or folder / "model.onnx"
    difference = export_onnx(fused(model), path, card_of(notes))
    size = path.stat().st_size
    return f"{path}: {size:,} bytes, differs from torch by at most {difference:.1e}"
