"""What a profile measures on: pictures, and labels where there are any."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

from ...calibration.accuracy.labels import class_folders, load_class_folders
from ...core import DataError
from ...runtime.sources.file import IMAGES, natural

PathLike = Union[str, Path]

TIMED = 24
"""Pictures that times are measured on at most; accuracy takes all."""


@dataclass(frozen=True)
class Data:
    """Pictures and their labels.

    Attributes:
        images: Folder of the pictures.
        annotations: COCO file, or None.
        labels: Folder of text files with poses, or None.
        identity: Hash of what is measured on.
        timed: Names of the pictures that times are measured on.
        kinds: Whether `images` holds a folder of pictures for each class.
    """

    images: Path
    annotations: Optional[Path]
    labels: Optional[Path]
    identity: str
    timed: Sequence[str]
    kinds: bool = False

    def to_dict(self) -> Dict[str, Any]:
        """For a task of a worker."""
        return {
            "images": str(self.images),
            "annotations": None if self.annotations is None else str(self.annotations),
            "labels": None if self.labels is None else str(self.labels),
            "identity": self.identity,
            "timed": list(self.timed),
            "kinds": self.kinds,
        }

    @classmethod
    def from_dict(cls, data: Dict[str, Any], folder: Path = Path(".")) -> "Data":
        """What `to_dict` gave, with paths below a folder."""

        def path(name: str) -> Optional[Path]:
            return None if data.get(name) is None else folder / data[name]

        return cls(
            folder / data["images"],
            path("annotations"),
            path("labels"),
            data["identity"],
            tuple(data["timed"]),
            bool(data.get("kinds", False)),
        )


def find_data(data: PathLike, images: Optional[PathLike] = None) -> Data:
    """Find pictures and labels.

    Args:
        data: A COCO file; or a folder of pictures, or one that holds `annotations/*.json` and the
            folder of the images, or `images/` and `labels/` of poses, or a folder of pictures for
            each class.
        images: Folder of the images of a COCO file, where it cannot be found beside it.

    Raises:
        DataError: There is nothing of the kind, or labels and pictures do not fit together.
    """
    path = Path(data)
    if not path.exists():
        raise DataError(
            f"there is no {path}", expected="a COCO file or a folder", remedy="check --data"
        )
    labels: Optional[Path] = None
    annotations: Optional[Path] = None
    if path.is_dir():
        folder = path
        files = sorted((path / "annotations").glob("*.json")) or sorted(path.glob("*.json"))
        coco = [f for f in files if _is_coco(f)]
        if coco:
            annotations = coco[0]
            folder = Path(images) if images else _images_in(path, annotations)
        elif (path / "labels").is_dir() and (path / "images").is_dir():
            folder, labels = path / "images", path / "labels"
        elif not _pictures(path) and class_folders(path):
            return _of_kinds(path)
    else:
        annotations = path
        folder = Path(images) if images else images_of(path)
    names = _names(folder, annotations)
    if not names:
        raise DataError(
            f"there are no pictures in {folder}", expected="files that end in " + ", ".join(IMAGES)
        )
    return Data(folder, annotations, labels, _identity(folder, names, annotations), names[:TIMED])


def _of_kinds(folder: Path) -> Data:
    """A folder of pictures for each class; times are measured on some of each."""
    names = [
        str(picture.path.relative_to(folder)) for picture in load_class_folders(folder).pictures
    ]
    steps = max(len(names) // TIMED, 1)
    timed = names[::steps][:TIMED]
    return Data(folder, None, None, _identity(folder, names, None), timed, True)


def _images_in(folder: Path, annotations: Path) -> Path:
    """The images of a COCO file in a folder; where it names others, the pictures that are there:
    times can be measured on them, and accuracy will say why not."""
    try:
        return images_of(annotations)
    except DataError:
        for near in (folder, *_folders(folder)):
            if near.is_dir() and _pictures(near):
                return near
        raise


def images_of(annotations: Path) -> Path:
    """The folder of a COCO file's images: where its first ones are, beside it or above it.

    Raises:
        DataError: None of them is anywhere near.
    """
    first = _named(annotations)[:50]
    above = annotations.resolve().parent
    near = [above, *_folders(above), above.parent, *_folders(above.parent)]
    for folder in near:
        for name in first:
            if (folder / name).is_file() or (folder / Path(name).name).is_file():
                return folder
    raise DataError(
        f"no image that {annotations} names is beside it",
        expected=f"e.g. {first[0]}" if first else "a list of images in it",
        remedy="say where they are with --images",
    )


def _folders(folder: Path) -> List[Path]:
    found = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [q for p in found for q in (p, p / "images")]


def _load(annotations: Path) -> Any:
    try:
        return json.loads(annotations.read_bytes().decode("utf-8"))
    except OSError as error:
        raise DataError(f"{annotations} cannot be read", got=error.strerror) from None
    except ValueError as error:
        raise DataError(f"{annotations} is no JSON", got=str(error)[:100]) from None


def _named(annotations: Path) -> List[str]:
    data = _load(annotations)
    try:
        return [str(info["file_name"]) for info in data["images"]]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{annotations} is no COCO file", got=f"no {error}", expected="a list of images"
        ) from None


def _is_coco(path: Path) -> bool:
    try:
        data = _load(path)
    except DataError:
        return False
    return isinstance(data, dict) and "images" in data and "annotations" in data


def _names(folder: Path, annotations: Optional[Path]) -> List[str]:
    """File names of pictures that are there, in order."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", expected="the pictures")
    if annotations is None:
        return _pictures(folder)
    named = []
    for name in _named(annotations):
        if (folder / name).is_file():
            named.append(name)
        elif (folder / Path(name).name).is_file():
            named.append(Path(name).name)
    return named or _pictures(folder)


def _pictures(folder: Path) -> List[str]:
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file())
    return sorted((p.name for p in files), key=natural)


def _identity(folder: Path, names: Sequence[str], annotations: Optional[Path]) -> str:
    mark = hashlib.sha256()
    for name in names:
        mark.update(f"{name}\0{(folder / name).stat().st_size}\0".encode())
    if annotations is not None:
        mark.update(annotations.read_bytes())
    return mark.hexdigest()[:16]
