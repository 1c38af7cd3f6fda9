"""The limit of a trained classifier, from good parts."""

from typing import Any, Dict, Sequence, Tuple

from ...pipelines.quality.threshold import Threshold, upper_threshold
from ...runtime.inspect.judging.classifying import Classifying
from ...runtime.inspect.recipe.config import ClassifierCheck, LoadedRecipe
from .parts import Sample


def learn_classifier(
    recipe: LoadedRecipe, check: ClassifierCheck, parts: Sequence[Sample], rate: float
) -> Tuple[Dict[str, Any], Threshold]:
    """The check with its limit, and the threshold of what is not good."""
    model = Classifying(check, recipe)
    try:
        scores = [1.0 - model.good(p.look.image) for p in parts]
    finally:
        model.close()
    threshold = upper_threshold(scores, rate, logarithmic=True)
    least = check.least
    if least is None:
        least = round(max(1.0 - threshold.value, 0.05), 5)
    return {"model": check.model, "good": list(check.good), "least": least}, threshold
