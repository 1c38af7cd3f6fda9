"""The known families by name, and decoders of the user's own."""

from typing import Any, Dict, Optional, Tuple

import numpy as np

from ...core import ModelError, UsageError, did_you_mean
from ..named import import_named
from .base import Bound, DecodeFunction, Family, Request, Rows, Signature, Unfit
from .boxes_scores import DAMO, PICODET
from .detr import DFINE, RFDETR, RTDETR
from .fastestdet import FASTESTDET
from .nanodet import NANODET, NANODET_PLUS, NANODET_TABLE, PICODET_RAW
from .suppressed import SUPPRESSED
from .yolo import END_TO_END, YOLOV5, YOLOV8
from .yolov9 import YOLOV9
from .yolox import YOLOV6, YOLOX, YOLOX_DECODED

FAMILIES: Dict[str, Family] = {
    family.name: family
    for family in (
        YOLOX,
        YOLOX_DECODED,
        YOLOV6,
        YOLOV5,
        YOLOV8,
        END_TO_END,
        NANODET,
        NANODET_TABLE,
        NANODET_PLUS,
        PICODET,
        PICODET_RAW,
        FASTESTDET,
        RTDETR,
        RFDETR,
        DFINE,
        DAMO,
        SUPPRESSED,
        YOLOV9,
    )
}


def find_family(name: str) -> Family:
    """The family of this name.

    Raises:
        UsageError: There is none.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    raise UsageError(f"there is no decoder {name!r}", remedy=did_you_mean(name, FAMILIES))


def bind_decoder(name: str, signature: Signature) -> Tuple[Optional[Family], Bound]:
    """The decoder of this name for a model.

    Args:
        name: A family's name, or `module:function` for one of the user's own, which is called
            with the outputs of one picture by name and a `Request`, and returns boxes `(k, 4)`
            as left, top, right, bottom in pixels of the model's input, scores `(k,)` and class
            ids `(k,)`. The module is also looked for in the current folder.
        signature: The model.

    Returns:
        The family, None for the user's own, and the bound decoder.

    Raises:
        UsageError: There is no decoder of this name.
        ModelError: The family's layout does not fit the model.
    """
    if ":" in name:
        return None, Bound(_load(name))
    family = find_family(name)
    try:
        return family, family.bind(signature)
    except Unfit as reason:
        raise ModelError(
            f"decoder {name!r} does not fit this model, {reason}",
            got="; ".join(str(o) for o in signature.outputs),
            expected=family.layout,
        ) from None


def _load(name: str) -> DecodeFunction:
    module_name, _, function_name = name.partition(":")
    module = import_named(module_name, f"decoder {name!r}")
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(
            f"decoder {name!r}: {module_name} has no function {function_name!r}",
            remedy=did_you_mean(function_name, (n for n in vars(module) if not n.startswith("_"))),
        )

    def decode(outputs: Dict[str, np.ndarray], request: Request) -> Rows:
        answer: Any = function(outputs, request)
        try:
            boxes, scores, classes = answer
            boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
            scores = np.asarray(scores, np.float32).reshape(-1)
            classes = np.asarray(classes, np.int64).reshape(-1)
        except (TypeError, ValueError) as error:
            raise _bad_answer(name, str(error)) from None
        if not len(boxes) == len(scores) == len(classes):
            raise _bad_answer(name, f"{len(boxes)}, {len(scores)} and {len(classes)} of them")
        wanted = ~(scores < request.confidence)
        if request.keep is not None:
            wanted &= np.isin(classes, request.keep)
        return Rows(boxes[wanted], scores[wanted], classes[wanted])

    return decode


def _bad_answer(name: str, got: str) -> ModelError:
    return ModelError(
        f"decoder {name!r} gave something else than boxes",
        got=got,
        expected="boxes (k, 4), scores (k,) and class ids (k,)",
    )
