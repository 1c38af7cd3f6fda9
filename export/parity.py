"""Do two forms of a model give the same numbers: of their outputs, and layer by layer."""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from ..core import ModelError
from .runner import Tensors, running

LIMIT = 1e-4
"""Largest difference of an output in float32, relative to the output's range."""

HALF_LIMIT = 0.01
"""Where the graph computes in half precision, the root mean square of the differences instead,
relative to the range: one value of thousands may be far off in a sound model. It finds what is
broken, and leaves how good the detections are to a measurement of accuracy."""


@dataclass
class Difference:
    """How far a tensor is from its reference, over all that was tried.

    Attributes:
        name: Of the tensor or layer.
        absolute: Largest difference, in the tensor's own units.
        low, high: Least and largest value of the reference.
        squares, count: Sum of the squared differences, and how many.
        integer: Whether it holds whole numbers: classes, or places in a list.
    """

    name: str
    absolute: float = 0.0
    low: float = field(default=np.inf)
    high: float = field(default=-np.inf)
    squares: float = 0.0
    count: int = 0
    integer: bool = False

    @property
    def span(self) -> float:
        """The reference's range; its size where it has none."""
        if self.high > self.low:
            return self.high - self.low
        return max(abs(self.high), 1.0) if np.isfinite(self.high) else 1.0

    @property
    def relative(self) -> float:
        """The largest difference in units of the reference's range."""
        return self.absolute / self.span

    @property
    def typical(self) -> float:
        """The root mean square of the differences in the same units."""
        if not np.isfinite(self.absolute):
            return self.absolute
        return float(np.sqrt(self.squares / max(self.count, 1))) / self.span

    def add(self, wanted: np.ndarray, got: np.ndarray) -> None:
        """Take another pair of arrays into account."""
        if wanted.shape != got.shape:
            self.absolute = np.inf
            return
        if not wanted.size:
            return
        self.integer = wanted.dtype.kind not in "f"
        one, two = wanted.astype(np.float64), got.astype(np.float64)
        finite = np.isfinite(one)
        if finite.any():
            self.low = min(self.low, float(one[finite].min()))
            self.high = max(self.high, float(one[finite].max()))
            gap = np.abs(one[finite] - two[finite])
            self.absolute = max(self.absolute, float(np.nan_to_num(gap, nan=np.inf).max()))
            self.squares += float(np.square(gap).sum())
            self.count += gap.size
        same = (one == two) | (np.isnan(one) & np.isnan(two))
        if not same[~finite].all():
            self.absolute = np.inf

    def to_dict(self) -> Dict[str, Any]:
        """For a report."""
        return {
            "name": self.name,
            "difference": _number(self.absolute),
            "relative": _number(self.relative),
            "typical": _number(self.typical),
            "range": [_number(self.low), _number(self.high)],
        }


def _number(value: float) -> Optional[float]:
    """None in place of infinity, which JSON has not."""
    return float(value) if np.isfinite(value) else None


def compare(pairs: Iterable[Tuple[Tensors, Tensors]]) -> List[Difference]:
    """Differences of tensors of the same name, in the order of the first.

    Args:
        pairs: Reference and what is held against it, for one input after the other.
    """
    found: Dict[str, Difference] = {}
    for wanted, got in pairs:
        for name, value in wanted.items():
            if name in got:
                found.setdefault(name, Difference(name)).add(value, got[name])
    return list(found.values())


def worst(differences: Sequence[Difference]) -> Optional[Difference]:
    """The one with the largest difference relative to its range."""
    return max(differences, key=lambda d: d.relative, default=None)


def require(
    differences: Sequence[Difference], limit: float, one: str, other: str, half: bool = False
) -> None:
    """Refuse outputs that differ too much.

    Args:
        differences: Of the outputs.
        limit: Largest difference relative to the output's range; with `half` the root mean
            square of the differences, and whole numbers are left aside, because they jump.
        one: What gave the reference.
        other: What was held against it.
        half: Whether the other computes in half precision.

    Raises:
        ModelError: An output differs more than that.
    """
    measured = [d for d in differences if not (half and d.integer)]
    sizes = [d.typical if half else d.relative for d in measured]
    if not measured or max(sizes) <= limit:
        return
    size = max(sizes)
    bad = measured[sizes.index(size)]
    if np.isfinite(size):
        got = f"a difference of {bad.absolute:.3g} in {bad.name!r}, {size:.2g} of its range"
        got += " as a root mean square" if half else ""
    else:
        got = f"{bad.name!r} of another shape, or not finite"
    raise ModelError(
        f"{other} does not give what {one} gives",
        got=got,
        expected=f"at most {limit:g} of the range",
        remedy="see where it begins with --parity layers, or allow it with --max-difference",
    )


def first_above(differences: Sequence[Difference], limit: float) -> Optional[Difference]:
    """The first, in their order, that differs more than the limit."""
    return next((d for d in differences if d.relative > limit), None)


def compare_graphs(
    reference: Any,
    changed: Any,
    feeds: Callable[[Any], Iterable[Tensors]],
    changed_feeds: Optional[Callable[[Any], Iterable[Tensors]]] = None,
) -> List[Difference]:
    """Every tensor that two graphs both have, by name, in the order in which they are computed.

    Args:
        reference: A `ModelProto`.
        changed: Another.
        feeds: Gives the inputs for a backend, e.g. `feeds_of` with pictures bound.
        changed_feeds: The same for the second graph, where it takes them in another form.
    """
    made = {o for n in changed.graph.node for o in n.output if o}
    names = [o for n in reference.graph.node for o in n.output if o in made]
    with running(reference, "the model", names) as one, running(
        changed, "the export", names
    ) as two:
        order = {name: index for index, name in enumerate(names)}
        pairs = (
            (one.infer(a), two.infer(b)) for a, b in zip(feeds(one), (changed_feeds or feeds)(two))
        )
        found = [d for d in compare(pairs) if d.name in order]
    return sorted(found, key=lambda d: order[d.name])
