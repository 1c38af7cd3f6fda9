"""Parts inspected against golden samples: from pictures to verdicts, lines and overlays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ....core import DataError
from ....core.verdict import Reason, Verdict
from ...sources.base import load_cv2
from ..pictures import DrawnFolder, Pairing, read_picture
from .sample import Difference, Golden, GoldenSettings

LIKENESS = 0.6  # correlation with the golden picture below which it is not the same view
COVERED = 0.9  # share of the golden picture that must be in view
FOCUS = 0.3  # sharpness against the golden picture's
GAIN = (0.55, 1.8)  # how much darker or lighter a picture may be
CLIPPED = 0.2  # more of the picture black or white than of the golden one
ANGLE, SCALE = 6.0, 0.05  # turn in degrees and change of size beyond which the fit is no fit
RED, AMBER, GREEN = (60, 60, 230), (40, 170, 240), (90, 190, 90)


@dataclass(frozen=True)
class Inspected:
    """One inspected picture.

    Attributes:
        image: Where it lies.
        verdict: What is said about it.
        xyxy: `(n, 4)` float32 pixels of the picture: places with a defect, without classes.
        score: `(n,)` float32 in 0.5..1.
    """

    image: str
    verdict: Verdict
    xyxy: np.ndarray
    score: np.ndarray

    def as_dict(self) -> Dict[str, Any]:
        """For a line of JSON."""
        defects = [
            {"xyxy": [round(float(v), 1) for v in box], "score": round(float(score), 4)}
            for box, score in zip(self.xyxy, self.score)
        ]
        score = self.verdict.score
        return {
            "image": self.image,
            "verdict": self.verdict.verdict,
            "score": None if score is None else round(score, 4),
            "defects": defects,
            "reasons": [reason.as_dict() for reason in self.verdict.told],
        }


def score_of(area: float, limit: float) -> float:
    """0..1 of an area; one half at the limit. It keeps rising, so that large defects rank too."""
    return area / (area + limit)


def _nothing(name: str, text: str) -> Inspected:
    """Unsure, because nothing could be measured."""
    verdict = Verdict.of([Reason(name, None, condition=True, text=text)])
    return Inspected("", verdict, np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def conditions(golden: Golden, image: np.ndarray, found: Difference) -> List[Reason]:
    """Whether the picture is one that can be judged at all."""
    cv2 = load_cv2()
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    fit = found.registration
    black = float(np.mean(grey <= 2)) - golden.clipped[0]
    white = float(np.mean(grey >= 253)) - golden.clipped[1]
    reasons = [
        Reason("overexposed", white, high=CLIPPED, condition=True,
               text="share of the picture that is white beyond the golden one's"),
        Reason("underexposed", black, high=CLIPPED, condition=True,
               text="share of the picture that is black beyond the golden one's"),
        Reason("likeness", fit.likeness, low=LIKENESS, condition=True,
               text="correlation with the golden picture; low where the part is absent or another"),
    ]  # fmt: skip
    if golden.blank:
        reasons.append(
            Reason("detail", golden.found_contrast, low=12, unit="grey levels", condition=True,
                   text="the golden picture is blank: it cannot be told if this is the same view")
        )  # fmt: skip
    elif fit.likeness >= LIKENESS:
        reasons += [
            Reason("covered", fit.covered, low=COVERED, condition=True,
                   text="share of the golden picture that is in view"),
            Reason("turned", abs(fit.angle), high=ANGLE, unit="degrees", condition=True,
                   text="against the golden picture"),
            Reason("scaled", abs(fit.scale - 1), high=SCALE, condition=True,
                   text="against the golden picture"),
            Reason("light", 1 / fit.gain, low=GAIN[0], high=GAIN[1], condition=True,
                   text="contrast over that of the golden picture"),
            Reason("focus", found.focus, low=FOCUS, condition=True,
                   text="sharpness over that of the golden picture"),
        ]  # fmt: skip
    return reasons


def inspect_picture(golden: Golden, image: np.ndarray) -> Inspected:
    """Judge one picture against a golden sample.

    Args:
        golden: Good pictures of the view.
        image: `(h, w, 3)` uint8 BGR.

    Returns:
        The verdict, with an empty name; unsure, not an error, for a picture of another size.
    """
    if (image.shape[1], image.shape[0]) != golden.size:
        return _nothing(
            "size",
            f"the picture is {image.shape[1]} x {image.shape[0]} and the golden one "
            f"{golden.size[0]} x {golden.size[1]}",
        )
    found = golden.compare(image)
    limit = golden.settings.area
    worst = max((blob.area for blob in found.blobs), default=0.0)
    text = "pixels of full difference in the largest place"
    if worst < limit and found.blobs:
        at = ", ".join(f"{v:.0f}" for v in found.blobs[0].xyxy)
        text += f", at {at}"
    doubt = (1 - golden.settings.doubt) * limit if worst < limit else 0.0
    defect = Reason("difference", worst, high=limit, uncertainty=doubt, unit="px", text=text)
    bad = [blob for blob in found.blobs if blob.area >= limit]
    return Inspected(
        "",
        Verdict.of([defect, *conditions(golden, image, found)], score_of(worst, limit)),
        np.array([b.xyxy for b in bad], np.float32).reshape(-1, 4),
        np.array([score_of(b.area, limit) for b in bad], np.float32),
    )


def _golden(paths: Sequence[Path], settings: Optional[GoldenSettings]) -> Union[Golden, DataError]:
    """A golden sample, or why there is none."""
    try:
        return Golden([read_picture(p) for p in paths], settings, [p.name for p in paths])
    except DataError as error:
        return error


def inspect(
    images: Union[str, Path],
    golden: Union[str, Path],
    one_kind: bool = False,
    settings: Optional[GoldenSettings] = None,
    out: Optional[Union[str, Path]] = None,
    progress: Optional[Callable[[int, int], None]] = None,
) -> Iterator[Inspected]:
    """Judge pictures against golden ones that are paired by file name.

    Args:
        images: A picture or a folder of them.
        golden: A picture or a folder of them; see `Pairing`.
        one_kind: All golden pictures show good parts of one kind; how much they differ is the
            tolerance.
        settings: How pictures are compared.
        out: Folder for pictures with the verdict and the defects drawn in.
        progress: Called with how many of how many are done.

    Yields:
        One for each tested picture, in the order of their names. A picture that cannot be read, or
        that no golden one belongs to, is unsure.

    Raises:
        UsageError: A path does not exist, or `out` is where the pictures lie.
        DataError: No golden picture belongs to any tested one, or those that serve them all cannot
            be used.
        StorageError: `out` cannot be written.
    """
    pairing = Pairing(Path(images), Path(golden), one_kind)
    if not any(pairing.of(path) for path in pairing.images):
        first = pairing.images[0].name
        raise DataError(
            f"no golden picture in {golden} has the name of a tested one",
            got=f"tested pictures such as {first}",
            remedy="name them alike (board7_test.jpg and board7_temp.jpg), or say --one-kind "
            "where all golden pictures show good parts of one kind",
        )
    drawn = None if out is None else DrawnFolder(out, pairing.images, Path(golden))
    kept: Tuple[List[Path], Union[Golden, DataError, None]] = ([], None)
    for number, path in enumerate(pairing.images, 1):
        names = pairing.of(path)
        if names and (kept[1] is None or kept[0] != names):
            kept = (names, _golden(names, settings))
        good = kept[1] if names else None
        if isinstance(good, DataError) and pairing.one_kind:
            raise good  # none can be judged
        image: Optional[np.ndarray] = None
        try:
            image = read_picture(path)
            if isinstance(good, Golden):
                result = inspect_picture(good, image)
            else:
                result = _nothing("golden", f"no golden picture is named like {path.name}"
                                  if good is None else str(good))  # fmt: skip
        except DataError as error:
            result = _nothing("readable", str(error))
        result = Inspected(str(path), result.verdict, result.xyxy, result.score)
        if drawn is not None and image is not None:
            drawn.write(path, overlay(image, result))
        if progress is not None:
            progress(number, len(pairing.images))
        yield result


def overlay(image: np.ndarray, inspected: Inspected) -> np.ndarray:
    """The picture with its defects in boxes and the verdict with its reasons below.

    Args:
        image: `(h, w, 3)` uint8 BGR, not changed.
        inspected: What was said about it.

    Returns:
        `(h + n, w, 3)` uint8.
    """
    cv2 = load_cv2()
    height, width = image.shape[:2]
    # Letters that can be read, where there is room for them.
    unit = max(min(height, width) / 640, 0.8 if width >= 400 else 0.5)
    font, size, line = cv2.FONT_HERSHEY_SIMPLEX, 0.45 * unit, int(20 * unit)
    verdict = inspected.verdict
    told = [f"{verdict.verdict.upper()}"]
    for reason in verdict.told[:4]:
        told.append(reason.sentence)
    picture = np.full((height + line * len(told) + line // 2, width, 3), 30, np.uint8)
    picture[:height] = image
    for box, score in zip(inspected.xyxy, inspected.score):
        left, top, right, bottom = (int(round(float(v))) for v in box)
        thick = max(int(round(1.5 * unit)), 1)
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), RED, thick)
        at = (left, top - 4 if top > line else min(bottom + line - 4, height - 4))
        cv2.putText(picture, f"{score:.2f}", at, font, 0.9 * size, RED, 1, cv2.LINE_AA)
    colour = {"pass": GREEN, "fail": RED}.get(verdict.verdict, AMBER)
    for k, words in enumerate(told):
        words = words.encode("ascii", "replace").decode("ascii")
        at = (int(6 * unit), height + line * (k + 1))
        ink = colour if k == 0 else (225, 225, 225)
        cv2.putText(picture, words, at, font, size, ink, 1, cv2.LINE_AA)
    return picture
