"""A bundle goes to a device behind a true sshd on loopback, and only what it lacks is sent."""

import shutil
import stat
import subprocess

import pytest
from loopback import executable, fake_edgelane, naked_python, python_of, save_heavy

from edgelane.core import ReleaseError, UsageError
from edgelane.deploy import Layout, read_trust, rollback, running


def test_a_device_that_has_nothing_runs_it(shop, send):
    told = []
    done = send(shop.bundle(1), tell=lambda what, at, of: told.append(what))
    assert (done.state, done.before) == ("installed", None)
    assert running(send.root).id == done.release
    assert done.installed["tested"]["events"] > 0
    assert f"trust key {shop.secret.public.id}: the device trusts nobody yet" in done.steps
    assert list(read_trust(send.root).keys) == [shop.secret.public.id]
    assert told[0].startswith("asking ") and any(t.startswith("installing") for t in told)
    # What only the way needed is gone.
    assert not (send.root / "var/lib/edgelane/incoming").exists()


def test_the_second_time_next_to_nothing_is_sent(shop, send, contents):
    bundle = shop.bundle(1)
    send(bundle)
    before = contents(send.root)
    again = send(bundle)
    assert (again.state, again.steps, again.installed) == ("unchanged", [], {})
    assert contents(send.root) == before
    # What answers there is sent each time, whatever the bundle's size.
    assert again.sent < 20_000


def test_a_damaged_release_is_repaired(shop, send):
    heavy = save_heavy(shop.folder / "extra.onnx")
    bundle = shop.bundle(1, variants=[heavy])
    done = send(bundle)
    config = send.root / f"opt/edgelane/releases/{done.release}/config.yaml"
    whole = config.read_bytes()
    config.write_bytes(b"{}")
    planned = send(bundle, dry_run=True)
    assert planned.steps[-1] == "put back its files that are damaged"
    assert config.read_bytes() == b"{}"
    again = send(bundle)
    assert (again.state, again.installed["repaired"]) == ("installed", ["config.yaml"])
    assert again.sent < 100_000 < done.sent
    assert config.read_bytes() == whole and running(send.root).id == done.release
    assert send(bundle).state == "unchanged"


def test_what_lies_in_an_older_release_is_not_sent(shop, send):
    heavy = save_heavy(shop.folder / "extra.onnx")
    one = send(shop.bundle(1, variants=[heavy]))
    two = send(shop.bundle(2, variants=[heavy]))
    assert one.sent > 400_000 > 10 * two.sent
    assert running(send.root).id == two.release and two.before == one.release
    # Damaged there, it is sent again.
    (stored,) = (send.root / f"opt/edgelane/releases/{two.release}/models").rglob("extra.onnx")
    (older,) = (send.root / f"opt/edgelane/releases/{one.release}/models").rglob("extra.onnx")
    for path in (stored, older):
        data = bytearray(path.read_bytes())
        data[200_000] ^= 1
        path.write_bytes(bytes(data))
    three = send(shop.bundle(3, variants=[heavy]))
    assert three.sent > 400_000 and running(send.root).id == three.release
    running(send.root).check()


def test_a_dry_run_says_it_and_changes_nothing(shop, send, contents):
    planned = send(shop.bundle(1), dry_run=True, values={"door": "hunter2"})
    assert planned.state == "planned" and contents(send.root) == {}
    assert list(send.root.iterdir()) == []
    done = send(shop.bundle(1), values={"door": "hunter2"})
    assert done.steps == planned.steps and "set door" in done.steps
    before = contents(send.root)
    planned = send(shop.bundle(2), dry_run=True, values={"door": "another"})
    assert planned.before == done.release and "set door" in planned.steps
    assert contents(send.root) == before


@pytest.mark.slow
def test_a_dry_run_knows_which_releases_go(shop, send):
    first, *_ = [send(shop.bundle(version)).release for version in (1, 2, 3)]
    bundle = shop.bundle(4)
    planned = send(bundle, dry_run=True)
    done = send(bundle)
    assert done.steps == planned.steps and planned.steps[-1] == f"remove {first}"
    assert done.installed["pruned"] == [first]


def test_secrets_are_set_for_their_owner_alone(shop, send):
    bundle = shop.bundle(1)
    done = send(bundle, values={"door": "hunter2"})
    path = Layout(send.root).secrets / "door"
    assert path.read_text() == "hunter2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "hunter2" not in str(done)
    again = send(bundle, values={"door": "hunter3"})
    assert (again.state, again.steps) == ("unchanged", ["set door"])
    assert path.read_text() == "hunter3\n"
    assert send(bundle, values={"door": "hunter3"}).steps == []
    with pytest.raises(UsageError, match="name of a secret is wrong"):
        send(bundle, values={"../door": "x"})


def test_after_a_rollback_it_is_installed_again(shop, send):
    one, two = send(shop.bundle(1)), send(shop.bundle(2))
    assert rollback(send.root).release == one.release
    assert send(shop.bundle(2)).state == "installed"
    assert running(send.root).id == two.release


def test_what_a_login_shell_prints_is_passed_over(shop, send, bin):
    executable(bin / "python3", 'echo "Welcome to {store}"; exec /usr/bin/python3 "$@"')
    assert send(shop.bundle(1)).state == "installed"


@pytest.mark.parametrize("version", ["3.6", "3.8"])
def test_the_far_side_runs_on_old_pythons(shop, send, bin, version):
    found = python_of(version)
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    executable(bin / "python3", f'exec {found} "$@"')
    done = send(shop.bundle(1), values={"door": "hunter2"})
    assert done.state == "installed" and f"Python {version}" in done.device


@pytest.fixture
def naked(bin):
    """A Python with all that edgelane needs, but without edgelane."""
    return naked_python(bin / "naked")


def test_a_device_without_edgelane_takes_it_from_the_bundle(shop, send, naked):
    wheel = fake_edgelane(shop.folder)
    other = shop.folder / "edgelane-9.1-cp27-cp27m-win32.whl"
    other.write_bytes(b"not for this machine")
    bundle = shop.bundle(1, wheels=[wheel, other])
    said = []
    done = send(bundle, python=str(naked), tell=lambda what, at, of: said.append(what))
    site = send.root / "opt/edgelane/bootstrap"
    assert done.installed["release"].startswith(f"by {site}")
    assert done.installed["arguments"][2:5] == ["--root", str(send.root), "--json"]
    assert any("looking at the golden clip" in text for text in said)


@pytest.fixture
def old_device(bin, naked, tmp_path):
    """A device whose Python is that of JetPack 4, and a package of another one; it needs dpkg."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg is not installed")
    executable(bin / "old", """echo '[[3, 6], "aarch64", null, "none"]'""")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: python3.8\nVersion: 3.8\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    )
    (tree / "usr/bin").mkdir(parents=True)
    executable(tree / "usr/bin/python3.8", f'exec {naked} "$@"')
    packages = tmp_path / "packages"
    packages.mkdir()
    name = packages / "python3.8_3.8.0-3ubuntu1~18.04.2_arm64.deb"
    subprocess.run(["dpkg-deb", "--build", str(tree), str(name)], check=True, capture_output=True)
    return str(bin / "old"), packages


def test_a_device_whose_python_is_too_old_takes_one_from_the_bundle(shop, send, old_device):
    python, packages = old_device
    bundle = shop.bundle(1, wheels=[fake_edgelane(shop.folder)], python=packages)
    done = send(bundle, python=python)
    assert "unpack Python 3.8, which the bundle brings" in done.steps
    assert (send.root / "opt/edgelane/python/usr/bin/python3.8").is_file()
    assert done.installed["release"].startswith(f"by {send.root}/opt/edgelane/bootstrap")
    with pytest.raises(UsageError, match="there is no Python in"):
        shop.bundle(2, python=shop.folder)


def test_a_device_without_edgelane_and_a_bundle_without_wheels_do_not_meet(shop, send, naked):
    with pytest.raises(ReleaseError, match="has no edgelane, and the bundle brings none.*--wheel"):
        send(shop.bundle(1), python=str(naked))
    assert list(send.root.iterdir()) == []
