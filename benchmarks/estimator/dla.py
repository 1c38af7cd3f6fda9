"""Latency on a deep-learning accelerator: the few rows there are carry three parameters.

A layer costs a fixed overhead plus the larger of its arithmetic and its traffic; layers that the
accelerator does not have run on the GPU, with a hand-over to it and back. Multiply-adds a clock:
NVDLA's primer for Xavier (2048 in INT8, half in FP16), NVIDIA's stated 26 dense TOPS at 1.6 GHz
for Orin, whose FP16 is taken to be Xavier's.
"""

from typing import Dict, List, Sequence, Tuple

import numpy as np

from ...core import UsageError
from ...core.devices import Device, find_device
from .hardware import Gpu, gpu_of
from .latency import KINDS, Parameters, parts, runs_of
from .published import TIMINGS, Row

MACS = {("tegra194", "int8"): 2048, ("tegra234", "int8"): 8192}
MACS.update({(soc, "fp16"): 1024 for soc in ("tegra194", "tegra234")})

ON_GPU = tuple(KINDS.index(kind) for kind in ("product", "copy", "other"))
"""Kinds of launches that are left to the GPU."""

HAND_OVER = 100e-6
"""Seconds from one processor to the other; an assumption, no row tells of it."""

PRIOR = {"overhead": 40e-6, "efficiency": 0.8, "bandwidth": 0.35}
SPREAD = {"overhead": 0.5, "efficiency": 0.3, "bandwidth": 0.4}


def dla_seconds(
    p: Dict[str, float],
    gpu_parameters: Parameters,
    entry: Tuple[np.ndarray, Gpu, str, int, str],
    soc: str,
) -> float:
    """What one run takes.

    Args:
        p: Parameters of the accelerator, as in `PRIOR`.
        gpu_parameters: For layers that it does not have.
        entry: As for `latency.runs_of`.
        soc: Chip.
    """
    table, gpu, precision, batch, timing = entry
    left = np.isin(table[:, 0].astype(int), ON_GPU)
    macs, traffic, weights = table[:, 1] * batch, table[:, 2] * batch, table[:, 3]
    rate = MACS[soc, precision] * gpu.dla * 1e9 * p["efficiency"]
    size = 1 if precision == "int8" else 2
    moved = (traffic + weights) * size / (gpu.bandwidth * p["bandwidth"])
    # The accelerator takes the pictures of a batch one after the other.
    own = p["overhead"] * batch + np.maximum(macs / rate, moved)
    own[left] = parts(gpu_parameters, runs_of([entry])).total[left]
    switches = int(np.abs(np.diff(np.r_[False, left, False].astype(int))).sum())
    total = own.sum() + switches * HAND_OVER + gpu_parameters["run"][0]
    total += (timing == "end to end") * gpu_parameters["around"][0] * batch
    return float(total * gpu_parameters["timing"][TIMINGS.index(timing)])


def check(device: Device, precision: str) -> None:
    """Refuse what has no accelerator or no such precision on it.

    Raises:
        UsageError: Says which.
    """
    if not device.dla_cores or (device.soc, "int8") not in MACS:
        raise UsageError(
            f"{device.title} has no deep-learning accelerator", remedy="estimate without --dla"
        )
    if (device.soc, precision) not in MACS:
        raise UsageError(
            "a deep-learning accelerator runs in FP16 or INT8", got=precision, expected="fp16, int8"
        )


def fit_dla(
    rows: Sequence[Row], tables: Sequence[np.ndarray], gpu_parameters: Parameters
) -> Tuple[Dict[str, float], List[float]]:
    """Parameters that explain rows, and the logarithms of estimated over published."""
    from scipy.optimize import least_squares

    entries = []
    for row, table in zip(rows, tables):
        device = find_device(row.device)
        check(device, row.precision)
        gpu = gpu_of(device, row.mode or None)
        entries.append(((table, gpu, row.precision, row.batch, row.timing), device.soc))
    measured = np.log([row.ms / 1e3 for row in rows])
    prior = np.log(list(PRIOR.values()))
    spread = np.array(list(SPREAD.values()))
    weight = np.array([[r.publisher for r in rows].count(row.publisher) ** -0.5 for row in rows])

    def named(x: np.ndarray) -> Dict[str, float]:
        return dict(zip(PRIOR, np.exp(x).tolist()))

    def off(x: np.ndarray) -> np.ndarray:
        told = [dla_seconds(named(x), gpu_parameters, entry, soc) for entry, soc in entries]
        return np.log(told) - measured

    found = least_squares(
        lambda x: np.concatenate([off(x) * weight / 0.1, (x - prior) / spread]),
        prior,
        loss="soft_l1",
    ).x
    return named(found), off(found).tolist()
