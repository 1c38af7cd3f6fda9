"""Pictures of parts: read from files, and paired with golden ones by name."""

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ...core import DataError, StorageError, UsageError
from ..files import write_whole
from ..sources.base import load_cv2

KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
GOLDEN = ("_temp", "_template", "_golden", "_good", "_ref")
TESTED = ("_test", "_tested", "_part")


def read_picture(path: Path) -> np.ndarray:
    """`(h, w, 3)` uint8 BGR.

    Raises:
        DataError: The file cannot be read or is no picture.
    """
    cv2 = load_cv2()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read", got=error.strerror or str(error)) from None
    if not content:
        raise DataError(f"{path} is empty", expected="a picture")
    if cut_short(content):
        raise DataError(f"{path} is cut short", remedy="copy it again: its end is missing")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"{path} is no picture that can be read", got=f"{len(content)} bytes")
    return image


def cut_short(content: bytes) -> bool:
    """Whether a PNG or JPEG lacks its end: decoders may fill it with grey and say nothing."""
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content[-4096:]
    if content.startswith(b"\xff\xd8"):
        # The last scan is followed by an end of its own; a preview before it has another.
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return False


def known_pictures(folder: Path) -> List[Tuple[str, str, Path]]:
    """Pictures of known parts: verdict, name and path of each, by folders named as verdicts.

    Args:
        folder: With folders `pass` and `fail`, and `unsure` if wanted.

    Raises:
        UsageError: There is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(
            f"there is no challenge set at {folder}",
            expected="a folder with folders pass and fail of pictures",
        )
    return [
        (verdict, f"{verdict}/{path.name}", path)
        for verdict in ("pass", "fail", "unsure")
        if (folder / verdict).is_dir()
        for path in sorted((folder / verdict).iterdir())
        if path.suffix.lower() in KINDS
    ]


def pictures_in(path: Path) -> List[Path]:
    """The pictures of a folder by name, or the one picture that a path names; no masks.

    Raises:
        UsageError: There is nothing at the path, or no picture in the folder.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"there is no picture or folder {path}")
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in KINDS and p.is_file())
    masks = set(masks_beside(path).values())
    found = [p for p in found if p not in masks]
    if not found:
        raise UsageError(f"the folder {path} holds no pictures", expected=", ".join(KINDS))
    return found


def masks_beside(folder: Path) -> Dict[str, Path]:
    """Masks by the name of their picture, without its ending: `X.png` beside `X.jpg`."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in KINDS]
    photos = {p.stem for p in files if p.suffix.lower() in (".jpg", ".jpeg")}
    return {p.stem: p for p in sorted(files) if p.suffix.lower() == ".png" and p.stem in photos}


class DrawnFolder:
    """Where pictures with verdicts drawn in are written, one PNG each.

    Args:
        folder: Made where it does not exist.
        images: The pictures that are judged.
        golden: The golden picture or folder, where there is one.

    Raises:
        UsageError: It is the folder of the judged or the golden pictures, which would be lost.
        StorageError: It cannot be made.
    """

    def __init__(
        self, folder: Union[str, Path], images: Sequence[Path], golden: Optional[Path] = None
    ) -> None:
        self.folder = Path(folder)
        taken = {path.parent.resolve() for path in images}
        if golden is not None:
            taken.add((golden if golden.is_dir() else golden.parent).resolve())
        if self.folder.resolve() in taken:
            raise UsageError(
                f"{folder} holds pictures that the drawn ones would overwrite",
                remedy="give --out a folder of its own",
            )
        stems = [path.stem for path in images]
        self._twice = {stem for stem in stems if stems.count(stem) > 1}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder} cannot be made", got=error.strerror) from None

    def write(self, path: Path, picture: np.ndarray) -> None:
        """Write what was drawn of a picture.

        Raises:
            StorageError: It cannot be written.
        """
        name = path.name if path.stem in self._twice else path.stem
        png = load_cv2().imencode(".png", picture)[1].tobytes()
        write_whole(self.folder / f"{name}.png", png)


def _without(stem: str, endings: Sequence[str]) -> str:
    for ending in endings:
        if stem.lower().endswith(ending) and len(stem) > len(ending):
            return stem[: -len(ending)]
    return stem


class Pairing:
    """Which golden pictures belong to which tested ones.

    A golden file serves every picture. In a folder the golden picture has the tested one's name,
    but for an ending such as `_temp` or `_golden` (and `_test` on the tested one); a folder of
    the tested one's name holds several good parts.

    Args:
        images: A picture or a folder of them.
        golden: A picture or a folder of them.
        one_kind: All golden pictures show good parts of one kind, for every tested picture.

    Attributes:
        images: The tested pictures.
        one_kind: Whether all golden pictures serve every tested one.

    Raises:
        UsageError: One of them does not exist or holds no pictures.
    """

    def __init__(self, images: Path, golden: Path, one_kind: bool = False) -> None:
        self.golden = golden
        self.images = pictures_in(images)
        self._all: Optional[List[Path]] = None
        self._named: Dict[str, List[Path]] = {}
        self.one_kind = one_kind or golden.is_file()
        if self.one_kind:
            self._all = pictures_in(golden)
            return
        if not golden.is_dir():
            raise UsageError(f"there is no golden picture or folder {golden}")
        together = images.is_dir() and images.resolve() == golden.resolve()
        for path in sorted(golden.iterdir()):
            if path.is_dir():
                inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in KINDS]
                if inside:
                    self._named[path.name] = inside
            elif path.suffix.lower() in KINDS:
                # Where both lie in one folder the ending alone tells which is golden.
                key = _without(path.stem, GOLDEN)
                if key != path.stem or not together:
                    self._named[key] = [path]
        if together:
            self.images = [p for p in self.images if _without(p.stem, GOLDEN) == p.stem]
        if not self._named:
            raise UsageError(f"the folder {golden} holds no golden pictures", expected="by name")
        if not self.images:
            raise UsageError(f"the folder {images} holds golden pictures alone")

    def of(self, image: Path) -> List[Path]:
        """The golden pictures of a tested one; none where none has its name."""
        if self._all is not None:
            return [p for p in self._all if p.resolve() != image.resolve()] or self._all
        for key in (image.stem, _without(image.stem, TESTED)):
            found = [p for p in self._named.get(key, []) if p.resolve() != image.resolve()]
            if found:
                return found
        return []
