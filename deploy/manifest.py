"""What a bundle holds, for whom, and what it must answer."""

import calendar
import re
import time
from pathlib import PurePosixPath
from typing import Dict, List, Optional, Tuple

import msgspec

from ..core import ReleaseError, UsageError
from .archive import LARGEST, MOST, check_name
from .keys import parse_public

FORMAT = 2
"""Of the newest bundles; those without golden pictures are of format 1, as they always were."""
NAME = "manifest.json"
CONFIG = "config.yaml"
LONGEST = 1 << 20
"""Bytes of a manifest."""
TOTAL = 1 << 34
"""Bytes of all files of a bundle."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_KEY = re.compile(r"[0-9A-F]{16}\Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a bundle."""

    path: str
    size: int
    sha256: str


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of a bundle.

    Attributes:
        path: The ONNX.
        role: `detector`, `second`, `check` of a recipe, or `variant`: one that the config does not
            name.
        precision: As its card tells.
        calibration: The TensorRT calibration cache that belongs to it, or None.
    """

    path: str
    role: str
    precision: str
    calibration: Optional[str] = None


class Counted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Recorded detections of one camera, and what they must count to.

    Attributes:
        camera: Name of the camera in the config.
        detections: MOTChallenge rows.
        fps: Frames a second of the recording.
        size: `(width, height)` of its pictures.
        events: How many events there are.
        answers: The camera's part of `summary.json`, to the last digit.
    """

    camera: str
    detections: str
    fps: float
    size: Tuple[int, int]
    events: int
    answers: Dict[str, object]


class Tolerance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far detections may be from the recorded ones.

    Attributes:
        overlap: IoU that a box must have with its recorded one.
        score: Difference of their scores at most.
        share: Of the detections that must be found again, on both sides.
    """

    overlap: float
    score: float
    share: float


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frames, and what the model must see in them.

    Attributes:
        frames: The pictures, in order.
        detections: MOTChallenge rows, frame by frame, down to half the confidence.
        confidence: Score from which a detection must be found again.
        tolerance: By precision.
        latency_ms: Median time of a frame at most, picture to detections, or None.
    """

    frames: List[str]
    detections: str
    confidence: float
    tolerance: Dict[str, Tolerance]
    latency_ms: Optional[float] = None


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A golden picture, and what must be said of it.

    Attributes:
        camera: Name of the camera in the config.
        picture: The picture.
        says: Of each part its verdict with the reasons that decided, or its class.
        scores: Of each class its score; empty for verdicts.
    """

    camera: str
    picture: str
    says: List[str]
    scores: List[float] = []


class Pictured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Golden pictures of what judges or classifies them.

    Attributes:
        shown: The pictures.
        tolerance: How far a score may be off, by precision.
        latency_ms: Median time of a picture at most, or None.
    """

    shown: List[Shown]
    tolerance: Dict[str, float] = {}
    latency_ms: Optional[float] = None


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The golden clip, or golden pictures where there is nothing to count."""

    counts: List[Counted]
    model: Optional[Seen] = None
    pictured: Optional[Pictured] = None

    @property
    def format(self) -> int:
        """The oldest format of a bundle that can hold it."""
        return 1 if self.pictured is None else 2


class KeyChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle changes in whom a device trusts.

    Attributes:
        trust: Public keys to trust from now on, as minisign's `-P` takes them.
        revoke: Ids of keys never to be trusted again.
    """

    trust: List[str] = []
    revoke: List[str] = []


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first member of a bundle.

    Attributes:
        format: Of the bundle.
        name: Of the application.
        version: Goes up with every bundle.
        devices: Names of the devices it is for; empty for any.
        expires: Last day on which it may be installed, `YYYY-MM-DD` in UTC, or None.
        edgelane: Version that made it.
        files: All other members, sorted by path.
        models: Models among them.
        wheels: Wheels among them.
        golden: The golden clip.
        keys: Changes in whom to trust.
    """

    format: int
    name: str
    version: int
    devices: List[str]
    expires: Optional[str]
    edgelane: str
    files: List[File]
    models: List[Model]
    wheels: List[str]
    golden: Golden
    keys: KeyChanges = KeyChanges()

    def file(self, path: str) -> File:
        """A file by its path."""
        return next(file for file in self.files if file.path == path)


def encode(manifest: Manifest) -> bytes:
    """The manifest as it stands in a bundle; the same for the same manifest."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    return text + b"\n"


def decode(data: bytes, where: str = "the bundle") -> Manifest:
    """Read and check a manifest.

    Raises:
        ReleaseError: It is none, of a newer format, or contradicts itself.
    """
    try:
        version = msgspec.json.decode(data, type=_Format).format
        if version > FORMAT:
            raise ReleaseError(
                f"{where} was made by a newer edgelane", remedy="update edgelane on the device"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
        problem = _problem(manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = str(error)
    if problem:
        raise ReleaseError(f"the manifest of {where} is wrong", got=problem)
    return manifest


class _Format(msgspec.Struct):
    format: int


def _problem(manifest: Manifest) -> Optional[str]:
    """What contradicts itself, or None."""
    paths = [file.path for file in manifest.files]
    for path in paths:
        check_name(path)
    for path, after in zip(paths, paths[1:]):
        if after <= path:
            return f"{after} after {path}"
    folders = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
    if folders & set(paths):
        return f"{min(folders & set(paths))} as a file and a folder"
    if NAME in paths or len(paths) >= MOST:
        return "its files"
    for file in manifest.files:
        if not _SHA256.match(file.sha256) or not 0 <= file.size <= LARGEST:
            return f"size or sha256 of {file.path}"
    if sum(file.size for file in manifest.files) > TOTAL:
        return f"more than {TOTAL >> 30} GB of files"
    golden = manifest.golden
    named = [CONFIG, *manifest.wheels, *(m.path for m in manifest.models)]
    named += [m.calibration for m in manifest.models if m.calibration is not None]
    named += [c.detections for c in golden.counts]
    named += [golden.model.detections, *golden.model.frames] if golden.model else []
    named += [s.picture for s in golden.pictured.shown] if golden.pictured else []
    lacking = sorted(set(named) - set(paths))
    if lacking:
        return f"it names {lacking[0]}, which is not in it"
    try:
        check_identity(manifest.name, manifest.version, manifest.expires)
    except UsageError as error:
        return str(error)
    for key in manifest.keys.trust:
        parse_public(key)
    if not all(_KEY.match(key) for key in manifest.keys.revoke):
        return "a key to revoke"
    return None


def check_identity(name: str, version: int, expires: Optional[str]) -> None:
    """Make sure that name, version and last day are ones.

    Raises:
        UsageError: One is not.
    """
    if not _NAME.match(name):
        raise UsageError(
            "the name of a bundle is wrong",
            got=repr(name),
            expected="up to 40 small letters, digits, _ and -",
        )
    if not 1 <= version < 1 << 53:
        raise UsageError("the version of a bundle is wrong", got=version, expected="1 or more")
    if expires is not None:
        last_moment(expires)


def last_moment(expires: str) -> float:
    """The Unix time at which a last day, `YYYY-MM-DD` in UTC, has passed.

    Raises:
        UsageError: It is no day.
    """
    try:
        if not _DATE.match(expires):
            raise ValueError
        return calendar.timegm(time.strptime(expires, "%Y-%m-%d")) + 86400.0
    except ValueError:
        raise UsageError(
            "the last day is wrong", got=repr(expires), expected="a day such as 2027-03-31"
        ) from None
