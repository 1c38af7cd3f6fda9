"""Which family a model without a card belongs to, told from its outputs and never guessed."""

import dataclasses
from typing import Callable, Dict, List, Tuple

import numpy as np

from ...core import ModelError
from .base import Bound, Family, Signature, Unfit
from .registry import FAMILIES


def recognise(
    signature: Signature, probe: Callable[[], Dict[str, np.ndarray]]
) -> Tuple[Family, Bound]:
    """The one family whose layout fits.

    Names, shapes and dtypes decide, cross-checked with the input's size: the number of anchors
    must be the number of cells of the family's strides. Where several layouts share the shapes,
    the values that the model gives for a black picture decide, as far as they can.

    Args:
        signature: The model.
        probe: Runs the model on a black picture; called only where the shapes leave a choice.

    Raises:
        ModelError: No family fits, or more than one does.
    """
    fitting: List[Tuple[Family, Bound]] = []
    for family in FAMILIES.values():
        try:
            fitting.append((family, family.bind(signature)))
        except Unfit:
            continue
    if len(fitting) > 1:
        outputs = signature.probe or probe()
        signature = dataclasses.replace(signature, probe=outputs)
        plausible = [(f, b) for f, b in fitting if b.plausible(outputs)]
        fitting = plausible or fitting
    if len(fitting) == 1:
        return fitting[0]
    shapes = "; ".join(str(o) for o in signature.outputs)
    width, height = signature.size
    if fitting:
        names = [f.name for f, _ in fitting]
        raise ModelError(
            "the model's outputs fit more than one decoder: " + " and ".join(names),
            got=f"{shapes} for an input of {width}x{height}",
            remedy=f"say which: --decoder {names[0]}, or decoder: in the config",
        )
    raise ModelError(
        "no decoder fits the model's outputs",
        got=f"{shapes} for an input of {width}x{height}",
        expected="one of " + ", ".join(FAMILIES),
        remedy="name one with --decoder, or write your own: --decoder module:function",
    )
