"""A graph seen from outside: the picture it takes, what else it asks for, and what it gives."""

import ast
import dataclasses
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ..core import ConfigError, ModelCard, ModelError
from .backends import Backend, TensorSpec
from .classes import count_in_metadata
from .decoders import Signature

DEFAULT_SIZE = (640, 640)
"""Input size of models that leave it open and say nothing about it."""

Outputs = Dict[str, np.ndarray]


def picture_input(backend: Backend, where: str = "the model") -> TensorSpec:
    """The input that takes the picture: the one with four axes, one of them the three colours.

    Raises:
        ModelError: There is none, or more than one.
    """
    found = [
        spec
        for spec in backend.inputs
        if len(spec.shape) == 4 and (spec.shape[1] in (3, None) or spec.shape[3] in (3, None))
    ]
    if len(found) != 1:
        raise ModelError(
            f"{where} does not take one colour picture",
            got="; ".join(str(i) for i in backend.inputs) or "no inputs",
            expected="one input [N, 3, h, w] or [N, h, w, 3]",
        )
    return found[0]


def side_input(spec: TensorSpec, size: Tuple[int, int], count: int) -> np.ndarray:
    """The value of an input beside the picture, which tells a graph how large the picture is.

    The graph is told the size of its own input, so its boxes come in pixels of that, as those of
    every other family.

    Raises:
        ModelError: The input is none of the known.
    """
    width, height = size
    known = {
        "orig_target_sizes": (width, height),  # RT-DETR, D-FINE, DEIM
        "orig_size": (width, height),
        "im_shape": (height, width),  # PaddleDetection
        "scale_factor": (1, 1),
    }
    if spec.name not in known:
        raise ModelError(
            f"nothing is known about the model's input {spec.name!r}",
            got=str(spec),
            expected="a picture, and at most " + ", ".join(known),
        )
    return np.tile(np.asarray(known[spec.name], spec.dtype), (count, 1))


def layout_of(spec: TensorSpec) -> str:
    """`nchw` or `nhwc`, by where the picture input has its three colours."""
    return "nhwc" if spec.shape[3] == 3 and spec.shape[1] != 3 else "nchw"


def signature_of(
    backend: Backend, card: Optional[ModelCard], override: Dict[str, Any], where: str
) -> Signature:
    """What decoders need to know of a graph; runs it once where its output shapes are open.

    Args:
        backend: The graph.
        card: Its card, if it carries one.
        override: Fields of the input that the caller asks for.
        where: What to call the model in errors.

    Raises:
        ModelError: It takes no picture, or none of the size asked for.
        ConfigError: The size asked for is none.
    """
    picture = picture_input(backend, where)
    fixed = picture.shape[2:] if layout_of(picture) == "nchw" else picture.shape[1:3]
    wished = override.get("size") or (card.input.size if card else None)
    if wished is None:
        wished = _size_in_metadata(backend.metadata)
    try:
        width, height = (int(n) for n in wished)
        if min(width, height) < 1:
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigError(
            "input.size is wrong", got=repr(wished), expected="[width, height] in pixels"
        ) from None
    size = (fixed[1] or width, fixed[0] or height)
    if size != (width, height) and ("size" in override or card is not None):
        raise ModelError(
            f"{where} does not take pictures of that size",
            got=f"{width}x{height} in the {'config' if 'size' in override else 'card'}",
            expected=f"{size[0]}x{size[1]}, which is fixed in the graph",
        )
    # The batch is one picture for the signature; other open axes are settled by a run.
    outputs = tuple(
        dataclasses.replace(o, shape=(1, *o.shape[1:]) if o.shape else o.shape)
        for o in backend.outputs
    )
    probe_outputs = None
    if any(n is None for o in outputs for n in o.shape):
        probe_outputs = probe(backend, size, where)
        outputs = tuple(dataclasses.replace(o, shape=probe_outputs[o.name].shape) for o in outputs)
    named = len(card.classes) or None if card else count_in_metadata(backend.metadata)
    return Signature(outputs, backend.inputs, size, named, probe_outputs)


def _size_in_metadata(metadata: Dict[str, str]) -> Tuple[int, int]:
    try:
        height, width = ast.literal_eval(metadata.get("imgsz", ""))
        return int(width), int(height)
    except (ValueError, SyntaxError, TypeError):
        return DEFAULT_SIZE


def probe(backend: Backend, size: Tuple[int, int], where: str) -> Outputs:
    """Outputs of the first picture of a batch of black ones."""
    picture = picture_input(backend, where)
    count = picture.shape[0] or 1
    shape = (3, size[1], size[0]) if layout_of(picture) == "nchw" else (size[1], size[0], 3)
    feeds = {picture.name: np.zeros((count, *shape), picture.dtype)}
    for spec in backend.inputs:
        if spec.name != picture.name:
            feeds[spec.name] = side_input(spec, size, count)
    outputs = backend.infer(feeds)
    return {k: v[:1] if v.ndim else v for k, v in outputs.items()}


def run_pictures(
    backend: Backend, picture: TensorSpec, size: Tuple[int, int], tensor: np.ndarray
) -> Outputs:
    """Run a graph on pictures, as often as it takes where its batch is fixed.

    Args:
        backend: The graph.
        picture: Its input, see `picture_input`.
        size: `(width, height)` of the input.
        tensor: `(n, …)` of pictures, at least one.

    Returns:
        Outputs by name, with the pictures along their first axis.

    Raises:
        ModelError: The graph fails.
    """
    count, step = len(tensor), picture.shape[0]
    if step is None or count == step:
        return _run(backend, picture, size, tensor)
    parts = []
    for start in range(0, count, step):
        part = tensor[start : start + step]
        missing = step - len(part)
        if missing:
            part = np.concatenate((part, np.zeros((missing, *part.shape[1:]), part.dtype)))
        outputs = _run(backend, picture, size, part)
        parts.append({k: v[: step - missing] for k, v in outputs.items()})
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _run(
    backend: Backend, picture: TensorSpec, size: Tuple[int, int], tensor: np.ndarray
) -> Outputs:
    feeds = {picture.name: tensor}
    if len(backend.inputs) > 1:
        for spec in backend.inputs:
            if spec.name != picture.name:
                feeds[spec.name] = side_input(spec, size, len(tensor))
    return backend.infer(feeds)
