"""What an estimate is made of, in words: which launches dominate, why, and what would help."""

from typing import Any, Dict, List, Sequence

import numpy as np

from ...core.devices import Device
from .latency import KINDS, Parts
from .layers import Layer

SHOWN = 5
"""Launches that are listed."""

WORDS = {
    "conv": "convolutions",
    "grouped": "depthwise and grouped convolutions",
    "product": "matrix products",
    "pool": "poolings",
    "pointwise": "elementwise operators",
    "copy": "copies (concatenation, slicing, transposition)",
    "resize": "resizing",
    "other": "other operators",
}


def dominating(layers: Sequence[Layer], found: Parts) -> List[Dict[str, Any]]:
    """The launches that take longest: name, kind, share of the time, and what binds them.

    What binds one is `overhead`, `arithmetic` or `memory`, whichever takes most of its time.
    """
    share = found.total / found.total.sum()
    return [
        {
            "name": layers[i].name,
            "kind": layers[i].kind,
            "share": round(float(share[i]), 4),
            "bound": _bound(found)[i],
        }
        for i in np.argsort(-share, kind="stable")[:SHOWN]
    ]


def advice(
    layers: Sequence[Layer], found: Parts, device: Device, precision: str, batch: int
) -> List[str]:
    """Sentences about what would make a network faster on a device, the weightiest first."""
    bound = np.array(_bound(found))
    kind = np.array([KINDS.index(layer.kind) for layer in layers])
    total = found.total.sum()
    said = []
    fixed = found.overhead.sum() / total
    if fixed > 0.4:
        more = " or several pictures a run" if batch == 1 else ""
        said.append(
            (
                fixed,
                f"{fixed:.0%} of the time is the fixed cost of {len(layers)} launches: fewer layers"
                f"{more} help, a lower precision buys little",
            )
        )
    # Depthwise convolutions are told apart even where most of their time is overhead.
    work = np.where(found.memory > found.compute, "memory", "arithmetic")
    bound = np.where(kind == KINDS.index("grouped"), work, bound)
    for index, name in enumerate(KINDS):
        for reason in ("memory", "arithmetic"):
            there = (kind == index) & (bound == reason)
            share = found.total[there].sum() / total
            if share < 0.15:
                continue
            what = f"{there.sum()} {WORDS[name]}, {share:.0%} of the time, are bound by {reason}"
            said.append((share, f"{what}: {_help(name, reason, device, precision)}"))
    if device.fast("int8") and precision == "int8":
        narrow = _narrow(layers, found, 32)
        if narrow > 0.2:
            said.append(
                (
                    narrow,
                    f"{narrow:.0%} of the time goes to convolutions with channels that are no "
                    "multiple of 32, which fill INT8 kernels badly",
                )
            )
    return [text for _, text in sorted(said, key=lambda pair: -pair[0])]


def _bound(found: Parts) -> List[str]:
    work = found.total - found.overhead
    return [
        "overhead" if fixed > left else "memory" if memory > compute else "arithmetic"
        for fixed, left, memory, compute in zip(found.overhead, work, found.memory, found.compute)
    ]


def _help(kind: str, reason: str, device: Device, precision: str) -> str:
    if reason == "memory":
        if kind == "grouped":
            return "INT8 buys little here; fewer channels or whole convolutions do"
        if kind in ("conv", "product"):
            return (
                "smaller pictures or fewer channels help"
                if precision == "int8" or not device.fast("int8")
                else "INT8 moves half as much; smaller pictures or fewer channels help"
            )
        if kind == "pointwise":
            return "activations that TensorRT takes into convolutions, such as ReLU, help"
        return "smaller maps or fewer of these operators help; INT8 does them no faster"
    if precision == "fp32" and device.fast("fp16"):
        return "FP16 helps most"
    if precision == "fp16" and device.fast("int8") and kind != "grouped":
        return "INT8 helps most"
    if kind == "grouped":
        return "no tensor core does them: neither INT8 nor FP16 buys much"
    return "a smaller network or picture helps"


def _narrow(layers: Sequence[Layer], found: Parts, tile: int) -> float:
    """Share of the time of convolutions bound by arithmetic whose channels fill no tile."""
    there = np.array(
        [
            layer.kind == "conv" and any(c % tile > 0 and c > 3 for c in layer.channels)
            for layer in layers
        ],
        bool,
    )
    return float(found.total[there & (found.compute > found.memory)].sum() / found.total.sum())
