"""A classifier from a file: its card, or what is told from its graph and its answers."""

import dataclasses
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ...core import InputSpec, ModelCard, ModelError
from ..backends import Backend, TensorSpec, open_backend
from ..classes import class_names
from ..graph import picture_input, run_pictures, signature_of
from ..picture_model import changed_input, closed_if_it_fails, read_card, usual_input
from ..preprocess import IMAGENET, Preprocessor
from .head import ending
from .maps import MAP, check_map, open_with_map, read_graph
from .meaning import Meaning, find_meaning
from .model import Classifier
from .settings import Settings

PathLike = Union[str, "os.PathLike[str]"]

USUAL: Dict[str, Any] = {**IMAGENET, "resize": "crop"}
"""What nets trained in the tradition of ImageNet are fed: see `Settings.crop` for the rest."""


def load_classifier(
    path: PathLike,
    *,
    decoder: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    input: Optional[Dict[str, Any]] = None,
    settings: Optional[Dict[str, Any]] = None,
    maps: bool = False,
    threads: Optional[int] = None,
) -> Classifier:
    """Load a classifier.

    Args:
        path: ONNX file. Its card is used where it carries one; otherwise it is fed as ImageNet
            is, from the middle of the picture, and what its numbers are is told from the graph.
        decoder: A name of `meaning.MEANINGS` instead of the card's or the recognised one:
            `multi-label` for a net whose classes may be there together.
        classes: Names of all classes, instead of the card's.
        input: Fields of `core.InputSpec` that replace the card's, e.g. `{"colour": "bgr"}`.
        settings: Fields of `Settings` that replace the card's, e.g. `{"crop": 0.875}`.
        maps: Whether to tell where the best class was seen. The maps are made of the graph now,
            where the file does not hold them; see `add_map`.
        threads: Threads for one run; None for what suits a machine with nothing else to do.

    Raises:
        ModelError: The model cannot be loaded, is no classifier, or has no maps.
        ConfigError: An input field or setting that makes no sense.
        MissingDependency: onnxruntime or OpenCV is not installed.
    """
    where = os.fspath(path)
    if maps:
        opened = open_with_map(where, lambda p: open_backend(p, threads))
    else:
        opened = open_backend(where, threads)
    with closed_if_it_fails(opened) as backend:
        return build_classifier(
            backend,
            decoder=decoder,
            classes=classes,
            input=input,
            settings=settings,
            where=where,
        )


def build_classifier(
    backend: Backend,
    *,
    decoder: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    input: Optional[Dict[str, Any]] = None,
    settings: Optional[Dict[str, Any]] = None,
    where: str = "the model",
) -> Classifier:
    """As `load_classifier`, from a backend that is open already. `where` is also looked at as the
    ONNX's path, if it is one, to see what the graph ends with."""
    card = read_card(backend, "classify", "classifier", where)
    size = signature_of(backend, card, input or {}, where).size
    output = _score_output(backend, where)
    spec = card.input if card else usual_input(backend, size, USUAL, where)
    spec = changed_input(spec, input, size)
    noted = card.extra.get("classify") if card else None
    chosen = Settings.read({**(noted or {}), **(settings or {})})
    if card is None and not settings and "resize" not in (input or {}):
        chosen = Settings(crop=0.875)
    answers, maps = _tried(backend, spec, output, where)
    meaning = find_meaning(
        decoder or (card.decoder if card else None),
        _ends(where, output),
        answers,
        where,
    )
    count = len(answers[0])
    names = tuple(classes) if classes is not None else (card.classes if card else ())
    if names and len(names) != count:
        raise ModelError(
            f"{where} tells apart {count} classes",
            got=f"{len(names)} names: {', '.join(names[:4])}…",
        )
    if not names:
        names = class_names(count, backend.metadata) if count not in (80, 91) else _numbered(count)
    made = dataclasses.replace(
        card or ModelCard("classify", meaning.name, spec, nms_iou=None),
        input=spec,
        decoder=meaning.name,
        classes=names,
    )
    if maps:
        _check_map(backend, spec, output, meaning, where)
    return Classifier(backend, made, meaning, chosen, output, where)


def _numbered(count: int) -> Tuple[str, ...]:
    return tuple(f"class_{i}" for i in range(count))


def _score_output(backend: Backend, where: str) -> str:
    """The output that holds the scores: the first beside the map that is a row a picture."""
    others = [spec for spec in backend.outputs if spec.name != MAP]
    found = [spec for spec in others if _is_row(spec)]
    if not found:
        raise ModelError(
            f"{where} is no classifier",
            got="; ".join(str(o) for o in backend.outputs) or "no outputs",
            expected="an output [N, classes]",
        )
    return found[0].name


def _is_row(spec: TensorSpec) -> bool:
    rest = spec.shape[2:]
    kind = np.dtype(spec.dtype).kind
    return kind == "f" and len(spec.shape) >= 2 and all(axis in (1, None) for axis in rest)


def _tried(
    backend: Backend, spec: InputSpec, output: str, where: str
) -> Tuple[List[np.ndarray], bool]:
    """What the net answers to three pictures: black, noise, and one colour fading to another."""
    picture = picture_input(backend, where)
    convert = Preprocessor(dataclasses.replace(spec, resize="stretch"), picture.dtype)
    wide, high = spec.size
    noise = np.random.default_rng(0).integers(0, 256, (high, wide, 3), np.uint8)
    fading = np.linspace(0, 255, high * wide * 3).astype(np.uint8).reshape(high, wide, 3)
    answers, maps = [], False
    for image in (np.zeros_like(noise), noise, fading):
        outputs = run_pictures(backend, picture, spec.size, convert(image)[0][None])
        maps = MAP in outputs and output != MAP
        answers.append(np.asarray(outputs[output], np.float64)[0].reshape(-1))
    if len(answers[0]) < 1:
        raise ModelError(f"{where} gives no scores")
    return answers, maps


def _ends(where: str, output: str) -> Optional[str]:
    """What the graph makes of its numbers last, where the file is an ONNX."""
    if not where.lower().endswith(".onnx") or not os.path.isfile(where):
        return None
    try:
        with open(where, "rb") as file:
            return ending(read_graph(file.read(), where), output)
    except (OSError, ModelError):
        return None


def _check_map(
    backend: Backend, spec: InputSpec, output: str, meaning: Meaning, where: str
) -> None:
    picture = picture_input(backend, where)
    wide, high = spec.size
    shape = (3, high, wide) if spec.layout == "nchw" else (high, wide, 3)

    def run(tensor: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        outputs = run_pictures(backend, picture, spec.size, tensor)
        numbers = np.asarray(outputs[output])[:1].reshape(1, -1)
        return meaning.logits(numbers)[0], np.asarray(outputs[MAP][0])

    check_map(run, shape, picture.dtype, where)
