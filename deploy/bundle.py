"""A config with everything it needs, in one signed file that is the same every time.

>>> from edgelane.deploy import make_bundle            # doctest: +SKIP
>>> make_bundle("store.yaml", "store-12.edgelane", key="store.key")  # doctest: +SKIP
"""

import math
import os
import re
import tempfile
from pathlib import Path
from typing import BinaryIO, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from .. import __version__
from ..core import ReleaseError, StorageError, UsageError, find_device
from ..runtime.config import Config, load_config
from ..runtime.files import whole_file, write_whole
from . import archive, manifest
from .archive import Member, read_members, write_members
from .contents import Contents, gather
from .golden import TOLERANCE, count_clip, rows_of, see_frames
from .keys import PublicKey, digest_of, parse_signature, read_key, sign, verify
from .layout import sha256_of
from .manifest import CONFIG, Counted, Golden, KeyChanges, Manifest, Model, Pictured, Seen
from .pictured import TASKS, first_model, golden_pictures, record, task_of
from .trust import Trust

PathLike = Union[str, "os.PathLike[str]"]

SUFFIX = ".edgelane"
SIGNATURE = ".minisig"

_OUT = re.compile(r"(?P<name>.+?)-v?(?P<version>\d+)\Z")


class Recording(NamedTuple):
    """Recorded detections of one camera.

    Attributes:
        path: MOTChallenge rows.
        fps: Frames a second.
        size: `(width, height)` of the pictures, or None for the camera's reference size.
    """

    path: PathLike
    fps: float
    size: Optional[Tuple[int, int]] = None


class Bundled(NamedTuple):
    """A bundle that was made.

    Attributes:
        path: The bundle.
        signature: Its signature, beside it; `minisign -V` takes both.
        manifest: What it holds.
        size: In bytes.
        warnings: Sentences that a user should see.
    """

    path: Path
    signature: Path
    manifest: Manifest
    size: int
    warnings: List[str]


class Opened(NamedTuple):
    """A bundle whose signature was verified.

    Attributes:
        manifest: What it holds.
        data: The manifest's bytes.
        members: Where each other file lies in it.
        key: Id of the key that signed it.
    """

    manifest: Manifest
    data: bytes
    members: Tuple[Member, ...]
    key: str


def make_bundle(
    config: PathLike,
    out: PathLike,
    *,
    key: PathLike,
    name: Optional[str] = None,
    version: Optional[int] = None,
    model: Optional[PathLike] = None,
    variants: Sequence[PathLike] = (),
    calibration: Optional[PathLike] = None,
    devices: Sequence[str] = (),
    expires: Optional[str] = None,
    golden: Optional[Mapping[str, Recording]] = None,
    frames: Optional[Sequence[PathLike]] = None,
    latency_ms: Optional[float] = None,
    wheels: Sequence[PathLike] = (),
    python: Optional[PathLike] = None,
    trust: Sequence[PublicKey] = (),
    revoke: Sequence[str] = (),
) -> Bundled:
    """Pack, prove and sign a release.

    Args:
        config: Path of the config.
        out: The bundle to write, `NAME-VERSION.edgelane`.
        key: The secret key that signs it.
        name: Of the application; from `out` unless given.
        version: Goes up with every bundle; from `out` unless given.
        model: Instead of the config's.
        variants: Further ONNX files, e.g. the Q/DQ graph for another device.
        calibration: TensorRT calibration cache of the model; `<model>.calib` beside it unless
            given.
        devices: Names of the devices it is for; none for any.
        expires: Last day on which it may be installed, `YYYY-MM-DD` in UTC.
        golden: Recorded detections by camera. Of cameras without one, people are made up who walk
            over every line and into every zone. Not of a recipe or a classification.
        frames: Pictures that go through the model; rendered ones unless given, none if empty. Of
            a recipe or a classification they are what it proves itself by; a folder of the name
            of a verdict or class says what is in it. Unless given, the recipe's challenge set is
            taken, or some pictures of the config's source where that is no camera.
        latency_ms: Median time of a frame at most, on the device.
        wheels: Wheels to carry, or folders of them.
        python: Folder of Debian packages of a Python, for devices whose own is too old.
        trust: Keys that the devices trust from then on.
        revoke: Ids of keys that the devices never trust again.

    Returns:
        What was made.

    Raises:
        ConfigError: The config is wrong, or holds a password.
        UsageError: Something cannot be asked so.
        EdgelaneError: A file is missing or makes no sense; nothing is left behind.
    """
    path = Path(out)
    name, version = _identity(path, name, version)
    manifest.check_identity(name, version, expires)
    targets = sorted({find_device(device).name for device in devices})
    secret = read_key(key)
    if secret.public.id in {k.upper() for k in revoke}:
        raise UsageError("a bundle cannot revoke the key that signs it", remedy="sign with another")
    contents = gather(config, model, variants, calibration, wheels, python)
    with tempfile.TemporaryDirectory(prefix="edgelane-bundle-") as folder:
        staged, warnings = Path(folder), []
        _check_names(contents)
        contents.write(staged)
        release = load_config(staged / CONFIG)
        if task_of(release) in TASKS:
            if golden:
                raise UsageError(
                    "this config judges pictures and counts nothing",
                    remedy="give --frames DIR in place of --golden",
                )
            desk = load_config(config)
            pictured = _pictured(release, desk, frames, latency_ms, contents, staged, warnings)
            golden_part = Golden([], None, pictured)
        else:
            counts = _counts(release, golden or {}, contents, staged)
            seen = _seen(release, frames, latency_ms, contents, staged, warnings)
            golden_part = Golden(counts, seen)
        made = Manifest(
            format=golden_part.format,
            name=name,
            version=version,
            devices=targets,
            expires=expires,
            edgelane=__version__,
            files=[
                manifest.File(p, (staged / p).stat().st_size, str(sha256_of(staged / p)))
                for p in sorted(contents.files)
            ],
            models=[Model(**m) for m in contents.models],
            wheels=sorted(contents.wheels),
            golden=golden_part,
            keys=KeyChanges([k.text for k in trust], sorted(k.upper() for k in revoke)),
        )
        data = manifest.encode(made)
        if manifest.decode(data) != made or len(data) > manifest.LONGEST:
            raise UsageError("the bundle holds too many files", got=len(made.files))
        members: List[Tuple[str, Union[bytes, Path]]] = [(manifest.NAME, data)]
        members += [(f.path, staged / f.path) for f in made.files]
        with whole_file(path) as file:
            write_members(file, members)
    signature = path.with_name(path.name + SIGNATURE)
    with open(path, "rb") as file:
        digest, _, size = digest_of(file)
    comment = f"edgelane {name} version {version}"
    try:
        write_whole(signature, sign(digest, secret, comment))
    except StorageError:
        path.unlink()
        raise
    return Bundled(path, signature, made, size, warnings)


def _identity(out: Path, name: Optional[str], version: Optional[int]) -> Tuple[str, int]:
    if out.suffix != SUFFIX:
        raise UsageError("a bundle is called otherwise", got=out.name, expected="*" + SUFFIX)
    match = _OUT.match(out.stem)
    if version is None:
        if match is None:
            raise UsageError(
                "the bundle has no version",
                got=out.name,
                remedy=f"call it {out.stem}-1{SUFFIX}, or give --version",
            )
        version = int(match.group("version"))
    if name is None:
        stem = str(match.group("name")) if match else out.stem
        name = re.sub(r"[^a-z0-9_-]", "-", stem.lower())
    return name, version


def _check_names(contents: Contents) -> None:
    for path in contents.files:
        archive.check_name(path)


def _counts(
    config: Config, golden: Mapping[str, Recording], contents: Contents, staged: Path
) -> List[Counted]:
    """The recorded detections of each camera with what they count to."""
    from ..pipelines.registry import camera_settings, pipeline_class
    from .clips import FPS, picture_size, walkers

    for name in golden:
        if name not in config.cameras:
            raise UsageError(f"there is no camera {name!r}", expected=", ".join(config.cameras))
    kind = pipeline_class(config.pipeline, config.folder)
    counts = []
    for number, (name, camera) in enumerate(config.cameras.items()):
        place = f"golden/camera-{number}.txt"
        given = golden.get(name)
        reference = camera.reference_size
        size = None if reference is None else (math.ceil(reference[0]), math.ceil(reference[1]))
        if given is None:
            settings = camera_settings(kind, camera)
            fps, size = FPS, size or picture_size(settings)
            contents.add_text(staged, place, walkers(settings, size))
        else:
            fps, size = float(given.fps), given.size or size
            if size is None:
                raise UsageError(
                    "the size of the recorded pictures is not known",
                    remedy="give --size WIDTHxHEIGHT, or reference_size in the config",
                )
            contents.add_file(staged, place, Path(given.path))
        events, answers = count_clip(config, camera, staged / place, fps, size)
        counts.append(Counted(name, place, fps, (int(size[0]), int(size[1])), events, answers))
    return counts


def _seen(
    config: Config,
    frames: Optional[Sequence[PathLike]],
    latency_ms: Optional[float],
    contents: Contents,
    staged: Path,
    warnings: List[str],
) -> Optional[Seen]:
    """The frames with what the model sees in them."""
    if frames is not None and not len(frames):
        return None
    places = []
    if frames is None:
        for number, picture in enumerate(_rendered()):
            places.append(f"golden/frame-{number:03}.png")
            contents.add_bytes(staged, places[-1], picture)
    else:
        for number, frame in enumerate(frames):
            ending = Path(frame).suffix.lower()
            places.append(f"golden/frame-{number:03}{ending}")
            contents.add_file(staged, places[-1], Path(frame))
    detector = next(m["path"] for m in contents.models if m["role"] == "detector")
    found, confidence, _, precision = see_frames(
        config, staged / detector, [staged / place for place in places]
    )
    rows = "golden/frames.txt"
    contents.add_text(staged, rows, rows_of(found))
    if not any((d.score >= confidence).any() for d in found):
        warnings.append(
            "the model finds nothing in the golden frames, so they prove little: give pictures "
            "of the place with --frames"
        )
    tolerance = dict(TOLERANCE)
    if precision == "int8":
        # What was recorded in INT8 is itself as far from the truth.
        tolerance = dict.fromkeys(TOLERANCE, TOLERANCE["int8"])
    return Seen(places, rows, confidence, tolerance, latency_ms)


def _pictured(
    config: Config,
    desk: Config,
    frames: Optional[Sequence[PathLike]],
    latency_ms: Optional[float],
    contents: Contents,
    staged: Path,
    warnings: List[str],
) -> Pictured:
    """The golden pictures with what the release says of them."""
    from ..runtime.sources.base import load_cv2

    model = first_model([Model(**m) for m in contents.models], staged)
    chosen = golden_pictures(config, desk, frames, model)
    places = []
    for number, one in enumerate(chosen):
        if one.path is not None and staged in one.path.parents:
            places.append(one.path.relative_to(staged).as_posix())  # of its challenge set
            continue
        ending = ".png" if one.path is None else one.path.suffix.lower()
        places.append(f"golden/picture-{number:03}{ending}")
        if one.path is None:
            png = load_cv2().imencode(".png", one.image)[1].tobytes()
            contents.add_bytes(staged, places[-1], png)
        else:
            contents.add_file(staged, places[-1], one.path)
    return record(config, model, chosen, places, TOLERANCE, latency_ms, warnings)


def _rendered(count: int = 3) -> List[bytes]:
    """Pictures of the rendered store, as PNG."""
    from ..runtime.sources import open_source
    from ..runtime.sources.base import load_cv2

    cv2, pictures = load_cv2(), []
    with open_source("synth://store?seed=1") as source:
        total = source.frames or 100
        for part in range(count):
            source.seek(int((part + 0.5) * total / count))
            frame = next(iter(source))
            pictures.append(cv2.imencode(".png", frame.image)[1].tobytes())
    return pictures


def open_bundle(
    file: BinaryIO, trust: Trust, signature: Optional[PathLike] = None, where: str = "the bundle"
) -> Opened:
    """Verify a bundle before a byte of it is believed.

    The whole file is read once for its digest; the manifest is kept from that reading. Members
    are read again later, and compared with the manifest's SHA-256.

    Args:
        file: The bundle, open for reading.
        trust: Whom to trust.
        signature: Its `.minisig` file; beside it unless given.
        where: What errors call it.

    Raises:
        ReleaseError: It is not signed by a key that is trusted, was changed, is cut off, or holds
            what a bundle never holds.
    """
    beside = Path(signature) if signature is not None else Path(where + SIGNATURE)
    try:
        with open(beside, "rb") as small:
            text = small.read(1 << 16)
    except OSError as error:
        raise ReleaseError(
            f"{where} comes without its signature",
            got=f"{beside}: {error.strerror}",
            remedy="copy the .minisig file beside it",
        ) from None
    signed = parse_signature(text, str(beside))
    key = trust.key(signed.key, where)
    if os.fstat(file.fileno()).st_size > manifest.TOTAL + (1 << 24):
        raise ReleaseError(f"{where} is too large for a bundle")
    digest, head, size = digest_of(file, archive.BLOCK + manifest.LONGEST)
    verify(digest, signed, key, where)
    if len(head) < archive.BLOCK:
        raise ReleaseError(f"{where} is no bundle")
    name, length = archive.read_header(head[: archive.BLOCK])
    data = head[archive.BLOCK : archive.BLOCK + length]
    if name != manifest.NAME or len(data) != length:
        raise ReleaseError(f"{where} is no bundle", got=f"{name!r} as its first member")
    made = manifest.decode(data, where)
    members = tuple(read_members(file, size))[1:]
    if [(m.name, m.size) for m in members] != [(f.path, f.size) for f in made.files]:
        raise ReleaseError(f"{where} does not hold what its manifest says")
    return Opened(made, data, members, signed.key)


def read_bundle(path: PathLike, trust: Trust, signature: Optional[PathLike] = None) -> Opened:
    """As `open_bundle`, from a path: verifies a bundle without installing it."""
    with open_file(path) as file:
        return open_bundle(file, trust, signature, os.fspath(path))


def open_file(path: PathLike) -> BinaryIO:
    """Open a bundle for reading.

    Raises:
        ReleaseError: It is missing, or no plain file.
    """
    name = os.fspath(path)
    try:
        if not os.path.isfile(name):
            os.stat(name)
            raise ReleaseError(f"{name} is no file")
        return open(name, "rb")
    except OSError as error:
        raise ReleaseError(f"{name} cannot be read", got=error.strerror) from None
