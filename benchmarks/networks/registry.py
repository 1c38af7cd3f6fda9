"""Names of the networks, and how each is built."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ...core import UsageError, did_you_mean
from .builder import Builder
from .classifiers import CLASSIFIERS
from .detectors import DETECTORS


class Network(NamedTuple):
    """A network by name.

    Attributes:
        make: Writes it into a builder; gives the outputs.
        size: Usual width and height in pixels.
        gflops: As its authors state it at that size, a multiply-add being two.
    """

    make: Callable[[Builder], List[str]]
    size: int
    gflops: float


NETWORKS: Dict[str, Network] = {
    name: Network(*row) for name, row in {**CLASSIFIERS, **DETECTORS}.items()
}


def build_network(name: str, size: Optional[Tuple[int, int]] = None, batch: int = 1) -> Any:
    """A network as a `ModelProto` whose weights are inputs without values.

    Args:
        name: As in `NETWORKS`.
        size: `(width, height)`; the usual one unless given.
        batch: Pictures a run.

    Raises:
        UsageError: There is no network of this name.
    """
    if name not in NETWORKS:
        raise UsageError(f"no network {name!r}", remedy=did_you_mean(name, NETWORKS))
    network = NETWORKS[name]
    builder = Builder(size or (network.size, network.size), batch)
    return builder.finish(network.make(builder))
