"""Parameters from published rows: robust least squares around the priors.

Every figure is matched in its logarithm, a relative error, with a loss that forgives outliers.
Publishers with hundreds of rows for a device weigh like a few, and each has a factor of its own,
which is no part of an estimate.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError
from ...core.devices import find_device
from ...runtime.files import whole_file
from ..networks import build_network
from .hardware import gpu_of
from .latency import PRIORS, Parameters, Runs, columns, names, runs_of, seconds
from .layers import in_precision, layers_of
from .published import Row

FITTED = Path(__file__).with_name("fitted.json")

NOISE = 0.15
"""Relative error that a figure is taken to have."""

PUBLISHER = 0.12
"""Spread of what a publisher's way of measuring multiplies."""


class Fit(NamedTuple):
    """Parameters, and the factor of each publisher that they were fitted with."""

    parameters: Parameters
    publishers: Dict[str, float]


@lru_cache(maxsize=None)
def columns_of(network: str, size: Tuple[int, int]) -> np.ndarray:
    """Launches of a reference network as `latency.columns`, for any precision."""
    return columns(in_precision(layers_of(build_network(network, size)), marked=False))


def runs_of_rows(rows: Sequence[Row]) -> Runs:
    """The runs that rows tell of."""
    return runs_of(
        [
            (
                columns_of(row.network, row.size),
                gpu_of(find_device(row.device), row.mode or None),
                row.precision,
                row.batch,
                row.timing,
            )
            for row in rows
        ]
    )


def fit(rows: Sequence[Row], start: Optional[Fit] = None) -> Fit:
    """Parameters that explain rows.

    Args:
        rows: Of GPUs; at least one.
        start: Where to begin, for speed.
    """
    from scipy.optimize import least_squares

    runs = runs_of_rows(rows)
    measured = np.log([row.ms / 1e3 for row in rows])
    publishers = names([row.publisher for row in rows])
    publisher = np.array([publishers.index(row.publisher) for row in rows])
    weight = _weights(rows)
    prior, spread = _prior()

    def residuals(x: np.ndarray) -> np.ndarray:
        p, factors = _unpack(x[: len(prior)]), x[len(prior) :]
        off = np.log(seconds(p, runs)) + factors[publisher] - measured
        return np.concatenate(
            [off * weight, (x[: len(prior)] - prior) / spread, _shared(p), factors / PUBLISHER]
        )

    x0 = np.concatenate([prior, np.zeros(len(publishers))])
    if start is not None:
        known = [np.log(start.publishers.get(name, 1.0)) for name in publishers]
        x0 = np.concatenate([_pack(start.parameters), known])
    found = least_squares(residuals, x0, loss="soft_l1", max_nfev=40, xtol=1e-5, ftol=1e-5).x
    factors = np.exp(found[len(prior) :])
    return Fit(_unpack(found[: len(prior)]), dict(zip(publishers, factors.tolist())))


def errors(parameters: Parameters, rows: Sequence[Row]) -> np.ndarray:
    """Logarithm of estimated over published, without any publisher's factor."""
    return np.log(seconds(parameters, runs_of_rows(rows)) * 1e3) - np.log([r.ms for r in rows])


def _weights(rows: Sequence[Row]) -> np.ndarray:
    many: Dict[Tuple[str, str], int] = {}
    for row in rows:
        many[row.publisher, row.device] = many.get((row.publisher, row.device), 0) + 1
    weight = np.array([many[row.publisher, row.device] ** -0.5 for row in rows])
    return weight * np.sqrt(len(rows) / np.sum(weight**2)) * 0.5 / NOISE


def _prior() -> Tuple[np.ndarray, np.ndarray]:
    value = np.concatenate([np.log(p.value) for p in PRIORS.values()])
    spread = np.concatenate([np.full(len(p.value), p.spread) for p in PRIORS.values()])
    return value, spread


def _unpack(x: np.ndarray) -> Parameters:
    found, at = {}, 0
    for name, prior in PRIORS.items():
        found[name] = np.exp(x[at : at + len(prior.value)])
        at += len(prior.value)
    return found


def _pack(parameters: Parameters) -> np.ndarray:
    return np.concatenate([np.log(parameters[name]) for name in PRIORS])


def _shared(p: Parameters) -> np.ndarray:
    """What generations have in common: Maxwell and Pascal much, Volta and its neighbours less."""
    found: List[float] = []
    for name, prior in PRIORS.items():
        if prior.shared:
            off = np.log(p[name] / prior.value)
            found += [(off[0] - off[1]) / prior.shared, (off[2] - off[1]) / prior.shared / 2]
            found.append((off[2] - off[3]) / prior.shared / 2)
    return np.array(found)


def save(found: Dict[str, Any], path: Path = FITTED) -> None:
    """Write what was fitted."""
    with whole_file(path) as file:
        file.write((json.dumps(found, indent=1) + "\n").encode())


def load(path: Path = FITTED) -> Dict[str, Any]:
    """What was fitted; parameters as arrays.

    Raises:
        DataError: The file is missing or not what it should be.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["parameters"] = {name: np.array(found["parameters"][name], float) for name in PRIORS}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} has no fitted parameters",
            got=str(error),
            remedy="run: python -m edgelane.benchmarks.estimator fit",
        ) from None
    return found
