"""How right a model is: average precision, agreement of detections, and how surely they differ."""

from .agreement import Agreement, agreement, compare, frames
from .boxes import evaluate_boxes
from .dataset import Dataset, Picture, load_coco
from .evaluation import Evaluation, Interval, paired_interval
from .measure import evaluate

__all__ = [
    "Agreement",
    "Dataset",
    "Evaluation",
    "Interval",
    "Picture",
    "agreement",
    "compare",
    "evaluate",
    "evaluate_boxes",
    "frames",
    "load_coco",
    "paired_interval",
]
