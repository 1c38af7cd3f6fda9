"""Two ways to judge a place by its features, both by numpy alone.

`statistics`: how far from the good parts' mean, in units of how they vary (Mahalanobis; place by
place where parts lie still, as in PaDiM, Defard et al. 2021). `discriminator`: what tells good
places from made-up and known defects, learnt.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .features import Features, against_mean
from .perceptron import Layer, fit, forward
from .tape import Ref, Tape

RIDGE = 0.02
STILL = 0.7
"""Share of the variance left within places up to which parts count as lying still."""

BATCH, EPOCHS, STEPS = 512, 30, 20_000


class Looked(NamedTuple):
    """A picture as it is learnt from.

    Attributes:
        values: `(c, gh, gw)` float16 or float32 features.
        valid: `(gh, gw)` bool.
        defect: `(gh, gw)` bool, or None where the part is good.
        weight: How much it counts.
    """

    values: np.ndarray
    valid: np.ndarray
    defect: Optional[np.ndarray] = None
    weight: float = 1.0


class Usual(NamedTuple):
    """What good parts look like place by place: mean and spread `(c, gh, gw)`."""

    mean: np.ndarray
    std: np.ndarray


def usual_places(good: Sequence[Looked]) -> Usual:
    """Mean and spread by place."""
    mean, within = _by_place(good)
    count = float(len(good))
    # Few parts: a place's spread leans on what is usual over all places.
    spread = (within * count + within.mean(axis=(1, 2), keepdims=True) * 4) / (count + 3)
    return Usual(mean.astype(np.float32), np.sqrt(spread + 1e-4).astype(np.float32))


def lie_still(good: Sequence[Looked]) -> bool:
    """Whether parts lie so that the same place shows the same of each: a place tells much then."""
    if len(good) < 12:
        return False
    mean, within = _by_place(good)
    whole = within.mean(axis=(1, 2)) + mean.var(axis=(1, 2))
    share = within.mean(axis=(1, 2)) / np.maximum(whole, 1e-9)
    return float(np.median(share[whole > 1e-6])) <= STILL if (whole > 1e-6).any() else False


def _by_place(good: Sequence[Looked]) -> Tuple[np.ndarray, np.ndarray]:
    """Mean and variance `(c, gh, gw)` over parts, float64."""
    total = np.zeros(good[0].values.shape, np.float64)
    square = np.zeros_like(total)
    for look in good:
        values = look.values.astype(np.float64)
        total += values
        square += values * values
    mean = total / len(good)
    return mean, np.maximum(square / len(good) - mean * mean, 0)


class Method:
    """A judge of places: a map of raw values from features, the larger the worse."""

    name = ""

    def heat(self, look: Looked) -> np.ndarray:
        """`(gh, gw)` of a picture's features."""
        raise NotImplementedError

    def add(self, tape: Tape, features: Features) -> Ref:
        """The same as steps of a tape: `(1, gh, gw)`."""
        raise NotImplementedError


class Statistics(Method):
    """Root mean square of whitened features.

    Args:
        mean: `(c,)`, or by place `(c, gh, gw)`.
        whiten: `(c, c)`.
    """

    name = "statistics"

    def __init__(self, mean: np.ndarray, whiten: np.ndarray) -> None:
        self.mean = mean if mean.ndim == 3 else mean[:, None, None]
        self.whiten = whiten

    @classmethod
    def learn(
        cls,
        good: Sequence[Looked],
        random: np.random.Generator,
        still: bool = False,
        most: int = 150_000,
    ) -> "Statistics":
        """From good parts alone; place by place where they lie still."""
        count = len(good[0].values)
        usual = usual_places(good) if still else None
        each = max(most // len(good), 64)
        rows = []
        for look in good:
            values = look.values.astype(np.float32)
            if usual is not None:
                values = values - usual.mean
            places = values.reshape(count, -1).T[look.valid.ravel()]
            chosen = random.choice(len(places), min(each, len(places)), replace=False)
            rows.append(places[chosen])
        table = np.concatenate(rows).astype(np.float64)
        middle = table.mean(axis=0)
        variance, axes = np.linalg.eigh(np.cov(table.T))
        scale = 1 / np.sqrt(np.maximum(variance, 0) + RIDGE * variance.mean() + 1e-9)
        mean = middle if usual is None else usual.mean + middle[:, None, None]
        return cls(mean.astype(np.float32), (axes * scale).T.astype(np.float32))

    def heat(self, look: Looked) -> np.ndarray:
        gap = look.values.astype(np.float32) - self.mean
        white = self.whiten @ gap.reshape(len(gap), -1)
        return np.sqrt((white * white).mean(axis=0) + 1e-6).reshape(gap.shape[1:])

    def add(self, tape: Tape, features: Features) -> Ref:
        if self.mean.shape[1:] == (1, 1):
            shift = -self.whiten @ self.mean[:, 0, 0]
            white = tape.mix(features.values, self.whiten, shift)
        else:
            white = tape.mix(tape.affine(features.values, 1.0, -self.mean), self.whiten)
        squares = tape.over_channels(tape.mul(white, white), "sum")
        return tape.sqrt(tape.affine(squares, 1 / len(self.whiten), 1e-6))


class Discriminator(Method):
    """A perceptron over the features, and over how far they are from usual where parts lie still.

    Args:
        layers: Of the perceptron.
        usual: By place, or None.
    """

    name = "discriminator"

    def __init__(self, layers: List[Layer], usual: Optional[Usual]) -> None:
        self.layers = layers
        self.usual = usual

    @classmethod
    def learn(
        cls,
        good: Sequence[Looked],
        bad: Sequence[Looked],
        random: np.random.Generator,
        steps: int = STEPS,
        still: bool = False,
    ) -> "Discriminator":
        """From good parts, and made-up or known defects on others, in so many steps at most."""
        usual = usual_places(good) if still else None
        rows, truth, weight = [], [], []
        for look in [*good, *bad]:
            values = _whole(look, usual)
            flat = values.reshape(len(values), -1)
            defect = np.zeros(look.valid.shape, bool) if look.defect is None else look.defect
            wrong = np.flatnonzero((defect & look.valid).ravel())
            sound = np.flatnonzero((~defect & look.valid).ravel())
            most = 1000 if look.defect is None else 80
            for places, is_wrong, many in ((wrong, 1.0, 64), (sound, 0.0, most)):
                if not len(places):
                    continue
                chosen = random.choice(places, min(many, len(places)), replace=False)
                rows.append(flat[:, chosen].T.astype(np.float16))
                truth.append(np.full(len(chosen), is_wrong, np.float32))
                # A large defect counts more than a small one, and much less than by its area.
                share = 0.15 / np.sqrt(len(chosen)) if is_wrong else 0.3 / len(chosen)
                share *= 1.0 if look.defect is not None else 10.0
                weight.append(np.full(len(chosen), share * look.weight))
        table, labels = np.concatenate(rows), np.concatenate(truth)
        weights = np.concatenate(weight)
        # Half of what is drawn is defects, however many were made.
        for kind in (0.0, 1.0):
            weights[labels == kind] /= weights[labels == kind].sum()
        steps = int(np.clip(EPOCHS * len(table) / BATCH, 500, steps))
        return cls(fit(table, labels, weights, random, steps=steps, batch=BATCH), usual)

    def heat(self, look: Looked) -> np.ndarray:
        whole = _whole(look, self.usual)
        return forward(self.layers, whole.reshape(len(whole), -1).T).reshape(look.valid.shape)

    def add(self, tape: Tape, features: Features) -> Ref:
        whole = against_mean(tape, features)
        if self.usual is not None:
            apart = tape.affine(features.values, 1.0, -self.usual.mean)
            apart = tape.affine(apart, 1 / self.usual.std)
            whole = tape.concat([whole, tape.clip(apart, -8.0, 8.0)])
        for number, layer in enumerate(self.layers):
            whole = tape.mix(whole, layer.weight, layer.bias)
            if number + 1 < len(self.layers):
                whole = tape.relu(whole)
        return whole


def _whole(look: Looked, usual: Optional[Usual]) -> np.ndarray:
    """Features, the same against the picture's own mean, and against what is usual in a place."""
    values = look.values.astype(np.float32)
    mean = values[:, look.valid].mean(axis=1) if look.valid.any() else values.mean(axis=(1, 2))
    found = [values, values - mean[:, None, None]]
    if usual is not None:
        found.append(np.clip((values - usual.mean) / usual.std, -8, 8))
    return np.concatenate(found)
