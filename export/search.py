"""The search down the ladder of precisions for the first that stays within an accuracy budget."""

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ..calibration.accuracy import Dataset, Evaluation, compare, evaluate, paired_interval
from ..calibration.calibrate import _looker
from ..calibration.feeds import Feeds, open_feeds
from ..calibration.graph import Graph, read_model, write_model
from ..calibration.kept import Kept
from ..calibration.quantise import int8_share
from ..calibration.recipe import Recipe, quantise_best
from ..calibration.sensitivity import Sensitivity, detection_distance, relief
from ..calibration.simulate import simulated
from ..calibration.spare import spare
from ..core import DataError, EdgelaneError, ModelCard, ModelError, UsageError, did_you_mean
from ..core.card import METADATA_KEY
from ..runtime.model import load_model
from ..runtime.onnx_metadata import write_metadata
from .attempts import Attempt, BudgetSettings, Choice, PathLike, Progress
from .fp16 import to_fp16
from .speed import cpu_speed
from .split import link_pictures, split

PROBES = 8
"""Pictures that the layers are measured on."""


class Search:
    """One search down the ladder."""

    def __init__(
        self,
        path: Path,
        dataset: Dataset,
        images: Optional[PathLike],
        settings: BudgetSettings,
        names: Optional[Sequence[str]],
        decoder: Optional[str],
        threads: Optional[int],
        progress: Progress,
        told: Optional[Callable[[Attempt], None]],
        folder: Path,
    ) -> None:
        self.settings, self.threads = settings, threads
        self.progress, self.told, self.folder = progress, told, folder
        self.proto = read_model(path)
        for node in Graph(self.proto).nodes:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear", "QLinearConv"):
                raise ModelError(
                    f"{path} is quantised already",
                    got=f"{node.op_type} at {node.name or node.output[0]!r}",
                    expected="a float model",
                    remedy="give the model that it was made from",
                )
        self.warnings: List[str] = list(dataset.notes())
        if images is None:
            calibration, self.dataset = split(dataset, settings.pictures)
            self.calibrated_on = f"{len(calibration)} pictures of the validation set"
            images = link_pictures(calibration, folder / "calibration")
        else:
            self.dataset, self.calibrated_on = dataset, str(images)
        self._images, self._labels = images, Path(dataset.name)
        self._path, self._decoder = path, decoder
        self.options: Dict[str, Any] = {} if names is None else {"names": names}
        self.card, self._feeds = self._open()
        self.attempts: List[Attempt] = []
        self.ranking: List[Sensitivity] = []
        self._whole: Optional[Recipe] = None
        self._look = _looker(
            self._feeds,
            Kept(folder / "statistics"),
            threads,
            lambda done, of=None: self._tell("calibrating", done, of),
        )

    def _open(self) -> Tuple[ModelCard, Feeds]:
        def looked(done: int, of: Optional[int]) -> None:
            self._tell("choosing pictures", done, of)

        options: Dict[str, Any] = {
            "count": self.settings.pictures, "decoder": self._decoder, "progress": looked,
        }  # fmt: skip
        try:
            feeds = open_feeds(self._path, self._images, **options)
        except DataError:
            # A net that looks at one person at a time is fed with the labelled ones.
            feeds = open_feeds(self._path, self._images, labels=self._labels, **options)
        self.warnings.extend(feeds.warnings)
        return feeds.card, feeds

    def run(self) -> Choice:
        """Go down the ladder until something stays within the budget."""
        self.reference = self._judge(self.proto)
        metric = self.settings.metric or self.reference.metric
        if metric not in self.reference.scores:
            raise UsageError(
                f"there is no metric {metric!r}", remedy=did_you_mean(metric, self.reference.scores)
            )
        self.metric = metric
        if self.reference.scores[metric] < 0.01:
            raise DataError(
                f"the float model itself has {metric} {self.reference.scores[metric]:.3f} on the "
                f"{len(self.reference.pictures)} pictures, so nothing can be told from them",
                remedy="see with `edgelane check` whether its input and classes are right",
            )
        for rung in self.settings.ladder:
            made = {
                "int8": self._int8, "mixed": self._mixed, "fp16": self._fp16, "fp32": self._fp32,
            }[rung]()  # fmt: skip
            if made is not None:
                if self.settings.rank and not self.ranking:
                    self.ranking = self._rank(self._recipe())
                return self._choice(*made)
        raise ModelError(
            f"nothing that was tried stays within {self.settings.max_drop:g} points of {metric}",
            got="; ".join(str(a) for a in self.attempts),
            remedy="allow a larger drop, calibrate with pictures more like what the model sees, "
            "or let --precision auto try all",
        )

    def _int8(self) -> Optional[Tuple[Any, ModelCard]]:
        return self._quantised(())

    def _quantised(self, floats: Tuple[str, ...]) -> Optional[Tuple[Any, ModelCard]]:
        rung = "mixed" if floats else "int8"
        try:
            recipe = self._recipe()
            model = recipe.quantised
            if floats:
                model = spare(model, recipe.floating, floats)
        except (ModelError, DataError) as error:
            self._note(Attempt(rung, floats, failed=str(error)))
            return None
        share = int8_share(model)
        if not self._try(rung, simulated(model), floats, share).within:
            return None
        notes = {**recipe.notes, "int8_share": round(share, 4)}
        extra = {**self.card.extra, "calibration": notes}
        card = dataclasses.replace(
            self.card, precision="int8", calibration=self._feeds.identity[:16], extra=extra
        )
        return model, card

    def _recipe(self) -> Recipe:
        if self._whole is None:
            self._whole = quantise_best(self.proto, self._look, self._feeds.spread)
        return self._whole

    def _mixed(self) -> Optional[Tuple[Any, ModelCard]]:
        """The fewest of the most sensitive layers in float that suffice.

        Their number is doubled until it does, and then halved back; each number is judged.
        """
        try:
            recipe = self._recipe()
        except (ModelError, DataError) as error:
            self._note(Attempt("mixed", failed=str(error)))
            return None
        self.ranking = self._rank(recipe)
        order = [s.layer for s in self.ranking]
        allowed = self._allowed(recipe)
        found: Dict[int, Optional[Tuple[Any, ModelCard]]] = {0: None}

        def suffices(count: int) -> bool:
            if count not in found:
                found[count] = self._quantised(tuple(order[:count]))
            return found[count] is not None

        count, low = 1, 0
        while count <= allowed and not suffices(count):
            low, count = count, count * 2
        if count > allowed:
            if low >= allowed or not suffices(allowed):
                return None
            count = allowed
        while count - low > 1:
            middle = (low + count) // 2
            if suffices(middle):
                count = middle
            else:
                low = middle
        return found[count]

    def _rank(self, recipe: Recipe) -> List[Sensitivity]:
        feeds = _spread(iter(self._feeds), len(self._feeds), PROBES)
        distance = None
        model = None
        try:
            if self.card.task == "detect":
                model = load_model(self._path, decoder=self._decoder, threads=1)
                distance = detection_distance(model)
            return relief(
                recipe.floating, recipe.quantised, feeds, distance=distance, threads=self.threads,
                progress=lambda n, of: self._tell("measuring layers", n, of),
            )  # fmt: skip
        finally:
            if model is not None:
                model.close()

    def _allowed(self, recipe: Recipe) -> int:
        """How many layers may go to float before too little is left in INT8."""
        left = int8_share(recipe.quantised)
        for count, layer in enumerate(self.ranking):
            left -= layer.share
            if left < self.settings.least_int8:
                return count
        return len(self.ranking) - 1

    def _fp16(self) -> Optional[Tuple[Any, ModelCard]]:
        try:
            feeds = _spread(iter(self._feeds), len(self._feeds), 32)
            half, report = to_fp16(self.proto, feeds, self.settings.half)
        except (ModelError, DataError) as error:
            self._note(Attempt("fp16", failed=str(error)))
            return None
        if not self._try("fp16", half).within:
            return None
        extra = {**self.card.extra, "fp16": {"nodes": report.half, "kept": len(report.kept)}}
        return half, dataclasses.replace(self.card, precision="fp16", extra=extra)

    def _fp32(self) -> Optional[Tuple[Any, ModelCard]]:
        self._note(
            Attempt(
                "fp32", scores=self.reference.scores, drop=0.0, low=0.0, high=0.0, within=True,
                agreement=None if self.reference.found is None else 1.0,
            )
        )  # fmt: skip
        return self.proto, self.card

    def _try(
        self, rung: str, model: Any, floats: Tuple[str, ...] = (), share: float = 0.0
    ) -> Attempt:
        try:
            found = self._judge(model)
            interval = paired_interval(found, self.reference, self.metric)
        except EdgelaneError as error:
            return self._note(Attempt(rung, floats, failed=str(error), int8_share=share))
        drop, low, high = (100 * v for v in interval[:3])
        agreement = None
        if found.found is not None and self.reference.found is not None:
            agreement = compare(zip(self.reference.found, found.found)).f1
        within = (high if self.settings.sure else drop) <= self.settings.max_drop
        return self._note(
            Attempt(
                rung, floats, found.scores, round(drop, 4), round(low, 4), round(high, 4), within,
                agreement, share,
            )
        )  # fmt: skip

    def _judge(self, model: Any) -> Evaluation:
        path = self.folder / "judged.onnx"
        write_model(model, path)
        write_metadata(path, {METADATA_KEY: self.card.to_json()})
        return evaluate(
            path, self.dataset, task=self.card.task, threads=self.threads,
            progress=lambda n, of: self._tell("judging", n, of), **self.options,
        )  # fmt: skip

    def _note(self, attempt: Attempt) -> Attempt:
        self.attempts.append(attempt)
        if self.told:
            self.told(attempt)
        return attempt

    def _tell(self, what: str, done: int, of: Optional[int]) -> None:
        if self.progress:
            self.progress(what, done, of)

    def _choice(self, model: Any, card: ModelCard) -> Choice:
        shipped = next(a for a in reversed(self.attempts) if a.within)
        limit = self.settings.max_drop
        low, high = shipped.low or 0.0, shipped.high or 0.0
        if low < limit < high:
            self.warnings.append(
                f"{len(self.reference.pictures)} pictures are too few to be sure: the drop of "
                f"{shipped.drop:.2f} points of {self.metric} may as well be anything from "
                f"{low:.2f} to {high:.2f} (95 %), and the budget is {limit:g}"
            )
        speed = cpu_speed(self.proto, model, _spread(iter(self._feeds), len(self._feeds), 2))
        if speed["ratio"] < 0.95:
            self.warnings.append(
                f"on this CPU it is slower than FP32, {speed['ms']:.1f} against "
                f"{speed['fp32_ms']:.1f} ms a run: its Q/DQ are for TensorRT"
            )
        notes = {
            "metric": self.metric,
            "max_drop": limit,
            "sure": self.settings.sure,
            "judged_on": f"{len(self.reference.pictures)} pictures of {self._labels.name}",
            "calibrated_on": self.calibrated_on,
            "reference": self.reference.scores,
            "attempts": [dataclasses.asdict(a) for a in self.attempts],
            "sensitivity": [s._asdict() for s in self.ranking[:16]],
            "warnings": self.warnings,
        }
        card = dataclasses.replace(card, extra={**card.extra, "budget": notes, "cpu": speed})
        return Choice(model, card, tuple(self.attempts), tuple(self.ranking), tuple(self.warnings))


def _spread(feeds: Iterator[Any], count: int, most: int) -> List[Any]:
    """At most so many of `count` feeds, evenly spread."""
    step = max(1, -(-count // most))
    return [feed for number, feed in enumerate(feeds) if number % step == 0][:most]
