"""Pictures of parts as they come in: read, refused or laid into the model's input."""

import hashlib
import os
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...core import DataError, InputSpec, UsageError
from ...runtime.inspect.judging.anomaly import lay
from ...runtime.inspect.pictures import read_picture
from ...runtime.sources.base import load_cv2

Picture = Union[str, "os.PathLike[str]", np.ndarray]

LEAST = 8
"""Good parts below which nothing can be held out to judge by."""

STEP = 32
AREA = 256 * 256


class Parts(NamedTuple):
    """Pictures laid into the input.

    Attributes:
        names: What each is called in messages.
        images: `(h, w, 3)` uint8 BGR of the input's size.
        insides: `(h, w)` bool, False in padding.
        sizes: `(width, height)` of each as it came.
    """

    names: List[str]
    images: List[np.ndarray]
    insides: List[np.ndarray]
    sizes: List[Tuple[int, int]]


def read_parts(pictures: Sequence[Picture], what: str) -> Tuple[List[str], List[np.ndarray]]:
    """Names and `(h, w, 3)` uint8 BGR pictures.

    Raises:
        DataError: One cannot be read, is no picture, too small, or without any content.
    """
    names, images = [], []
    for number, picture in enumerate(pictures, 1):
        if isinstance(picture, np.ndarray):
            name, image = f"{what} picture {number}", picture
            if image.ndim == 2:
                image = np.repeat(image[..., None], 3, axis=2)
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise DataError(
                    f"{name} is no picture",
                    got=f"{picture.shape} {picture.dtype}",
                    expected="(h, w, 3) or (h, w) of uint8",
                )
        else:
            name, image = os.fspath(picture), read_picture(Path(picture))
        if min(image.shape[:2]) < STEP:
            raise DataError(
                f"{name} is too small to learn from",
                got=f"{image.shape[1]} x {image.shape[0]}",
                expected=f"at least {STEP} x {STEP}",
            )
        spread = float(image.astype(np.float32).std())
        if spread < 1.0:
            level = float(image.mean())
            kind = "black" if level < 8 else "white" if level > 247 else "of one grey"
            raise DataError(
                f"{name} is all {kind}: there is no part to see",
                got=f"a spread of {spread:.2f} grey levels",
                remedy="check the exposure and the light, and take it again",
            )
        names.append(name)
        images.append(image)
    return names, images


def choose_input(images: Sequence[np.ndarray], size: Optional[Tuple[int, int]]) -> InputSpec:
    """The model's input for these good parts.

    Raises:
        UsageError: The size wanted does not divide by 32, or is too small or large.
    """
    shapes = np.array([i.shape[1::-1] for i in images], np.float64)
    if size is None:
        ratio = float(np.exp(np.log(shapes[:, 0] / shapes[:, 1]).mean()))
        area = min(AREA, float(np.median(shapes.prod(axis=1))))
        wide = np.clip(np.sqrt(area * ratio), STEP, None)
        size = (_rounded(wide), _rounded(area / wide))
    good = (
        len(size) == 2
        and all(isinstance(n, (int, np.integer)) for n in size)
        and all(n % STEP == 0 and 64 <= n <= 1024 for n in size)
    )
    if not good:
        raise UsageError(
            "the model's input cannot have this size",
            got=size,
            expected=f"width and height from 64 to 1024 that divide by {STEP}",
            remedy="leave it out, and one is chosen from the pictures",
        )
    return InputSpec(
        size=(int(size[0]), int(size[1])), layout="nhwc", colour="bgr", scale=1.0, resize="stretch"
    )


def _rounded(length: float) -> int:
    return int(np.clip(round(length / STEP), 2, 32)) * STEP


def placed(names: List[str], images: Sequence[np.ndarray], spec: InputSpec) -> Parts:
    """The pictures laid into the input."""
    laid, insides = [], []
    for image in images:
        picture, transform = lay(image, spec)
        laid.append(picture)
        inside = np.ones(picture.shape[:2], bool)
        if spec.resize != "stretch":
            inside[:] = False
            left, top = (int(v) for v in transform.offset)
            wide = round(image.shape[1] * transform.scale[0])
            high = round(image.shape[0] * transform.scale[1])
            inside[top : top + high, left : left + wide] = True
        insides.append(inside)
    return Parts(names, laid, insides, [(i.shape[1], i.shape[0]) for i in images])


def read_masks(
    masks: Optional[Sequence[Any]], parts: Parts, spec: InputSpec
) -> Tuple[List[Optional[np.ndarray]], List[str]]:
    """Masks of defects laid into the input, `(h, w)` bool each, and warnings.

    A mask is None where none is known; one that marks nothing is taken as not known.

    Raises:
        DataError: They are not as many as the defective parts, have another size than their
            picture, all mark nothing, or one marks everything.
    """
    if masks is None:
        return [None] * len(parts.images), []
    if len(masks) != len(parts.images):
        raise DataError(
            "the masks do not match the defective parts",
            got=f"{len(masks)} masks",
            expected=f"{len(parts.images)}, one a part; None where there is none",
        )
    cv2 = load_cv2()
    found: List[Optional[np.ndarray]] = []
    empty: List[str] = []
    for mask, name, size in zip(masks, parts.names, parts.sizes):
        if mask is None:
            found.append(None)
            continue
        if isinstance(mask, (str, os.PathLike)):
            where = os.fspath(mask)
            # A mask saved as JPEG has faint edges.
            values = read_picture(Path(mask)).max(axis=2) > 100
        else:
            where = f"the mask of {name}"
            values = np.asarray(mask)
            values = (values if values.ndim == 2 else values.max(axis=-1)) != 0
        if values.shape[::-1] != size:
            raise DataError(
                f"{where} does not match its picture {name}",
                got=f"{values.shape[1]} x {values.shape[0]}",
                expected=f"{size[0]} x {size[1]}",
            )
        if values.all():
            raise DataError(
                f"{where} marks everything as a defect",
                remedy="mark the defect alone, or give None for a part whose mask is not known",
            )
        if not values.any():
            empty.append(where)
            found.append(None)
            continue
        grown = values.astype(np.uint8) * 255
        picture = lay(cv2.merge((grown,) * 3), spec)[0][..., 0]
        laid = picture > (0 if spec.resize == "stretch" else 127)
        found.append(laid if laid.any() else None)
    if empty and not any(mask is not None for mask in found):
        raise DataError(
            f"{empty[0]} marks nothing as a defect, and no other mask does",
            remedy="mark the defects, or leave the masks out",
        )
    return found, [f"{where} marks nothing; its part is taken without a mask" for where in empty]


def hash_of(images: Sequence[np.ndarray]) -> str:
    """SHA-256 over the pictures, in the order in which they were given."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr(image.shape).encode())
        digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def check_alike(parts: Parts) -> List[str]:
    """Refuse good parts that cannot be of one kind; warn of doubtful ones.

    Pictures are compared by what a small copy of each shows: how its brightness is spread and
    how rough it is, each against the median over all of them.

    Returns:
        Warnings.

    Raises:
        DataError: Many differ much from the others.
    """
    cv2 = load_cv2()
    facts = []
    for image in parts.images:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
        small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA)
        rough = np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean()
        facts.append([small.mean(), small.std(), rough])
    values = np.log(np.array(facts) + 2.0)
    gap = np.abs(values - np.median(values, axis=0))
    # In nepers: a factor of three in brightness, of four in contrast or roughness.
    far = np.any(gap > np.log([3.0, 4.0, 4.0]), axis=1)
    warnings = []
    if far.mean() > 0.2:
        named = ", ".join(np.array(parts.names)[far][:3])
        raise DataError(
            "the good parts differ too much among themselves to be one kind of part",
            got=f"{int(far.sum())} of {len(values)} unlike the rest, such as {named}",
            remedy="teach each kind by itself, in one light, with one focus",
        )
    for name in np.array(parts.names)[far]:
        warnings.append(f"{name} is unlike the other good parts in brightness or sharpness")
    flat = [hashlib.sha256(i.tobytes()).digest() for i in parts.images]
    if len(set(flat)) < len(flat):
        copies = len(flat) - len(set(flat))
        if len(set(flat)) < LEAST:
            raise DataError(
                "the good parts are mostly copies of one another",
                got=f"{len(set(flat))} different pictures of {len(flat)}",
                expected=f"at least {LEAST}",
            )
        warnings.append(f"{copies} of the good pictures are copies of others")
    return warnings
