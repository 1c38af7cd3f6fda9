"""A classifier of parts of the picture, as a run's first model: it leaves the whole picture be."""

from typing import Any, Optional, Tuple

import numpy as np

from ...core import Detections
from .model import Classifier


class PartsOnly:
    """Stands where a run's first model stands, and finds nothing; see `second`.

    Args:
        second: The classifier, which the pipeline asks about parts.
    """

    def __init__(self, second: Classifier) -> None:
        self.second = second
        self.card = second.card
        self.classes = second.classes

    def preprocess(self, image: np.ndarray) -> Tuple[None, None]:
        """Nothing."""
        return None, None

    def infer(self, tensor: Any) -> None:
        """Nothing."""

    def postprocess(self, outputs: Any, transform: Optional[Any]) -> Detections:
        """No detections."""
        return Detections.empty()

    def close(self) -> None:
        """Let go of the classifier's memory."""
        self.second.close()

    def __enter__(self) -> "PartsOnly":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()
