"""A release flashed to an aarch64 machine that is emulated, and its answers beside this machine's.

    sudo python -m edgelane.benchmarks.rehearsal --root /var/tmp/arm64

makes a Debian for arm64 with debootstrap and qemu-user (ten minutes, once; both are Debian
packages), starts its own sshd on loopback, fetches aarch64 wheels, makes a bundle, brings it
there with `edgelane flash`, and runs the release there and here on the same pictures. Detections
must agree to 1e-3, events must be the same.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np

from ..core import EdgelaneError, MissingDependency

SUITE, TARGET = "bookworm", "cp311-aarch64"
PACKAGES = "python3,python3-venv,openssh-server,libgl1,libglib2.0-0"
FPS, SECONDS = 10, 6
TOLERANCE = 1e-3
CONFIG = """\
pipeline: counting
model: store-person
classes: [person]
source: {source}
reference_size: [640, 360]
lines:
  door: {{from: [200, 200], to: [440, 200]}}
zones:
  floor: {{polygon: [[100, 100], [540, 100], [540, 350], [100, 350]]}}
"""


def make_root(root: Path) -> None:
    """Make the arm64 system, unless it is there.

    Raises:
        MissingDependency: qemu or debootstrap is not installed.
        EdgelaneError: This is not root, or a step failed.
    """
    if os.geteuid() != 0:
        raise EdgelaneError("a system can only be made as root", remedy="run it with sudo")
    qemu = shutil.which("qemu-aarch64-static")
    if qemu is None or shutil.which("debootstrap") is None:
        raise MissingDependency(
            "an aarch64 machine needs debootstrap and qemu",
            remedy="apt install debootstrap qemu-user-static binfmt-support",
        )
    formats = Path("/proc/sys/fs/binfmt_misc")
    if not (formats / "register").exists():
        _must(["mount", "-t", "binfmt_misc", "binfmt_misc", str(formats)])
    if not (formats / "qemu-aarch64").exists():
        _must(["update-binfmts", "--enable", "qemu-aarch64"])
    if (root / "usr/sbin/sshd").exists() and not (root / "debootstrap").exists():
        return
    print(f"making {root}, which takes minutes", file=sys.stderr)
    if not (root / "debootstrap").exists():
        _must(["debootstrap", "--arch=arm64", "--foreign", "--variant=minbase",
               f"--include={PACKAGES}", SUITE, str(root)])  # fmt: skip
    shutil.copy(qemu, str(root / "usr/bin"))
    _must(["chroot", str(root), "/debootstrap/debootstrap", "--second-stage"])


@contextlib.contextmanager
def reachable(root: Path, keys: Path) -> Iterator[List[str]]:
    """The system's sshd while it runs; the `ssh` command that reaches it as root@127.0.0.1."""
    with contextlib.ExitStack() as stack:
        for kind, place in (("proc", "proc"), ("devtmpfs", "dev")):
            if not os.path.ismount(str(root / place)):
                _must(["mount", "-t", kind, kind, str(root / place)])
                stack.callback(_run, ["umount", "-l", str(root / place)])
        for name in ("login", "host"):
            _must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)])
        (root / "run/sshd").mkdir(parents=True, exist_ok=True)
        (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
        shutil.copy(str(keys / "login.pub"), str(root / "root/.ssh/authorized_keys"))
        shutil.copy(str(keys / "host"), str(root / "etc/ssh/rehearsal_host"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        lines = [f"Port {port}", "ListenAddress 127.0.0.1", "HostKey /etc/ssh/rehearsal_host",
                 "UsePAM no", "StrictModes no", "PasswordAuthentication no",
                 "PermitRootLogin prohibit-password", "Subsystem sftp internal-sftp"]  # fmt: skip
        (root / "etc/ssh/rehearsal.conf").write_text("\n".join(lines) + "\n")
        server = subprocess.Popen(
            ["chroot", str(root), "/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/rehearsal.conf"],
            stderr=open(str(keys / "sshd.log"), "wb"),  # noqa: SIM115 - it is the server's
        )
        stack.callback(server.wait)
        stack.callback(server.terminate)
        (keys / "known").write_text(f"[127.0.0.1]:{port} {(keys / 'host.pub').read_text()}")
        ssh = ["ssh", "-p", str(port), "-i", str(keys / "login"), "-o", "BatchMode=yes"]
        ssh += ["-o", f"UserKnownHostsFile={keys / 'known'}", "-o", "StrictHostKeyChecking=yes"]
        ssh += ["-o", "LogLevel=ERROR"]
        for _ in range(60):
            if _run([*ssh, "root@127.0.0.1", "true"]) == 0:
                break
            time.sleep(1.0)
        else:
            raise EdgelaneError("the emulated sshd does not answer", got=str(keys / "sshd.log"))
        yield ssh


def write_pictures(folder: Path, seconds: int = SECONDS) -> None:
    """A short film of the rendered store, a PNG a frame, so that no codec differs."""
    import cv2

    from ..runtime.sources import open_source

    folder.mkdir()
    uri = f"synth://store?seed=3&people=8&fps={FPS}&seconds={seconds}&size=640x360&room=wide"
    with open_source(uri) as source:
        for frame in source:
            cv2.imwrite(str(folder / f"{frame.index:04d}.png"), frame.image)


def compare(here: Path, there: Path) -> Dict[str, Any]:
    """Detections and events of two run folders.

    Returns:
        `detections` of each, the largest differences of `box` in pixels and `score`, and whether
        `events` are the same, with how many there are.
    """
    from ..runtime.journal import Journal
    from ..runtime.mot import read_mot

    sides = [list(read_mot(folder / "detections.txt")) for folder in (here, there)]
    counts = [sum(len(d) for d in side) for side in sides]
    box = score = 0.0
    same = len(sides[0]) == len(sides[1])
    for one, other in zip(*sides):
        if len(one) != len(other):
            same = False
            continue
        if len(one):
            # Of two that score alike either may come first.
            a, b = (d.xyxy[np.lexsort(np.round(d.xyxy, 1).T)] for d in (one, other))
            box = max(box, float(np.abs(a - b).max()))
            score = max(score, float(np.abs(np.sort(one.score) - np.sort(other.score)).max()))
    events = []
    for folder in (here, there):
        with Journal(folder / "events.db", readonly=True) as journal:
            told = [(e.camera, e.timestamp, e.kind, e.payload) for e in journal.events()]
        events.append(told)
    return {
        "detections": counts,
        "same_detections": same,
        "box": box,
        "score": score,
        "events": [len(side) for side in events],
        "same_events": events[0] == events[1],
    }


def rehearse(root: Path, scratch: Path, wheels: Optional[Path]) -> Dict[str, Any]:
    """The whole rehearsal; see the module."""
    from ..deploy import fetch_wheels, flash, make_bundle, new_key, write_key

    make_root(root)
    wheels = wheels or scratch / "wheels"
    fetch_wheels(TARGET, wheels)
    pictures = scratch / "pictures"
    write_pictures(pictures)
    secret = new_key()
    key, _ = write_key(scratch / "rehearsal.key", secret)
    (scratch / "store.yaml").write_text(CONFIG.format(source="rtsp://10.0.0.5/door"))
    bundle = make_bundle(scratch / "store.yaml", scratch / "store-1.edgelane", key=key,
                         wheels=[wheels])  # fmt: skip
    told: Dict[str, Any] = {"bundle_mb": round(bundle.size / 1e6, 1)}
    for place in ("opt/edgelane", "var/lib/edgelane", "etc/edgelane", "root/check"):
        shutil.rmtree(str(root / place), ignore_errors=True)
    with reachable(root, scratch) as ssh:
        say = _Say()
        first = flash("root@127.0.0.1", bundle.path, ssh=ssh, trust=secret.public, tell=say,
                      options=["--no-cameras"])  # fmt: skip
        again = flash("root@127.0.0.1", bundle.path, ssh=ssh, tell=say, options=["--no-cameras"])
        told.update(
            flash_s=round(first.seconds, 1), state=first.state, device=first.device,
            again_s=round(again.seconds, 1), again_sent=again.sent,
            tested=first.installed.get("tested"),
        )  # fmt: skip
        check = root / "root/check"
        check.mkdir()
        shutil.copytree(str(pictures), str(check / "pictures"))
        text = CONFIG.format(source=f"pictures?fps={FPS}")
        (check / "check.yaml").write_text(text)
        begun = time.perf_counter()
        _must([*ssh, "root@127.0.0.1", "cd /root/check && /opt/edgelane/current/edgelane run "
               "check.yaml --out run --detections --quiet"])  # fmt: skip
        told["run_s"] = round(time.perf_counter() - begun, 1)
        (scratch / "check.yaml").write_text(text)
        here = [sys.executable, "-m", "edgelane", "run", str(scratch / "check.yaml")]
        _must([*here, "--out", str(scratch / "run"), "--detections", "--quiet"])
        told.update(compare(scratch / "run", check / "run"))
    told["pass"] = bool(
        told["same_detections"]
        and told["same_events"]
        and max(told["box"], told["score"]) <= TOLERANCE
        and told["detections"][0] > 0
        and told["events"][0] > 0
    )
    return told


class _Say:
    """Tells steps on stderr, each once."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, what: str, done: float, of: Optional[float]) -> None:
        if what != self._last:
            self._last = what
            print(what, file=sys.stderr)


def _run(command: List[str]) -> int:
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


def _must(command: List[str]) -> None:
    # What they print is not the answer.
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode:
        raise EdgelaneError(f"{' '.join(command[:3])} failed", got=f"exit {done.returncode}")


def main(arguments: Optional[List[str]] = None) -> int:
    """Print what came of it; exit 1 where the two machines do not agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of the arm64 system")
    parser.add_argument("--wheels", type=Path, help="folder of wheels, kept between rehearsals")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="edgelane-rehearsal-") as scratch:
            told = rehearse(options.root.resolve(), Path(scratch), options.wheels)
    except EdgelaneError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(told))
        return 0 if told["pass"] else 1
    print(f"device      {told['device']}")
    print(f"flash       {told['bundle_mb']} MB in {told['flash_s']} s with its self-test, emulated")
    print(f"again       {told['again_s']} s, {told['again_sent']} bytes")
    print(f"self-test   {told['tested']}")
    print(f"detections  {told['detections'][0]} here, {told['detections'][1]} there")
    print(f"differ by   {told['box']:.2g} px, {told['score']:.2g} of score (asked {TOLERANCE})")
    same = "the same" if told["same_events"] else "NOT the same"
    print(f"events      {told['events'][0]} here, {told['events'][1]} there: {same}")
    print("pass" if told["pass"] else "FAIL")
    return 0 if told["pass"] else 1


if __name__ == "__main__":
    sys.exit(main())
