"""The inspector: the first model of an inspection's run, from pictures to judged parts."""

import gc
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from ....core import Detections
from ....core.card import InputSpec, ModelCard
from ....core.verdict import PASS, Reason
from ...config import Config
from ..recipe.config import load_recipe
from .conditions import picture_light
from .judge import Judge, Judged

DRIFT, STEPS = 0.03, 3.0  # share of the light, and grey levels, that are no drift


@dataclass(frozen=True)
class Findings:
    """What the inspector made of a picture; `Observation.findings` of an inspection.

    Attributes:
        parts: Each judged, from the left.
        problems: What is wrong with the picture itself.
        identity: Recipe, version, hashes.
        light: Grey level of the ground, and the least and most that is as when taught.
        detections: The parts as boxes; the class tells whether one passes (0), fails (1) or is
            unsure (2).
    """

    parts: Tuple[Judged, ...]
    problems: Tuple[Reason, ...] = ()
    identity: Mapping[str, Any] = field(default_factory=dict)
    light: Optional[Tuple[float, float, float]] = None

    @property
    def detections(self) -> Detections:
        """The parts as boxes."""
        if not self.parts:
            return Detections.empty()
        verdicts = [VERDICTS.index(p.verdict.verdict) for p in self.parts]
        scores = [0.0 if p.verdict.score is None else p.verdict.score for p in self.parts]
        return Detections(
            np.array([p.xyxy for p in self.parts], np.float32),
            np.array(scores, np.float32),
            np.array(verdicts, np.int64),
        )


VERDICTS = (PASS, "fail", "unsure")


class Inspector:
    """What `run_loop` takes as a model; a context, safe to call from several threads.

    Args:
        config: A recipe's.
        threads: Of learnt models, a call.

    Raises:
        EdgelaneError: The recipe is not taught, or a file of it cannot be used.
    """

    classes = VERDICTS

    def __init__(self, config: Config, threads: int = 1) -> None:
        self.recipe = load_recipe(config)
        self._judge = Judge(self.recipe, threads)
        self._identity = self.recipe.identity()
        taught = self.recipe.settings.taught.get("picture") or (640, 480)
        spec = InputSpec((int(taught[0]), int(taught[1])), layout="nhwc", colour="bgr", scale=1.0)
        self.card = ModelCard("inspect", "inspection", spec, VERDICTS, 0.0, None)

    def facts(self) -> Dict[str, Any]:
        """What the summary tells of it."""
        return {**self._identity, "checks": list(self.recipe.settings.checks.names)}

    def preprocess(self, image: np.ndarray) -> Tuple[np.ndarray, None]:
        """The picture as it is."""
        return image, None

    def infer(self, image: np.ndarray) -> Findings:
        """The picture's parts, judged."""
        parts, problems = self._judge.judge(image)
        return Findings(parts, problems, self._identity, self._light(image))

    def _light(self, image: np.ndarray) -> Optional[Tuple[float, float, float]]:
        taught = self.recipe.settings.taught.get("lights")
        if not taught:
            return None
        low, high = (float(v) for v in taught)
        low, high = min(low * (1 - DRIFT), low - STEPS), max(high * (1 + DRIFT), high + STEPS)
        return picture_light(image), low, high

    def postprocess(self, findings: Findings, transform: None) -> Findings:
        """As they are."""
        return findings

    def __enter__(self) -> "Inspector":
        self._judge.warm()
        # What is loaded stays: the collector, which looks through all that lives whenever much was
        # made, would hold up a verdict for as long as all others take together.
        gc.collect()
        gc.freeze()
        return self

    def __exit__(self, *error: object) -> None:
        self._judge.close()
        gc.unfreeze()
