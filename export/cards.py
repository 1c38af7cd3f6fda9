"""The card of what is exported: from the model itself, a file, options, or its outputs."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

from ..core import EdgelaneError, InputSpec, ModelCard, ModelError, UsageError, did_you_mean
from ..core.card import METADATA_KEY
from ..runtime.backends import Backend
from ..runtime.classify import build_classifier
from ..runtime.decoders.registry import FAMILIES
from ..runtime.model import build_model
from ..runtime.pose import COCO_17, build_pose, build_pose_detector

CardLike = Union[None, ModelCard, Mapping[str, Any], str, Path]


def card_fields(card: CardLike, options: Mapping[str, Any]) -> Dict[str, Any]:
    """What the user says about the model: the fields of a card, and among them `input`.

    Args:
        card: A card, a part of one as a dict, or a JSON file of either.
        options: Further fields; None leaves one out. What is not a field of the card is one of
            its input.

    Raises:
        UsageError: A field is unknown, or the file cannot be read.
    """
    if isinstance(card, ModelCard):
        card = dataclasses.asdict(card)
    elif isinstance(card, (str, Path)):
        card = _read(Path(card))
    fields: Dict[str, Any] = dict(card or {})
    if not isinstance(fields.get("input", {}), Mapping):
        raise UsageError("the card's input is no object", got=repr(fields["input"]))
    inner: Dict[str, Any] = dict(fields.pop("input", {}) or {})
    known = [f.name for f in dataclasses.fields(ModelCard)]
    of_input = [f.name for f in dataclasses.fields(InputSpec)]
    for name, value in options.items():
        if value is not None:
            (fields if name in known else inner)[name] = value
    for names, given, what in ((known, fields, ""), (of_input, inner, "input.")):
        for name in given:
            if name not in names:
                raise UsageError(
                    f"the card has no field {what + name!r}", remedy=did_you_mean(name, names)
                )
    if "classes" in fields:
        fields["classes"] = tuple(str(c) for c in fields["classes"])
    if inner:
        fields["input"] = inner
    return fields


def _read(path: Path) -> Dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no card {path}", remedy="check the path") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"the card {path} cannot be read as JSON", got=error) from None
    if not isinstance(data, dict):
        raise UsageError(f"the card {path} is no object", got=type(data).__name__)
    return data


def read_classes(value: Union[None, str, Sequence[str]]) -> Optional[Tuple[str, ...]]:
    """Class names from a list, from `person,car`, or from a file with one a line.

    Raises:
        UsageError: The file cannot be read or names none.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        return tuple(str(v) for v in value)
    path = Path(value)
    if path.suffix.lower() in (".txt", ".names"):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise UsageError(f"the classes in {path} cannot be read", got=error) from None
        names = [line.strip() for line in lines if line.strip()]
    else:
        names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise UsageError("no class is named", got=repr(value))
    return tuple(names)


def usual_input(fields: Mapping[str, Any], size: Tuple[int, int]) -> InputSpec:
    """The input as far as it is known before the graph is: the decoder's usual one, overridden.

    Args:
        fields: As `card_fields` gives them.
        size: `(width, height)` in pixels.

    Raises:
        ModelError: A value makes no sense.
    """
    family = FAMILIES.get(str(fields.get("decoder")))
    return InputSpec(
        **{**(family.input if family else {}), **dict(fields.get("input", {})), "size": size}
    )


def make_card(
    backend: Backend,
    fields: Mapping[str, Any],
    size: Optional[Tuple[int, int]],
    where: str,
) -> Tuple[Optional[ModelCard], str]:
    """The card of a graph.

    Args:
        backend: The graph.
        fields: What the user says; it goes before what the graph says.
        size: `(width, height)` of its input where known.
        where: What errors call the model.

    Returns:
        The card, or None with the reason where nothing says what the model is.

    Raises:
        ModelError: What the user says does not fit the graph, or two layouts fit it.
    """
    text = backend.metadata.get(METADATA_KEY)
    own = ModelCard.from_json(text) if text else None
    task = fields.get("task") or (own.task if own else "detect")
    inner = dict(fields.get("input", {}))
    if size is not None:
        inner["size"] = size
    if task == "classify":
        return _classifier(own, backend, fields, inner, where), ""
    if task == "pose":
        return _pose(own, backend, fields, inner, where), ""
    if task != "detect":
        return _plain(own, fields, inner, str(task)), ""
    try:
        # Classes are named afterwards: the graph says how many there are.
        model = build_model(backend, decoder=fields.get("decoder"), input=inner, where=where)
    except ModelError as error:
        told = own is not None or fields.get("decoder") or "more than one" in str(error)
        if told or fields.get("task"):
            raise
        return None, (
            f"no card is written, because nothing says how the outputs are read ({error.what}); "
            "say it with --decoder, or what it is with --task"
        )
    count = len(model.classes)
    names = fields.get("classes")
    if names and count and len(names) != count:
        raise ModelError(
            f"{where} tells apart {count} classes",
            got=f"{len(names)} names: {', '.join(names[:4])}…",
        )
    changes = {k: v for k, v in fields.items() if k not in ("input", "decoder")}
    return dataclasses.replace(model.card, **changes), ""


def _classifier(
    own: Optional[ModelCard],
    backend: Backend,
    fields: Mapping[str, Any],
    inner: Dict[str, Any],
    where: str,
) -> ModelCard:
    """A card of a classifier, which says what its numbers are and how pictures are cut."""
    model = build_classifier(
        backend,
        decoder=fields.get("decoder"),
        classes=fields.get("classes"),
        input=inner,
        where=where,
    )
    left = ("input", "decoder", "classes", "task", "extra")
    changes = {k: v for k, v in fields.items() if k not in left}
    extra = {**model.card.extra, **fields.get("extra", {})}
    if own is None and "resize" not in inner:
        extra.setdefault("classify", {"crop": model.settings.crop})
    return dataclasses.replace(model.card, task="classify", extra=extra, **changes)


def _pose(
    own: Optional[ModelCard],
    backend: Backend,
    fields: Mapping[str, Any],
    inner: Dict[str, Any],
    where: str,
) -> ModelCard:
    """A card of a pose net, of one person or of whole pictures, which says how it is read."""
    decoder = fields.get("decoder")
    extra = {**(own.extra if own else {}), **fields.get("extra", {})}
    skeleton = extra.get("skeleton")
    try:
        net: Any = build_pose(backend, decoder=decoder, skeleton=skeleton, input=inner, where=where)
    except EdgelaneError as error:
        try:
            net = build_pose_detector(
                backend, decoder=decoder, skeleton=skeleton, input=inner, where=where
            )
        except EdgelaneError:
            if own is None and decoder is None and skeleton is None:
                return _plain(own, fields, inner, "pose")  # its reader is the user's own
            raise error from None
    card: ModelCard = net.card
    changes = {k: v for k, v in fields.items() if k not in ("input", "decoder", "task", "extra")}
    if skeleton is None and net.skeleton == COCO_17:
        extra["skeleton"] = "coco-17"
    return dataclasses.replace(card, task="pose", extra={**card.extra, **extra}, **changes)


def _plain(
    own: Optional[ModelCard], fields: Mapping[str, Any], inner: Dict[str, Any], task: str
) -> ModelCard:
    """A card of what is no detector: nothing of it can be recognised."""
    if own is not None:
        spec = dataclasses.replace(own.input, **inner)
        return dataclasses.replace(own, **{**fields, "input": spec})
    if "size" not in inner:
        raise ModelError("nothing says how large the input is", remedy="give --size WIDTHxHEIGHT")
    given = {k: v for k, v in fields.items() if k not in ("input", "task")}
    return ModelCard(**{"task": task, "decoder": "none", **given, "input": InputSpec(**inner)})
