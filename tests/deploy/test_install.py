"""A bundle is installed whole or not at all, and only by whom the device trusts."""

import fcntl
import os
import shutil

import pytest

from edgelane.core import EdgelaneError, ReleaseError, StorageError, UsageError
from edgelane.deploy import (
    Layout,
    change_trust,
    install,
    new_key,
    read_bundle,
    read_trust,
    rollback,
    running,
    write_key,
)
from edgelane.deploy import manifest as manifests
from edgelane.deploy.archive import write_members
from edgelane.deploy.files import Files
from edgelane.deploy.keys import digest_of, sign
from edgelane.runtime.testing import FakeClock


def clock(day: str) -> FakeClock:
    made = FakeClock()
    made.time = lambda: manifests.last_moment(day) - 43200.0
    return made


def test_it_runs_and_the_one_before_is_kept(shop, device):
    first = install(shop.bundle(1), device)
    assert first.before is None and first.tested.events > 0
    assert running(device).id == first.release
    second = install(shop.bundle(2), device)
    assert (second.before, running(device).id) == (first.release, second.release)
    assert os.readlink(device / "opt/edgelane/current") == f"releases/{second.release}"
    assert [r["good"] for r in Layout(device).describe()] == [True, True]


def test_the_same_bundle_again_changes_nothing(shop, device, contents):
    bundle = shop.bundle(1)
    install(bundle, device)
    before = contents(device)
    assert install(bundle, device).unchanged
    assert contents(device) == before


def test_what_is_damaged_in_the_release_that_runs_is_put_back(shop, device, contents):
    """By the same bundle, file by file, and nothing else is touched."""
    bundle = shop.bundle(1)
    release = running_folder(device, install(bundle, device))
    before = contents(device)
    (release / "config.yaml").write_bytes(b"{}")
    (release / ".complete").unlink()
    (release / "manifest.json").write_bytes(b"")
    shutil.rmtree(release / "models")
    (release / "models").write_text("a file where a folder was")
    rows = next((release / "golden").rglob("*.txt"))
    rows.unlink()
    rows.mkdir()
    (rows / "x").write_text("a folder where a file was")
    with pytest.raises(ReleaseError, match="Install its bundle again"):
        running(device)
    said = []
    done = install(bundle, device, say=said.append)
    assert not done.unchanged and done.tested is None and done.before == done.release
    assert {"config.yaml", ".complete", "manifest.json"} < set(done.repaired)
    assert len(done.repaired) == 5 and said == ["put back 5 damaged files"]
    assert contents(device) == before
    assert install(bundle, device).unchanged


def test_a_repair_that_is_cut_off_is_gone_on_with(shop, device, contents):
    """No file is ever half there, and what is still damaged is told."""
    bundle = shop.bundle(1)
    release = running_folder(device, install(bundle, device))
    before = contents(release)
    for name in ("config.yaml", "manifest.json"):
        (release / name).write_bytes(b"{}")

    class Full(Files):
        done = 0

        def replace(self, source, target):
            self.done += 1
            if self.done == 2:
                raise OSError(28, "No space left on device", str(target))
            super().replace(source, target)

    with pytest.raises(StorageError, match="No space left"):
        install(bundle, device, files=Full())
    assert (release / "config.yaml").read_bytes() == before["config.yaml"]
    with pytest.raises(ReleaseError, match="damaged"):
        running(device)
    assert install(bundle, device).repaired == ["manifest.json"]
    assert contents(release) == before


def running_folder(device, done):
    assert running(device).id == done.release
    return Layout(device).current().folder


def test_rollback_goes_back_one_by_one_and_forward_by_name(shop, device):
    one, two, three = (install(shop.bundle(v), device).release for v in (1, 2, 3))
    assert rollback(device).release == two
    assert rollback(device).release == one
    with pytest.raises(ReleaseError, match="no other release to go back to"):
        rollback(device)
    assert rollback(device, to="3").release == three
    with pytest.raises(UsageError, match="no release 'shop-9'"):
        rollback(device, to="shop-9")
    # What was rolled back from may be installed again.
    assert rollback(device).release == two
    assert install(shop.bundle(3), device).release == three


def test_rollback_passes_over_a_damaged_release(shop, device):
    one, two, _ = (install(shop.bundle(v), device).release for v in (1, 2, 3))
    (device / f"opt/edgelane/releases/{two}/config.yaml").write_bytes(b"{}")
    assert rollback(device).release == one


def test_old_releases_go_but_never_the_last_good_one(shop, device):
    made = [install(shop.bundle(1), device).release]
    made += [install(shop.bundle(v), device, probation_s=600.0).release for v in (2, 3, 4)]
    kept = install(shop.bundle(5), device, probation_s=600.0, keep=1)
    assert [r["id"] for r in Layout(device).describe()] == [made[0], kept.release]
    assert rollback(device).release == made[0]


def test_journals_and_secrets_are_never_touched(shop, device):
    layout = Layout(device)
    install(shop.bundle(1), device)
    for path in (layout.runs / "events.db", layout.secrets / "door"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    install(shop.bundle(2), device, keep=1)
    rollback(device)
    assert (layout.runs / "events.db").read_text() == "mine"
    assert (layout.secrets / "door").read_text() == "mine"


REFUSED = [
    ({"version": 1}, {}, "older than what runs"),
    ({"version": 2}, {}, "runs here already, with other content"),
    ({"version": 3, "devices": ["orin-nano"]}, {}, "no Jetson"),
    ({"version": 3, "devices": ["orin-nano"]}, {"device": "nano"}, "is for orin-nano"),
    ({"version": 3, "expires": "2026-01-31"}, {"clock": clock("2026-02-01")}, "has expired"),
    ({"version": 3, "expires": "2031-01-31"}, {"clock": clock("1970-01-02")}, "clock is wrong"),
    ({"version": 3, "expires": "2031-01-31"}, {"clock": clock("2026-01-01")}, "clock is wrong"),
]


@pytest.mark.parametrize(("bundle", "options", "said"), REFUSED)
def test_what_is_refused_touches_nothing(shop, device, contents, bundle, options, said):
    install(shop.bundle(2), device, clock=clock("2026-06-01"))
    made = shop.bundle(**{"expires": "2031-12-31", **bundle})
    before = contents(device)
    with pytest.raises(ReleaseError) as caught:
        install(made, device, **{"clock": clock("2026-06-02"), **options})
    assert said in str(caught.value) and caught.value.remedy or caught.value.got
    assert contents(device) == before


def test_what_is_asked_for_is_done(shop, device):
    install(shop.bundle(2), device)
    assert install(shop.bundle(1), device, downgrade=True).version == 1
    late = shop.bundle(3, expires="2026-01-01")
    assert install(late, device, ignore_expiry=True, clock=clock("1970-01-02")).version == 3
    for target in ("orin-nano", "orin-nano-super"):
        version = 4 if target == "orin-nano" else 5
        made = shop.bundle(version, devices=["orin-nano"])
        assert install(made, device, device=target).version == version


def test_a_jetson_knows_what_it_is(shop, device):
    tree = device / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "model").write_text("NVIDIA Jetson Xavier NX Developer Kit")
    (tree / "compatible").write_text("nvidia,p3509-0000+p3668-0000\0nvidia,tegra194\0")
    assert install(shop.bundle(1, devices=["xavier-nx"]), device).version == 1
    with pytest.raises(ReleaseError, match="is for agx-orin: got xavier-nx"):
        install(shop.bundle(2, devices=["agx-orin"]), device)


def test_one_that_counts_otherwise_is_not_switched_to(shop, device, contents):
    first = install(shop.bundle(1), device).release
    made = shop.bundle(2)
    before = contents(device)

    signed_again(shop, device, made, (b'"in": 1', b'"in": 2'))
    with pytest.raises(ReleaseError, match="does not count what it must"):
        install(made, device)
    assert running(device).id == first
    assert contents(device) == before


def signed_again(shop, device, bundle, change):
    """Change the manifest of a bundle once, and sign it with the right key."""
    opened = read_bundle(bundle, read_trust(device))
    whole = bundle.read_bytes()
    data = [(m.name, whole[m.start : m.start + m.size]) for m in opened.members]
    text = opened.data.replace(*change, 1)
    assert text != opened.data
    with open(bundle, "wb") as file:
        write_members(file, [("manifest.json", text), *data])
    with open(bundle, "rb") as file:
        digest = digest_of(file)[0]
    bundle.with_name(bundle.name + ".minisig").write_bytes(sign(digest, shop.secret, "x"))


@pytest.mark.parametrize("change", [("path", "../../evil"), ("size", 1), ("sha256", "0" * 64)])
def test_a_manifest_that_lies_is_refused_even_signed(shop, device, contents, change):
    made = shop.bundle(1)
    value = getattr(read_bundle(made, read_trust(device)).manifest.files[0], change[0])
    signed_again(shop, device, made, (str(value).encode(), str(change[1]).encode()))
    before = contents(device)
    with pytest.raises(ReleaseError):
        install(made, device)
    after = contents(device)
    after.pop("var/lib/edgelane/lock", None)
    before.pop("var/lib/edgelane/lock", None)
    assert after == before


class FullDisk(Files):
    """Has room for so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def create(self, path, chunks, mode=0o644):
        def counted():
            for chunk in chunks:
                self.room -= len(chunk)
                if self.room < 0:
                    raise OSError(28, "No space left on device", str(path))
                yield chunk

        super().create(path, counted(), mode)


@pytest.mark.parametrize("room", [0, 1000, 3000, 9000, 9500, 10000])
def test_a_disk_that_fills_up_leaves_what_was(shop, device, contents, room):
    first = install(shop.bundle(1), device).release
    made = shop.bundle(2)
    before = contents(device)
    try:
        install(made, device, files=FullDisk(room))
    except StorageError as error:
        assert "No space left" in str(error)
    assert running(device).id in {first, Layout(device).current().id}
    if running(device).id == first:
        left = {k: v for k, v in contents(device).items() if not k.endswith(".new")}
        assert {k: v for k, v in left.items() if "state.json" not in k and k in before} == {
            k: v for k, v in before.items() if "state.json" not in k
        }
    assert install(made, device).version == 2


def test_a_disk_too_full_is_told_before_anything_is_written(shop, device, monkeypatch):
    usage = shutil.disk_usage(str(device))._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="too full"):
        install(shop.bundle(1), device)
    assert list((device / "opt/edgelane/releases").iterdir()) == []


def test_two_at_once_do_not_meet(shop, device):
    layout = Layout(device)
    with layout.locked(), pytest.raises(ReleaseError, match="another installation is at work"):
        install(shop.bundle(1), device)
    handle = os.open(str(layout.var / "lock"), os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(ReleaseError, match="another installation"):
        change_trust(device, revoke=["00" * 8])
    os.close(handle)
    assert install(shop.bundle(1), device).version == 1


def test_no_permission_is_one_sentence(shop, device):
    class Denied(Files):
        def create(self, path, chunks, mode=0o644):
            raise PermissionError(13, "Permission denied", str(path))

    with pytest.raises(StorageError, match="Permission denied.*sudo"):
        install(shop.bundle(1), device, files=Denied())


def test_keys_are_rotated_and_revoked_by_bundles(shop, device):
    new = new_key()
    new_path, _ = write_key(shop.folder / "new.key", new)
    install(shop.bundle(1, trust=[new.public]), device)
    assert install(shop.bundle(2, key=new_path), device).version == 2
    old = shop.secret.public.id
    install(shop.bundle(3, key=new_path, revoke=[old]), device)
    with pytest.raises(ReleaseError, match="was revoked"):
        install(shop.bundle(4), device)
    # A revoked key does not come back, neither by a bundle nor by hand.
    install(shop.bundle(5, key=new_path, trust=[shop.secret.public]), device)
    assert list(read_trust(device).keys) == [new.public.id]
    with pytest.raises(UsageError, match="was revoked here"):
        change_trust(device, trust=[shop.secret.public])
    with pytest.raises(ReleaseError, match="no trusted key would be left"):
        change_trust(device, revoke=[new.public.id])


def test_a_release_that_was_good_is_not_lost_by_failing_when_it_comes_again(shop, device):
    first = install(shop.bundle(1), device).release
    second = install(shop.bundle(2), device).release

    def fails(folder, manifest):
        raise ReleaseError("too slow today")

    with pytest.raises(ReleaseError, match="too slow today"):
        install(shop.bundle(1), device, downgrade=True, test=fails)
    with pytest.raises(ReleaseError, match="too slow today"):
        install(shop.bundle(3), device, test=fails)
    assert running(device).id == second
    assert [r["id"] for r in Layout(device).describe()] == [first, second]
    assert rollback(device).release == first


def test_what_cannot_be_tidied_up_does_not_undo_an_installation(shop, device):
    class Kept(Files):
        def rmdir(self, path):
            raise OSError(16, "Device or resource busy", str(path))

    install(shop.bundle(1), device)
    install(shop.bundle(2), device)
    done = install(shop.bundle(3), device, keep=1, files=Kept())
    assert running(device).id == done.release
    after = install(shop.bundle(4), device, keep=1)
    assert len(Layout(device).all()) == 2 and after.version == 4


def test_nothing_installed_is_told(device):
    with pytest.raises(ReleaseError, match="nothing is installed"):
        running(device)
    with pytest.raises(ReleaseError, match="nothing is installed"):
        rollback(device)


@pytest.mark.parametrize("kind", ["folder", "text", "empty"])
def test_what_is_no_bundle_is_refused(shop, device, kind):
    bundle = shop.bundle(1)
    bundle.unlink()
    if kind == "folder":
        bundle.mkdir()
    else:
        bundle.write_bytes(b"" if kind == "empty" else b"hello")
    with pytest.raises(EdgelaneError):
        install(bundle, device)


@pytest.mark.slow
def test_the_model_must_see_what_it_saw(shop, device):
    """Through the real model: what ships, on rendered frames."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("cv2")
    made = shop.bundle(1, model="store-person", frames=None, latency_ms=60000.0)
    done = install(made, device)
    assert done.tested.detections > 0 and done.tested.latency_ms > 0
    with pytest.raises(ReleaseError, match="too slow"):
        install(shop.bundle(2, model="store-person", frames=None, latency_ms=1e-6), device)
    folder = device / "opt/edgelane/releases" / done.release
    rows = folder / "golden/frames.txt"
    from edgelane.deploy.golden import check_release

    rows.write_text("".join(rows.read_text().splitlines(True)[:1]))
    with pytest.raises(ReleaseError, match="does not see in the golden frames"):
        check_release(folder, running_manifest(folder))


def running_manifest(folder):
    return manifests.decode((folder / manifests.NAME).read_bytes())
