"""How long a flash takes and what it sends, to a folder behind an sshd on loopback.

    python -m edgelane.benchmarks.flash

A bundle of 50 MB is made whose weights do not repeat. It is flashed to a device that has nothing,
to one that runs it already, to one that runs a release which shares all of its weights, and to one
to which the connection was cut in the middle. Each is asked for as `edgelane flash` does it, with
keys, signature, golden clip and switch. Needs openssh-server.
"""

import argparse
import contextlib
import getpass
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from ..core import EdgelaneError
from ..deploy import Flashed, flash, make_bundle, new_key, running, write_key
from ..deploy.far import Cut
from ..deploy.keys import SecretKey

LONGEST_S, AGAIN_S, AGAIN_SHARE = 15.0, 3.0, 0.01
CONFIG = """\
pipeline: counting
model: store-person
reference_size: [640, 360]
lines:
  door: {from: [300, 60], to: [330, 340]}
"""


@contextlib.contextmanager
def loopback(folder: Path) -> Iterator[List[str]]:
    """An sshd with keys of its own; the command that reaches it.

    Raises:
        EdgelaneError: There is none on this machine.
    """
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not os.path.exists(sshd) or not shutil.which("ssh"):
        raise EdgelaneError("there is no sshd", remedy="apt install openssh-server")
    for name in ("host", "user"):
        key = str(folder / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kind, text = (folder / "host.pub").read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {kind} {text}\n")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPidFile {folder}/pid\nUsePAM no\n"
        "StrictModes no\nPasswordAuthentication no\n"
    )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    server = subprocess.Popen(
        [sshd, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield ["ssh", "-F", "none", "-p", str(port), "-i", str(folder / "user"),
               "-o", f"UserKnownHostsFile={folder}/known", "-o", "StrictHostKeyChecking=yes",
               "-o", "IdentitiesOnly=yes"]  # fmt: skip
    finally:
        server.terminate()
        server.wait()


def bundles(folder: Path, megabytes: float) -> Tuple[List[Path], SecretKey]:
    """Two versions of a bundle with the same weights beside the detector, and their key."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    count = int(megabytes * 1e6 / 4)
    values = np.random.RandomState(0).standard_normal(count).astype(np.float32)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [count]) for n in "xy")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(values, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / "weights.onnx"))
    config = folder / "store.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    key = new_key()
    path, _ = write_key(folder / "store.key", key)
    made = []
    for version in (1, 2):
        out = folder / f"store-{version}.edgelane"
        variants = [folder / "weights.onnx"]
        made.append(make_bundle(config, out, key=path, variants=variants).path)
    return made, key


def cut_upload(send, bundle: Path, root: Path, share: float) -> float:
    """Send a bundle, and kill ssh when a share of it has gone; the share that had."""
    gone = [0.0]

    def tell(what: str, done: float, of: Optional[float]) -> None:
        if of and what.startswith("sending") and done / of > share and not gone[0]:
            gone[0] = done / of
            for path in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):
                    name, _, rest = path.read_text().partition("(")[2].rpartition(")")
                    if name == "ssh" and int(rest.split()[1]) == os.getpid():
                        os.kill(int(path.parent.name), signal.SIGKILL)

    with contextlib.suppress(Cut):
        send(bundle, root, retries=0, tell=tell)
    return gone[0]


def main(arguments: Optional[List[str]] = None) -> int:
    """Print times and bytes; 1 where a figure is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=50.0, help="of the bundle")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        ssh = stack.enter_context(loopback(folder))
        (one, two), key = bundles(folder, options.megabytes)

        def send(bundle: Path, root: Path, **more) -> Flashed:
            root.mkdir(exist_ok=True)
            done = flash(f"{getpass.getuser()}@127.0.0.1", bundle, root=str(root), ssh=ssh,
                         python=sys.executable, trust=key.public, **more)  # fmt: skip
            assert running(root).id == done.release
            return done

        found = []
        for number in range(options.repeats):
            root = folder / f"device-{number}"
            row = [send(one, root), send(one, root), send(two, root)]
            half = folder / f"half-{number}"
            gone = cut_upload(send, one, half, 0.5)
            row.append(send(one, half))
            found.append((row, gone))
        size = one.stat().st_size
    print(
        f"bundle of {size / 1e6:.1f} MB, median of {options.repeats}, golden clip and switch in\n"
    )
    titles = ("device that has nothing", "the same again", "next version, same weights",
              f"after a cut at {100 * found[0][1]:.0f} %")  # fmt: skip
    print(f"{'':30}{'time':>9}{'sent':>12}{'share':>9}")
    medians = []
    for column, title in enumerate(titles):
        rows = [row[column] for row, _ in found]
        seconds = statistics.median(row.seconds for row in rows)
        sent = statistics.median(row.sent for row in rows)
        medians.append((seconds, sent))
        print(f"{title:30}{seconds:7.2f} s{sent / 1e6:9.3f} MB{100 * sent / size:7.2f} %")
    states = [row.state for row in found[0][0]]
    kept = medians[0][0] <= LONGEST_S and medians[1][0] <= AGAIN_S
    kept = kept and medians[1][1] <= AGAIN_SHARE * size
    kept = kept and states == ["installed", "unchanged", "installed", "installed"]
    print(f"\nasked for  {LONGEST_S:.0f} s; again {AGAIN_S:.0f} s and {100 * AGAIN_SHARE:.0f} %")
    print(f"kept       {'yes' if kept else 'no'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
