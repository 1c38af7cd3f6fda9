"""What a model needs to be fed and how its answer is read: the card inside an ONNX."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from .errors import ModelError, did_you_mean

METADATA_KEY = "edgelane"
"""The key of `metadata_props` that holds the card as JSON."""

RESIZES = ("letterbox", "centre", "stretch", "crop")
COLOURS = ("bgr", "rgb")
LAYOUTS = ("nchw", "nhwc")


@dataclass(frozen=True)
class InputSpec:
    """How a picture becomes the model's input.

    A value is `(pixel * scale - mean) / std`, channel by channel in the order of `colour`.

    Attributes:
        size: `(width, height)` of the input in pixels.
        layout: `nchw` or `nhwc`.
        colour: `bgr` or `rgb`.
        scale: Factor on 0..255 pixels, e.g. 1 or 1/255.
        mean: Three values, after the scale.
        std: Three values, after the scale.
        resize: `letterbox` keeps the ratio and pads right and bottom, `centre` keeps the ratio and
            pads on both sides, `stretch` does not keep the ratio, `crop` keeps it and cuts off on
            both sides what does not fit, as classifiers are fed.
        pad: Grey value 0..255 of the padding.
    """

    size: Tuple[int, int]
    layout: str = "nchw"
    colour: str = "rgb"
    scale: float = 1.0 / 255.0
    mean: Tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: Tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize: str = "letterbox"
    pad: int = 114

    def __post_init__(self) -> None:
        for name, known in (("resize", RESIZES), ("colour", COLOURS), ("layout", LAYOUTS)):
            value = getattr(self, name)
            if value not in known:
                raise ModelError(
                    f"model card: input.{name} is unknown",
                    got=repr(value),
                    remedy=did_you_mean(str(value), known),
                )
        for name, count in (("size", 2), ("mean", 3), ("std", 3)):
            try:
                values = tuple(getattr(self, name))
                good = len(values) == count and all(v == v for v in values)
            except TypeError:
                good = False
            if not good or (name != "mean" and min(values) <= 0):
                raise ModelError(
                    f"model card: input.{name} is wrong",
                    got=repr(getattr(self, name)),
                    expected=f"{count} numbers" + ("" if name == "mean" else " above 0"),
                )
            object.__setattr__(self, name, values)


@dataclass(frozen=True)
class ModelCard:
    """Everything a runtime must know about a model beyond its graph.

    Attributes:
        task: `detect`, `pose`, `classify` or `anomaly`.
        decoder: Name of the decoder, or `module:function`.
        input: How a picture becomes the input.
        classes: Names, by class id; empty where nothing says.
        confidence: Score below which a detection is dropped.
        nms_iou: Overlap above which the weaker of two boxes of a class is dropped; None for
            models that need no suppression.
        precision: `fp32`, `fp16` or `int8`.
        calibration: Hash of the calibration, or None.
        source: What it was trained on and where it comes from.
        licence: SPDX name, or None where nothing says.
        extra: What other rooms note: accuracy, attempts, skeleton.
    """

    task: str
    decoder: str
    input: InputSpec
    classes: Tuple[str, ...] = ()
    confidence: float = 0.3
    nms_iou: Optional[float] = 0.6
    precision: str = "fp32"
    calibration: Optional[str] = None
    source: Optional[str] = None
    licence: Optional[str] = None
    extra: Dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The card as JSON with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        """Read a card.

        Raises:
            ModelError: It is no JSON object, lacks a field or has an unknown one.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ModelError("model card is no JSON", got=str(error)) from None
        card = _build(cls, data, "model card")
        return dataclasses.replace(card, classes=tuple(str(c) for c in card.classes))


def _build(kind, data, where: str):
    if not isinstance(data, dict):
        raise ModelError(f"{where} is no object", got=type(data).__name__)
    known = {f.name: f for f in dataclasses.fields(kind)}
    for name in data:
        if name not in known:
            raise ModelError(f"{where}: unknown field {name!r}", remedy=did_you_mean(name, known))
    missing = [
        name
        for name, f in known.items()
        if name not in data
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ModelError(f"{where} lacks " + ", ".join(missing))
    values = dict(data)
    if "input" in values and kind is ModelCard:
        values["input"] = _build(InputSpec, values["input"], f"{where}: input")
    return kind(**values)
