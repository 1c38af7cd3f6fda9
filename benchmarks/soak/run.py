"""A soak: a run of one's own config, hit by real faults for an hour, and the verdict."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Dict, Optional, Tuple, Union

from ...core import StorageError, UsageError
from ...runtime.config import CameraConfig, Config, load_config
from .course import Course, Record
from .faults import chosen, lacking
from .ledger import Ledger
from .posts import Films, Post
from .subject import Subject
from .verdict import judged

SIZE = (640, 360)
TWIN = "twin"


def soak(
    config: Union[str, Path],
    *,
    hours: float = 1.0,
    faults: str = "all",
    seed: int = 0,
    clip: Optional[str] = None,
    model: Optional[str] = None,
    decoder: Optional[str] = None,
    out: Optional[Union[str, Path]] = None,
    progress: bool = False,
) -> Record:
    """Run a config's model, pipeline and shapes against cameras that fail, and judge how it goes.

    The cameras of the config are not touched: each is replaced by a server on loopback that shows
    a rendered store, or a clip. Nobody outside is told of events, and no output is switched. With
    one camera in the config a second one with the same settings is watched beside it, because a
    camera must not notice what happens to another.

    Args:
        config: Path of the config.
        hours: How long.
        faults: Names with commas between, or `all`; see `faults.FAULTS`.
        seed: Of the order of the faults, their lengths and whom they hit.
        clip: Video or folder of images that the cameras show, over and over.
        model: Instead of the config's; the detector that ships where neither names one.
        decoder: Instead of the config's.
        out: Folder of the run; `runs/soak-<date>` unless given. It must not be there yet.
        progress: Tell each fault on stderr.

    Returns:
        `verdict` (`pass` or `fail`), `checks` with `name`, `value`, `limit`, `unit`, `good` and
        `note`, `faults`, one by one, `left_out` and `not_reached` with the reasons, `seconds`,
        `cameras`, `seed`, and `folder`.

    Raises:
        UsageError: A fault is unknown, the config is none, or the folder is there already.
        EdgelaneError: The run does not start.
    """
    if not 0 < hours <= 24 * 365:
        raise UsageError("--hours is wrong", got=hours, expected="above 0")
    wanted = chosen(faults)
    settings = load_config(config)
    folder = Path(out) if out is not None else Path(f"runs/soak-{time.strftime('%Y%m%d-%H%M%S')}")
    if folder.exists() and any(folder.iterdir()):
        raise StorageError(f"{folder} is not empty", remedy="give another --out")
    films = Films(clip)
    left_out = lacking(wanted, films)
    wanted = [fault for fault in wanted if fault.name not in left_out]
    if not wanted:
        raise UsageError("none of these faults can be made here", got="; ".join(left_out.values()))
    cameras, twins = _cameras(settings)
    say = _Teller(progress)
    say(f"drawing what {len(cameras)} cameras show")
    with contextlib.ExitStack() as stack:
        posts = {}
        for at, (name, camera) in enumerate(cameras.items()):
            size = camera.reference_size or SIZE
            post = Post(name, films, (round(size[0]), round(size[1])), seed + at)
            posts[name] = stack.enter_context(post)
        names = {fault.name for fault in wanted}
        for post in posts.values():  # encoded before the run, which shares the machine
            if "size" in names:
                post.other_size()
            if "codec" in names:
                post.other_codec()
        films.forget()
        spec = {
            "config": str(config),
            "sources": {name: post.uri for name, post in posts.items()},
            "twins": twins,
            "model": model or _shipped(settings),
            "decoder": decoder,
            "out": str(folder),
        }
        subject = Subject(spec, list(cameras))
        stack.callback(subject.close)
        course = Course(subject, posts, Ledger(folder / "events.db"), wanted, seed, hours, say)
        course.run()
        result = judged(course)
    result.update(left_out=left_out, seed=seed, folder=str(folder), codec=films.codec)
    return result


def _shipped(config: Config) -> Optional[str]:
    """The detector that ships, for a config that counts and names no model."""
    named = config.model or any("model" in camera.own for camera in config.cameras.values())
    return "store-person" if config.pipeline == "counting" and not named else None


def _cameras(config: Config) -> Tuple[Dict[str, CameraConfig], Dict[str, str]]:
    """Cameras by name, and those that are second ones of others."""
    cameras = dict(config.cameras)
    if len(cameras) > 1:
        return cameras, {}
    (name,) = cameras
    twin = TWIN if name != TWIN else f"{TWIN} 2"
    return {**cameras, twin: cameras[name]}, {twin: name}


class _Teller:
    def __init__(self, aloud: bool) -> None:
        self._aloud, self._began = aloud, time.monotonic()

    def __call__(self, text: str) -> None:
        if self._aloud:
            passed = int(time.monotonic() - self._began)
            print(f"{passed // 60:4d}:{passed % 60:02d}  {text}", file=sys.stderr, flush=True)
