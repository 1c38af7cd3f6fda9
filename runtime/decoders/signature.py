"""Which family a model without a card belongs to, told from its outputs and never guessed."""

import dataclasses
from typing import Callable, Dict, List, Tuple

import numpy as np

from ...core import ModelError
from .base import Bound, Family, Signature, Unfit
from .registry import FAMILIES


def recognise(
    signature: Signature,
    probe: Callable[[], Dict[str, np.ndarray]],
    where: str = "the model",
) -> Tuple[Family, Bound]:
    """The one family whose layout fits.

    Names, shapes and dtypes decide, cross-checked with the input's size: the number of anchors
    must be the number of cells of the family's strides. The values that the model gives for a
    black picture must look like that layout too, which tells apart layouts of the same shape.

    Args:
        signature: The model.
        probe: Runs the model on a black picture; called once where a layout fits.
        where: What to call the model in an error, e.g. its path.

    Raises:
        ModelError: No family fits, or more than one does.
    """
    fitting = _fitting(signature)
    if fitting and signature.probe is None:
        signature = dataclasses.replace(signature, probe=probe())
        fitting = _fitting(signature)  # some outputs are told apart by their values
    outputs = signature.probe or {}
    plausible = [(f, b) for f, b in fitting if b.plausible(outputs)]
    if len(plausible) == 1:
        return plausible[0]
    shapes = "; ".join(str(o) for o in signature.outputs)
    width, height = signature.size
    got = f"{shapes} for an input of {width}x{height}"
    remedy = "--decoder {}, or decoder: in the config"
    if len(plausible or fitting) > 1:
        names = [f.name for f, _ in plausible or fitting]
        raise ModelError(
            f"the outputs of {where} fit more than one decoder, " + " and ".join(names),
            got=got,
            remedy="say which: " + remedy.format(names[0]),
        )
    if fitting:
        name = fitting[0][0].name
        raise ModelError(
            f"the outputs of {where} have the shapes of {name}, but not its values",
            got=got + ", for a black picture scores outside 0..1 or no numbers at all",
            expected=fitting[0][0].layout,
            remedy="if it is that model all the same, say so: " + remedy.format(name),
        )
    raise ModelError(
        f"no decoder fits the outputs of {where}",
        got=got,
        expected="one of " + ", ".join(FAMILIES),
        remedy="name one with --decoder, or write your own: --decoder module:function",
    )


def _fitting(signature: Signature) -> List[Tuple[Family, Bound]]:
    found = []
    for family in FAMILIES.values():
        try:
            found.append((family, family.bind(signature)))
        except Unfit:
            continue
    return found
