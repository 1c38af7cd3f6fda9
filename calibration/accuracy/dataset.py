"""Labelled pictures: a COCO file and the folder of its images."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...core import DataError
from ...runtime.sources.base import load_cv2

PathLike = Union[str, Path]


class Picture(NamedTuple):
    """One labelled picture.

    Attributes:
        id: As in the file.
        path: Its file.
        size: `(width, height)` in pixels that the labels were drawn in, or None where not told.
        annotations: Its annotations as the file has them: `category_id`, `bbox` (left, top, width,
            height in pixels), `area`, `iscrowd`, `keypoints`.
    """

    id: int
    path: Path
    size: Optional[Tuple[int, int]]
    annotations: Tuple[Dict[str, Any], ...]

    def read(self) -> np.ndarray:
        """The picture, `(h, w, 3)` uint8 BGR, in the pixels of its labels.

        Raises:
            DataError: It cannot be read, or is of another size than its labels.
        """
        cv2 = load_cv2()
        image = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"{self.path} cannot be read as an image")
        if self.size is None or image.shape[1::-1] == self.size:
            return image
        # Labels are drawn on the pixels as stored, whatever the camera noted about its position.
        image = cv2.imread(str(self.path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if image.shape[1::-1] != self.size:
            raise DataError(
                f"{self.path} is not of the size that its labels were drawn in",
                got="{}x{}".format(*image.shape[1::-1]),
                expected="{}x{}".format(*self.size),
            )
        return image


@dataclass(frozen=True)
class Dataset:
    """Labelled pictures.

    Attributes:
        name: Where they come from.
        categories: Id by name.
        pictures: Sorted by id.
        missing: How many pictures of the file are not in the folder.
    """

    name: str
    categories: Dict[str, int]
    pictures: Tuple[Picture, ...]
    missing: int = 0

    def __len__(self) -> int:
        return len(self.pictures)

    def select(self, rows: Sequence[int]) -> "Dataset":
        """The pictures of these indices."""
        chosen = tuple(self.pictures[int(i)] for i in rows)
        return Dataset(self.name, self.categories, chosen, self.missing)

    def halves(self) -> Tuple["Dataset", "Dataset"]:
        """Every other picture, and the rest: one to calibrate on, one to judge on."""
        count = len(self.pictures)
        return self.select(range(0, count, 2)), self.select(range(1, count, 2))

    def notes(self) -> Tuple[str, ...]:
        """What a reader of figures should know about the pictures."""
        if not self.missing:
            return ()
        total = len(self) + self.missing
        return (f"{self.missing} of the {total} pictures of {self.name} are not in the folder",)


def load_coco(annotations: PathLike, images: PathLike) -> Dataset:
    """Read a COCO file of boxes or key points.

    Args:
        annotations: JSON with `images`, `annotations` and `categories`.
        images: Folder of the images. Those that are not in it are left out and counted.

    Raises:
        DataError: The file is missing or no COCO, an annotation makes no sense, or none of its
            images is in the folder.
    """
    path, folder = Path(annotations), Path(images)
    data = _json(path)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", expected="the images of the annotations")
    try:
        categories = {str(c["name"]): int(c["id"]) for c in data["categories"]}
        by_image: Dict[int, List[Dict[str, Any]]] = {}
        for annotation in data["annotations"]:
            by_image.setdefault(int(annotation["image_id"]), []).append(_checked(annotation, path))
        pictures, missing = {}, 0
        for info in data["images"]:
            file = _find(folder, str(info["file_name"]))
            if file is None:
                missing += 1
                continue
            size = (int(info["width"]), int(info["height"])) if info.get("width") else None
            number = int(info["id"])
            if number in pictures:
                raise DataError(f"{path} has two images with the id {number}")
            pictures[number] = Picture(number, file, size, tuple(by_image.get(number, ())))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} is no COCO file", got=what) from None
    if not pictures:
        first = str(data["images"][0]["file_name"]) if data["images"] else None
        raise DataError(
            f"none of the {missing} images of {path} is in {folder}"
            if first
            else f"{path} names no images",
            expected=first and f"e.g. {folder / first}",
        )
    ordered = tuple(pictures[number] for number in sorted(pictures))
    return Dataset(str(path), categories, ordered, missing)


def _json(path: Path) -> Dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", expected="COCO annotations") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read", got=error.strerror) from None
    except ValueError as error:
        raise DataError(f"{path} is no JSON", got=str(error)[:100]) from None
    lacking = [
        k
        for k in ("images", "annotations", "categories")
        if not isinstance(data, dict) or not isinstance(data.get(k), list)
    ]
    if lacking:
        raise DataError(f"{path} is no COCO file", got="no list of " + ", ".join(lacking))
    return data


def _find(folder: Path, name: str) -> Optional[Path]:
    """The image as named, or of that file name alone: some files carry folders of their own."""
    for path in (folder / name, folder / Path(name).name):
        if path.is_file():
            return path
    return None


def _checked(annotation: Dict[str, Any], path: Path) -> Dict[str, Any]:
    int(annotation["category_id"])
    box = annotation.get("bbox")
    if box is not None and (
        len(box) != 4 or not np.isfinite(np.asarray(box, float)).all() or min(box[2:]) < 0
    ):
        raise DataError(
            f"{path}: the box of annotation {annotation.get('id')} makes no sense",
            got=box,
            expected="left, top, width, height in pixels",
        )
    return annotation
