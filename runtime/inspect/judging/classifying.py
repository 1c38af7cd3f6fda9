"""A trained classifier as a check of a recipe."""

from typing import Any, List, Tuple

import numpy as np

from ....core import ConfigError, ModelError, did_you_mean
from ....core.verdict import Reason
from ..recipe.config import ClassifierCheck, LoadedRecipe


class Classifying:
    """The classifier of a recipe.

    Args:
        check: The recipe's check.
        recipe: Tells where the model lies.
        threads: Of a call.

    Raises:
        ConfigError: A class of good parts is none of the model's.
        ModelError: The model cannot be loaded, or is no classifier.
    """

    def __init__(self, check: ClassifierCheck, recipe: LoadedRecipe, threads: int = 1) -> None:
        from ...classify import load_classifier

        self._model: Any = load_classifier(str(recipe.path(check.model)), threads=threads)
        self._where = check.model
        names = list(self._model.card.classes)
        for name in check.good:
            if name not in names:
                self.close()
                raise ConfigError(
                    f"checks.classifier.good: {name!r} is no class of {check.model}",
                    remedy=did_you_mean(name, names),
                )
        if not check.good:
            self.close()
            raise ConfigError("checks.classifier.good names no class", expected=", ".join(names))
        self._good = [names.index(name) for name in check.good]
        self._least = 0.5 if check.least is None else check.least
        self.names = names

    def good(self, image: np.ndarray) -> float:
        """What the classes of good parts add up to, 0..1.

        Raises:
            ModelError: The model answers with what is no number.
        """
        good = float(np.asarray(self._model(image), np.float64)[self._good].sum())
        if not np.isfinite(good):
            raise ModelError(
                f"{self._where} answers with what is no number", got=f"scores of {good}"
            )
        return float(np.clip(good, 0, 1))

    def judge(self, image: np.ndarray) -> Tuple[List[Reason], float]:
        """The reason, and a score that is one half at the limit."""
        good = self.good(image)
        text = "what the classes of good parts add up to"
        least = self._least
        bad, limit = 1 - good, max(1 - least, 1e-6)
        score = 0.5 * bad / limit if bad <= limit else 1 - 0.5 * (1 - bad) / max(1 - limit, 1e-6)
        return [Reason("classifier", good, low=least, text=text)], float(np.clip(score, 0, 1))

    def close(self) -> None:
        """Let go of the model."""
        self._model.close()
