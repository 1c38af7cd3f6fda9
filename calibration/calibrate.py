"""From a float model and pictures to what an engine takes: a Q/DQ ONNX and a calibration cache."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..core import ModelCard, UsageError, did_you_mean
from ..core.card import METADATA_KEY
from .artefacts import check_places, write_together
from .cache import TARGET, cache_bytes
from .collect import collect
from .feeds import Feeds, open_feeds
from .floats import LEAST_SHARE
from .frames import COUNT
from .graph import Graph, read_model
from .kept import Kept
from .ranges import method_of
from .recipe import quantise_best
from .store import Statistics

AUTO = "auto"
VALUES = 1 << 19
"""Values of each tensor that are counted, about, however many pictures there are."""
TARGETS = ("trt", "cpu")
POSE_SHARE = 0.85
"""Share of a pose net's multiply-adds that stays in INT8 at least. Where the peak of a map lies is
told to a fraction of its pixels, which takes less noise than to find a box."""

Progress = Callable[[str, int, Optional[int]], None]
PathLike = Union[str, Path]


def calibrate(
    model: PathLike,
    images: PathLike,
    out: PathLike,
    cache: Optional[PathLike] = None,
    *,
    float_model: Optional[PathLike] = None,
    method: str = AUTO,
    count: int = COUNT,
    labels: Optional[PathLike] = None,
    target: str = "trt",
    float_nodes: Sequence[str] = (),
    tensorrt: str = TARGET,
    decoder: Optional[str] = None,
    input: Optional[Mapping[str, Any]] = None,
    statistics: Union[None, bool, PathLike] = None,
    threads: Optional[int] = None,
    progress: Optional[Progress] = None,
) -> Dict[str, Any]:
    """Quantise a model to INT8 by calibration.

    One calibration gives both artefacts: the explicit Q/DQ model, which TensorRT 8 to 11 builds by
    what stands in it, and the calibration cache, which implicit INT8 asks for (TensorRT up to 10,
    and DLAs). The cache holds a scale for every activation of the float model that was
    calibrated. Where that is not `model` itself, because it was rewritten into an equal one that
    loses less in INT8, it is written as well: an implicit engine is built from it.

    Args:
        model: A float32 ONNX file. It is fed by its card or the family that it is recognised as.
        images: Folder of pictures, a video, or any source, of what the model will see. Those that
            differ most from one another are taken.
        out: The Q/DQ ONNX to write.
        cache: The calibration cache to write; None for none.
        float_model: Where the float model goes that the cache belongs to; None for
            `NAME.float.onnx` beside `out`, if there is a cache and the graph was rewritten.
        method: `auto`, or one of `ranges.METHODS` for every tensor.
        count: Pictures (crops of people, where there are labels) at most.
        labels: Where people stand, for a net that is given one at a time: a folder of YOLO pose
            labels or a COCO file of key points.
        target: `trt`, or `cpu` for a graph that onnxruntime runs fast.
        float_nodes: Names of nodes that stay float.
        tensorrt: Version of TensorRT in the cache's first line.
        decoder: Name of the decoder of a model that does not show it.
        input: Fields of `core.InputSpec` that replace the card's.
        statistics: Folder in which statistics are kept, so that another method takes seconds;
            None for one in the user's cache, False to keep none.
        threads: Threads of onnxruntime; None for one a core, at most four.
        progress: Called with what is being done, how much of it is done, and of how much.

    Returns:
        `out`, `cache`, `float_model` (paths or None), `method`, `images` (how many), `activations`
        (how many have a scale), `calibration` (the hash in the card), `reused` (whether kept
        statistics served), `warnings`, and `notes` on how it was quantised, as in the card.

    Raises:
        UsageError: The method, target, version or count makes no sense.
        ModelError: The model cannot be read, run or quantised.
        DataError: No picture that can be read, or an activation that is not finite; named both.
        StorageError: Something cannot be written; then nothing is.
        SourceError, ConfigError, MissingDependency: As `open_feeds`.
    """
    if method != AUTO:
        method_of(method)
    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}", remedy=did_you_mean(target, TARGETS))
    cache_bytes({}, tensorrt)
    out = Path(out)
    places: Dict[str, PathLike] = {"the Q/DQ model": out}
    if cache is not None:
        places["the cache"] = cache
    beside = Path(float_model) if float_model else out.with_name(f"{out.stem}.float.onnx")
    if float_model or cache is not None:
        places["the float model"] = beside
    check_places(places, {"the model": Path(model)})
    proto = read_model(model)
    Graph(proto)  # control flow is told before the pictures are read

    def tell(what: str) -> Optional[Callable[[int, Optional[int]], None]]:
        if progress is None:
            return None
        told = progress
        return lambda done, of=None: told(what, done, of)

    feeds = open_feeds(
        model,
        images,
        count=count,
        labels=labels,
        decoder=decoder,
        input=input,
        progress=tell("choosing"),
    )
    kept = Kept(statistics)
    look = _looker(feeds, kept, threads, tell("looking"))
    recipe = quantise_best(
        proto,
        look,
        feeds.spread,
        method=method,
        floats=tuple(float_nodes),
        target=target,
        share=POSE_SHARE if feeds.card.task == "pose" else LEAST_SHARE,
    )
    found = recipe.ranges
    scales = cache_bytes(found, tensorrt)
    mark = hashlib.sha256(scales)
    mark.update(recipe.quantised.SerializeToString(deterministic=True))
    notes = {"method": method, "images": len(feeds), "target": target, **recipe.notes}
    card = dataclasses.replace(feeds.card, calibration=mark.hexdigest()[:16])
    typed = dataclasses.replace(card, precision="int8", extra={**card.extra, "calibration": notes})
    files: Dict[Path, Any] = {out: _stamped(recipe.quantised, typed)}
    if cache is not None:
        files[Path(cache)] = scales
    if float_model or (cache is not None and recipe.rewritten):
        files[beside] = _stamped(recipe.floating, card)
    write_together(files)
    return {
        "out": str(out),
        "cache": None if cache is None else str(cache),
        "float_model": str(beside) if beside in files else None,
        "method": method,
        "images": len(feeds),
        "activations": len(found),
        "calibration": card.calibration,
        "reused": kept.reused > 0,
        "notes": notes,
        "warnings": feeds.warnings,
    }


def _looker(
    feeds: Feeds,
    kept: Kept,
    threads: Optional[int],
    tell: Optional[Callable[[int, Optional[int]], None]],
) -> Callable[..., Statistics]:
    """What looks at a graph's activations on the pictures, or at most at so many of them; at a few
    activations alone, without histograms."""

    looked: List[Tuple[Any, Statistics]] = []
    sample = int(np.clip(VALUES // max(len(feeds), 1), 1 << 13, 1 << 16))

    def done(count: int, most: Optional[int]) -> None:
        if tell is not None:
            every = min(len(feeds), most or len(feeds))
            tell(min(count, every), every)

    def look(
        model: Any, tensors: Optional[Sequence[str]] = None, most: Optional[int] = None
    ) -> Statistics:
        for known, found in looked:
            if known is model:
                return found

        def work() -> Statistics:
            return collect(
                model,
                feeds.spread(most),
                names=[feeds.names[row] for row in feeds.order()],
                tensors=tensors,
                sample=sample if tensors is None else 0,
                threads=threads,
                progress=lambda count: done(count, most),
            )

        mark = feeds.identity if most is None else f"{feeds.identity}\0{most}"
        found = kept.get(model, mark, work, tensors)
        if tensors is None and most is None:
            del looked[:-1]  # the last two graphs are asked for again
            looked.append((model, found))
        return found

    return look


def _stamped(model: Any, card: ModelCard) -> Any:
    """The model with its card in its metadata."""
    stamped = type(model)()
    stamped.CopyFrom(model)
    for entry in list(stamped.metadata_props):
        if entry.key == METADATA_KEY:
            stamped.metadata_props.remove(entry)
    entry = stamped.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, card.to_json()
    return stamped
