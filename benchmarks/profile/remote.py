"""A profile on another machine over the system's ssh: models go there, measurements come home."""

import dataclasses
import hashlib
import io
import json
import shlex
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any, Callable, Dict, List, Optional, Sequence, Tuple

from ...core import EdgelaneError, UsageError
from .journal import Journal
from .measuring import Plan, Row
from .variants import Variant

FOLDER = '"${EDGELANE_PROFILES:-$HOME/.cache/edgelane/profiles}"'
"""Where it is kept there; a sweep that was cut off goes on in it."""


def measure_there(
    host: str,
    plan: Plan,
    journal: Journal,
    *,
    ssh: Sequence[str] = ("ssh",),
    python: str = "python3",
    tell: Callable[[str, float, Optional[float]], None] = lambda what, done, of: None,
) -> Tuple[List[Row], Tuple[str, str]]:
    """Measure a plan on another machine.

    Models and pictures are copied as far as they are not there yet. Each measurement comes home
    as soon as it is made.

    Args:
        host: `user@host`, or a name of the user's ssh configuration.
        plan: What to measure; its models are made here.
        journal: Where measurements go.
        ssh: The command that reaches the host, with its options.
        python: Python there that has edgelane.
        tell: As in `profile`.

    Returns:
        The rows and the machine, as `measure_here` and `this_machine` give them.

    Raises:
        UsageError: The host makes no sense.
        EdgelaneError: It cannot be reached, has no edgelane, or broke off.
    """
    if not host or host.startswith("-") or any(c.isspace() for c in host):
        raise UsageError("--on names no machine", got=repr(host), expected="user@host")
    far = _Far(host, [*ssh])
    content, names = _packed(plan)
    mark = hashlib.sha256("\0".join(names).encode()).hexdigest()[:12]
    folder = f"{FOLDER}/{mark}"
    tell(f"copying to {host}", 0, None)
    far.check(python)
    _copy(far, folder, content, names)
    made = [v for v in plan.variants if v.path is not None]
    lines = far.lines(
        f"cd {folder} && exec {shlex.quote(python)} -m edgelane.benchmarks.profile job.json "
        "--out measured"
    )
    machine: Tuple[str, str] = (host, host)
    rows: List[Row] = []
    ended = False
    for line in lines:
        kind = line.get("kind")
        if kind == "machine":
            name = line["device"]
            machine = (host if name == "this machine" else name, f"{line['machine']} ({host})")
        elif kind == "rows":
            count = max(len(line["rows"]) // max(len(made), 1), 1)
            variants = [v for v in made for _ in range(count)]
            rows = [Row(v, b, k) for v, (b, k) in zip(variants, line["rows"])]
        elif kind == "progress":
            tell(f"measuring on {host}", line["done"], line["of"])
        elif kind == "end":
            ended = True
        else:
            journal.append(line)
    if not ended:
        raise EdgelaneError(
            f"the profile on {host} broke off", got=far.said() or None,
            remedy="what was measured is kept: give the same command again to go on",
        )  # fmt: skip
    lost = [Row(v, "", f"{v.model}#none") for v in plan.variants if v.path is None]
    return [*rows, *lost], machine


def _packed(plan: Plan) -> Tuple[Dict[str, bytes], List[str]]:
    """The files that go there by name, the job among them, and names that tell their content."""
    files: Dict[str, bytes] = {}
    names: List[str] = []

    def add(path: Path, folder: str, exact: Optional[str] = None) -> str:
        content = path.read_bytes()
        mark = hashlib.sha256(content).hexdigest()[:16]
        name = exact or f"{folder}/{mark}-{path.name}"
        if name not in files:
            files[name] = content
            names.append(f"{name}:{mark}")
        return name

    variants: List[Dict[str, Any]] = []
    for variant in plan.variants:
        if variant.path is None:
            continue
        moved: Variant = dataclasses.replace(
            variant, path=add(Path(variant.path), "models"), source=Path(variant.source).name
        )
        variants.append(moved.to_dict())
    data = plan.data.to_dict()
    inner = "*/*" if plan.data.kinds else "*"
    for path in sorted(plan.data.images.glob(inner)):
        if path.is_file():
            add(path, "images", f"images/{path.relative_to(plan.data.images).as_posix()}")
    data["images"] = "images"
    if plan.data.annotations is not None:
        data["annotations"] = add(plan.data.annotations, ".", "annotations.json")
    if plan.data.labels is not None:
        for path in sorted(plan.data.labels.iterdir()):
            if path.is_file():
                add(path, "labels", f"labels/{path.name}")
        data["labels"] = "labels"
    job = {
        "variants": variants,
        "data": data,
        "plan": {
            "backends": list(plan.backends),
            "repeats": plan.repeats,
            "seconds": plan.seconds,
            "threads": plan.threads,
            "task": plan.task,
            "decoder": plan.decoder,
            "accuracy": plan.accuracy,
        },
    }
    files["job.json"] = json.dumps(job).encode()
    return files, names


def _copy(far: "_Far", folder: str, files: Dict[str, bytes], names: Sequence[str]) -> None:
    """Bring what is not there yet, as one archive."""
    far.run(f"mkdir -p {folder}")
    there = far.run(f"cd {folder} && find . -type f -size +0 | head -100000").splitlines()
    known = {name[2:] if name.startswith("./") else name for name in there}
    with tempfile.TemporaryFile() as spool:
        with tarfile.open(fileobj=spool, mode="w") as archive:
            for name, content in files.items():
                if name in known and name != "job.json":
                    continue
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o644
                archive.addfile(info, io.BytesIO(content))
        spool.seek(0)
        # Unpacked beside and moved into place, so that a copy that breaks off leaves no half file.
        far.run(
            f"cd {folder} && rm -rf .new && mkdir .new && tar -xf - -C .new && "
            "cp -a .new/. . && rm -rf .new",
            spool,
        )


class _Far:
    """A machine behind ssh."""

    def __init__(self, host: str, ssh: List[str]) -> None:
        self.host = host
        self._command = [*ssh, "-o", "BatchMode=yes", host]
        self._said: List[str] = []

    def said(self) -> str:
        """The last thing that it said on its error output."""
        return self._said[-1][:300] if self._said else ""

    def check(self, python: str) -> None:
        """Make sure that edgelane is there.

        Raises:
            EdgelaneError: It is not, or the machine cannot be reached.
        """
        try:
            self.run(f"{shlex.quote(python)} -c 'import edgelane.benchmarks.profile.worker'")
        except EdgelaneError:
            if "No module named" not in self.said() and "not found" not in self.said():
                raise
            raise EdgelaneError(
                f"{python} on {self.host} has no edgelane", got=self.said(),
                remedy="install it there, or name another with --remote-python",
            ) from None  # fmt: skip

    def run(self, command: str, stdin: Optional[IO[bytes]] = None) -> str:
        """What a command prints.

        Raises:
            EdgelaneError: It fails, or the machine cannot be reached.
        """
        done = self._start(command, stdin=subprocess.DEVNULL if stdin is None else stdin, run=True)
        self._said = done.stderr.decode(errors="replace").strip().splitlines()
        if done.returncode:
            what = f"{self.host} cannot be reached" if done.returncode == 255 else (
                f"a command failed on {self.host}")  # fmt: skip
            raise EdgelaneError(what, got=self.said() or f"exit code {done.returncode}")
        return done.stdout.decode(errors="replace")

    def lines(self, command: str) -> Any:
        """The lines of JSON that a command prints, as they come."""
        with tempfile.TemporaryFile() as errors:
            process = self._start(command, stdin=subprocess.DEVNULL, stderr=errors)
            try:
                for text in process.stdout:
                    try:
                        line = json.loads(text.decode("utf-8"))
                    except ValueError:
                        continue
                    if isinstance(line, dict):
                        yield line
                process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
                process.stdout.close()
                errors.seek(0)
                self._said = errors.read().decode(errors="replace").strip().splitlines()

    def _start(self, command: str, *, stdin: Any, stderr: Any = subprocess.PIPE, run: bool = False):
        start: Any = subprocess.run if run else subprocess.Popen
        try:
            return start(
                [*self._command, command], stdin=stdin, stdout=subprocess.PIPE, stderr=stderr
            )
        except OSError as error:
            raise EdgelaneError(
                f"{self._command[0]} cannot be started", got=error.strerror,
                remedy="install openssh-client",
            ) from None  # fmt: skip
