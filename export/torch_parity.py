"""Layer by layer: what every module of a torch model gives, and what its ONNX gives there."""

from typing import Any, Dict, List, Sequence

import numpy as np

from .parity import Difference, compare
from .runner import running
from .sources import load_torch
from .trace import flatten, to_onnx


def layer_differences(
    module: Any, tensors: Sequence[np.ndarray], *, inputs: Sequence[str], opset: int
) -> List[Difference]:
    """Differences of the outputs of a model's modules, in the order in which they are called.

    The model is exported once more with those outputs as outputs of the graph, so that names do
    not have to be guessed. A batch norm then stays beside its convolution.

    Args:
        module: In `eval()` and on the CPU.
        tensors: Its inputs.
        inputs: Their names.
        opset: ONNX operator set.

    Returns:
        One difference for each module with a tensor as output, under the module's path.

    Raises:
        ModelError: The model with its inner outputs cannot be exported.
    """
    torch = load_torch()
    wrapped = _with_layers(torch, module)
    with torch.no_grad():
        given = wrapped(*(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors))
    names = list(wrapped.names)
    wanted = {n: v.detach().cpu().numpy() for n, v in zip(names, given)}
    traced = to_onnx(wrapped, tensors, inputs=inputs, outputs=names, opset=opset, dynamic=False)
    with running(traced.model, "the model with its layers") as backend:
        known = {s.name for s in backend.inputs}
        feeds = {k: v for k, v in zip(inputs, tensors) if k in known}
        return compare([(wanted, backend.infer(feeds))])


def _with_layers(torch: Any, module: Any) -> Any:
    paths: Dict[Any, str] = {m: name for name, m in module.named_modules() if name}

    class Layers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            self.names: List[str] = []

        def train(self, mode: bool = True) -> Any:
            return self

        def forward(self, *given: Any) -> Any:
            found: Dict[str, Any] = {}

            def keep(layer: Any, _: Any, output: Any) -> None:
                if isinstance(output, torch.Tensor) and output.dtype.is_floating_point:
                    name = paths[layer]
                    while name in found:  # a layer that is called more than once
                        stem, _, count = name.partition("#")
                        name = f"{stem}#{int(count or 1) + 1}"
                    # A copy, because the next layer may work in place on it.
                    found[name] = output.clone()

            hooks = [m.register_forward_hook(keep) for m in paths]
            try:
                ends = flatten(self.inner(*given))
            finally:
                for hook in hooks:
                    hook.remove()
            found.update({f"output:{name}": value for name, value in ends.items()})
            self.names = list(found)
            return tuple(found.values())

    return Layers().eval()
