"""A release proves itself before it counts: its engines, its golden clip, its cameras."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

import msgspec

from ..core import EdgelaneError, MissingDependency, ReleaseError
from ..runtime.config import load_config, source_uri
from .environment import release_command
from .golden import Tested, check_release
from .manifest import CONFIG, NAME, Manifest, decode

SPEED = 0.7
"""Share of a camera's frames a second before that it must give before the switch, too."""

Say = Callable[[str], None]


class Known(msgspec.Struct, frozen=True):
    """What the running release has of a camera.

    Attributes:
        fps: Frames a second; 0 where it gives none.
        same: Whether it is the same camera to the new release.
    """

    fps: float
    same: bool


class Wanted(msgspec.Struct, frozen=True):
    """What a release shall prove.

    Attributes:
        engines: Whether its engines are built.
        cameras_s: For how many seconds its cameras are looked at; 0 for not at all.
        known: What the running release has of its cameras.
    """

    engines: bool = True
    cameras_s: float = 0.0
    known: Dict[str, Known] = {}


class Proof(NamedTuple):
    """What a release has proved.

    Attributes:
        tested: How it answered the golden clip.
        engines: Of each engine its `model`, `precision`, `seconds` of the build and whether it is
            `fresh` or was there already.
        cameras: Frames a second by camera.
        warnings: Sentences that a user should see.
    """

    tested: Tested
    engines: List[Dict[str, Any]] = []
    cameras: Dict[str, float] = {}
    warnings: List[str] = []


def prove(folder: Path, wanted: Wanted = Wanted(), say: Say = lambda line: None) -> Proof:  # noqa: B008
    """Let a release prove itself, here and now.

    Args:
        folder: Of the release.
        wanted: What it shall prove.
        say: Told what is done, a line at a time.

    Raises:
        ReleaseError: It counts or sees something else, is too slow, or a camera gives no pictures.
        EdgelaneError: It cannot be run at all.
    """
    manifest = read_manifest(folder)
    warnings: List[str] = []
    engines = _build(folder, manifest, warnings, say) if wanted.engines else []
    say("golden clip")
    tested = check_release(folder, manifest)
    cameras: Dict[str, float] = {}
    if wanted.cameras_s > 0:
        say(f"cameras, {wanted.cameras_s:g} s")
        cameras = _look(folder, wanted, warnings)
    return Proof(tested, engines, cameras, warnings)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a release's folder.

    Raises:
        ReleaseError: It cannot be read.
    """
    try:
        return decode((folder / NAME).read_bytes(), f"release {folder.name}")
    except OSError as error:
        raise ReleaseError(f"{folder} is no release", got=f"{NAME}: {error.strerror}") from None


def prove_apart(
    script: Path,
    folder: Path,
    wanted: Wanted,
    say: Say = lambda line: None,
    environment: Optional[Mapping[str, str]] = None,
) -> Proof:
    """As `prove`, by the edgelane that the release brings, in its own process.

    Args:
        script: What starts that edgelane.
        folder: As in `prove`.
        wanted: As in `prove`.
        say: As in `prove`.
        environment: Further environment variables.

    Raises:
        ReleaseError: As in `prove`, or the release's edgelane does not run here.
    """
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    env.update(environment or {})
    command = [*release_command(script), "selftest", str(folder)]
    command += ["--wanted", msgspec.json.encode(wanted).decode()]
    try:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise ReleaseError("the release's edgelane cannot be started", got=str(error)) from None
    said: List[str] = []

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                said.append(text)
                del said[:-20]
                if not text.startswith("Error: "):
                    say(text)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        assert process.stdout is not None
        told = process.stdout.read()
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    listener.join(5.0)
    if code:
        errors = [line[len("Error: ") :] for line in said if line.startswith("Error: ")]
        last = errors[-1] if errors else (said[-1] if said else f"exit status {code}")
        raise ReleaseError(f"the release does not prove itself: {last}")
    try:
        answer = json.loads(told)
        return Proof(Tested(**answer.pop("tested")), **answer)
    except (ValueError, TypeError, KeyError):
        raise ReleaseError(
            "the release's edgelane gives no answer", got=told[-200:].decode("utf-8", "replace")
        ) from None


def _build(folder: Path, manifest: Manifest, warnings: List[str], say: Say) -> List[Dict[str, Any]]:
    """Build the engines of the models that the config uses, or take them from the cache."""
    from ..runtime.cuda import driver_problem
    from ..runtime.engines import build_engine
    from ..runtime.jetson import detect

    problem = driver_problem()
    if problem:
        if detect() is not None:
            warnings.append(f"no engine was built, and the CPU serves: {problem}")
        return []
    built = []
    for model in manifest.models:
        if model.role not in ("detector", "second", "check"):
            continue
        say(f"engine of {Path(model.path).name}, which may take minutes")
        try:
            engine = build_engine(folder / model.path)
        except MissingDependency as error:
            warnings.append(f"no engine was built, and the CPU serves: {error}")
            return built
        built.append(
            {
                "model": model.path,
                "precision": engine.passport.precision,
                "seconds": round(engine.seconds, 1),
                "fresh": engine.fresh,
            }
        )
    return built


def _look(folder: Path, wanted: Wanted, warnings: List[str]) -> Dict[str, float]:
    """Frames a second of every live camera.

    Raises:
        ReleaseError: One gives none, or many less than to the release that runs.
    """
    config = load_config(folder / CONFIG)
    found: Dict[str, float] = {}
    looks: Dict[str, _Look] = {}
    for name, camera in config.cameras.items():
        known = wanted.known.get(name)
        if known is not None and known.same and known.fps > 0:
            found[name] = round(known.fps, 2)  # many cameras serve one at a time
        elif camera.source is not None:
            looks[name] = _Look(source_uri(camera, config.folder), name, wanted.cameras_s)
    for look in looks.values():
        look.start()
    for name, look in looks.items():
        fps = look.result()
        if fps is None:
            continue  # it is no camera but a file
        known = wanted.known.get(name)
        if not fps:
            told = f"camera {name} gives no pictures"
            if known is None or known.fps > 0:
                raise ReleaseError(
                    told, got=look.problem, remedy="see to it, or install with --no-cameras"
                )
            warnings.append(f"{told}, nor did it before")
        elif known is not None and fps < SPEED * known.fps:
            raise ReleaseError(
                f"camera {name} is slower than it is to the release that runs",
                got=f"{fps:.1f} frames a second",
                expected=f"{SPEED * known.fps:.1f} or more",
                remedy="see to it, or install with --no-cameras",
            )
        found[name] = round(fps, 2)
    return found


class _Look:
    """Looks at one camera for a while, in a thread."""

    def __init__(self, uri: str, name: str, seconds: float) -> None:
        self.problem: Optional[str] = None
        self._uri, self._name, self._seconds = uri, name, seconds
        self._source: Any = None
        self._times: List[float] = []
        self._file = False
        self._thread = threading.Thread(target=self._run, name=f"look {name}", daemon=True)

    def start(self) -> None:
        self._end = time.monotonic() + self._seconds + 10.0  # it may take that long to connect
        self._thread.start()

    def result(self) -> Optional[float]:
        """Frames a second, 0 where nothing came, None of a file."""
        self._thread.join(max(self._end - time.monotonic(), 0.0))
        interrupt = getattr(self._source, "interrupt", None)
        if interrupt is not None:
            interrupt()
        self._thread.join(2.0)
        if self._file:
            return None
        times = self._times
        if len(times) < 2 or times[-1] <= times[0]:
            return 0.0
        return (len(times) - 1) / (times[-1] - times[0])

    def _run(self) -> None:
        from ..runtime.secrets import with_secrets
        from ..runtime.sources import open_source

        try:
            with open_source(with_secrets(self._uri), self._name) as source:
                self._source = source
                self._file = not source.live
                if self._file:
                    return
                began = time.time()
                for _ in source:
                    self._times.append(time.monotonic())
                    if self._times[-1] - self._times[0] >= self._seconds:
                        return
                asked = getattr(source, "reason", None)
                if asked is not None and not self._times:
                    self.problem = asked(began, time.time()) or None
        except EdgelaneError as error:
            self.problem = str(error)
