"""A shop whose releases are made, and a folder that stands for its device."""

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).resolve().parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

from edgelane.deploy import Recording, change_trust, make_bundle, write_key  # noqa: E402
from edgelane.deploy.keys import key_of_seed  # noqa: E402

CONFIG = """\
pipeline: counting
model: tiny.onnx
reference_size: [640, 360]   # in which the shapes are drawn
source: rtsp://viewer:secret:door@10.0.0.5/stream
lines:
  door: {from: [300, 60], to: [330, 340]}
zones:
  till: {polygon: [[10, 200], [160, 200], [160, 340], [10, 340]]}
"""


def save_tiny(path: Path) -> None:
    """The smallest graph that there is."""
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


class Shop:
    """Makes bundles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "shop.yaml"
        self.config.write_text(CONFIG, encoding="utf-8")
        save_tiny(folder / "tiny.onnx")
        # Someone walks in, over the line and into the zone: short, so that tests are.
        self.rows = folder / "walk.txt"
        self.rows.write_text(
            "".join(f"{i},-1,{500 - 25 * i},180,40,120,0.9\n" for i in range(1, 19))
        )
        self.secret = key_of_seed(bytes(range(32)), b"shopkey1")
        self.key, self.public = write_key(folder / "shop.key", self.secret)

    def bundle(self, version: int = 1, name: str = "shop", **options) -> Path:
        """A bundle of the counts alone, unless `frames` are given."""
        options.setdefault("key", self.key)
        options.setdefault("frames", [])
        options.setdefault("golden", {"camera": Recording(self.rows, 6.0)})
        out = self.folder / f"{name}-{version}.edgelane"
        return make_bundle(self.config, out, **options).path

    def device(self, root: Path) -> Path:
        """A device that trusts the shop's key."""
        root.mkdir()
        change_trust(root, trust=[self.secret.public])
        return root


@pytest.fixture
def shop(tmp_path) -> Shop:
    """A shop of one's own."""
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(folder)


@pytest.fixture
def device(shop, tmp_path) -> Path:
    """A device that trusts the shop's key, with nothing installed."""
    return shop.device(tmp_path / "device")


def tree(root: Path):
    """Every file and link below a folder with what is in it."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = str(path.readlink()) if hasattr(path, "readlink") else "link"
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


@pytest.fixture
def contents():
    """What tells whether anything below a folder has changed."""
    return tree


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """An sshd on loopback."""
    from loopback import start_server

    server = start_server(tmp_path_factory.mktemp("sshd"))
    yield server
    server.close()


class Sender:
    """Flashes bundles to a folder that stands for a device behind ssh."""

    def __init__(self, server, shop, root: Path) -> None:
        self.server, self.shop, self.root = server, shop, root

    def __call__(self, bundle, **options):
        from edgelane.deploy import flash

        return flash(self.server.host, bundle, **{**self.options, **options})

    @property
    def options(self):
        """What reaches the device."""
        return {
            "ssh": self.server.ssh(),
            "root": str(self.root),
            "python": sys.executable,
            "trust": self.shop.secret.public,
            "retries": 0,
        }


@pytest.fixture
def send(server, tmp_path, shop) -> Sender:
    """Flash a bundle."""
    root = tmp_path / "far"
    root.mkdir()
    return Sender(server, shop, root)


@pytest.fixture
def bin(server):
    """Programs that the device finds first; they are gone after the test."""
    yield server.bin
    for path in server.bin.iterdir():
        path.unlink()
