"""Golden pictures: what a release that judges pictures must say of them, before it may run.

A recipe must give every part of each picture the verdict, and the reasons for it, that it gave
where the bundle was made. A classifier must give the class that it gave a score as near as the
precision allows.
"""

import math
import time
from pathlib import Path
from statistics import median
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..core import ReleaseError, UsageError
from ..core.verdict import Reason
from ..pipelines.registry import camera_settings, pipeline_class
from ..runtime.config import CameraConfig, Config, source_uri
from ..runtime.opening import open_first
from .manifest import Model, Pictured, Shown, Tolerance

FROM_SOURCE = 8
"""Pictures that are taken from the source of a config which is given none."""
LOOKED_AT = 24
"""Of so many, those with the most different answers."""
NEAR = 0.02
"""Share of a reason's limits within which another machine, which rounds otherwise, may decide
otherwise."""

TASKS = ("inspect", "classify")
"""Pipelines that judge pictures: they have no detections that could be counted again."""


class Picture(NamedTuple):
    """A golden picture to be.

    Attributes:
        name: For messages.
        image: `(h, w, 3)` uint8 BGR.
        path: Its file; None where it comes from a source.
        known: What it shows by the name of its folder, or None.
    """

    name: str
    image: np.ndarray
    path: Optional[Path] = None
    known: Optional[str] = None


class Said(NamedTuple):
    """What a release says of pictures.

    Attributes:
        answers: By camera and picture: of each part its verdict and reasons, or its class.
        scores: Likewise: of each part the score of every class; none of a recipe's.
        whole: Likewise: the verdict on the picture as a whole, or the class of its first part.
        near: Likewise: whether an answer hangs on a value that is all but at its limit.
        classes: Names of classes or verdicts.
        precision: Of the model.
        latency_ms: Median time of a picture.
    """

    answers: List[List[List[str]]]
    scores: List[List[np.ndarray]]
    whole: List[List[str]]
    near: List[List[bool]]
    classes: Tuple[str, ...]
    precision: str
    latency_ms: float


def first_model(models: Iterable[Model], folder: Path) -> str:
    """Path of the model that looks at whole pictures; empty where a release has none."""
    return next((str(folder / m.path) for m in models if m.role == "detector"), "")


def task_of(config: Config) -> str:
    """What the model of a config does: one of `TASKS`, or something that looks at people."""
    return getattr(pipeline_class(config.pipeline, config.folder), "task", "detect")


def say(config: Config, model: str, images: Sequence[np.ndarray]) -> Said:
    """Let a release say what it makes of pictures.

    Args:
        config: The release's.
        model: Path of its model; not used by a recipe.
        images: `(h, w, 3)` uint8 BGR.
    """
    kind = pipeline_class(config.pipeline, config.folder)
    judging = task_of(config) == "inspect"
    cameras = list(config.cameras.values())
    answers: List[List[List[str]]] = [[] for _ in cameras]
    scores: List[List[np.ndarray]] = [[] for _ in cameras]
    whole: List[List[str]] = [[] for _ in cameras]
    near: List[List[bool]] = [[] for _ in cameras]
    times: List[float] = []
    with open_first(config, kind, model) as opened:
        for k, camera in enumerate(cameras):
            look = _judged if judging else _classified
            for number, image in enumerate(images):
                if number == k == 0:
                    look(config, kind, camera, opened, image)  # kernels are chosen in the first run
                begun = time.perf_counter()
                told, rows, one, close = look(config, kind, camera, opened, image)
                times.append(1000 * (time.perf_counter() - begun))
                answers[k].append(told)
                scores[k].append(rows)
                whole[k].append(one)
                near[k].append(close)
        precision = str(opened.card.precision)
        classes = tuple(opened.classes)
    latency_ms = median(times) if times else 0.0
    return Said(answers, scores, whole, near, classes, precision, latency_ms)


def _judged(
    config: Config, kind: Any, camera: CameraConfig, opened: Any, image: np.ndarray
) -> Tuple[List[str], np.ndarray, str, bool]:
    from ..runtime.inspect.judging.judge import combine

    found = opened.infer(opened.preprocess(image)[0])
    count = opened.recipe.settings.part.count
    one = combine(found.parts, found.problems, count, image.shape).verdict
    seen = [part for part in found.parts if not part.far]
    told = [_words(part.verdict) for part in seen] or [_words(one)]
    verdicts = [part.verdict for part in seen] or [one]
    near = any(_near(reason) for verdict in verdicts for reason in verdict.reasons)
    return told, np.zeros((0, 0), np.float32), one.verdict, near


def _near(reason: Reason) -> bool:
    """Whether a reason's value is all but where its outcome changes."""
    if reason.value is None or reason.margin is None:
        return False
    given = [v for v in (reason.low, reason.high) if v is not None]
    scale = given[1] - given[0] if len(given) == 2 else abs(given[0])
    away = min(abs(reason.margin - reason.uncertainty), abs(reason.margin + reason.uncertainty))
    # Counts, shares of nothing and other round values do not move.
    return 0 < away < NEAR * scale


def _words(verdict: Any) -> str:
    reasons = sorted({reason.name for reason in verdict.told}) if verdict.verdict != "pass" else []
    return ": ".join([verdict.verdict, ", ".join(reasons)] if reasons else [verdict.verdict])


def _classified(
    config: Config, kind: Any, camera: CameraConfig, opened: Any, image: np.ndarray
) -> Tuple[List[str], np.ndarray, str, bool]:
    settings = camera_settings(kind, camera)
    size, reference = (image.shape[1], image.shape[0]), camera.reference_size
    if reference is not None:
        settings = kind.scale(settings, size[0] / reference[0], size[1] / reference[1])
    boxes = list(settings.parts.values()) or [(0.0, 0.0, *map(float, size))]
    # A model that is asked about parts alone wraps the one that is asked here.
    model = getattr(opened, "second", None) or opened
    rows = np.asarray(model(image, np.array(boxes, np.float32)), np.float32)
    rows = rows.reshape(len(boxes), -1)
    told = [str(opened.classes[int(row.argmax())]) for row in rows]
    return told, rows, told[0], False  # scores have a tolerance


def record(
    config: Config,
    model: str,
    pictures: Sequence[Picture],
    places: Sequence[str],
    tolerance: Dict[str, Tolerance],
    latency_ms: Optional[float],
    warnings: List[str],
) -> Pictured:
    """What a release says of golden pictures, for the manifest.

    Args:
        config: The release's.
        model: As in `say`.
        pictures: The golden pictures.
        places: Where each lies in the bundle.
        tolerance: How far scores may be off, by precision.
        latency_ms: Median time of a picture at most, or None.
        warnings: Gets sentences that a user should see.

    Raises:
        UsageError: A picture is not what its folder says, so that the release must not go out.
    """
    said = say(config, model, [p.image for p in pictures])
    names = list(config.cameras)
    judging = task_of(config) == "inspect"
    wrong = [
        f"{p.name} is {said.whole[k][i]}"
        for k in range(len(names))
        for i, p in enumerate(pictures)
        if p.known in said.classes and said.whole[k][i] != p.known
    ]
    if wrong and judging:
        raise UsageError(
            "the recipe does not judge its golden pictures as their folders say",
            got="; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""),
            remedy="teach it better, or put the pictures where they belong",
        )
    if wrong:
        warnings.append(
            f"of the golden pictures the model calls {len(wrong)} otherwise than their folders "
            f"do, {wrong[0]} for one; what it says here is what it must say on the device"
        )
    near = [p.name for i, p in enumerate(pictures) if any(one[i] for one in said.near)]
    if near:
        warnings.append(
            f"of the golden pictures {len(near)} hang on a value that is all but at its limit, "
            f"{near[0]} for one: a machine that rounds it to the other side would be refused"
        )
    answers = {text for one in said.answers for told in one for text in told}
    if judging and not any(text.startswith("fail") for text in answers):
        warnings.append(
            "no part in the golden pictures fails, so they do not prove that the device stops bad "
            "parts: give known ones with --frames, in folders pass and fail"
        )
    elif judging and "pass" not in answers:
        warnings.append("no part in the golden pictures passes: give known good ones, too")
    elif not judging and len(answers) < 2:
        warnings.append("all golden pictures are of one class, so they prove little")
    shown = [
        Shown(
            name, places[i], said.answers[k][i],
            [round(float(row.max()), 6) for row in said.scores[k][i]],
        )
        for k, name in enumerate(names)
        for i in range(len(pictures))
    ]  # fmt: skip
    kept = {} if judging else {name: one.score for name, one in tolerance.items()}
    if said.precision == "int8":
        kept = dict.fromkeys(kept, tolerance["int8"].score)
    return Pictured(shown, kept, latency_ms)


def check(config: Config, folder: Path, model: str, golden: Pictured) -> Tuple[int, float]:
    """Make a release say what it must of its golden pictures.

    Args:
        config: The release's.
        folder: Of the release.
        model: As in `say`.
        golden: What it must say.

    Returns:
        How many answers were compared, and the median time of a picture in milliseconds.

    Raises:
        ReleaseError: It says something else, or is too slow.
    """
    from ..runtime.inspect.pictures import read_picture

    places = list(dict.fromkeys(s.picture for s in golden.shown))
    said = say(config, model, [read_picture(folder / place) for place in places])
    names = list(config.cameras)
    tolerance = golden.tolerance.get(said.precision, min(golden.tolerance.values(), default=0.0))
    compared = 0
    for shown in golden.shown:
        if shown.camera not in names:
            raise ReleaseError(
                f"a golden picture is of camera {shown.camera!r}, which is not there"
            )
        k, i = names.index(shown.camera), places.index(shown.picture)
        told, rows = said.answers[k][i], said.scores[k][i]
        if shown.scores:
            same = len(rows) == len(shown.scores) and all(
                name in said.classes
                and abs(float(row[said.classes.index(name)]) - score) <= tolerance
                for name, score, row in zip(shown.says, shown.scores, rows)
            )
        else:
            same = told == shown.says
        if not same:
            raise ReleaseError(
                f"the release does not say of {shown.picture} what it must",
                got=_sentence(told, [float(row.max()) for row in rows]),
                expected=_sentence(shown.says, shown.scores),
            )
        compared += len(shown.says)
    if golden.latency_ms is not None and said.latency_ms > golden.latency_ms:
        raise ReleaseError(
            "the release is too slow on this machine",
            got=f"{said.latency_ms:.1f} ms a picture",
            expected=f"{golden.latency_ms:.1f} ms or less",
        )
    return compared, said.latency_ms


def _sentence(says: Sequence[str], scores: Sequence[float]) -> str:
    told = [f"{name} {score:.3f}" for name, score in zip(says, scores)] if scores else list(says)
    return "; ".join(told) or "no part"


def golden_pictures(
    config: Config, desk: Config, frames: Optional[Sequence[Any]], model: str
) -> List[Picture]:
    """The golden pictures of a release: those given, its challenge set, or some of its source.

    Args:
        config: The release's.
        desk: The config that it is made of: the source is looked up beside it.
        frames: Pictures; None where the user gives none.
        model: As in `say`.

    Raises:
        UsageError: There are none, and none can be had.
    """
    from ..runtime.inspect.pictures import read_picture

    if frames is not None and not len(frames):
        raise UsageError(
            "a release that judges pictures proves itself by them alone",
            remedy="leave --no-frames out",
        )
    paths = [Path(f) for f in frames or ()]
    if frames is None:
        paths = _challenge_set(config)
    if paths:
        return [
            Picture(f"{p.parent.name}/{p.name}", read_picture(p), p, p.parent.name) for p in paths
        ]
    return _of_source(config, desk, model)


def _challenge_set(config: Config) -> List[Path]:
    if task_of(config) != "inspect":
        return []
    from ..runtime.inspect.pictures import known_pictures
    from ..runtime.inspect.recipe.config import load_recipe

    recipe = load_recipe(config)
    own = recipe.settings.challenge
    return [] if own is None else [path for _, _, path in known_pictures(recipe.path(own.set))]


def _recorded(source: Optional[str]) -> bool:
    """Whether a source can be looked at anywhere and at any time."""
    if source is None or source.startswith("/dev/"):
        return False
    scheme, mark, _ = source.partition("://")
    return scheme in ("file", "synth") if mark else ":" not in source


def _of_source(config: Config, desk: Config, model: str) -> List[Picture]:
    """Pictures of the first camera's source, those with the most different answers."""
    from ..runtime.sources import open_source

    camera = next(iter(desk.cameras.values()))
    remedy = "give known ones: --frames DIR, with folders of what they show (pass, fail)"
    if not _recorded(camera.source):
        raise UsageError("the release has no golden pictures to prove itself by", remedy=remedy)
    found: List[Picture] = []
    with open_source(source_uri(camera, desk.folder), camera.name) as source:
        total = source.frames or LOOKED_AT
        every = max(1, math.ceil(total / LOOKED_AT))
        for frame in source:
            if frame.index % every == every // 2:
                found.append(Picture(f"picture {frame.index}", np.ascontiguousarray(frame.image)))
            if len(found) >= LOOKED_AT:
                break
    if not found:
        raise UsageError("the source of the config shows no picture", remedy=remedy)
    said = say(config, model, [one.image for one in found])
    firm = [i for i in range(len(found)) if not any(one[i] for one in said.near)]
    firm = firm or list(range(len(found)))
    order: List[int] = []
    known: set = set()
    while len(order) < min(FROM_SOURCE, len(firm)):
        left = [i for i in firm if i not in order]
        new = [len({t for one in said.answers for t in one[i]} - known) for i in left]
        if not max(new):
            known.clear()  # all is shown: from the beginning, with what is left
            new = [len({t for one in said.answers for t in one[i]}) for i in left]
        best = left[int(np.argmax(new))]
        known |= {t for one in said.answers for t in one[best]}
        order.append(best)
    return [found[i] for i in sorted(order)]
