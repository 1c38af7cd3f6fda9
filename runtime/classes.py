"""Names of the classes that models were commonly trained on, and names that a file carries."""

import ast
from typing import Dict, Optional, Tuple

COCO_80: Tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""The 80 classes of COCO in the order of their category ids."""

COCO_IDS: Tuple[int, ...] = tuple(
    i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
)
"""The category id in COCO's annotations of each of the 80 classes."""


def _coco_91() -> Tuple[str, ...]:
    names = dict(zip(COCO_IDS, COCO_80))
    return tuple(names.get(i, f"unused_{i}") for i in range(91))


COCO_91: Tuple[str, ...] = _coco_91()
"""COCO's classes at the index of their category id, with the ids that COCO never used."""


def class_names(count: Optional[int], metadata: Dict[str, str]) -> Tuple[str, ...]:
    """Names for the classes of a model without a card.

    Args:
        count: How many classes the outputs tell apart, if they do.
        metadata: What the file says about itself; `names` may hold a dict or list as Python text.

    Returns:
        The names in the metadata if their number fits, those of COCO for 80 or 91 classes,
        `class_0` and so on otherwise; `person` alone is not assumed for one class. Empty where
        nothing tells how many there are.
    """
    names = _metadata_names(metadata.get("names", ""))
    if names and (count is None or len(names) == count):
        return names
    if count is None:
        return ()
    if count == 80:
        return COCO_80
    if count == 91:
        return COCO_91
    return tuple(f"class_{i}" for i in range(count))


def count_in_metadata(metadata: Dict[str, str]) -> Optional[int]:
    """How many classes the file names, or None where it names none."""
    return len(_metadata_names(metadata.get("names", ""))) or None


def _metadata_names(text: str) -> Tuple[str, ...]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(value, (list, tuple)):
        return tuple(str(v) for v in value)
    if isinstance(value, dict) and value:
        try:
            by_id = {int(k): str(v) for k, v in value.items()}
        except (TypeError, ValueError):
            return ()
        if min(by_id) >= 0 and max(by_id) < 100_000:
            return tuple(by_id.get(i, f"class_{i}") for i in range(max(by_id) + 1))
    return ()
