"""The models of a sweep in every size and precision, made once and kept."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ...core import EdgelaneError, ModelCard, ModelError, UsageError, did_you_mean
from ...core.card import METADATA_KEY
from ...core.devices import PRECISIONS
from ...runtime.backends.serve import is_engine
from .data import Data

PathLike = Union[str, Path]
Size = Tuple[int, int]

OWN = "own"
"""The precision that a file has."""

HALF_PICTURES = 16
CALIBRATION_PICTURES = 128
VERSION = 1
"""Of how variants are made; those of another are made anew."""


@dataclass(frozen=True)
class Variant:
    """A model in one size and precision.

    Attributes:
        model: What it is called.
        source: The file that was given.
        size: `(width, height)` asked for, or None for what the file has.
        precision: `fp32`, `fp16` or `int8`.
        path: The file to measure, or None where it could not be made.
        error: Why not.
        notes: Sentences that a reader should see.
        own: Whether it is the file as it was given.
    """

    model: str
    source: str
    size: Optional[Size]
    precision: str
    path: Optional[str] = None
    error: Optional[str] = None
    notes: Tuple[str, ...] = ()
    own: bool = True

    def to_dict(self) -> Dict[str, Any]:
        """For a job file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Dict[str, Any]) -> "Variant":
        """What `to_dict` gave."""
        size = data.get("size")
        notes = tuple(data.get("notes", ()))
        return cls(**{**data, "size": None if size is None else tuple(size), "notes": notes})


@dataclass(frozen=True)
class Making:
    """How variants are made.

    Attributes:
        folder: Where they are kept.
        data: Pictures to look at.
        calibration: Pictures to calibrate INT8 with instead, or None.
        decoder: How outputs are read, where nothing shows it.
        target: `trt` or `cpu`: what INT8 is made for.
        tell: Called with what is being done.
    """

    folder: Path
    data: Data
    calibration: Optional[Path] = None
    decoder: Optional[str] = None
    target: str = "cpu"
    tell: Callable[[str], None] = lambda text: None


def parse_sizes(sizes: Sequence[Union[str, int, Sequence[int]]]) -> List[Size]:
    """`(width, height)` of `320`, `"640x384"` or pairs.

    Raises:
        UsageError: One of them is something else.
    """
    found = []
    for given in sizes:
        try:
            parts = str(given).lower().split("x") if isinstance(given, (str, int)) else list(given)
            numbers = [int(part) for part in parts]
            width, height = numbers * 2 if len(numbers) == 1 else numbers
            if min(width, height) < 8 or max(width, height) > 8192:
                raise ValueError
        except (TypeError, ValueError):
            raise UsageError(
                "a size makes no sense", got=repr(given), expected="pixels, e.g. 416 or 640x384"
            ) from None
        if (width, height) not in found:
            found.append((width, height))
    return found


def parse_precisions(precisions: Sequence[str]) -> List[str]:
    """The precisions, checked and once each.

    Raises:
        UsageError: One is unknown.
    """
    for name in precisions:
        if name not in PRECISIONS:
            raise UsageError(
                f"precision {name!r} is unknown", remedy=did_you_mean(str(name), PRECISIONS)
            )
    return list(dict.fromkeys(precisions))


def make_variants(
    models: Sequence[PathLike],
    sizes: Sequence[Size],
    precisions: Sequence[str],
    making: Making,
) -> Iterator[Variant]:
    """Every model in every size and precision, as they become ready.

    What cannot be made says why; the others go on. Without sizes and precisions files are taken
    as they are, which needs no onnx.

    Args:
        models: ONNX or engine files.
        sizes: `(width, height)`; empty for what each file has.
        precisions: Of `fp32`, `fp16` and `int8`; empty for what each file has.
        making: How.
    """
    names = _names(models)
    for path, name in zip(models, names):
        for size in sizes or [None]:
            for precision in precisions or [OWN]:
                making.tell(f"{name}{_at(size)} {'' if precision == OWN else precision}".strip())
                variant = Variant(name, str(path), size, precision)
                try:
                    made = _make(variant, making)
                except EdgelaneError as error:
                    made = dataclasses.replace(variant, error=str(error))
                except Exception as error:  # makers rest on libraries that raise what they like
                    reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
                    made = dataclasses.replace(variant, error=f"it could not be made: {reason}.")
                yield made


def _names(models: Sequence[PathLike]) -> List[str]:
    """What models are called: their file's name, with its folder where that is not enough."""
    stems = [Path(m).stem for m in models]
    names = []
    for path, stem in zip(models, stems):
        twice = stems.count(stem) > 1
        names.append(f"{Path(path).resolve().parent.name}/{stem}" if twice else stem)
    for index, name in enumerate(names):
        if names.count(name) > 1 and name in names[:index]:
            names[index] = f"{name} ({index + 1})"
    return names


def _at(size: Optional[Size]) -> str:
    return "" if size is None else f" {size[0]}x{size[1]}"


def own_precision(path: PathLike) -> str:
    """The precision that a file has.

    Raises:
        ModelError: It cannot be read.
    """
    if is_engine(str(path)):
        from ...runtime.engines import read_passport

        return read_passport(path).precision
    from ...runtime.engines import read_graph

    facts = read_graph(path)
    if facts.quantized:
        return "int8"
    return "fp16" if facts.half else "fp32"


def _make(variant: Variant, making: Making) -> Variant:
    """The variant with its file.

    Raises:
        EdgelaneError: It cannot be made.
    """
    own = own_precision(variant.source)
    precision = own if variant.precision == OWN else variant.precision
    variant = dataclasses.replace(variant, precision=precision)
    if precision != own and (own != "fp32" or is_engine(variant.source)):
        raise ModelError(
            f"{variant.source} is {own.upper()} already, so no {precision.upper()} is made of it",
            remedy="give the FP32 model",
        )
    path, notes = variant.source, list(variant.notes)
    if variant.size is not None and not is_engine(path):
        path, rewritten = _sized(variant, making)
        if rewritten:
            notes.append("the graph was rewritten for this size")
    elif variant.size is not None:
        raise ModelError(f"{path} is an engine, whose size is fixed", remedy="give its ONNX")
    if precision != own:
        path = _fp16(path, making) if precision == "fp16" else _int8(path, making)
        if precision == "int8" and making.calibration is None:
            notes.append("INT8 was calibrated on pictures that it is judged on")
        if precision == "int8":
            runner = "TensorRT: the CPU may run it slower" if making.target == "trt" else (
                "the CPU: for TensorRT it is made otherwise, and is more right")  # fmt: skip
            notes.append(f"INT8 was made for {runner}")
    return dataclasses.replace(
        variant, path=path, notes=tuple(notes), own=path == str(variant.source)
    )


def _kept(making: Making, source: str, *marks: object) -> Path:
    """Where a model is kept: named by all that it is made from."""
    mark = hashlib.sha256(Path(source).read_bytes())
    mark.update(repr((VERSION, *marks)).encode())
    folder = making.folder / "models"
    folder.mkdir(parents=True, exist_ok=True)
    stem = Path(source).stem.split("@")[0]
    words = "-".join(str(m) for m in marks[:1])
    return folder / f"{stem}@{words}-{mark.hexdigest()[:10]}.onnx"


def _sized(variant: Variant, making: Making) -> Tuple[str, bool]:
    """The model for pictures of a size, and whether its graph had to be rewritten."""
    from ...runtime.engines import read_graph

    assert variant.size is not None
    width, height = variant.size
    axes = [i.shape for i in read_graph(variant.source).inputs if len(i.shape) == 4]
    if any(shape[2:] == (height, width) or shape[1:3] == (height, width) for shape in axes):
        return variant.source, False
    rewritten = not any(None in shape[1:] for shape in axes)
    out = _kept(making, variant.source, f"{width}x{height}")
    if out.exists():
        return str(out), rewritten
    from ...calibration.graph import read_model, write_model
    from .resize import resize

    model = resize(read_model(variant.source), variant.size, variant.source)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            card = ModelCard.from_json(entry.value)
            spec = dataclasses.replace(card.input, size=variant.size)
            entry.value = dataclasses.replace(card, input=spec).to_json()
        elif entry.key == "imgsz":
            entry.value = str([height, width])
    write_model(model, out)
    return str(out), rewritten


def _labels(making: Making, path: str) -> Optional[str]:
    """Where people stand, for a net that is given one at a time."""
    from ...runtime.engines import read_graph

    card = read_graph(path).card
    labels = making.data.labels or (
        making.data.annotations if card is not None and card.task == "pose" else None
    )
    return None if labels is None else str(labels)


def _fp16(path: str, making: Making) -> str:
    out = _kept(making, path, "fp16", making.data.identity)
    if out.exists():
        return str(out)
    from ...calibration.feeds import open_feeds
    from ...calibration.graph import read_model, write_model
    from ...export.attempts import stamped
    from ...export.fp16 import to_fp16

    feeds = open_feeds(
        path,
        making.data.images,
        count=HALF_PICTURES,
        labels=_labels(making, path),
        decoder=making.decoder,
    )
    half, _ = to_fp16(read_model(path), feeds)
    write_model(stamped(half, dataclasses.replace(feeds.card, precision="fp16")), out)
    return str(out)


def _int8(path: str, making: Making) -> str:
    images = making.calibration or making.data.images
    out = _kept(making, path, "int8", making.data.identity, str(images), making.target)
    if out.exists():
        return str(out)
    from ...calibration.calibrate import calibrate

    labels = _labels(making, path) if making.calibration is None else None
    calibrate(
        path,
        images,
        out,
        count=CALIBRATION_PICTURES,
        labels=labels,
        target=making.target,
        decoder=making.decoder,
        statistics=False,
    )
    return str(out)
