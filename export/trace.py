"""From a torch module to an ONNX graph, by the exporter that writes the plainer one.

Two exporters come with torch. The older one, which follows one run of the model, writes opset 13
itself, folds batch norms and spells out what the older opsets lack: the graphs that TensorRT 8
reads. The newer one, which captures the program, writes opset 18 and newer. So the first is
tried first, the second where it fails, and what it writes is brought down to the opset asked for.
"""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..calibration.graph import read_model
from ..core import ModelError, UsageError
from .opset import to_opset
from .runner import first_line
from .sources import load_torch

CAPTURED_OPSET = 18
"""The oldest that torch's newer exporter writes itself."""

_OPERATOR = "Exporting the operator"

TRACED_OPSET = 20
"""The newest that its older one writes."""


class Traced(NamedTuple):
    """An ONNX of a torch module.

    Attributes:
        model: The `ModelProto`.
        exporter: `trace` or `dynamo`.
        notes: What the user should know.
    """

    model: Any
    exporter: str
    notes: List[str]


def call(module: Any, tensors: Sequence[np.ndarray]) -> Dict[str, np.ndarray]:
    """Run a module and name what it gives.

    Returns:
        Outputs by name: the keys where the module gives a dict, else `output` or `output0`, ….

    Raises:
        ModelError: It fails, or gives something else than tensors.
    """
    torch = load_torch()
    try:
        with torch.no_grad():
            result = module(*(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors))
    except Exception as error:
        raise ModelError(
            "the torch model fails on its input",
            got=f"{type(error).__name__}: {first_line(error)}",
            expected="shapes " + ", ".join(str(list(t.shape)) for t in tensors),
            remedy="give the size it was trained with by --size",
        ) from error
    outputs = flatten(result)
    return {name: value.detach().cpu().numpy() for name, value in outputs.items()}


def flatten(result: Any) -> Dict[str, Any]:
    """Tensors in what a module gives, by name."""
    torch = load_torch()
    values, names = torch.utils._pytree.tree_flatten(result)[0], None
    tensors = [v for v in values if isinstance(v, torch.Tensor)]
    if not tensors or len(tensors) != len([v for v in values if v is not None]):
        raise ModelError(
            "the torch model gives something else than tensors",
            got=", ".join(type(v).__name__ for v in values if not isinstance(v, torch.Tensor))
            or "nothing",
        )
    if isinstance(result, dict) and all(isinstance(v, torch.Tensor) for v in result.values()):
        names = [str(k) for k in result]
    if names is None:
        names = ["output"] if len(tensors) == 1 else [f"output{i}" for i in range(len(tensors))]
    return dict(zip(names, tensors))


def to_onnx(
    module: Any,
    tensors: Sequence[np.ndarray],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int,
    dynamic: bool,
) -> Traced:
    """Write a module as ONNX.

    Args:
        module: In `eval()` and on the CPU.
        tensors: An example of each input; where the batch is open, of two pictures or more.
        inputs: Names of the inputs.
        outputs: Names of the outputs, one for each.
        opset: ONNX operator set, 13 or newer.
        dynamic: Leave the first axis open.

    Raises:
        ModelError: Neither exporter can.
    """
    failures: List[str] = []
    ways = (_trace, _capture) if opset <= TRACED_OPSET else (_capture,)
    for way in ways:
        try:
            traced = way(module, tensors, inputs, outputs, opset, dynamic)
            _name(traced.model, inputs, outputs)
            model = to_opset(traced.model, opset)
        except ModelError as error:
            failures.append(str(error))
            continue
        except Exception as error:  # exporters raise whatever the model makes them
            failures.append(_reason(error))
            continue
        notes = list(traced.notes)
        if failures:
            notes.append(
                f"the older exporter failed ({failures[0]}), the newer one wrote the graph"
            )
        return Traced(model, traced.exporter, notes)
    raise ModelError(
        f"the model cannot be written as ONNX of opset {opset}",
        got=next((f for f in failures if _OPERATOR in f), "; ".join(dict.fromkeys(failures))),
        remedy="replace what has no form in ONNX, or ask for a newer opset or target",
    )


def _trace(
    module: Any,
    tensors: Sequence[np.ndarray],
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int,
    dynamic: bool,
) -> Traced:
    torch = load_torch()
    examples = tuple(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors)
    axes = {name: {0: "n"} for name in (*inputs, *outputs)} if dynamic else None
    with tempfile.TemporaryDirectory(prefix="edgelane-") as folder:
        path = Path(folder) / "model.onnx"
        with _quiet() as caught:
            torch.onnx.export(
                module,
                examples,
                str(path),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=opset,
                dynamic_axes=axes,
                dynamo=False,
            )
        model = read_model(path)
    fixed = {
        first_line(w.message, 160)  # type: ignore[arg-type]
        for w in caught
        if issubclass(w.category, torch.jit.TracerWarning)
    }
    notes = [f"what depends on the data was fixed by the example: {text}" for text in sorted(fixed)]
    return Traced(model, "trace", notes[:3])


def _capture(
    module: Any,
    tensors: Sequence[np.ndarray],
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int,
    dynamic: bool,
) -> Traced:
    torch = load_torch()
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ModelError(
            "torch's newer exporter needs onnxscript",
            remedy="run: pip install 'edgelane[export]'",
        ) from None
    examples = tuple(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors)
    shapes: Optional[Tuple[Any, ...]] = None
    if dynamic:
        shapes = tuple({0: torch.export.Dim("n", min=1)} for _ in examples)
    with _quiet():
        program = torch.onnx.export(
            module,
            examples,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=max(opset, CAPTURED_OPSET),
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
        model = program.model_proto
    return Traced(model, "dynamo", [])


def _name(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Make sure that the exporter kept the names; it drops inputs that nothing reads."""
    held = {t.name for t in model.graph.initializer}
    found = [i.name for i in model.graph.input if i.name not in held]
    if len(model.graph.output) != len(outputs) or not set(found) <= set(inputs):
        raise ModelError(
            "the exporter changed inputs or outputs",
            got=f"{found} to {[o.name for o in model.graph.output]}",
            expected=f"{list(inputs)} to {list(outputs)}",
        )


def _reason(error: Exception) -> str:
    """What stopped an exporter, in a few words."""
    text = str(error)
    for line in text.splitlines():
        if _OPERATOR in line or "is not supported" in line:
            return line.strip().partition(" Please")[0][:200]
    return f"{type(error).__name__}: {first_line(error, 200)}"


@contextlib.contextmanager
def _quiet() -> Iterator[List[Any]]:
    """Keep what exporters print to themselves; their warnings are handed back.

    They print from C++ too, past Python's own streams.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    try:
        with warnings.catch_warnings(record=True) as caught, open(os.devnull, "w") as sink:
            warnings.simplefilter("always")
            for number in (1, 2):
                os.dup2(sink.fileno(), number)
            with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
                yield caught
    finally:
        for number, copy in zip((1, 2), kept):
            os.dup2(copy, number)
            os.close(copy)
        logging.disable(before)


def check_names(given: Optional[Sequence[str]], usual: Sequence[str], what: str) -> Tuple[str, ...]:
    """The names of inputs or outputs, by the user's wish or as usual.

    Raises:
        UsageError: Their number is wrong, or one stands there twice.
    """
    if not given:
        return tuple(usual)
    if len(given) != len(usual):
        raise UsageError(
            f"the model has {len(usual)} {what}s", got=f"{len(given)} names: " + ", ".join(given)
        )
    if len(set(given)) != len(given):
        raise UsageError(f"two {what}s have the same name", got=", ".join(given))
    return tuple(given)
