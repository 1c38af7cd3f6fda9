"""Releases side by side, and which of them runs."""

from typing import List, NamedTuple, Optional

from ..core import ReleaseError, UsageError, did_you_mean
from .files import Files, put_link, remove_tree, storage
from .layout import COMPLETE, Layout, PathLike, Release, State


class RolledBack(NamedTuple):
    """A release that runs again.

    Attributes:
        release: Its id.
        version: Its version.
        before: Id of the one that ran, or None.
    """

    release: str
    version: int
    before: Optional[str]


def running(root: PathLike = "/") -> Release:
    """The release that runs on a device, whole.

    Raises:
        ReleaseError: None does, or it is damaged.
    """
    release = Layout(root).current()
    if release is None:
        raise ReleaseError(
            f"nothing is installed in {root}", remedy="edgelane install BUNDLE.edgelane"
        )
    release.check()
    return release


def rollback(
    root: PathLike = "/", to: Optional[str] = None, *, files: Optional[Files] = None
) -> RolledBack:
    """Let the last good release run again.

    The one that ran is kept, but counts as good no more.

    Args:
        root: The device's root.
        to: Id or version of another release, instead of the last good one.
        files: What changes the disk.

    Raises:
        ReleaseError: There is none that is whole, or an installation is at work.
        UsageError: There is no such release.
        StorageError: The disk cannot be written.
    """
    layout = Layout(root, files)
    if layout.current() is None:
        raise ReleaseError(f"nothing is installed in {root}")
    with layout.locked():
        before = layout.current()
        state = layout.read_state()
        target = _target(layout, state, before, to)
        manifest = target.manifest
        state.good = [name for name in state.good if before is None or name != before.id]
        state.probation, state.starts = None, 0
        layout.write_state(state)
        switch(layout, target)
    return RolledBack(target.id, manifest.version, before.id if before else None)


def _target(layout: Layout, state: State, before: Optional[Release], to: Optional[str]) -> Release:
    others = [r for r in by_age(layout, state) if before is None or r.id != before.id]
    if to is not None:
        found = [r for r in others if to == r.id or to == str(_version(r))]
        if not found:
            raise UsageError(
                f"there is no release {to!r} to go back to",
                remedy=did_you_mean(to, [r.id for r in others]),
            )
        found[-1].check()
        return found[-1]
    if before is not None and before.id in state.order:
        # Back is to what was installed earlier.
        earlier = state.order[: state.order.index(before.id)]
        others = [r for r in others if r.id in earlier]
    # Good ones first, the newest of them; what is damaged is passed over.
    newest_first = others[::-1]
    for release in sorted(newest_first, key=lambda r: r.id not in state.good):
        try:
            release.check()
        except ReleaseError:
            continue
        return release
    raise ReleaseError(
        "there is no other release to go back to", remedy="install one: edgelane install BUNDLE"
    )


def _version(release: Release) -> Optional[int]:
    try:
        return release.manifest.version
    except ReleaseError:
        return None


def by_age(layout: Layout, state: State) -> List[Release]:
    """The complete releases, newest last."""
    known = {name: at for at, name in enumerate(state.order)}
    complete = [r for r in layout.all() if r.complete]
    return sorted(complete, key=lambda r: (known.get(r.id, -1), _version(r) or 0, r.id))


def switch(layout: Layout, release: Release) -> None:
    """Let `current` point to a release, in one step."""
    with storage("the link to the release that runs"):
        put_link(layout.files, f"releases/{release.id}", layout.link)


def sweep(layout: Layout) -> None:
    """Remove what an installation that was cut off left behind."""
    current = layout.current()
    for release in layout.all():
        if not release.complete and (current is None or release.id != current.id):
            remove(layout, release)


def remove(layout: Layout, release: Release) -> None:
    """Remove a release; its mark goes first, so that none is ever half there and counted whole."""
    with storage(f"release {release.id}"):
        mark = release.folder / COMPLETE
        if mark.exists():
            layout.files.unlink(mark)
            layout.files.sync(release.folder)
        if release.folder.is_dir() and not release.folder.is_symlink():
            remove_tree(layout.files, release.folder)
        else:
            layout.files.unlink(release.folder)
        layout.files.sync(layout.releases)


def prune(layout: Layout, state: State, keep: int) -> List[str]:
    """Remove the oldest releases; never the one that runs, nor the last good one beside it.

    Args:
        layout: The device.
        state: What it remembers.
        keep: How many to keep.

    Returns:
        Ids of those that are gone.
    """
    current = layout.current()
    found = by_age(layout, state)
    held = {current.id} if current else set()
    for release in reversed(found):
        if release.id in state.good and release.id not in held:
            held.add(release.id)
            break
    for release in reversed(found):
        if len(held) < keep:
            held.add(release.id)
    gone = [release for release in found if release.id not in held]
    for release in gone:
        remove(layout, release)
    return [release.id for release in gone]


def mark_good(root: PathLike = "/", *, files: Optional[Files] = None) -> str:
    """Let the release that runs count as good: it has been watched long enough.

    Returns:
        Its id.

    Raises:
        ReleaseError: Nothing runs, or an installation is at work.
    """
    layout = Layout(root, files)
    release = running(root)
    with layout.locked():
        state = layout.read_state()
        state.good = [name for name in state.good if name != release.id] + [release.id]
        if state.probation == release.id:
            state.probation, state.starts = None, 0
        layout.write_state(state)
    return release.id
