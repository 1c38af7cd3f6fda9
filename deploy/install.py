"""A bundle becomes a release on a device: verified, put beside the others, proved, switched to."""

import contextlib
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from ..core import Device, EdgelaneError, ReleaseError, StorageError, UsageError, find_device
from ..runtime.config import load_config
from ..runtime.jetson import detect
from ..runtime.loop import Clock
from .bundle import Opened, open_bundle, open_file
from .checks import EARLIEST, check_device, check_expiry, check_version
from .environment import SCRIPT, make_environment
from .files import Files, put, put_link, storage
from .golden import Tested
from .keys import parse_public
from .layout import COMPLETE, Layout, PathLike, Release, State, sha256
from .manifest import CONFIG, Manifest
from .proving import Known, Proof, Say, Wanted, prove, prove_apart
from .releases import by_age, prune, sweep, switch
from .service import Service, this_service
from .staging import discard, release_id, repair, stage
from .trust import read_trust, write_trust
from .watching import read_now, speeds

CAMERAS_S = 5.0
"""For how many seconds the cameras are looked at before the switch."""

SelfTest = Callable[[Path, Wanted], Proof]
"""Makes the release of a folder prove itself."""


class Installed(NamedTuple):
    """A release that runs.

    Attributes:
        release: Its id.
        version: Its version.
        before: Id of the release that ran before, or None.
        unchanged: Whether it ran already, and nothing was done.
        tested: How it answered the golden clip; None where it ran already.
        pruned: Ids of old releases that are gone.
        engines: Its engines, see `Proof`.
        cameras: Frames a second of its cameras before the switch, those that were looked at.
        probation_s: For how long it is watched now; None where it is not.
        warnings: Sentences that a user should see.
        repaired: Files of the release, which ran already, that were damaged and put back.
    """

    release: str
    version: int
    before: Optional[str]
    unchanged: bool
    tested: Optional[Tested]
    pruned: List[str]
    engines: List[Dict[str, Any]] = []
    cameras: Dict[str, float] = {}
    probation_s: Optional[float] = None
    warnings: List[str] = []
    repaired: List[str] = []


def install(
    bundle: PathLike,
    root: PathLike = "/",
    *,
    signature: Optional[PathLike] = None,
    downgrade: bool = False,
    ignore_expiry: bool = False,
    device: Optional[str] = None,
    engines: bool = True,
    cameras_s: float = 0.0,
    probation_s: Optional[float] = None,
    keep: int = 3,
    files: Optional[Files] = None,
    clock: Optional[Clock] = None,
    service: Optional[Service] = None,
    test: Optional[SelfTest] = None,
    say: Say = lambda line: None,
) -> Installed:
    """Install a bundle, or leave everything as it was.

    Where its release runs already, only those of its files are put back that are damaged.

    Args:
        bundle: The bundle.
        root: The device's root: `/`, or a folder that stands for a whole device.
        signature: Its `.minisig` file; beside it unless given.
        downgrade: Take an older version than the one that runs.
        ignore_expiry: Take it whatever the clock says.
        device: What the machine is, where it cannot tell or an image is prepared for another.
        engines: Build the engines of its models, or take them from the cache, where TensorRT is.
        cameras_s: For how many seconds to look at its cameras; 0 for not at all.
        probation_s: Let the release count as good only after `probation` has watched it for so
            long; None to let it count at once.
        keep: How many releases to keep.
        files: What changes the disk.
        clock: What tells the time.
        service: What runs the release; systemd where the root is that of a machine it runs.
        test: What makes the release prove itself; its own edgelane unless given.
        say: Told what is done, a line at a time.

    Returns:
        What runs now.

    Raises:
        ReleaseError: The bundle is refused, fails its golden clip, or another installation is at
            work. What ran before still runs.
        UsageError: A time to watch it makes no sense.
        StorageError: The disk is full or cannot be written; likewise.
        EdgelaneError: The release cannot be run; likewise.
    """
    if probation_s is not None and not 0 < probation_s <= 7 * 86400:
        raise UsageError("a probation lasts up to a week", got=f"{probation_s} s")
    layout = Layout(root, files)
    service = service or this_service(layout.root)
    where = os.fspath(bundle)
    now = (clock or Clock()).time()
    with open_file(bundle) as file:
        opened = open_bundle(file, read_trust(root), signature, where)
        made = opened.manifest
        if made.devices:
            check_device(made, _device_here(root, device))
        check_expiry(made, now, layout.read_state().seen, ignore_expiry)
        _check_version(layout, opened, downgrade)
        with layout.locked():
            # Another installation may have come first.
            current = _check_version(layout, opened, downgrade)
            state = layout.read_state()
            sweep(layout)
            if current is not None and _is(current, opened):
                repaired = repair(layout, current, file, opened)
                _change_trust(layout, made)
                if repaired:
                    say(f"put back {len(repaired)} damaged files")
                    service.restart()
                return Installed(
                    current.id, made.version, current.id, not repaired, None, [], repaired=repaired
                )
            first = read_now(layout)
            say("unpacking")
            release = stage(layout, file, opened)
            try:
                if not release.complete:
                    say("environment")
                    make_environment(release, made, layout.files)
                known = _known(layout, current, release, speeds(first, read_now(layout)))
                proof = _prove(layout, release, Wanted(engines, cameras_s, known), test, say)
                service.prepare(layout)
                with storage(f"release {release.id}"):
                    _complete(layout, release, opened)
            except BaseException:
                discard(layout, release)
                raise
            _change_trust(layout, made)
            state.before = {name: camera.fps for name, camera in known.items()}
            _remember(layout, state, release, current, probation_s, now)
            if probation_s is not None:
                with storage("the link to the release that watches"):
                    watcher = _watcher(layout, state, release)
                    put_link(layout.files, f"releases/{watcher.id}", layout.watcher)
            switch(layout, release)
            pruned: List[str] = []
            with contextlib.suppress(StorageError):  # it runs; the next one tidies up
                pruned = prune(layout, state, max(keep, 1))
                state.order = [name for name in state.order if name not in pruned]
                state.good = [name for name in state.good if name not in pruned]
                layout.write_state(state)
    say("switched")
    service.restart()
    if probation_s is not None:
        service.watch()
    before = current.id if current is not None else None
    return Installed(
        release.id,
        made.version,
        before,
        False,
        proof.tested,
        pruned,
        proof.engines,
        proof.cameras,
        probation_s,
        proof.warnings,
    )


def _prove(
    layout: Layout, release: Release, wanted: Wanted, test: Optional[SelfTest], say: Say
) -> Proof:
    """Let a release prove itself, by its own edgelane where it brings one."""
    if test is not None:
        return test(release.folder, wanted)
    places = {
        "EDGELANE_SECRETS": str(layout.secrets),
        "EDGELANE_ENGINES": str(layout.engines),
    }
    if release.manifest.wheels:
        return prove_apart(release.folder / SCRIPT, release.folder, wanted, say, places)
    before = {name: os.environ.get(name) for name in places}
    os.environ.update({name: before[name] or place for name, place in places.items()})
    try:
        return prove(release.folder, wanted, say)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]


def _watcher(layout: Layout, state: State, release: Release) -> Release:
    """Whose edgelane watches a release: that of the last good one, which it could go back to."""
    good = [r for r in by_age(layout, state) if r.id in state.good and r.id != release.id]
    return good[-1] if good else release


def _known(
    layout: Layout, current: Optional[Release], release: Release, fps: Dict[str, float]
) -> Dict[str, Known]:
    """What the release that runs has of its cameras, and which of them are the new one's, too."""
    if current is None or not fps:
        return {}
    try:
        old = load_config(current.folder / CONFIG).cameras
    except EdgelaneError:
        return {}
    new = load_config(release.folder / CONFIG).cameras
    return {
        name: Known(value, name in old and old[name].source == new[name].source)
        for name, value in fps.items()
        if name in new
    }


def _is(release: Release, opened: Opened) -> bool:
    return release.id == release_id(opened)


def _device_here(root: PathLike, device: Optional[str]) -> Optional[Device]:
    """What the machine is, as far as it can be told."""
    if device is not None:
        return find_device(device)
    machine = detect(os.fspath(root))
    return machine.device if machine is not None else None


def _check_version(layout: Layout, opened: Opened, downgrade: bool) -> Optional[Release]:
    """The release that runs, if the bundle may follow it."""
    current = layout.current()
    if current is None or _is(current, opened):
        return current
    try:
        version = current.manifest.version
    except ReleaseError:
        return current  # what is damaged may be replaced by anything signed
    check_version(opened.manifest, version, downgrade)
    return current


def _complete(layout: Layout, release: Release, opened: Opened) -> None:
    """The mark that makes a release count; what the self-test left is synced by then."""
    if not release.complete:
        put(layout.files, release.folder / COMPLETE, sha256(opened.data).encode() + b"\n")


def _change_trust(layout: Layout, made: Manifest) -> None:
    """Trust and revoke as the bundle says: it was signed by a key that is trusted itself."""
    before = read_trust(layout.root)
    added = [parse_public(text) for text in made.keys.trust]
    after = before.changed(added, made.keys.revoke)
    if after != before:
        write_trust(layout, after)


def _remember(
    layout: Layout,
    state: State,
    release: Release,
    current: Optional[Release],
    probation_s: Optional[float],
    now: float,
) -> None:
    """Write down what is about to run, before it does."""
    state.order = [name for name in state.order if name != release.id] + [release.id]
    if current is not None and current.id not in state.order:
        state.order.insert(0, current.id)
    state.good = [name for name in state.good if name != release.id]
    state.probation, state.starts = None, 0
    if probation_s is None:
        state.good.append(release.id)
    else:
        state.probation, state.probation_s = release.id, probation_s
    if now >= EARLIEST:
        state.seen = max(state.seen, now)
    layout.write_state(state)
