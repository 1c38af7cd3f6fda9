"""Pictures to calibrate with: some of a folder, video or camera that differ most from one another.

Neighbours in a video show the same, and the first hundred frames show one hour of the day. What is
looked at here is a small thumbnail and the colours of each candidate; the pictures chosen are
farthest from one another in both. Thumbnails of at most 2,048 candidates are held, and of the
chosen pictures none: files are read again, frames of a video are kept in a temporary file.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator, List, NoReturn, Optional, Sequence, Tuple, Union

import numpy as np

from ..core import DataError, StorageError, UsageError
from ..runtime.sources import open_source
from ..runtime.sources.base import load_cv2
from ..runtime.sources.file import IMAGES, natural

COUNT = 128
"""Pictures chosen unless another number is asked for."""

CANDIDATES = 2048
LIVE_CANDIDATES = 4
"""Of a camera, so many frames are looked at for each that is chosen."""

_THUMBNAIL = 12
_FLAT = 2.0  # grey levels; a picture that varies less shows nothing: a covered lens, a cut to black

Progress = Callable[[int, Optional[int]], None]


class Frames:
    """Chosen pictures, to be read as often as wanted.

    Attributes:
        names: What each is called: its file, or video and frame.
        warnings: Sentences that a user should see.
        seen: How many pictures they were chosen from.
        identity: Hash of which pictures they are: another where a file was changed.
    """

    def __init__(
        self,
        names: Sequence[str],
        read: Callable[[int], np.ndarray],
        identity: str,
        seen: int,
        warnings: Sequence[str] = (),
    ) -> None:
        self.names = list(names)
        self._read = read
        self.identity = identity
        self.seen = seen
        self.warnings = list(warnings)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._read(index)

    def __iter__(self) -> Iterator[np.ndarray]:
        """`(h, w, 3)` uint8 BGR, one after the other."""
        return (self._read(index) for index in range(len(self)))


def choose_frames(
    images: Union[str, Path],
    count: int = COUNT,
    *,
    progress: Optional[Progress] = None,
) -> Frames:
    """Pictures of a folder, video or camera that show as much as so many can.

    Args:
        images: A folder of pictures, or whatever `open_source` understands.
        count: How many at most; all of a folder that has no more.
        progress: Called with the number of candidates looked at, and of all where that is known.

    Raises:
        DataError: There is no picture, or none that can be read.
        SourceError, UsageError: As `open_source`; UsageError too for a count below 1.
        StorageError: The frames of a video do not fit into the temporary folder.
        MissingDependency: OpenCV is not installed.
    """
    if count < 1:
        raise UsageError("nothing is calibrated with so few pictures", got=count, expected="1 up")
    if isinstance(images, Path) or "://" not in str(images):
        folder = Path(images).expanduser()
        if folder.is_dir():
            return _from_folder(folder, count, progress)
    return _from_source(str(images), count, progress)


def picture_paths(folder: Path) -> List[Path]:
    """The pictures of a folder in natural order; of a folder without any, those of its subfolders.

    Raises:
        DataError: There is none.
    """
    try:
        paths = [p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file()]
        if not paths:
            found = (p for p in folder.rglob("*") if p.suffix.lower() in IMAGES and p.is_file())
            return sorted(found, key=lambda p: natural(str(p.relative_to(folder)))) or _none(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be read", got=error.strerror) from None
    return sorted(paths, key=lambda p: natural(p.name))


def _none(folder: Path) -> NoReturn:
    raise DataError(
        f"there are no pictures in {folder}", expected="files that end in " + ", ".join(IMAGES)
    )


def file_identity(paths: Sequence[Path]) -> str:
    """Hash of which files these are: their places, sizes and times of change."""
    digest = hashlib.sha256()
    for path in paths:
        state = path.stat()
        digest.update(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def spread(count: int, most: int) -> np.ndarray:
    """At most so many indices of `range(count)`, evenly spread."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def thumbnail(image: np.ndarray) -> np.ndarray:
    """`(496,)` float32 by which pictures are told apart: what lies where, and which colours."""
    cv2 = load_cv2()
    small = cv2.resize(image, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    step = max(min(image.shape[:2]) // 64, 1)
    quarters = (image[::step, ::step] >> 6).astype(np.intp)
    bins = quarters[..., 0] * 16 + quarters[..., 1] * 4 + quarters[..., 2]
    colours = np.bincount(bins.reshape(-1), minlength=64) / bins.size
    shape = small.astype(np.float32).reshape(-1) / 255
    # The distance of two unlike pictures is about the same in both.
    return np.concatenate((shape / _THUMBNAIL, np.sqrt(colours))).astype(np.float32)


def is_flat(image: np.ndarray) -> bool:
    """Whether a picture shows nothing."""
    step = max(min(image.shape[:2]) // 64, 1)
    return float(image[::step, ::step].std(axis=(0, 1)).max()) < _FLAT


def pick(features: np.ndarray, count: int) -> np.ndarray:
    """Rows that are farthest from one another, in order.

    The first is the one nearest to the mean; each further one is the row whose nearest chosen one
    is farthest away, among rows of the same distance the first (Gonzalez, 1985: no choice has
    half the distance to the farthest row left out).

    Args:
        features: `(n, d)`.
        count: How many.

    Returns:
        `(min(n, count),)` sorted row numbers.
    """
    if len(features) <= count:
        return np.arange(len(features))
    centre = features.mean(axis=0)
    chosen = [int(np.argmin(((features - centre) ** 2).sum(axis=1)))]
    nearest = ((features - features[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count:
        nearest[chosen[-1]] = -1
        row = int(np.argmax(nearest))
        chosen.append(row)
        np.minimum(nearest, ((features - features[row]) ** 2).sum(axis=1), out=nearest)
        nearest[chosen] = -1
    return np.sort(np.asarray(chosen))


def read_picture(path: Path, small: bool = False) -> Optional[np.ndarray]:
    """`(h, w, 3)` uint8 BGR, or None for a file that is no picture; `small` is a quarter as wide
    and high, which a JPEG is decoded to far faster."""
    cv2 = load_cv2()
    try:
        flag = cv2.IMREAD_REDUCED_COLOR_4 if small else cv2.IMREAD_COLOR
        image = cv2.imdecode(np.fromfile(str(path), np.uint8), flag)
    except Exception:  # an empty file, or one too large for OpenCV, which raises its own error
        return None
    return image if image is not None and image.size else None


def _from_folder(folder: Path, count: int, progress: Optional[Progress]) -> Frames:
    paths = picture_paths(folder)
    tried = [paths[i] for i in spread(len(paths), max(CANDIDATES, count))]
    known, features, broken = [], [], []
    for number, path in enumerate(tried, 1):
        image = read_picture(path, small=True)
        if image is None:
            broken.append(path.name)
        elif len(tried) <= count or not is_flat(image):
            known.append(path)
            features.append(thumbnail(image))
        if progress is not None:
            progress(number, len(tried))
    if len(broken) == len(tried):
        raise DataError(
            f"no picture in {folder} can be read",
            got=", ".join(broken[:3]),
            remedy="check that the files are whole",
        )
    if not known:
        raise DataError(f"every picture in {folder} is of one colour", remedy="choose others")
    chosen = [known[i] for i in pick(np.stack(features), count)]
    warnings = []
    below = sorted({str(p.parent.relative_to(folder)) for p in paths} - {"."})
    if below:
        warnings.append(
            f"{folder} has no pictures of its own, so those of its subfolders are taken: "
            + ", ".join(below[:3])
            + (", …" if len(below) > 3 else "")
        )
    if broken:
        warnings.append(
            f"{len(broken)} of {len(tried)} pictures cannot be read: " + ", ".join(broken[:3])
        )

    def read(index: int) -> np.ndarray:
        image = read_picture(chosen[index])
        if image is None:
            raise DataError(f"{chosen[index]} cannot be read any more")
        return image

    return Frames([p.name for p in chosen], read, file_identity(chosen), len(paths), warnings)


def _from_source(uri: str, count: int, progress: Optional[Progress]) -> Frames:
    with open_source(uri) as source:
        live = source.live
        spool = _Spool() if live else None
        indices, features = _look(source, count, spool, progress)
        warnings = list(source.warnings)
    if not features:
        raise DataError(f"{uri} shows nothing to calibrate with", got="frames of one colour")
    rows = pick(np.stack(features), count)
    chosen = [indices[row] for row in rows]
    if spool is not None:
        names = [f"{uri} frame {i}" for i in chosen]
        kept = spool
        return Frames(
            names, lambda i: kept.read(int(rows[i])), _mark(spool, rows), len(indices), warnings
        )
    kept = _Spool()
    wanted = set(chosen)
    with open_source(uri) as source:
        for frame in source:
            if frame.index in wanted:
                kept.add(frame.image)
                if len(kept) == len(chosen):
                    break
    names = [f"{uri} frame {i}" for i in chosen[: len(kept)]]
    return Frames(names, kept.read, _mark(kept, np.arange(len(kept))), len(indices), warnings)


def _look(source: Any, count: int, spool: Optional["_Spool"], progress: Optional[Progress]):
    """Indices and thumbnails of every so-manieth frame; of a camera the frames are kept."""
    indices: List[int] = []
    features: List[np.ndarray] = []
    every = 5 if source.live else 1
    for number, frame in enumerate(source):
        if number % every or is_flat(frame.image):
            continue
        indices.append(frame.index)
        features.append(thumbnail(frame.image))
        if spool is not None:
            spool.add(frame.image)
        if progress is not None:
            all_of = LIVE_CANDIDATES * count * every if source.live else source.frames
            progress(number + 1, all_of)
        if source.live and len(indices) >= LIVE_CANDIDATES * count:
            break
        if not source.live and len(indices) >= max(CANDIDATES, 2 * count):
            # As many again will come: half of them are enough.
            every *= 2
            del indices[1::2], features[1::2]
    return indices, features


def _mark(spool: "_Spool", rows: np.ndarray) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(spool.raw(int(row)))
    return digest.hexdigest()


class _Spool:
    """Pictures in a temporary file that is gone with this object, without loss."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="edgelane-")  # noqa: SIM115 - lives as long as this
        self._places: List[Tuple[int, int]] = []
        self._cv2 = load_cv2()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, image: np.ndarray) -> None:
        """Keep a picture."""
        cv2 = self._cv2
        _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        start = self._file.seek(0, 2)
        try:
            self._file.write(data.tobytes())
            self._file.flush()
        except OSError as error:
            raise StorageError(
                f"{tempfile.gettempdir()} cannot hold the frames to calibrate with",
                got=error.strerror,
                remedy="free some space, name another folder in TMPDIR, or take fewer with --count",
            ) from None
        self._places.append((start, data.size))

    def raw(self, index: int) -> bytes:
        """The picture's bytes as they are kept."""
        start, length = self._places[index]
        self._file.seek(start)
        return self._file.read(length)

    def read(self, index: int) -> np.ndarray:
        """The picture."""
        return self._cv2.imdecode(np.frombuffer(self.raw(index), np.uint8), 1)
