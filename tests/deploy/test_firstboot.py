"""A card that was prepared installs its bundle at the first boot, once, and needs nobody."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import executable, fake_edgelane, naked_python

from edgelane.core import DataError, ReleaseError, UsageError
from edgelane.deploy import Layout, new_key, read_trust, running
from edgelane.deploy.firstboot import FOLDER, UNIT, prepare_image
from edgelane.deploy.network import Network, keyfile, netplan

WANTS = f"etc/systemd/system/multi-user.target.wants/{UNIT}"


def boot(root: Path, tmp_path: Path) -> subprocess.CompletedProcess:
    """What the unit does, below a root."""
    path = tmp_path / "bin"
    path.mkdir(exist_ok=True)
    if not (path / "python3").exists():
        executable(path / "python3", f'exec {sys.executable} "$@"')
    return subprocess.run(
        ["/usr/bin/python3", str(root / FOLDER / "run.py"), str(root)],
        env={"PATH": f"{path}:/usr/bin:/bin", "HOME": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def image(shop, tmp_path, version=1, **options):
    made = shop.bundle(version)
    return prepare_image(made, tmp_path / "card", trust=shop.secret.public, **options)


def test_the_first_boot_installs_it_and_does_not_come_again(shop, tmp_path):
    made = image(shop, tmp_path, values={"door": "hunter2"})
    root = made.folder / "root"
    assert os.readlink(root / WANTS) == f"../{UNIT}"
    done = boot(root, tmp_path)
    assert done.returncode == 0, done.stdout
    assert running(root).id == made.release
    assert list(read_trust(root).keys) == [shop.secret.public.id]
    secret = Layout(root).secrets / "door"
    assert secret.read_text() == "hunter2\n" and stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert not os.path.lexists(root / WANTS) and list((root / FOLDER).iterdir()) == []


def test_a_first_boot_that_fails_or_is_cut_is_tried_again(shop, tmp_path):
    made = image(shop, tmp_path)
    root = made.folder / "root"
    bundle = root / FOLDER / f"{made.release}.edgelane"
    data = bundle.read_bytes()
    bundle.write_bytes(data[:-700] + b"x" + data[-699:])
    done = boot(root, tmp_path)
    assert done.returncode == 1 and "is not what key" in done.stdout
    assert Layout(root).current() is None and os.path.lexists(root / WANTS)
    bundle.write_bytes(data)
    # Power fails after the installation, before the card is tidied up.
    kept = tmp_path / "kept"
    shutil.copytree(root / FOLDER, kept)
    assert boot(root, tmp_path).returncode == 0
    shutil.rmtree(root / FOLDER)
    shutil.copytree(kept, root / FOLDER)
    done = boot(root, tmp_path)
    assert done.returncode == 0, done.stdout
    assert running(root).id == made.release and list((root / FOLDER).iterdir()) == []


def test_a_card_brings_its_own_edgelane(shop, tmp_path):
    bundle = shop.bundle(1, wheels=[fake_edgelane(shop.folder)])
    made = prepare_image(bundle, tmp_path / "card", trust=shop.secret.public)
    assert not any("no wheels" in text for text in made.warnings)
    (tmp_path / "bin").mkdir()
    naked_python(tmp_path / "bin/python3")
    root = made.folder / "root"
    done = boot(root, tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"by {root}/opt/edgelane/bootstrap" in done.stdout


def test_what_is_asked_for_lies_where_the_system_looks(shop, tmp_path):
    login = tmp_path / "id.pub"
    login.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@desk\n")
    network = Network("10.0.0.11/24", "10.0.0.1", ("1.1.1.1",))
    made = image(shop, tmp_path, hostname="store-12", network=network, login=login)
    root = made.folder / "root"
    assert (root / "etc/hostname").read_text() == "store-12\n"
    place = root / "etc/NetworkManager/system-connections/edgelane.nmconnection"
    assert "address1=10.0.0.11/24,10.0.0.1\ndns=1.1.1.1;" in place.read_text()
    for path, mode in ((place, 0o600), (root / "root/.ssh", 0o700), (root / "root", 0o700),
                       (root / "root/.ssh/authorized_keys", 0o600)):  # fmt: skip
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    assert "sudo cp -dR" in (made.folder / "README.txt").read_text()
    assert any("no wheels" in text for text in made.warnings)
    assert made.files == sorted(made.files) and WANTS in made.files


def test_what_cannot_be_asked_so_is_refused_and_leaves_nothing(shop, tmp_path):
    def refuse(kind, said, **options):
        options = {"trust": shop.secret.public, **options}
        with pytest.raises(kind, match=said):
            prepare_image(shop.bundle(1), tmp_path / "card", **options)
        assert not (tmp_path / "card").exists()
        assert [p for p in tmp_path.iterdir() if p.name.startswith(".edgelane")] == []

    refuse(ReleaseError, "does not trust", trust=new_key().public)
    refuse(UsageError, "name of the device", hostname="Store 12")
    refuse(UsageError, "name of a secret", values={"../x": "y"})
    refuse(UsageError, "no address", network=Network("10.0.0.300/24"))
    key = tmp_path / "id"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    refuse(DataError, "no public key of ssh", login=key)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    with pytest.raises(UsageError, match="is there already"):
        prepare_image(shop.bundle(1), tmp_path / "full", trust=shop.secret.public)


def test_systemd_takes_the_unit(shop, tmp_path):
    if not shutil.which("systemd-analyze"):
        if os.environ.get("CI"):
            pytest.fail("systemd-analyze is missing, and CI must test with it: apt install systemd")
        pytest.skip("systemd-analyze is not installed")
    made = image(shop, tmp_path)
    unit = made.folder / "root/etc/systemd/system" / UNIT
    # The command is the card's; here a program stands for it that every machine has.
    text = unit.read_text().replace("/opt/edgelane/firstboot/run.py", "--version")
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if UNIT in line]
    assert done.returncode == 0 and told == []
    unit.write_text(text.replace("Restart=", "Restrat="))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert "Restrat" in done.stdout  # it does look


NETWORKS = [
    (Network(gateway="10.0.0.1"), "Give --address"),
    (Network("10.0.0.11"), "does not say its network"),
    (Network("10.0.0.11/24", "10.0.1.1"), "cannot be reached"),
    (Network("10.0.0.11/24", dns=("::1",)), "another kind"),
    (Network("10.0.0.11/24", dns=("dns",)), "no address"),
    (Network(wifi=""), "name of the wireless"),
    (Network(wifi="x" * 33), "name of the wireless"),
    (Network(wifi="shop", password="short"), "8–63"),
    (Network(wifi="shop", password="with\nnewline"), "8–63"),
]


@pytest.mark.parametrize(("network", "said"), NETWORKS)
def test_a_network_that_cannot_be_is_refused(network, said):
    for write in (keyfile, netplan):
        with pytest.raises(UsageError, match=said):
            write(network)


def test_networks_are_written_as_they_are_read():
    import configparser
    import json

    text = keyfile(Network(wifi="Käse; 1=1", password="a\\b c;d=e#f")).decode()
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment]
    parsed.read_string(text)
    ssid = bytes(int(b) for b in parsed["wifi"]["ssid"].rstrip(";").split(";"))
    assert ssid.decode() == "Käse; 1=1"
    assert parsed["wifi-security"]["psk"] == "a\\\\b c;d=e#f"
    assert parsed["ipv4"]["method"] == parsed["ipv6"]["method"] == "auto"
    text = keyfile(Network("fd00::11/64", "fd00::1")).decode()
    parsed = configparser.ConfigParser()
    parsed.read_string(text)
    assert parsed["ipv6"]["address1"] == "fd00::11/64,fd00::1"
    plan = json.loads(netplan(Network("10.0.0.11/24", "10.0.0.1", ("1.1.1.1",))).decode())
    (cable,) = plan["network"]["ethernets"].values()
    assert cable["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}]
    plan = json.loads(netplan(Network(wifi='a"b', password="12345678")).decode())
    points = plan["network"]["wifis"]["wlan0"]["access-points"]
    assert points == {'a"b': {"password": "12345678"}}
