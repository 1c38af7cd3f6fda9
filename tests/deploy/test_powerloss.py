"""Power may fail between any two changes to the disk: the old or the new release runs, whole.

The file operations of an installation are recorded. Every prefix of them is played on a model of a
disk, what was not synced is dropped in several ways, and what is left is written out and started.
"""

import os
import random
import zipfile
from pathlib import Path

import pytest

from edgelane.core import ReleaseError
from edgelane.deploy import Layout, install, prove, read_trust, rollback, running
from edgelane.deploy.files import Files
from edgelane.deploy.golden import check_release

WAYS = ("dropped", "names only", "all written", "torn 1", "torn 2", "torn 3")


class Recorder(Files):
    """Does what `Files` does, and writes it down."""

    def __init__(self) -> None:
        self.log = []

    def mkdir(self, path):
        super().mkdir(path)
        self.log.append(("mkdir", path))

    def create(self, path, chunks, mode=0o644):
        data = b"".join(chunks)
        super().create(path, [data], mode)
        self.log.append(("create", path, data, mode))

    def sync(self, path):
        super().sync(path)
        self.log.append(("sync", path))

    def settle(self, folder):
        super().settle(folder)
        self.log.append(("settle", folder, Disk(folder).top))

    def replace(self, source, target):
        super().replace(source, target)
        self.log.append(("replace", source, target))

    def symlink(self, content, path):
        super().symlink(content, path)
        self.log.append(("symlink", content, path))

    def unlink(self, path):
        super().unlink(path)
        self.log.append(("unlink", path))

    def rmdir(self, path):
        super().rmdir(path)
        self.log.append(("rmdir", path))


class File:
    """A file: what was written, and what of it is sure to be on the disk."""

    def __init__(self, data: bytes, mode: int, synced: bool = False) -> None:
        self.data, self.mode, self.synced = data, mode, synced


class Link:
    """A symbolic link; it is as sure as its name."""

    def __init__(self, content: str) -> None:
        self.content = content


class Folder:
    """A folder: the names in it, and those that are sure to be on the disk."""

    def __init__(self) -> None:
        self.names = {}
        self.synced = {}


class Disk:
    """A model of a disk below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = self._read(root)

    def _read(self, path: Path):
        """What is there before the installation, all of it on the disk."""
        if path.is_symlink():
            return Link(os.readlink(str(path)))
        if path.is_file():
            return File(path.read_bytes(), path.stat().st_mode & 0o777, True)
        folder = Folder()
        folder.names = {p.name: self._read(p) for p in path.iterdir()}
        folder.synced = dict(folder.names)
        return folder

    def _at(self, path: Path):
        node = self.top
        for part in Path(path).relative_to(self.root).parts:
            node = node.names[part]
        return node

    def play(self, operation) -> None:
        kind, *given = operation
        path = Path(given[-1] if kind in ("symlink", "replace") else given[0])
        if kind == "sync":
            node = self._at(path)
            if isinstance(node, Folder):
                node.synced = dict(node.names)
            else:
                node.synced = True
            return
        names = self._at(path.parent).names
        if kind == "mkdir":
            names[path.name] = Folder()
        elif kind == "settle":
            # Nothing is promised of it before, and it is whole after.
            names[path.name] = given[1]
            self._at(path.parent).synced[path.name] = given[1]
        elif kind == "create":
            names[path.name] = File(given[1], given[2])
        elif kind == "symlink":
            names[path.name] = Link(given[0])
        elif kind == "replace":
            names[path.name] = self._at(Path(given[0]).parent).names.pop(Path(given[0]).name)
        else:
            del names[path.name]

    def write(self, out: Path, way: str, chance: random.Random) -> None:
        """What a machine finds that starts after the power came back."""
        self._write(self.top, out, way, chance)

    def _write(self, node, out: Path, way: str, chance: random.Random) -> None:
        if isinstance(node, Link):
            out.symlink_to(node.content)
        elif isinstance(node, File):
            data = node.data
            if not node.synced and way != "all written":
                kept = chance.choice([0, len(data) // 2, len(data)]) if "torn" in way else 0
                data = data[:kept]
            out.write_bytes(data)
            out.chmod(node.mode)
        else:
            out.mkdir(exist_ok=True)
            names = dict(node.synced if way == "dropped" else node.names)
            if "torn" in way:
                # Any of the changes that were not synced may have come to the disk.
                for name in sorted({*node.names, *node.synced}):
                    side = chance.choice([node.names, node.synced])
                    names.pop(name, None)
                    if name in side:
                        names[name] = side[name]
            for name, inner in sorted(names.items()):
                self._write(inner, out / name, way, chance)


def every_cut(device: Path, work, tmp_path: Path):
    """Each state of the disk that a power cut during `work` can leave, as a folder."""
    before = Disk(device)
    recorder = Recorder()
    work(recorder)
    log = recorder.log
    chance, seen = random.Random(5), set()
    for count in range(len(log) + 1):
        if count:
            before.play(log[count - 1])
        for way in WAYS:
            out = tmp_path / f"cut-{count}-{way.replace(' ', '-')}"
            before.write(out, way, chance)
            state = tuple(
                (str(p.relative_to(out)), os.readlink(str(p)) if p.is_symlink() else
                 p.read_bytes() if p.is_file() else b"")
                for p in sorted(out.rglob("*"))
            )  # fmt: skip
            if hash(state) not in seen:  # many cuts leave the same
                seen.add(hash(state))
                yield count, way, out


def started(root: Path) -> str:
    """Start what is installed: it must be whole, and count as it must."""
    release = running(root)
    check_release(release.folder, release.check(), model=False)
    read_trust(root)
    return release.id


def test_an_installation_that_is_cut_anywhere(shop, device, tmp_path):
    old = install(shop.bundle(1), device).release
    bundle = shop.bundle(2, trust=[shop.secret.public._replace(id="00" * 8)])
    new = Layout(device).releases

    found, cuts = {}, []
    for count, way, out in every_cut(device, lambda f: install(bundle, device, files=f), tmp_path):
        release = started(out)
        found.setdefault(release, []).append(count)
        cuts.append((count, way, out))
    assert set(found) == {old, *(p.name for p in new.iterdir())} and len(found) == 2
    assert len(cuts) >= 25
    # Whatever was left behind, the next installation comes through and sweeps it.
    for _, _, out in cuts[:: max(len(cuts) // 12, 1)]:
        assert install(bundle, out).version == 2
        assert all(r.complete for r in Layout(out).all())


def test_the_first_installation_that_is_cut_anywhere(shop, device, tmp_path):
    bundle = shop.bundle(1)
    runs = set()
    for _, _, out in every_cut(device, lambda f: install(bundle, device, files=f), tmp_path):
        try:
            runs.add(started(out))
        except ReleaseError as error:
            assert "nothing is installed" in str(error)
            runs.add(None)
    assert runs == {None, running(device).id}


def test_pruning_and_rollback_that_are_cut_anywhere(shop, device, tmp_path):
    install(shop.bundle(1), device)
    two = install(shop.bundle(2), device).release
    bundle = shop.bundle(3)
    runs = set()
    for _, way, out in every_cut(
        device, lambda f: install(bundle, device, keep=2, files=f), tmp_path
    ):
        runs.add(started(out))
        if way == "dropped":
            # The way back stays open at every moment.
            assert rollback(out).release != running(device).id
            started(out)
    three = running(device).id
    assert runs == {two, three} and len(Layout(device).all()) == 2
    (tmp_path / "back").mkdir()
    back = every_cut(device, lambda f: rollback(device, files=f), tmp_path / "back")
    assert {started(out) for _, _, out in back} == {two, three}


@pytest.mark.parametrize("lazy", ["file", "folder"])
def test_the_model_of_the_disk_notices_what_is_not_synced(shop, device, tmp_path, lazy):
    """Without syncs there are cuts that leave a broken release: the test can tell."""
    install(shop.bundle(1), device)

    class Lazy(Recorder):
        def sync(self, path):
            if Path(path).is_dir() != (lazy == "folder"):
                super().sync(path)

    disk, recorder = Disk(device), Lazy()
    install(shop.bundle(2), device, files=recorder)
    for operation in recorder.log:
        disk.play(operation)
    broken = 0
    for seed in range(12):
        out = tmp_path / f"cut-{seed}"
        disk.write(out, "torn", random.Random(seed))
        try:
            started(out)
        except ReleaseError:
            broken += 1
    assert broken > 0


def test_an_installation_with_an_environment_that_is_cut_anywhere(shop, device, tmp_path):
    old = install(shop.bundle(1), device).release
    wheel = tmp_path / "edgelane-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("edgelane/__init__.py", "ours = True\n")
    bundle = shop.bundle(2, wheels=[wheel])

    def work(files):
        install(bundle, device, files=files, test=lambda folder, wanted: prove(folder))

    runs = set()
    for _, _, out in every_cut(device, work, tmp_path):
        release = Layout(out).releases / started(out)
        runs.add(release.name)
        if release.name != old:
            text = next(release.glob("venv/lib/*/site-packages/edgelane/__init__.py")).read_text()
            assert text == "ours = True\n" and (release / "edgelane").stat().st_mode & 0o100
    assert runs == {old, running(device).id} and len(runs) == 2
