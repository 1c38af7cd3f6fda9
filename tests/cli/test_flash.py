"""`edgelane flash` as a user types it, against an sshd on loopback."""

import json
import sys
from pathlib import Path

import pytest

DEPLOY = str(Path(__file__).resolve().parents[1] / "deploy")
if DEPLOY not in sys.path:
    sys.path.insert(0, DEPLOY)

pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")
pytest.importorskip("nacl")

from loopback import start_server  # noqa: E402

from edgelane.cli.app import run_cli  # noqa: E402

CONFIG = """\
pipeline: counting
model: store-person
reference_size: [640, 360]
lines: {door: {from: [300, 60], to: [330, 340]}}
source: secret:door_url
"""
STORES = """\
hosts:
  kings-road: {{address: {host}, root: {folder}/one, values: {{door_url: "rtsp://10.0.0.5/a"}}}}
  high-street: {{address: {host}, root: {folder}/two, secrets: [door_url]}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = start_server(tmp_path_factory.mktemp("sshd"))
    yield server
    server.close()


@pytest.fixture
def desk(tmp_path, monkeypatch, capsys, server):
    """A folder, and what runs a command line there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGELANE_SSH", " ".join(server.ssh()))
    monkeypatch.setenv("EDGELANE_REMOTE_PYTHON", sys.executable)
    (tmp_path / "store.yaml").write_text(CONFIG)

    def run(line: str, code: int = 0):
        assert run_cli(line.format(host=server.host, folder=tmp_path).split()) == code
        out = capsys.readouterr()
        assert "Traceback" not in out.err
        return out

    return run


@pytest.fixture
def bundles(desk):
    """A key and two bundles in that folder."""
    desk("keys new store.key")
    for version in (1, 2):
        desk(f"bundle store.yaml --out store-{version}.edgelane --key store.key --no-frames")


@pytest.mark.slow
def test_one_device(desk, bundles, tmp_path):
    flash = "flash {host} store-1.edgelane --root {folder}/one"
    (tmp_path / "one").mkdir()
    assert "Give --trust" in desk(flash, 1).err
    said = desk(f"{flash} --trust store.pub --value door_url=rtsp://10.0.0.5/a --dry-run").out
    assert "would    trust key" in said and "would    set door_url" in said
    assert list((tmp_path / "one").iterdir()) == []
    out = desk(f"{flash} --trust store.pub --value door_url=rtsp://10.0.0.5/a")
    assert "runs now" in out.out and "did      set door_url" in out.out
    assert "sending to" in out.err
    assert "runs already" in desk(flash).out
    done = json.loads(desk(flash.replace("-1.", "-2.") + " --json").out)
    assert done["state"] == "installed" and done["before"].startswith("store-1-")
    assert "older than what runs" in desk(flash, 1).err
    assert "runs now" in desk(f"{flash} --downgrade").out


@pytest.mark.slow
def test_many_devices(desk, bundles, tmp_path, server):
    text = STORES.format(host=server.host, folder=tmp_path)
    (tmp_path / "stores.yaml").write_text(text)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/door_url").write_text("rtsp://10.0.0.6/a\n")
    (tmp_path / "secrets/door_url").chmod(0o600)
    flash = "flash stores.yaml store-1.edgelane --waves 1,100%"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    said = desk(flash, 1)
    assert "trusts no key yet" in said.out and "1 of 1 devices failed" in said.err
    said = desk(f"{flash} --trust store.pub")
    assert "wave 1 of 2: kings-road" in said.err
    assert [line.split()[:3] for line in said.out.splitlines()] == [
        ["device", "wave", "state"],
        ["kings-road", "1", "installed"],
        ["high-street", "2", "installed"],
    ]
    secret = tmp_path / "two/etc/edgelane/secrets/door_url"
    assert secret.read_text() == "rtsp://10.0.0.6/a\n"
    rolled = json.loads(desk(f"{flash} --json").out)
    assert [row["state"] for row in rolled["devices"]] == ["unchanged", "unchanged"]
    assert (rolled["failed"], rolled["stopped"]) == (0, "")


def test_a_card(desk, bundles, tmp_path):
    made = desk(
        "flash --image card store-2.edgelane --trust store.pub --hostname store-12 "
        "--address 10.0.0.11/24 --gateway 10.0.0.1 --value door_url=rtsp://10.0.0.5/a"
    )
    assert "file     etc/NetworkManager/system-connections/edgelane.nmconnection" in made.out
    assert "sudo cp -dR --preserve=mode card/root/." in made.out
    assert (tmp_path / "card/root/etc/hostname").read_text() == "store-12\n"


WRONG = [
    ("flash {host}", "takes a device and a bundle"),
    ("flash a b c", "takes a device and a bundle"),
    ("flash {host} store-1.edgelane --hostname x", "--hostname goes with --image"),
    ("flash --image card a b", "--image takes a bundle alone"),
    ("flash --image card store-1.edgelane", "--trust NAME.pub"),
    ("flash {host} store-1.edgelane --value x", "--value makes no sense"),
    ("flash {host} store-1.edgelane --secret ../x", "name of a secret is wrong"),
    ("flash {host} store-1.edgelane --device orin-nana", "Did you mean"),
    ("flash stores.yaml store-1.edgelane --value a=b", "--value is for one device"),
    ("flash stores.yaml store-1.edgelane --waves 0", "--waves makes no sense"),
    ("flash stores.yaml store-1.edgelane --max-failures x", "is no share"),
    ("flash none.yaml store-1.edgelane", "does not exist"),
]


@pytest.mark.parametrize(("line", "said"), WRONG)
def test_what_makes_no_sense_is_told(desk, tmp_path, line, said):
    (tmp_path / "stores.yaml").write_text("hosts: {a: nobody@127.0.0.1}\n")
    (tmp_path / "store-1.edgelane").write_bytes(b"")
    assert said in desk(line, 2).err
