"""A classifier ready to use: a backend, a card, and the way from a picture to scores."""

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ...core import ConfigError, DataError, InputSpec, ModelCard, ModelError, did_you_mean
from ...core.card import METADATA_KEY
from ..backends import Backend, TensorSpec, open_backend
from ..classes import class_names
from ..graph import Outputs, layout_of, picture_input, run_pictures, signature_of
from ..pose.base import IMAGENET
from ..preprocess import Preprocessor
from ..sources.base import load_cv2
from .cutting import View, box_view, cut, whole_view
from .head import ending
from .maps import MAP, check_map, open_with_map, read_graph
from .meaning import Meaning, find_meaning
from .scores import Classified

PathLike = Union[str, "os.PathLike[str]"]

USUAL: Dict[str, Any] = {**IMAGENET, "resize": "crop"}
"""What nets trained in the tradition of ImageNet are fed: see `Settings.crop` for the rest."""


@dataclass(frozen=True)
class Settings:
    """How pictures are cut for a classifier: `extra.classify` of a card.

    Attributes:
        crop: Share of the sides of a whole picture that is shown, from its middle. 0.875 is
            ImageNet's usual: 224 pixels of 256.
        padding: How much larger than a box the part is that is shown of it.
    """

    crop: float = 1.0
    padding: float = 1.0

    def __post_init__(self) -> None:
        for name, most in (("crop", 1.0), ("padding", 4.0)):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and 0.1 <= value <= most):
                raise ConfigError(
                    f"classify.{name} is out of range", got=repr(value), expected=f"0.1 to {most}"
                )

    @classmethod
    def read(cls, data: Any) -> "Settings":
        """From the object of a card; fields that it lacks are the usual ones.

        Raises:
            ConfigError: An unknown field or a value that makes no sense.
        """
        if not isinstance(data, dict):
            raise ConfigError("classify is no object", got=type(data).__name__)
        known = [field.name for field in dataclasses.fields(cls)]
        for name in data:
            if name not in known:
                raise ConfigError(
                    f"classify.{name} is unknown", remedy=did_you_mean(str(name), known)
                )
        return cls(**data)


class Classifier:
    """A net that tells what a picture shows. May be called from several threads at once.

    It has the methods of a detector and goes where one goes: its `postprocess` gives a
    `Classified`. Called with boxes it is a second model. Made by `load_classifier`, or
    `build_classifier` from a backend of one's own.

    Attributes:
        backend: What runs the graph.
        card: What the model is, with the input as it is used.
        classes: Names by class id.
        multi: Whether any number of classes may be there at once.
        settings: How pictures are cut.
        maps: Whether it tells where it saw the best class.
    """

    def __init__(
        self,
        backend: Backend,
        card: ModelCard,
        meaning: Meaning,
        settings: Settings,
        output: str,
        where: str = "the model",
    ) -> None:
        self.backend = backend
        self.card = card
        self.classes = card.classes
        self.meaning = meaning
        self.multi = meaning.multi
        self.settings = settings
        self.where = where
        self.maps = any(spec.name == MAP for spec in backend.outputs) and output != MAP
        self._output = output
        self._picture = picture_input(backend, where)
        self._convert = Preprocessor(
            dataclasses.replace(card.input, resize="stretch"), self._picture.dtype
        )
        self._cv2 = load_cv2()

    def __call__(self, image: np.ndarray, boxes: Optional[np.ndarray] = None) -> Any:
        """The scores of a picture, or of parts of it.

        Args:
            image: `(h, w, 3)` uint8 BGR.
            boxes: `(n, 4)` left, top, right, bottom in pixels; they may reach beyond the picture.
                None for the whole picture, which is cut as the card says; so is a box that is
                the whole picture.

        Returns:
            `(classes,)` float32 of 0..1, with boxes `(n, classes)`.

        Raises:
            DataError: No such picture, or a box that is not finite or has no area.
            ModelError: The graph fails.
        """
        if boxes is None:
            tensor, view = self.preprocess(image)
            return self.postprocess(self.infer(tensor), view).score
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        if not len(boxes):
            return np.zeros((0, len(self.classes)), np.float32)
        tensor = np.empty((len(boxes), *self._convert.shape), self._convert.dtype)
        size = self._size(image)
        for row, box in enumerate(boxes):
            if tuple(box) == (0.0, 0.0, *size):
                view = whole_view(size, self.card.input, self.settings.crop)
            else:
                view = box_view(box, size, self.card.input, self.settings.padding)
            self._fill(image, view, tensor[row])
        return self._scores(self.infer(tensor))

    def preprocess(
        self, image: np.ndarray, out: Optional[np.ndarray] = None
    ) -> Tuple[np.ndarray, View]:
        """The tensor of a whole picture, and what part of it that shows; see `Model.preprocess`."""
        tensor = np.empty(self._convert.shape, self._convert.dtype) if out is None else out
        view = whole_view(self._size(image), self.card.input, self.settings.crop)
        self._fill(image, view, tensor)
        return tensor, view

    def infer(self, tensor: np.ndarray) -> Outputs:
        """Run the graph on a tensor of `preprocess`, or on several along a new first axis.

        Raises:
            ModelError: The graph fails.
        """
        if tensor.ndim == 3:
            tensor = tensor[None]
        return run_pictures(self.backend, self._picture, self.card.input.size, tensor)

    def postprocess(self, outputs: Outputs, view: View) -> Classified:
        """What a picture shows, from outputs of `infer` for it."""
        score = self._scores(outputs)[0]
        seen = None
        if self.maps and np.isfinite(score).any():
            seen = _placed(self._cv2, outputs[MAP][0, int(np.nanargmax(score))], view)
        return Classified(score, self.multi, seen)

    def predict_batch(self, images: Sequence[np.ndarray]) -> List[Classified]:
        """What several pictures show, in one run where the graph leaves the batch open."""
        if not len(images):
            return []
        done = [self.preprocess(image) for image in images]
        outputs = self.infer(np.stack([tensor for tensor, _ in done]))
        return [
            self.postprocess({k: v[i : i + 1] for k, v in outputs.items()}, view)
            for i, (_, view) in enumerate(done)
        ]

    def map(self, image: np.ndarray, class_id: int) -> np.ndarray:
        """Where in a picture a class was seen: `(h, w)` float32, 1 at its strongest place.

        Raises:
            ModelError: The model was opened without maps.
        """
        if not self.maps:
            raise ModelError(
                f"{self.where} tells no class-activation maps",
                remedy="open it with maps=True",
            )
        tensor, view = self.preprocess(image)
        return _placed(self._cv2, self.infer(tensor)[MAP][0, class_id], view)

    @property
    def batch(self) -> Optional[int]:
        """How many pictures the graph takes a run, None for any number; see `run_loop`."""
        return self._picture.shape[0]

    @property
    def takes_pixels(self) -> bool:
        """Whether the graph takes pixels as they are: scale, mean and std are then inside it."""
        return self._picture.dtype == np.uint8

    @property
    def input_name(self) -> str:
        """What the graph calls the input that takes the picture."""
        return self._picture.name

    def close(self) -> None:
        """Let go of the model's memory."""
        self.backend.close()

    def __enter__(self) -> "Classifier":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _scores(self, outputs: Outputs) -> np.ndarray:
        numbers = outputs[self._output]
        return self.meaning.scores(numbers.reshape(len(numbers), -1))

    def _fill(self, image: np.ndarray, view: View, out: np.ndarray) -> None:
        self._convert(cut(self._cv2, image, view, self.card.input), out=out)

    def _size(self, image: np.ndarray) -> Tuple[int, int]:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(
                "a classifier takes BGR pictures of uint8",
                got=f"{image.shape} {image.dtype}",
                expected="(h, w, 3) uint8",
            )
        return image.shape[1], image.shape[0]


def _placed(cv2: Any, seen: np.ndarray, view: View) -> np.ndarray:
    """A class's map over the whole picture: what speaks for the class, as a share of the most."""
    width, height = view.size
    left, top, right, bottom = view.box
    most = float(np.nanmax(seen)) if np.isfinite(seen).any() else 0.0
    shares = np.clip(np.nan_to_num(seen) / most, 0, 1) if most > 0 else np.zeros_like(seen)
    rows, columns = seen.shape
    # A cell of the map is a square of the view, and its centre is meant.
    grid = np.array(
        [
            [(right - left) / columns, 0.0, left + 0.5 * (right - left) / columns - 0.5],
            [0.0, (bottom - top) / rows, top + 0.5 * (bottom - top) / rows - 0.5],
        ]
    )
    inner = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    out = cv2.warpAffine(
        shares.astype(np.float32),
        grid,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    shown = np.zeros((height, width), np.float32)
    part = np.s_[inner[1] : inner[3], inner[0] : inner[2]]
    shown[part] = out[part]
    return shown


def load_classifier(
    path: PathLike,
    *,
    decoder: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    input: Optional[Dict[str, Any]] = None,
    settings: Optional[Dict[str, Any]] = None,
    maps: bool = False,
    threads: Optional[int] = None,
) -> Classifier:
    """Load a classifier.

    Args:
        path: ONNX file. Its card is used where it carries one; otherwise it is fed as ImageNet
            is, from the middle of the picture, and what its numbers are is told from the graph.
        decoder: A name of `meaning.MEANINGS` instead of the card's or the recognised one:
            `multi-label` for a net whose classes may be there together.
        classes: Names of all classes, instead of the card's.
        input: Fields of `core.InputSpec` that replace the card's, e.g. `{"colour": "bgr"}`.
        settings: Fields of `Settings` that replace the card's, e.g. `{"crop": 0.875}`.
        maps: Whether to tell where the best class was seen. The maps are made of the graph now,
            where the file does not hold them; see `add_map`.
        threads: Threads for one run; None for what suits a machine with nothing else to do.

    Raises:
        ModelError: The model cannot be loaded, is no classifier, or has no maps.
        ConfigError: An input field or setting that makes no sense.
        MissingDependency: onnxruntime or OpenCV is not installed.
    """
    name = os.fspath(path)
    if maps:
        backend = open_with_map(name, lambda p: open_backend(p, threads))
    else:
        backend = open_backend(name, threads)
    try:
        return build_classifier(
            backend,
            decoder=decoder,
            classes=classes,
            input=input,
            settings=settings,
            where=name,
        )
    except BaseException:
        backend.close()
        raise


def build_classifier(
    backend: Backend,
    *,
    decoder: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    input: Optional[Dict[str, Any]] = None,
    settings: Optional[Dict[str, Any]] = None,
    where: str = "the model",
) -> Classifier:
    """As `load_classifier`, from a backend that is open already. `where` is also looked at as the
    ONNX's path, if it is one, to see what the graph ends with."""
    text = backend.metadata.get(METADATA_KEY)
    card = ModelCard.from_json(text) if text else None
    if card is not None and card.task != "classify":
        raise ModelError(
            f"{where} is no classifier", got=f"task {card.task!r}", expected="'classify'"
        )
    size = signature_of(backend, card, input or {}, where).size
    output = _score_output(backend, where)
    spec = _spec(backend, card, input or {}, size, where)
    noted = card.extra.get("classify") if card else None
    chosen = Settings.read({**(noted or {}), **(settings or {})})
    if card is None and not settings and "resize" not in (input or {}):
        chosen = Settings(crop=0.875)
    answers, maps = _tried(backend, spec, output, where)
    meaning = find_meaning(
        decoder or (card.decoder if card else None),
        _ends(where, output),
        answers,
        where,
    )
    count = len(answers[0])
    names = tuple(classes) if classes is not None else (card.classes if card else ())
    if names and len(names) != count:
        raise ModelError(
            f"{where} tells apart {count} classes",
            got=f"{len(names)} names: {', '.join(names[:4])}…",
        )
    if not names:
        names = class_names(count, backend.metadata) if count not in (80, 91) else _numbered(count)
    made = dataclasses.replace(
        card or ModelCard("classify", meaning.name, spec, nms_iou=None),
        input=spec,
        decoder=meaning.name,
        classes=names,
    )
    if maps:
        _check_map(backend, spec, output, meaning, where)
    return Classifier(backend, made, meaning, chosen, output, where)


def _numbered(count: int) -> Tuple[str, ...]:
    return tuple(f"class_{i}" for i in range(count))


def _score_output(backend: Backend, where: str) -> str:
    """The output that holds the scores: the first beside the map that is a row a picture."""
    others = [spec for spec in backend.outputs if spec.name != MAP]
    found = [spec for spec in others if _is_row(spec)]
    if not found:
        raise ModelError(
            f"{where} is no classifier",
            got="; ".join(str(o) for o in backend.outputs) or "no outputs",
            expected="an output [N, classes]",
        )
    return found[0].name


def _is_row(spec: TensorSpec) -> bool:
    rest = spec.shape[2:]
    kind = np.dtype(spec.dtype).kind
    return kind == "f" and len(spec.shape) >= 2 and all(axis in (1, None) for axis in rest)


def _spec(
    backend: Backend,
    card: Optional[ModelCard],
    override: Dict[str, Any],
    size: Tuple[int, int],
    where: str,
) -> InputSpec:
    known = [field.name for field in dataclasses.fields(InputSpec)]
    for name in override:
        if name not in known:
            raise ConfigError(f"input.{name} is unknown", remedy=did_you_mean(name, known))
    if card is not None:
        spec = card.input
    else:
        spec = InputSpec(size=size, layout=layout_of(picture_input(backend, where)), **USUAL)
    return dataclasses.replace(spec, **{**override, "size": size})


def _tried(
    backend: Backend, spec: InputSpec, output: str, where: str
) -> Tuple[List[np.ndarray], bool]:
    """What the net answers to three pictures: black, noise, and one colour fading to another."""
    picture = picture_input(backend, where)
    convert = Preprocessor(dataclasses.replace(spec, resize="stretch"), picture.dtype)
    wide, high = spec.size
    noise = np.random.default_rng(0).integers(0, 256, (high, wide, 3), np.uint8)
    fading = np.linspace(0, 255, high * wide * 3).astype(np.uint8).reshape(high, wide, 3)
    answers, maps = [], False
    for image in (np.zeros_like(noise), noise, fading):
        outputs = run_pictures(backend, picture, spec.size, convert(image)[0][None])
        maps = MAP in outputs and output != MAP
        answers.append(np.asarray(outputs[output], np.float64)[0].reshape(-1))
    if len(answers[0]) < 1:
        raise ModelError(f"{where} gives no scores")
    return answers, maps


def _ends(where: str, output: str) -> Optional[str]:
    """What the graph makes of its numbers last, where the file is an ONNX."""
    if not where.lower().endswith(".onnx") or not os.path.isfile(where):
        return None
    try:
        with open(where, "rb") as file:
            return ending(read_graph(file.read(), where), output)
    except (OSError, ModelError):
        return None


def _check_map(
    backend: Backend, spec: InputSpec, output: str, meaning: Meaning, where: str
) -> None:
    picture = picture_input(backend, where)
    wide, high = spec.size
    shape = (3, high, wide) if spec.layout == "nchw" else (high, wide, 3)

    def run(tensor: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        outputs = run_pictures(backend, picture, spec.size, tensor)
        numbers = np.asarray(outputs[output])[:1].reshape(1, -1)
        return meaning.logits(numbers)[0], np.asarray(outputs[MAP][0])

    check_map(run, shape, picture.dtype, where)
