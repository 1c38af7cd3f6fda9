"""Where a model comes from: a function that builds it, an exported program, TorchScript, ONNX."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from ..core import MissingDependency, ModelError, UsageError, did_you_mean
from ..runtime.named import import_named
from .runner import first_line

PROGRAMS = (".pt2",)
SCRIPTS = (".pt", ".pth", ".ts", ".torchscript", ".jit")


@dataclass
class TorchModel:
    """A torch model ready to be called.

    Attributes:
        module: Takes tensors, gives tensors.
        name: What to call it.
        examples: Shapes and dtypes that it was exported with, as tensors; empty where nothing says.
        notes: What the user should know.
    """

    module: Any
    name: str
    examples: Tuple[Any, ...] = ()
    notes: List[str] = field(default_factory=list)


def load_torch() -> Any:
    """The torch package.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependency(
            "torch is not installed, and it runs the model that is exported",
            got=str(error),
            remedy="run: pip install 'edgelane[export,cpu]'",
        ) from None
    return torch


def is_onnx(source: Any) -> bool:
    """Whether a source names an ONNX file."""
    return isinstance(source, (str, Path)) and str(source).lower().endswith(".onnx")


def open_torch(
    source: Any,
    checkpoint: Union[str, Path, None] = None,
    factory_args: Union[None, str, Dict[str, Any], List[Any]] = None,
) -> TorchModel:
    """A torch model from what the user names.

    Args:
        source: A `torch.nn.Module`; `module:factory`, a function that returns one, looked for in
            the current folder too; or a `.pt2` program or TorchScript file.
        checkpoint: File of weights for a module; only tensors are read from it, nothing is run.
        factory_args: What to call the factory with: a dict, a list, or JSON of one.

    Raises:
        UsageError: The source, its arguments or the file do not make sense together.
        ModelError: It cannot be loaded, or the weights do not fit.
        MissingDependency: torch is not installed.
    """
    torch = load_torch()
    if isinstance(source, torch.nn.Module):
        model = TorchModel(source, type(source).__name__)
    elif ":" in str(source) and not Path(str(source)).exists():
        model = TorchModel(_build(torch, str(source), _arguments(factory_args)), str(source))
    else:
        if factory_args is not None:
            raise UsageError("factory arguments need a factory", expected="module:function")
        model = _file(torch, Path(str(source)), checkpoint)
    if checkpoint is not None:
        model.notes += _fill(torch, model.module, Path(checkpoint))
    # A wrapper cannot be trained or moved: a program refuses both, even when nothing changes.
    if not isinstance(model.module, Frozen):
        model.module = model.module.eval().cpu()
    return model


class Frozen:
    """A marker of modules whose mode is fixed; made where torch is there."""


def _frozen(torch: Any, inner: Any) -> Any:
    class Program(torch.nn.Module, Frozen):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def train(self, mode: bool = True) -> Any:
            return self

        def forward(self, *inputs: Any) -> Any:
            return self.inner(*inputs)

    return Program()


def _arguments(given: Any) -> Tuple[List[Any], Dict[str, Any]]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            raise UsageError(
                "the factory's arguments are no JSON",
                got=str(error),
                expected='e.g. {"classes": 3}',
            ) from None
    if given is None:
        return [], {}
    if isinstance(given, dict):
        return [], given
    if isinstance(given, (list, tuple)):
        return list(given), {}
    raise UsageError("the factory's arguments are neither object nor list", got=repr(given))


def _build(torch: Any, name: str, arguments: Tuple[List[Any], Dict[str, Any]]) -> Any:
    module_name, _, attribute = name.partition(":")
    module = import_named(module_name, f"model {name!r}")
    factory: Any = module
    for part in attribute.split("."):
        if not hasattr(factory, part):
            known = [n for n in vars(factory) if not n.startswith("_")]
            raise UsageError(
                f"model {name!r}: {module_name} has no {part!r}", remedy=did_you_mean(part, known)
            )
        factory = getattr(factory, part)
    if isinstance(factory, torch.nn.Module):
        return factory
    if not callable(factory):
        raise UsageError(f"model {name!r} is no function", got=type(factory).__name__)
    try:
        built = factory(*arguments[0], **arguments[1])
    except Exception as error:
        raise ModelError(
            f"{name} fails", got=f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(built, torch.nn.Module):
        raise ModelError(
            f"{name} gives no model", got=type(built).__name__, expected="a torch.nn.Module"
        )
    return built


def _file(torch: Any, path: Path, checkpoint: Any) -> TorchModel:
    suffix = path.suffix.lower()
    if suffix not in PROGRAMS + SCRIPTS:
        raise UsageError(
            f"there is no way to export {str(path)!r}",
            expected="module:factory, a .pt2 program, a TorchScript file or an .onnx",
        )
    if not path.is_file():
        raise ModelError(f"there is no model {path}", remedy="check the path")
    if checkpoint is not None:
        raise UsageError(
            f"{path} holds its weights already",
            got=f"--checkpoint {checkpoint}",
            remedy="leave the checkpoint out, or name module:factory",
        )
    if suffix in PROGRAMS:
        try:
            program = torch.export.load(str(path))
        except Exception as error:
            raise ModelError(
                f"{path} cannot be read as an exported program",
                got=first_line(error),
                remedy="save it with torch.export.save, by this version of torch or an older one",
            ) from None
        examples = program.example_inputs[0] if program.example_inputs else ()
        if not examples:
            examples = tuple(_example(torch, program))
        return TorchModel(_frozen(torch, program.module()), str(path), tuple(examples))
    try:
        module = torch.jit.load(str(path), map_location="cpu")
    except Exception:  # torch raises RuntimeError for anything that is no TorchScript
        raise ModelError(
            f"{path} is no TorchScript file",
            remedy=f"if it holds weights alone, name what builds the model: "
            f"module:factory --checkpoint {path}",
        ) from None
    return TorchModel(module, str(path))


def _example(torch: Any, program: Any) -> List[Any]:
    names = set(program.graph_signature.user_inputs)
    found = []
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            value = node.meta["val"]
            found.append(torch.zeros([int(n) for n in value.shape], dtype=value.dtype))
    return found


def _fill(torch: Any, module: Any, path: Path) -> List[str]:
    """Load weights, and say what was left over."""
    if not path.is_file():
        raise ModelError(f"there is no checkpoint {path}", remedy="check the path")
    try:
        content = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as error:
        text = str(error).lower()
        if "weights_only" in text or "unsupported global" in text:
            raise ModelError(
                f"the checkpoint {path} holds more than weights, and reading it would run its code",
                remedy="save the weights alone: torch.save(model.state_dict(), 'weights.pt')",
            ) from None
        raise ModelError(
            f"the checkpoint {path} cannot be read", got=first_line(error),
            remedy="fetch or save it again",
        ) from None  # fmt: skip
    weights, where = _weights(torch, content)
    if weights is None:
        raise ModelError(
            f"the checkpoint {path} holds no weights by name",
            got=type(content).__name__,
            expected="a state_dict",
        )
    wanted = module.state_dict()
    if weights and all(k.startswith("module.") for k in weights):
        weights = {k[len("module.") :]: v for k, v in weights.items()}
    missing = [k for k in wanted if k not in weights]
    extra = [k for k in weights if k not in wanted]
    wrong = [
        k for k in wanted if k in weights and tuple(weights[k].shape) != tuple(wanted[k].shape)
    ]
    if wrong:
        key = wrong[0]
        raise ModelError(
            f"{len(wrong)} weights of {path} have another shape than in the model, first {key!r}",
            got=list(weights[key].shape),
            expected=list(wanted[key].shape),
            remedy="build the model that was trained: see --factory-args",
        )
    if missing:
        raise ModelError(
            f"the checkpoint {path} lacks {len(missing)} of {len(wanted)} weights",
            got="no " + ", ".join(missing[:3]) + ("…" if len(missing) > 3 else ""),
            remedy=f"it has {', '.join(list(weights)[:3])}…" if weights else "it is empty",
        )
    module.load_state_dict(weights, strict=False)
    notes = [f"weights read from {where!r} of the checkpoint"] if where else []
    if extra:
        names = ", ".join(extra[:3]) + ("…" if len(extra) > 3 else "")
        notes.append(f"{len(extra)} weights of the checkpoint are not in the model: {names}")
    return notes


def _weights(torch: Any, content: Any) -> Tuple[Optional[Dict[str, Any]], str]:
    """The dict of tensors in a checkpoint, and under which key it was found."""

    def is_state(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and bool(value)
            and all(isinstance(v, torch.Tensor) for v in value.values())
        )

    if is_state(content):
        return dict(content), ""
    if isinstance(content, dict):
        for key in ("ema", "ema_state_dict", "model", "state_dict", "model_state_dict", "params",
                    "net", "weights"):  # fmt: skip
            value: Any = content.get(key)
            if is_state(value):
                return dict(value), key
            if isinstance(value, dict) and is_state(value.get("module")):
                return dict(value["module"]), f"{key}.module"
    return None, ""
