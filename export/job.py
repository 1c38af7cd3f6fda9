"""The steps of an export, and what is found out on the way."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..calibration.graph import load_onnx, read_model
from ..core import EdgelaneError, InputSpec, ModelCard, ModelError, UsageError
from ..runtime.graph import layout_of, picture_input
from ..runtime.preprocess import Preprocessor
from . import parity as compared
from .cards import make_card, usual_input
from .complete import DATA_DEPENDENT, DYNAMIC, Batch, fix_shapes, open_outputs, rename, simplify
from .feeds import feeds_of, made_up, read_pictures
from .fp16 import HalfSettings, to_fp16
from .opset import to_opset
from .runner import Tensors, check, check_operators, check_plain, has_control_flow, running
from .sources import Frozen, open_torch
from .targets import TYPED_QDQ, Target, choose_opset
from .torch_parity import layer_differences
from .trace import Traced, call, check_names, to_onnx

MADE_UP = 3
"""Made-up pictures that everything is tried on."""

REAL = 16
"""Pictures of a folder that are tried at most."""

Step = Callable[[str], None]


@dataclasses.dataclass
class Job:
    """One export on its way: what was asked, what was found out."""

    source: Any
    target: Target
    opset: Optional[int]
    size: Optional[Tuple[int, int]]
    batch: Batch
    shapes: Dict[str, Sequence[int]]
    fields: Dict[str, Any]
    images: Union[None, str, Path]
    parity: str
    limit: Optional[float]
    tell: Step
    notes: List[str] = dataclasses.field(default_factory=list)
    exporter: str = "onnx"
    spec: Optional[InputSpec] = None
    folded: Optional[InputSpec] = None
    pictures: List[np.ndarray] = dataclasses.field(default_factory=list)
    first: List[Dict[str, Any]] = dataclasses.field(default_factory=list)
    layers: Optional[List[compared.Difference]] = None
    reference: Any = None
    renamed: Dict[str, str] = dataclasses.field(default_factory=dict)

    def from_onnx(self, where: str) -> Any:
        """The ONNX with its shapes settled, in the opset wanted."""
        self.tell("read")
        model = read_model(self.source)
        self.notes += check_operators(model, where)
        if has_control_flow(model):
            model = simplify(model)[0]  # branches on constants go away
        check_plain(model, where)
        own = fix_shapes(model, size=self.size, shapes=self.shapes, where=where)
        self._try_on(own, where)
        model = own
        if self.batch is not None:
            model = fix_shapes(own, batch=self.batch, where=where)
            self._check_batch(own, model, where)
        self.reference = model
        current = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        wanted = choose_opset(self.target, self.opset, current)
        if wanted != current:
            self.tell(f"opset {current} to {wanted}")
            model = to_opset(model, wanted)
            check(model, where)
            self.compare(model, f"the change to opset {wanted}")
        return model

    def _try_on(self, model: Any, where: str) -> None:
        """Find what the model takes, and the pictures to try it on."""
        with running(model, where) as backend:
            try:
                picture = picture_input(backend, where)
            except ModelError:
                self.pictures = made_up((32, 32), MADE_UP)
                if self.images is not None:
                    raise
                return
            axes = picture.shape[2:] if layout_of(picture) == "nchw" else picture.shape[1:3]
            if self.size is None and None not in axes:
                self.size = (int(axes[1] or 0), int(axes[0] or 0))
            made, _ = make_card(backend, self.fields, self.size, where)
            size = made.input.size if made else self.size or (64, 64)
            self.spec = made.input if made else None
            if made is None and self.fields.get("input"):
                self.spec = usual_input(self.fields, size)
        self._gather(self.spec or InputSpec(size))

    def _gather(self, spec: InputSpec) -> None:
        self.pictures = made_up(spec.size, MADE_UP)
        if self.images is not None:
            real, unreadable = read_pictures(self.images, spec, REAL)
            self.pictures = real + self.pictures
            if unreadable:
                names = ", ".join(unreadable[:3])
                self.notes.append(f"{len(unreadable)} pictures cannot be read: {names}")

    def from_torch(
        self,
        source: Any,
        checkpoint: Any,
        factory_args: Any,
        inputs: Optional[Sequence[str]],
        outputs: Optional[Sequence[str]],
    ) -> Any:
        """The torch model as ONNX, which gave what the model gives."""
        self.tell("load")
        loaded = open_torch(source, checkpoint, factory_args)
        self.notes += loaded.notes
        batches = self._examples(loaded.examples)
        usual = ["images"] if self.spec else [f"input{i}" for i in range(len(batches[0]))]
        input_names = check_names(inputs, usual, "input")
        results = [call(loaded.module, tensors) for tensors in batches]
        output_names = check_names(outputs, list(results[0]), "output")
        opset = choose_opset(self.target, self.opset, None)
        self.tell("export")
        traced: Traced = to_onnx(
            loaded.module,
            batches[0],
            inputs=input_names,
            outputs=output_names,
            opset=opset,
            dynamic=self.batch == DYNAMIC,
        )
        self.exporter = traced.exporter
        if not isinstance(loaded.module, Frozen):  # a program's branches were settled before
            self.notes += traced.notes
        check(traced.model, loaded.name)
        self.tell("compare")
        limit = self.limit or compared.LIMIT
        with running(traced.model, loaded.name) as backend:
            found = compared.compare(
                (
                    dict(zip(output_names, wanted.values())),
                    backend.infer(_known(dict(zip(input_names, tensors)), backend)),
                )
                for tensors, wanted in zip(batches, results)
            )
        if self.parity == "layers":
            self.tell("compare layers")
            self.layers = layer_differences(
                loaded.module, batches[0], inputs=input_names, opset=opset
            )
        compared.require(found, limit, "torch", "onnxruntime")
        self.first = [d.to_dict() for d in found]
        check_plain(traced.model, loaded.name)
        self.reference = traced.model
        return traced.model

    def _examples(self, given: Tuple[Any, ...]) -> List[List[np.ndarray]]:
        """Inputs for a torch model, batch by batch."""
        size = self.size or tuple(self.fields.get("input", {}).get("size", ())) or None
        count = 2 if self.batch == DYNAMIC else int(self.batch or 1)
        if given and not self.shapes:
            shape = tuple(given[0].shape)
            if len(given) == 1 and len(shape) == 4 and 3 in (shape[1], shape[3]):
                count = shape[0] if self.batch is None else count
                if shape[0] != count:
                    raise ModelError(
                        "the exported program is fixed to its batch", got=count, expected=shape[0]
                    )
                axes = shape[2:] if shape[1] == 3 else shape[1:3]
                if size is not None and size != (axes[1], axes[0]):
                    raise ModelError(
                        "the exported program is fixed to its size",
                        got=f"{size[0]}x{size[1]}",
                        expected=f"{axes[1]}x{axes[0]}",
                        remedy="export the program anew in the size wanted",
                    )
                size = (int(axes[1]), int(axes[0]))
            else:
                return [[t.detach().cpu().numpy() for t in given]]
        if self.shapes:
            return [
                [
                    np.random.RandomState(seed).normal(0, 1, list(shape)).astype(np.float32)
                    for shape in self.shapes.values()
                ]
                for seed in range(MADE_UP)
            ]
        if size is None:
            raise UsageError(
                "nothing says how large the input is",
                remedy="give --size WIDTHxHEIGHT, or --shape NAME=1x… for what is no picture",
            )
        self.size = (int(size[0]), int(size[1]))
        self.spec = usual_input(self.fields, self.size)
        self._gather(self.spec)
        whole = Preprocessor(self.spec, np.float32)
        batches = []
        for start in range(0, len(self.pictures), count):
            chosen = [self.pictures[(start + i) % len(self.pictures)] for i in range(count)]
            batches.append([whole.batch(chosen)[0]])
        return batches

    def named(
        self, model: Any, inputs: Optional[Sequence[str]], outputs: Optional[Sequence[str]]
    ) -> Any:
        """The model with the names that the user wants."""
        held = {t.name for t in model.graph.initializer}
        old_in = [i.name for i in model.graph.input if i.name not in held]
        old_out = [o.name for o in model.graph.output]
        new_in = dict(zip(old_in, check_names(inputs, old_in, "input")))
        new_out = dict(zip(old_out, check_names(outputs, old_out, "output")))
        self.renamed = {**new_in, **new_out}
        return rename(model, new_in, new_out)

    def card(self, model: Any, where: str) -> Tuple[Optional[ModelCard], str]:
        """What goes into the file beside the graph."""
        with running(model, where) as backend:
            try:
                picture_input(backend, where)
            except ModelError:
                if not self.fields.get("task"):
                    return None, "no card is written, because the model takes no picture"
            fields = dict(self.fields)
            if self.spec is not None and self.exporter != "onnx":
                fields["input"] = {**dataclasses.asdict(self.spec), **self.fields.get("input", {})}
            made, note = make_card(backend, fields, self.size, where)
        if made is not None:
            self.spec = made.input
        return made, note

    def feeds(self, backend: Any, spec: Optional[InputSpec]) -> Iterable[Tensors]:
        """What the graph is tried on."""
        return feeds_of(backend, self.pictures, spec)

    def compare(
        self, after: Any, step: str, final: bool = False, half: bool = False
    ) -> List[compared.Difference]:
        """Hold a graph against what it was at first; the differences of its outputs."""
        before = self.reference
        if after is before and not final:
            return []
        limit = compared.HALF_LIMIT if half else compared.LIMIT
        self.tell("compare")
        spec = self._spec_of(before)
        folded = self.folded if final and self.folded is not None else spec
        names = {new: old for old, new in self.renamed.items()}
        with running(before, "the model") as one, running(after, "the export") as two:
            pairs = (
                (one.infer(a), _named(two.infer(_as(two, b, self.renamed)), names))
                for a, b in zip(self.feeds(one, spec), self.feeds(two, folded))
            )
            found = compared.compare(pairs)
        if final and self.parity == "layers" and self.layers is None:
            self.tell("compare layers")
            self.layers = compared.compare_graphs(
                before,
                after,
                lambda backend: self.feeds(backend, spec),
                lambda backend: self.feeds(backend, folded),
            )
        limit = limit if self.limit is None else self.limit
        compared.require(found, limit, "the model", step, half)
        return found

    def _spec_of(self, model: Any) -> Optional[InputSpec]:
        held = {t.name for t in model.graph.initializer}
        infos = [i for i in model.graph.input if i.name not in held]
        pictures = [
            i
            for i in infos
            if len(i.type.tensor_type.shape.dim) == 4
            and 3
            in (
                i.type.tensor_type.shape.dim[1].dim_value,
                i.type.tensor_type.shape.dim[3].dim_value,
            )
        ]
        if len(pictures) != 1 or not self.pictures:
            return None
        height, width = self.pictures[0].shape[:2]
        return self.spec or InputSpec((width, height))

    def half(self, model: Any, settings: HalfSettings) -> Tuple[Any, Dict[str, Any]]:
        """The model in half precision, and what became of its nodes."""
        self.tell("fp16")
        quantised = any(n.op_type == "DequantizeLinear" for n in model.graph.node)
        current = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        if quantised and current < TYPED_QDQ and self.opset is None:
            if self.target.opset >= TYPED_QDQ:
                model = to_opset(model, TYPED_QDQ)
            else:
                self.notes.append(
                    f"{self.target.name} reads no Q/DQ in half precision, so quantised layers "
                    "stay beside float32"
                )
        spec = self.folded or self._spec_of(model)
        with running(model, "the model") as backend:
            feeds = list(self.feeds(backend, spec))
        changed, report = to_fp16(model, feeds, settings)
        if self.images is None:
            self.notes.append(
                "the ranges for fp16 come from made-up pictures; --images takes them from real ones"
            )
        return changed, report.to_dict()

    def _check_batch(self, own: Any, model: Any, where: str) -> None:
        """Several pictures in one run must give what each gives alone."""
        spec = self._spec_of(model)
        if spec is None:
            return
        refused = ModelError(
            f"{where} has its batch built in, so another cannot be had",
            remedy="export it from its source with --batch",
        )
        with running(own, where) as one:
            try:
                with running(model, where) as several:
                    count = several.inputs[0].shape[0] or 2
                    rows = [self.pictures[i % len(self.pictures)] for i in range(count)]
                    together = several.infer(next(iter(feeds_of(several, rows, spec))))
            except EdgelaneError:
                raise refused from None
            if any(not v.ndim or len(v) != count for v in together.values()):
                raise refused
            # A batch built into the model at hand is filled with the same picture.
            alone = [next(iter(feeds_of(one, [row], spec))) for row in rows]
            pairs = [
                ({k: v[:1] for k, v in one.infer(feed).items()}, _row(together, index))
                for index, feed in enumerate(alone)
            ]
        try:
            compared.require(compared.compare(pairs), compared.LIMIT, "one picture", "a batch")
        except ModelError as error:
            refused.got = error.got
            raise refused from None

    def settle_outputs(self, model: Any) -> None:
        """Shapes of outputs that inference does not find come from a run.

        Where they depend on the picture, that is told, or refused where none can be had.
        """
        names = open_outputs(model)
        if not names:
            return
        kinds = [n.op_type for n in model.graph.node if n.op_type in DATA_DEPENDENT]
        if not kinds:
            with running(model, "the export") as backend:
                feed = next(iter(self.feeds(backend, self.folded or self._spec_of(model))))
                found = backend.infer(feed)
            for info in model.graph.output:
                shape = info.type.tensor_type.shape
                if info.name in names and len(shape.dim) == found[info.name].ndim:
                    for axis, length in list(zip(shape.dim, found[info.name].shape))[1:]:
                        axis.dim_value = length
            return
        if self.target.before(8, 5):
            raise ModelError(
                f"the shape of the output {names[0]!r} depends on the picture by {kinds[0]}, which "
                f"the TensorRT of {self.target.name} does not support",
                remedy="export the model without its suppression (NMS)",
            )
        self.notes.append(
            "the shape of " + ", ".join(names) + f" depends on the picture by {kinds[0]}"
        )

    def report(
        self,
        where: str,
        out: Path,
        model: Any,
        card: Optional[ModelCard],
        differences: List[compared.Difference],
        half: Dict[str, Any],
    ) -> Dict[str, Any]:
        """What was made, and how it compares."""
        held = {t.name for t in model.graph.initializer}
        usual = compared.HALF_LIMIT if half else compared.LIMIT
        limit = self.limit if self.limit is not None else usual
        result: Dict[str, Any] = {
            "model": where,
            "out": str(out),
            "bytes": out.stat().st_size,
            "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
            "exporter": self.exporter,
            "target": self.target.name,
            "opset": max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
            "precision": "fp16" if half else "fp32",
            "nodes": len(model.graph.node),
            "inputs": [_describe(i) for i in model.graph.input if i.name not in held],
            "outputs": [_describe(o) for o in model.graph.output],
            "card": dataclasses.asdict(card) if card else None,
            "parity": {
                "limit": limit,
                "pictures": len(self.pictures),
                "torch": self.first or None,
                "outputs": [d.to_dict() for d in differences],
            },
            "fp16": half or None,
            "notes": self.notes,
        }
        if self.layers is not None:
            first = compared.first_above(self.layers, limit)
            worst = compared.worst(self.layers)
            result["parity"]["layers"] = [d.to_dict() for d in self.layers]
            result["parity"]["first"] = first.name if first else None
            result["parity"]["worst"] = worst.name if worst else None
        return result


def _named(outputs: Tensors, names: Mapping[str, str]) -> Tensors:
    return {names.get(name, name): value for name, value in outputs.items()}


def _row(outputs: Tensors, index: int) -> Tensors:
    return {name: value[index : index + 1] for name, value in outputs.items()}


def _known(feeds: Tensors, backend: Any) -> Tensors:
    """Without inputs that the graph does not read."""
    names = {spec.name for spec in backend.inputs}
    return {k: v for k, v in feeds.items() if k in names}


def _as(backend: Any, feeds: Tensors, renamed: Mapping[str, str]) -> Tensors:
    """Feeds under the names that the graph has."""
    names = {spec.name for spec in backend.inputs}
    return {k if k in names else renamed.get(k, k): v for k, v in feeds.items()}


def _describe(info: Any) -> Dict[str, Any]:
    onnx = load_onnx()
    kind = info.type.tensor_type
    shape = [d.dim_value or d.dim_param or None for d in kind.shape.dim]
    name = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return {"name": info.name, "shape": shape, "dtype": name}
