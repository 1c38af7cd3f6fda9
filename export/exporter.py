"""From a model of any kind to one typed ONNX with its card, checked before it is there."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from ..calibration.graph import load_onnx, write_model
from ..core import ModelCard, ModelError, StorageError, UsageError
from ..core.card import METADATA_KEY
from .cards import CardLike, card_fields, read_classes
from .complete import Batch, check_target, parse_batch, parse_size, simplify
from .fold import fold as fold_in
from .fp16 import HalfSettings
from .job import Job, Step
from .runner import check, check_operators
from .sources import is_onnx
from .targets import find_target

PRECISIONS = ("fp32", "fp16")
PARITIES = ("outputs", "layers")


def export_model(
    model: Any,
    out: Union[str, Path],
    *,
    checkpoint: Union[None, str, Path] = None,
    factory_args: Union[None, str, Dict[str, Any], List[Any]] = None,
    target: Optional[str] = None,
    opset: Optional[int] = None,
    size: Union[None, str, Sequence[int]] = None,
    batch: Batch = None,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    inputs: Optional[Sequence[str]] = None,
    outputs: Optional[Sequence[str]] = None,
    simplified: bool = True,
    fold: bool = False,
    precision: str = "fp32",
    keep_float: Sequence[str] = (),
    io: str = "float32",
    images: Union[None, str, Path] = None,
    parity: str = "outputs",
    max_difference: Optional[float] = None,
    card: CardLike = None,
    progress: Optional[Step] = None,
    **fields: Any,
) -> Dict[str, Any]:
    """Write a model as ONNX, with its card inside, once it has proved to be what it was.

    Args:
        model: A `torch.nn.Module`; `module:factory`, which returns one; a `.pt2` program; a
            TorchScript file; or an `.onnx` to complete, which needs no torch.
        out: The file to write. Weights beyond 2 GB stand in `NAME.data` beside it.
        checkpoint: Weights for a module; only tensors are read from the file.
        factory_args: What to call the factory with: a dict, a list, or JSON of one.
        target: What it is for: a TensorRT (`trt8.2`), a JetPack or a device; sets the newest
            opset and refuses what its parser does not read.
        opset: ONNX operator set, 13 to 25; by default what suits the target.
        size: `(width, height)` of the input in pixels, or `"416x416"`.
        batch: Pictures a run, or `"dynamic"`; None for one, or for what an ONNX has.
        shapes: Shapes of inputs that are no pictures, by name.
        inputs: Names for the inputs, in order.
        outputs: Names for the outputs, in order.
        simplified: Fold constants and drop what does nothing, where onnxslim is installed.
        fold: Put the preprocessing into the graph, which then takes `(n, h, w, 3)` uint8 BGR;
            float32 where the target's TensorRT takes no uint8.
        precision: `fp32`, or `fp16`: see `fp16.to_fp16`.
        keep_float: With fp16, names of nodes, outputs or operators that stay in float32.
        io: With fp16, type of the float inputs and outputs: `float32` or `half`.
        images: Folder of pictures to compare on, beside made-up ones.
        parity: `outputs`, or `layers` to compare every layer too.
        max_difference: Largest difference allowed in an output, relative to its range; by default
            1e-4. With fp16 it is the root mean square of the differences, by default 0.01.
        card: A card, part of one, or a JSON file of it.
        progress: Called with what is being done.
        fields: Fields of the card or of its input, e.g. `decoder="yolox"`, `classes="person"`,
            `colour="bgr"`.

    Returns:
        `model`, `out`, `bytes`, `sha256`, `exporter`, `opset`, `precision`, `nodes`, `inputs`,
        `outputs`, `card`, `parity` (with `limit`, `pictures`, `outputs`, and `layers` when asked
        for), `fp16` (what became of the nodes) and `notes`.

    Raises:
        UsageError: What is asked for makes no sense.
        ModelError: The model cannot be exported, or its numbers changed; nothing is written.
        DataError: The folder has no picture that can be read.
        StorageError: The file cannot be written; nothing is left of it.
        MissingDependency: onnx, onnxruntime or torch is not installed.
    """
    for value, known, what in ((precision, PRECISIONS, "precision"), (parity, PARITIES, "parity")):
        if value not in known:
            raise UsageError(f"{what} {value!r} is unknown", expected=" or ".join(known))
    load_onnx()
    fields["classes"] = read_classes(fields.get("classes"))
    job = Job(
        source=model,
        target=find_target(target),
        opset=opset,
        size=parse_size(size),
        batch=parse_batch(batch),
        shapes=dict(shapes or {}),
        fields=card_fields(card, fields),
        images=images,
        parity=parity,
        limit=_limit(max_difference),
        tell=progress or (lambda step: None),
    )
    out = _writable(Path(out))
    where = str(model) if isinstance(model, (str, Path)) else type(model).__name__
    if is_onnx(model):
        start = job.from_onnx(where)
    else:
        start = job.from_torch(model, checkpoint, factory_args, inputs, outputs)
        inputs = outputs = None  # the exporter has named them
    finished, told = start, {}
    if simplified:
        job.tell("simplify")
        finished, note = simplify(start)
        job.notes += [note] if note else []
        job.compare(finished, "simplifying")
    finished = job.named(finished, inputs, outputs)
    made, note = job.card(finished, where)
    job.notes += [note] if note else []
    if fold:
        job.tell("fold")
        if job.spec is None:
            raise ModelError(
                f"nothing says how {where} wants its pictures, so no preprocessing is folded in",
                remedy="say it with --decoder, or --task and --colour, --scale, --mean, --std",
            )
        old = job.target.before(8, 5)
        if old:
            job.notes.append(f"{job.target.name} takes no uint8, so the pixels go in as float32")
        finished, job.folded = fold_in(finished, job.spec, "float32" if old else "uint8")
        made = dataclasses.replace(made, input=job.folded) if made else None
    if precision == "fp16":
        finished, told = job.half(finished, HalfSettings(tuple(keep_float), io))
        quantised = made is not None and made.precision == "int8"
        made = (
            dataclasses.replace(made, precision="int8" if quantised else "fp16") if made else None
        )
    job.tell("check")
    check(finished, where)
    job.notes += check_operators(finished, where) + check_target(finished, job.target, where)
    job.settle_outputs(finished)
    differences = job.compare(finished, "the export", final=True, half=bool(told))
    if finished.ir_version < 4:
        finished.ir_version = 7  # before, every weight had to be an input as well
    _stamp(finished, made)
    job.tell("write")
    write(finished, out)
    return job.report(where, out, finished, made, differences, told)


def _limit(value: Optional[float]) -> Optional[float]:
    if value is not None and not value >= 0:
        raise UsageError("max_difference makes no sense", got=value, expected="0 or more")
    return value


def _writable(out: Path) -> Path:
    """Tell at once, not after minutes, that there is nowhere to write."""
    if out.is_dir():
        raise UsageError(f"{out} is a folder", expected="a file to write, e.g. model.onnx")
    if not out.parent.is_dir():
        raise StorageError(
            f"there is no folder {out.parent}", remedy="make it, or choose another one"
        )
    return out


def write(model: Any, out: Path) -> None:
    """Write a model in one step; where that fails, nothing of it is left.

    Raises:
        StorageError: The folder cannot be written or the disk is full.
    """
    data = out.with_name(out.name + ".data")
    before = data.exists()
    try:
        write_model(model, out)
    except BaseException:
        if not before and data.exists():
            data.unlink()
        raise


def _stamp(model: Any, card: Optional[ModelCard]) -> None:
    kept = [(p.key, p.value) for p in model.metadata_props if p.key != METADATA_KEY]
    del model.metadata_props[:]
    if card is not None:
        kept.append((METADATA_KEY, card.to_json()))
    for key, value in kept:
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
