"""What runs on a bare device: wheels without pip, bundles put together again, old Pythons."""

import ast
import contextlib
import io
import json
import os
import random
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest
from loopback import python_of, save_heavy
from test_powerloss import every_cut

import edgelane.deploy.bare as bare
from edgelane.deploy import change_trust, install, read_bundle, read_trust
from edgelane.deploy.bare.facts import Places, facts
from edgelane.deploy.bare.receive import Incoming, Torn, pieces, whole
from edgelane.deploy.bare.serve import Device, Refused, Slice
from edgelane.deploy.bare.wheels import WheelError, choose, fits, unpack
from edgelane.deploy.preflight import read_facts

MODULES = sorted(Path(bare.__file__).parent.glob("*.py"))

FITTING = [
    ("click-8.1.8-py3-none-any.whl", True),
    ("six-1.16.0-py2.py3-none-any.whl", True),
    ("numpy-1.24.4-cp38-cp38-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", True),
    ("numpy-1.24.4-cp38-cp38-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", False),
    ("numpy-1.24.4-cp310-cp310-manylinux_2_17_aarch64.whl", False),
    ("pynacl-1.6.2-cp38-abi3-manylinux_2_26_aarch64.manylinux_2_28_aarch64.whl", True),
    ("opencv-5.0-cp37-abi3-manylinux_2_28_aarch64.whl", False),
    ("tensorrt-8.2.1.8-cp38-none-linux_aarch64.whl", True),
    ("x-1-cp310-abi3-manylinux2014_aarch64.whl", False),
    ("x-1-cp38-cp38-musllinux_1_1_aarch64.whl", False),
    ("x-1-cp38-cp38-win_amd64.whl", False),
    ("x-1-pp38-pypy38_pp73-manylinux2014_aarch64.whl", False),
    ("x-1.whl", False),
    ("x-1-py3-none-any.zip", False),
]


@pytest.mark.parametrize(("name", "expected"), FITTING)
def test_a_wheel_fits_an_interpreter_or_not(name, expected):
    assert fits(name, (3, 8), "aarch64", (2, 27)) is expected


def test_of_each_project_the_best_is_taken():
    names = [
        "wheels/My_Lib-1.9-py3-none-any.whl",
        "wheels/my.lib-1.10-py3-none-any.whl",
        "wheels/fast-1.0-py3-none-any.whl",
        "wheels/fast-1.0-cp38-abi3-manylinux2014_aarch64.whl",
        "wheels/fast-1.0-cp310-cp310-manylinux2014_aarch64.whl",
        "wheels/other-1-cp39-cp39-linux_aarch64.whl",
    ]
    assert choose(names, (3, 10), "aarch64", (2, 35)) == [names[4], names[1]]
    assert choose(names, (3, 9), "aarch64", (2, 35)) == [names[3], names[1], names[5]]


def wheel(entries, **attributes) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = attributes.get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    made.seek(0)
    return made


def test_a_wheel_is_put_where_its_files_belong(tmp_path):
    site, scripts = tmp_path / "site", tmp_path / "bin"
    made = wheel(
        {
            "lib/__init__.py": "x = 1\n",
            "lib/tool": "#!/bin/sh\n",
            "lib-1.data/purelib/more.py": "y = 2\n",
            "lib-1.data/scripts/run": "#!python\n",
            "lib-1.data/headers/lib.h": "",
        },
        **{"lib/tool": stat.S_IFREG | 0o755},
    )
    assert unpack(made, str(site), str(scripts)) == 6 + 10 + 6 + 9
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert found == ["bin/run", "site/lib/__init__.py", "site/lib/tool", "site/more.py"]
    assert os.access(site / "lib/tool", os.X_OK) and not os.access(site / "more.py", os.X_OK)


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "a//b", "a\\b", "./a", "x.data/purelib/../../evil"]
)
def test_a_wheel_cannot_write_elsewhere(tmp_path, name):
    site = tmp_path / "site"
    site.mkdir()
    with pytest.raises(WheelError, match="leads elsewhere"):
        unpack(wheel({name: "x"}), str(site))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_what_is_no_wheel_is_told(tmp_path):
    link = wheel({"a": "/etc/passwd"}, a=stat.S_IFLNK | 0o777)
    with pytest.raises(WheelError, match="link or device"):
        unpack(link, str(tmp_path))
    for data in (b"", b"PK\x03\x04" + bytes(100), wheel({"a": "x" * 500}).getvalue()[:-40]):
        with pytest.raises(WheelError, match="is no wheel"):
            unpack(io.BytesIO(data), str(tmp_path))
    chance, good = random.Random(3), wheel({"a": "x" * 500, "b": "y" * 500}).getvalue()
    for _ in range(300):
        data = bytearray(good)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        with contextlib.suppress(WheelError, OSError):
            unpack(io.BytesIO(bytes(data)), str(tmp_path / "site"))
    assert not [p for p in tmp_path.iterdir() if p.name not in ("site", "a")]
    # A link that stands where a file belongs is not written through.
    (tmp_path / "target").write_text("mine")
    (tmp_path / "lib.py").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        unpack(wheel({"lib.py": "theirs"}), str(tmp_path))
    assert (tmp_path / "target").read_text() == "mine"


def test_pieces_are_the_bundle_to_the_last_byte(shop, device):
    bundle = shop.bundle(1, variants=[save_heavy(shop.folder / "heavy.onnx", 10_001)])
    data = bundle.read_bytes()
    opened = read_bundle(bundle, read_trust(device))
    members = dict(enumerate(opened.members))
    made = b""
    for piece in pieces(opened.data):
        assert piece.start == len(made)
        if piece.data is not None:
            made += piece.data
        else:
            member = members[piece.index]
            assert (member.start, member.size) == (piece.start, piece.size)
            made += data[member.start : member.start + member.size]
    assert made == data


class Stream:
    """Gives bytes as a desk would."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read1(self, size: int) -> bytes:
        block, self.data = self.data[: min(size, 777)], self.data[min(size, 777) :]
        return block


def rest(opened, data: bytes, plan) -> bytes:
    """What a desk sends for a plan."""
    sent = b""
    for index, member in enumerate(opened.members):
        start, end = max(member.start, plan["at"]), member.start + member.size
        if start < end and index not in plan["local"]:
            sent += data[start:end]
    return sent


def test_a_bundle_is_put_together_from_wherever_it_was_cut(shop, device):
    """Cut at many places, with the last bytes torn or not: it comes out the same."""
    bundle = shop.bundle(1, variants=[save_heavy(shop.folder / "heavy.onnx", 30_000)])
    data, opened = bundle.read_bytes(), read_bundle(bundle, read_trust(device))
    places = Places(str(device))
    for cut in [0, 1, 511, 512, 513, 5000, *range(6000, len(data), 4099), len(data)]:
        incoming = Incoming(places, "shop-1-x", opened.data)
        os.makedirs(places.incoming, exist_ok=True)
        if os.path.exists(incoming.path):
            os.unlink(incoming.path)
        Path(incoming.part).write_bytes(data[:cut])
        plan = incoming.plan()
        assert plan["at"] <= cut and plan["size"] == len(data)
        path = incoming.receive(Stream(rest(opened, data, plan)))
        assert Path(path).read_bytes() == data
        assert Incoming(places, "shop-1-x", opened.data).plan()["at"] == len(data)


def test_a_torn_end_is_sent_again(shop, device):
    bundle = shop.bundle(1, variants=[save_heavy(shop.folder / "heavy.onnx", 30_000)])
    data, opened = bundle.read_bytes(), read_bundle(bundle, read_trust(device))
    largest = max(opened.members, key=lambda m: m.size)
    incoming = Incoming(Places(str(device)), "shop-1-x", opened.data)
    os.makedirs(incoming.places.incoming)
    half = largest.start + largest.size // 2
    Path(incoming.part).write_bytes(data[: half - 100] + bytes(100))
    plan = incoming.plan()
    assert plan["at"] == half
    with pytest.raises(Torn):
        incoming.receive(Stream(rest(opened, data, plan)))
    again = Incoming(incoming.places, "shop-1-x", opened.data)
    plan = again.plan()
    assert plan["at"] == largest.start
    assert Path(again.receive(Stream(rest(opened, data, plan)))).read_bytes() == data


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden"])
def test_a_release_cannot_lie_elsewhere(device, name):
    with pytest.raises(ValueError):
        Incoming(Places(str(device)), name, b'{"files": []}')


def test_a_release_is_whole_or_not(shop, device):
    done = install(shop.bundle(1), device)
    places = Places(str(device))
    assert whole(places, done.release) and not whole(places, "shop-9-none")
    config = Path(places.release(done.release)) / "config.yaml"
    config.write_bytes(config.read_bytes()[:-1])
    assert not whole(places, done.release)


def test_trust_is_given_once(tmp_path, shop):
    here = Device(str(tmp_path), None)
    here.trust({shop.secret.public.id: shop.secret.public.text})
    assert list(read_trust(tmp_path).keys) == [shop.secret.public.id]
    with pytest.raises(Refused, match="trusts somebody already"):
        here.trust({"0" * 16: "x"})
    with pytest.raises(Refused, match="no name of a secret"):
        here.secrets({"../../passwd": "x"})


def test_what_is_set_survives_a_power_cut_whole(tmp_path, shop):
    root = tmp_path / "device"
    root.mkdir()
    keys = {shop.secret.public.id: shop.secret.public.text}

    def work(files):
        here = Device(str(root), None, files)
        here.trust(keys)
        here.secrets({"door": "one"})
        here.secrets({"door": "two", "till": "three"})

    seen = set()
    for _, _, out in every_cut(root, work, tmp_path):
        told = facts(str(out))["trust"]
        assert told["keys"] == (keys if told["there"] else {})
        secrets = out / "etc/edgelane/secrets"
        found = {}
        for path in secrets.iterdir() if secrets.is_dir() else []:
            if not path.name.startswith("."):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                found[path.name] = path.read_text()
        assert found.get("door") in (None, "one\n", "two\n")
        assert found.get("till") in (None, "three\n")
        seen.add((told["there"], *sorted(found.values())))
    assert (False,) in seen and (True, "one\n") in seen and (True, "three\n", "two\n") in seen


def test_a_slice_reads_as_a_file_of_its_own():
    part = Slice(io.BytesIO(b"0123456789"), 2, 5)
    assert part.read(2) == b"23" and part.tell() == 2 and part.read() == b"456"
    assert (part.seek(-2, 2), part.read(9), part.read(1)) == (3, b"56", b"")
    made = wheel({"a.py": "x"}).getvalue()
    whole_file = io.BytesIO(b"before" + made + b"after")
    with zipfile.ZipFile(Slice(whole_file, 6, len(made))) as archive:  # type: ignore[arg-type]
        assert archive.namelist() == ["a.py"]


MACHINES = Path(__file__).resolve().parents[1] / "runtime" / "machines"


@pytest.mark.parametrize("name", ["nano", "xavier-nx", "orin-nano"])
def test_a_jetson_is_known_from_what_it_tells(tmp_path, name):
    recorded = json.loads((MACHINES / f"{name}.json").read_text())
    for path, text in recorded.get("files", recorded).items():
        if isinstance(text, str) and "/" in path:
            place = tmp_path / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    told = json.loads(json.dumps(facts(str(tmp_path))))
    found = read_facts("edge@x", told)
    assert found.machine is not None and found.machine.device is not None
    assert found.machine.device.name == name
    assert found.machine.device.title in found.title and "GB free" in found.title


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_it_is_python_3_6_without_anything_else(module):
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            assert {name.name for name in node.names} <= STANDARD
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module in STANDARD
    python = python_of("3.6")
    if python is not None:
        code = "import ast,sys; ast.parse(open(sys.argv[1], encoding='utf-8').read())"
        subprocess.run([python, "-c", code, str(module)], check=True)


STANDARD = {
    "contextlib", "errno", "fcntl", "getpass", "glob", "hashlib", "json", "os", "pathlib",
    "platform", "re", "shutil", "signal", "stat", "subprocess", "sys", "time", "typing", "zipfile",
    "zlib",
}  # fmt: skip


def test_a_device_that_trusts_nobody_is_told_from_one_whose_list_is_damaged(tmp_path, shop):
    assert facts(str(tmp_path))["trust"] == {"keys": {}, "revoked": [], "there": False}
    change_trust(tmp_path, trust=[shop.secret.public])
    assert list(facts(str(tmp_path))["trust"]["keys"]) == [shop.secret.public.id]
    (tmp_path / "etc/edgelane/trust.json").write_text("{")
    assert facts(str(tmp_path))["trust"] == {"keys": {}, "revoked": [], "there": True}
