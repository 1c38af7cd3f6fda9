"""What the registry knows of a model, read from its data file and from a user's own."""

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import msgspec

from ...core import ConfigError, InputSpec, ModelCard, ModelError, UsageError, did_you_mean
from ..classes import COCO_80, COCO_91
from ..config import decode

PathLike = Union[str, "os.PathLike[str]"]

REGISTRY_VARIABLE = "EDGELANE_REGISTRY"
"""Environment variable with the path of a user's own registry file."""

BUILT_IN = Path(__file__).with_name("models.json")
TASKS = ("detect", "pose")
CLASSES = {"coco80": COCO_80, "coco91": COCO_91}

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published score.

    Attributes:
        value: In per cent, as published.
        metric: E.g. `AP` for the mean over IoU (detectors) or OKS (pose) .50 to .95.
        data: What it was measured on.
        source: Address of the page that says so.
    """

    value: float
    metric: str
    data: str
    source: str


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model inside an archive.

    Attributes:
        name: File name of the ONNX in the zip, without folders.
        sha256: Of the ONNX itself, or None where nobody published it.
        file_size: In bytes, or None.
    """

    name: str
    sha256: Optional[str] = None
    file_size: Optional[int] = None


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stamped into the file beside the entry's own facts; fields as in `core.ModelCard`.

    Attributes:
        decoder: Name of the decoder.
        input: Fields of `core.InputSpec` but for the size.
        classes: `coco80`, `coco91` or names.
        confidence: Usual threshold of scores.
        nms_iou: Usual threshold of suppression, or None.
        extra: What other rooms note.
    """

    decoder: str
    input: Dict[str, Any] = {}
    classes: Union[str, List[str]] = []
    confidence: float = 0.3
    nms_iou: Optional[float] = None
    extra: Dict[str, Any] = {}


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of the registry.

    Attributes:
        name: What it is asked for by.
        task: `detect` or `pose`.
        licence: SPDX name of the weights' licence.
        licence_source: Address of the page that says so.
        input_size: `(width, height)` in pixels.
        card: What is stamped into the file.
        project: Address of the project that trained it.
        parameters_m: Millions of parameters, or None.
        score: Published score, or None.
        address: Where the file lies; None where there is no download, and the note says why.
        address_source: Address of the page that names the address.
        file_size: Bytes of the download, or None.
        sha256: Of the download, or None where nobody published it.
        sha256_sources: Who published the checksum: addresses, or a sentence.
        member: For a zip, the model in it.
        note: What a user should know.
    """

    name: str
    task: str
    licence: str
    licence_source: str
    input_size: Tuple[int, int]
    card: Card
    project: str
    parameters_m: Optional[float] = None
    score: Optional[Score] = None
    address: Optional[str] = None
    address_source: Optional[str] = None
    file_size: Optional[int] = None
    sha256: Optional[str] = None
    sha256_sources: List[str] = []
    member: Optional[Member] = None
    note: Optional[str] = None

    @property
    def verifiable(self) -> bool:
        """Whether a published checksum of the download or of the model in it is known."""
        return bool(self.sha256 or (self.member and self.member.sha256))

    def model_card(self) -> ModelCard:
        """The card that is stamped into the file.

        Raises:
            ModelError: The entry's input or classes make no sense.
        """
        classes = self.card.classes
        if isinstance(classes, str):
            if classes not in CLASSES:
                raise ModelError(
                    f"models.{self.name}.card.classes is unknown",
                    got=repr(classes),
                    remedy=did_you_mean(classes, CLASSES),
                )
            names = CLASSES[classes]
        else:
            names = tuple(classes)
        known = InputSpec.__dataclass_fields__
        for field in self.card.input:
            if field not in known:
                raise ModelError(
                    f"models.{self.name}.card.input.{field} is unknown",
                    remedy=did_you_mean(field, known),
                )
        extra: Dict[str, Any] = {"registry": self.name, **self.card.extra}
        if self.score is not None:
            extra["score"] = msgspec.to_builtins(self.score)
        return ModelCard(
            task=self.task,
            decoder=self.card.decoder,
            input=InputSpec(**{**self.card.input, "size": self.input_size}),
            classes=names,
            confidence=self.card.confidence,
            nms_iou=self.card.nms_iou,
            source=f"{self.project}, {self.address}" if self.address else self.project,
            licence=self.licence,
            extra=extra,
        )


def load_entries(registry: Optional[PathLike] = None) -> Dict[str, Entry]:
    """The registry: what ships with edgelane, and a user's own entries, which come first.

    Args:
        registry: Path of a registry file of one's own, JSON or YAML; `EDGELANE_REGISTRY` names
            one otherwise. It holds `models`, an entry's fields by name.

    Raises:
        ConfigError: A file is missing or no registry, or a field is wrong; with its path.
    """
    entries = _read(BUILT_IN)
    own = registry if registry is not None else os.environ.get(REGISTRY_VARIABLE) or None
    if own is not None:
        entries.update(_read(Path(own)))
    return entries


def find_entry(name: str, registry: Optional[PathLike] = None) -> Entry:
    """The entry of this name.

    Raises:
        UsageError: There is none; with the nearest name.
        ConfigError: As in `load_entries`.
    """
    entries = load_entries(registry)
    if name not in entries:
        raise UsageError(f"there is no model {name!r}", remedy=did_you_mean(name, entries))
    return entries[name]


def _read(path: Path) -> Dict[str, Entry]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() in (".yaml", ".yml"):
            from ruamel.yaml import YAML

            data = YAML(typ="safe", pure=True).load(text)
        else:
            data = json.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"registry {path} does not exist") from None
    except OSError as error:
        raise ConfigError(f"registry {path} cannot be read", got=error.strerror) from None
    except Exception as error:
        # json and ruamel.yaml have no error in common but ValueError's and YAML's own.
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(
            f"registry {path} is neither JSON nor YAML", got=problem, expected="`models` by name"
        ) from None
    models = data.get("models") if isinstance(data, dict) else None
    if not isinstance(models, dict) or len(data) != 1:
        raise ConfigError(f"registry {path}", expected="one key, `models`, with entries by name")
    return {str(name): _entry(str(name), fields, path) for name, fields in models.items()}


def _entry(name: str, fields: Any, path: Path) -> Entry:
    where = f"models.{name}"
    if not _NAME.match(name):
        raise ConfigError(
            f"{path}: {where}: the name becomes a file's",
            expected="small letters, digits, '.', '_' and '-', at most 64",
        )
    if isinstance(fields, dict):
        fields = {**fields, "name": name}
    entry: Entry = decode(Entry, fields, where)

    def check(good: Any, field: str, got: Any, expected: str) -> None:
        if not good:
            raise ConfigError(f"{path}: {where}.{field}", got=repr(got), expected=expected)

    check(entry.task in TASKS, "task", entry.task, " or ".join(TASKS))
    check(min(entry.input_size) > 0, "input_size", entry.input_size, "two numbers above 0")
    address = entry.address
    if address is None:
        check(entry.note, "note", entry.note, "a word on how to get a model without address")
    else:
        check(
            re.match(r"https?://[^\s/]+/\S+\Z", address), "address", address, "http(s)://host/path"
        )
    member = entry.member
    sums = [("sha256", entry.sha256), ("member.sha256", member.sha256 if member else None)]
    for field, value in sums:
        check(
            value is None or _SHA256.match(value),
            field,
            value,
            "64 hexadecimal digits in small letters, or null where nobody published it",
        )
    if member is not None:
        plain = member.name and "/" not in member.name and "\\" not in member.name
        check(plain, "member.name", member.name, "a file name without folders")
    try:
        entry.model_card()
    except ModelError as error:
        raise ConfigError(f"{path}: {where}.card: {error.what}", got=error.got) from None
    return entry
