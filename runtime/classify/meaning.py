"""What the numbers of a classifier's output are, told from its graph or its values, never guessed.

A decoder's name says two things: whether one class is there or any number of them, and whether
the graph has made probabilities of its numbers already.
"""

from typing import Dict, NamedTuple, Optional, Sequence

import numpy as np

from ...core import ModelError, UsageError, did_you_mean


class Meaning(NamedTuple):
    """How scores come from a classifier's numbers.

    Attributes:
        name: What a card's `decoder` calls it.
        multi: Whether any number of classes may be there at once.
        given: What the graph made of its numbers: `softmax`, `sigmoid`, `log-softmax`, `logits`.
    """

    name: str
    multi: bool
    given: str

    def scores(self, numbers: np.ndarray) -> np.ndarray:
        """`(n, classes)` float32 of 0..1; a number that is none stays none."""
        values = numbers.astype(np.float64)
        with np.errstate(all="ignore"):
            if self.given == "log-softmax":
                values = np.exp(values)
            elif self.given == "logits" and self.multi:
                values = 1.0 / (1.0 + np.exp(-np.clip(values, -80, 80)))
            elif self.given == "logits":
                values = np.exp(values - values.max(axis=1, keepdims=True))
                values /= values.sum(axis=1, keepdims=True)
        return np.clip(values, 0, 1).astype(np.float32)

    def logits(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers before softmax or sigmoid, up to what is the same for all classes."""
        values = numbers.astype(np.float64)
        with np.errstate(all="ignore"):
            if self.given == "softmax":
                return np.where(values > 1e-6, np.log(values), np.nan)
            if self.given == "sigmoid":
                sound = (values > 1e-6) & (values < 1 - 1e-6)
                return np.where(sound, np.log(values) - np.log1p(-values), np.nan)
        return values


MEANINGS: Dict[str, Meaning] = {
    "softmax": Meaning("softmax", False, "softmax"),
    "logits": Meaning("logits", False, "logits"),
    "log-softmax": Meaning("log-softmax", False, "log-softmax"),
    "sigmoid": Meaning("sigmoid", True, "sigmoid"),
    "multi-label": Meaning("multi-label", True, "logits"),
}
"""By the name of the decoder. `softmax`, `log-softmax` and `sigmoid` are what the graph has made
of its numbers; `logits` become a softmax, and with `multi-label` a sigmoid."""

OPEN = ("", "none", "argmax", "classify")
"""Names on cards that say nothing about it."""


def find_meaning(
    wanted: Optional[str], ends: Optional[str], answers: Sequence[np.ndarray], where: str
) -> Meaning:
    """What a classifier's numbers are.

    Args:
        wanted: The decoder that the user or the card names, or None.
        ends: What the graph ends with, see `head.ending`; None where it cannot be read.
        answers: `(classes,)` numbers for a few pictures.
        where: What errors call the model.

    Raises:
        UsageError: There is no such decoder.
        ModelError: What is wanted does not fit, or the values do not tell.
    """
    values = np.stack([np.asarray(a, np.float64).reshape(-1) for a in answers])
    shown = _by_values(values)
    # A softmax may be written with other operators; logits add up to 1 by no chance.
    found = "softmax" if shown == "softmax" and ends in (None, "logits") else ends or shown
    if wanted and wanted not in OPEN:
        if wanted not in MEANINGS:
            raise UsageError(
                f"there is no decoder {wanted!r} of classifiers",
                remedy=did_you_mean(wanted, MEANINGS),
            )
        meaning = MEANINGS[wanted]
        if wanted == "multi-label" and found == "sigmoid":
            return MEANINGS["sigmoid"]  # what is asked for has been done
        if wanted == "sigmoid" and found == "logits":
            return MEANINGS["multi-label"]
        if wanted == "softmax" and found == "logits":
            return MEANINGS["logits"]
        if found is not None and meaning.given != found:
            raise ModelError(
                f"decoder {wanted!r} does not fit {where}",
                got=f"an output of {_WORDS[found]}",
                expected=_WORDS[meaning.given],
                remedy=f"leave the decoder out, or name {found!r}",
            )
        return meaning
    if found is None:
        raise ModelError(
            f"nothing tells whether the scores of {where} are probabilities",
            got=f"numbers from {np.nanmin(values):.3g} to {np.nanmax(values):.3g} that do not add "
            "up to 1",
            expected="a softmax, or numbers that leave 0..1",
            remedy="say which with decoder: sigmoid, or decoder: logits",
        )
    return MEANINGS[found]


_WORDS = {
    "softmax": "probabilities that add up to 1",
    "sigmoid": "probabilities, each on its own",
    "log-softmax": "logarithms of probabilities",
    "logits": "numbers that are no probabilities yet",
}


def _by_values(values: np.ndarray) -> Optional[str]:
    """What the numbers for a few pictures show; None where they may be two things."""
    if not np.isfinite(values).all():
        return "logits"
    if (values < -1e-3).any() or (values > 1 + 1e-3).any():
        logarithms = (values <= 1e-6).all() and np.allclose(
            np.exp(values).sum(axis=1), 1, atol=1e-3
        )
        return "log-softmax" if logarithms else "logits"
    return "softmax" if np.allclose(values.sum(axis=1), 1, atol=5e-3) else None
