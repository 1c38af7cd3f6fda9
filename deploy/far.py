"""A device behind the system's own ssh: one connection, over which it is asked line by line.

Nothing is left on the device for it: the text of `bare` is sent to its bare `python3` and answers
from there. ssh decides whom it trusts, as the user has set it up; a host key that has changed is
told and never overridden.
"""

import contextlib
import json
import os
import pkgutil
import shlex
import signal
import subprocess
import tempfile
import threading
import zlib
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Sequence

from ..core import EdgelaneError, ReleaseError, StorageError, UsageError
from . import bare
from .answers import ANSWERS, plain, understood

OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlPath=none",  # its own connection, so that it ends with what it was for
    "RequestTTY=no",
    "LogLevel=ERROR",
)
MODULES = ("container", "disk", "facts", "wheels", "receive", "serve")
"""Of `bare`, in the order in which they need each other."""

# Reads on until its own first line, for `sudo -S` may have left the password unread.
_LOADER = """\
import sys
i = sys.stdin.buffer
l = b"-"
while l and not l.startswith(b"edgelane "):
    l = i.readline()
exec(__import__("zlib").decompress(i.read(int(l.split()[1])))) if l else None
"""
_RUN = """\
import sys, types
package = types.ModuleType("edgelane_bare")
package.__path__ = []
sys.modules["edgelane_bare"] = package
for name, text in {sources!r}:
    module = types.ModuleType("edgelane_bare." + name)
    module.__package__ = "edgelane_bare"
    sys.modules[module.__name__] = module
    exec(compile(text, "edgelane/" + name, "exec"), module.__dict__)
sys.exit(sys.modules["edgelane_bare.{what}"].main({root}))
"""


class Refused(EdgelaneError):
    """The device needs a password before anything may be changed on it."""


class Cut(EdgelaneError):
    """The connection ended in the middle."""


class Torn(EdgelaneError):
    """What was sent came otherwise than it is."""


def program(root: Optional[str], what: str = "serve", compressed: bool = True) -> bytes:
    """What runs on the far side.

    Args:
        root: The device's root; None for what stands behind its name when it is started.
        what: The module of `bare` that it is, `serve` or `firstboot`.
        compressed: As it is sent, or as text.
    """
    sources = []
    for name in (*MODULES, *([] if what == "serve" else [what])):
        text = pkgutil.get_data(bare.__name__, f"{name}.py")
        assert text is not None
        sources.append((name, text.decode("utf-8")))
    given = repr(root) if root is not None else '(sys.argv[1:] or ["/"])[0]'
    text = _RUN.format(sources=sources, what=what, root=given).encode("utf-8")
    return zlib.compress(text, 9) if compressed else text


class Far:
    """A device behind ssh; use it with `with`.

    Args:
        host: `user@host`, or a name of the user's ssh configuration.
        root: The device's root.
        ssh: The command that reaches it, with its options.
        python: What runs the far side; any Python 3.
        sudo: What stands before it, e.g. `["sudo", "-n"]`.
        password: What `sudo -S` reads.
        timeout_s: How long an answer may take, but for those that are work.

    Attributes:
        sent: Bytes that were sent.

    Raises:
        UsageError: The host makes no sense.
        EdgelaneError: It cannot be reached, does not let the user in, or has no Python.
    """

    def __init__(
        self,
        host: str,
        root: str = "/",
        *,
        ssh: Sequence[str] = ("ssh",),
        python: str = "python3",
        sudo: Sequence[str] = (),
        password: Optional[str] = None,
        timeout_s: float = 60.0,
    ) -> None:
        check_host(host)
        self.host = host
        self.sent = 0
        self._timeout_s = timeout_s
        self._late = False
        options = [part for option in OPTIONS for part in ("-o", option)]
        command = [*map(shlex.quote, sudo), shlex.quote(python), "-c", shlex.quote(_LOADER)]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `close`)
        try:
            self._process = subprocess.Popen(
                [*ssh, *options, host, " ".join(["exec", *command])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is ours to answer
            )
        except OSError as error:
            self._errors.close()
            raise EdgelaneError(
                f"{ssh[0]} cannot be started",
                got=error.strerror,
                remedy="install openssh-client",
            ) from None
        text = program(root)
        first = b"" if password is None else password.encode("utf-8") + b"\n"
        try:
            self._send(first + b"edgelane %d\n" % len(text) + text)
            with self._watched():
                while "edgelane" not in self._answer():
                    pass
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Far":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def _kill(self) -> None:
        """End ssh, and what a command in its place has started."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def ask(self, do: str, **given: Any) -> Dict[str, Any]:
        """Ask the device for something that is quickly answered.

        Raises:
            EdgelaneError: It cannot do it, or is gone.
        """
        with self._watched():
            return self.work(do, **given)

    def work(
        self, do: str, says: Callable[[str], None] = lambda line: None, **given: Any
    ) -> Dict[str, Any]:
        """As `ask`, for what may take long.

        Args:
            do: What to do.
            says: Is given the lines that come meanwhile.
            given: Its arguments.
        """
        self._send(json.dumps({"do": do, **given}).encode("utf-8") + b"\n")
        while True:
            answer = self._answer()
            if "says" not in answer:
                return understood(answer, ANSWERS[do], self.host) if do in ANSWERS else {}
            says(plain(str(answer["says"])))

    def send(
        self, file: BinaryIO, spans: Sequence[Sequence[int]], tell: Callable[[int], None]
    ) -> Dict[str, Any]:
        """Send stretches of a file; `receive` has been begun with `begin`.

        Args:
            file: The file.
            spans: `(start, end)` of each.
            tell: Is given the bytes that have gone.
        """
        gone = 0
        for start, end in spans:
            file.seek(start)
            while start < end:
                block = file.read(min(end - start, 1 << 16))
                if not block:
                    raise ReleaseError("the bundle became shorter while it was sent")
                self._send(block)
                start += len(block)
                gone += len(block)
                tell(gone)
        return understood(self._answer(), ANSWERS["receive"], self.host)

    def begin(self, do: str, **given: Any) -> None:
        """Ask for something that goes on with bytes."""
        self._send(json.dumps({"do": do, **given}).encode("utf-8") + b"\n")

    @contextlib.contextmanager
    def _watched(self):
        """End the connection where an answer does not come."""

        def late() -> None:
            self._late = True
            self._kill()

        timer = threading.Timer(self._timeout_s, late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
            self.sent += len(data)
        except OSError:
            self._answer()  # it may have said why
            raise self._gone() from None

    def _answer(self) -> Dict[str, Any]:
        """The next thing that it says, past what a login shell may print.

        Raises:
            EdgelaneError: What it says is that it cannot, or it is gone.
        """
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            if not line.endswith(b"\n"):
                raise self._gone()
            try:
                answer = json.loads(line.decode("utf-8"))
            except ValueError:
                continue
            if isinstance(answer, dict):
                break
        if "error" not in answer:
            return answer
        text, kind = plain(str(answer["error"])), answer.get("kind")
        where = f" ({plain(str(answer['where']))})" if answer.get("where") else ""
        if kind == "full":
            raise StorageError(
                f"the disk of {self.host} is full{where}",
                got=text,
                remedy="free some space there, then give the same command again: it goes on",
            )
        if kind == "disk":
            raise StorageError(f"{self.host} cannot write{where}", got=text)
        if kind == "torn":
            raise Torn(f"{self.host}: {text}")
        remedy = "wait until it has ended" if "at work" in text else None
        raise ReleaseError(f"{text} on {self.host}", remedy=remedy)

    def _gone(self) -> EdgelaneError:
        """Why the line is dead, from what ssh says."""
        try:
            code: Optional[int] = self._process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        self._errors.seek(0)
        text = self._errors.read().decode("utf-8", "replace")
        said = "\n".join(plain(line) for line in text.strip().splitlines())
        if self._late:
            return EdgelaneError(
                f"{self.host} does not answer",
                got=f"nothing for {self._timeout_s:.0f} s",
                remedy="see that it is up, and try again",
            )
        return why_gone(self.host, code, said)


def check_host(host: str) -> None:
    """Make sure that ssh takes a name for a host and nothing else.

    Raises:
        UsageError: It would not.
    """
    if not host or host.startswith("-") or any(c.isspace() or ord(c) < 32 for c in host):
        raise UsageError("that names no device", got=repr(host), expected="user@host")


def why_gone(host: str, code: Optional[int], said: str) -> EdgelaneError:
    """What ssh's words mean.

    Args:
        host: As the user calls it.
        code: ssh's exit code.
        said: Its error output.
    """
    low, lines = said.lower(), said.splitlines()
    last = lines[-1][:300].rstrip(". ") if lines else ""
    name = host.rpartition("@")[2]
    if "host identification has changed" in low or "offending" in low:
        return EdgelaneError(
            f"the host key of {host} is not the one that is known: nothing was sent",
            got=next((line.strip() for line in lines if "SHA256:" in line), last),
            remedy="if the device was set up anew, forget its old key with ssh-keygen -R "
            f"{name}; if not, somebody stands in between",
        )
    if "host key verification failed" in low or "no matching host key" in low:
        return EdgelaneError(
            f"the host key of {host} is not known: nothing was sent",
            got=last,
            remedy=f"look at it once with ssh {host}, and say yes if it is the device's",
        )
    if "permission denied" in low and code == 255:
        return EdgelaneError(
            f"{host} does not let you in",
            got=last,
            remedy=f"bring your key there with ssh-copy-id {host}, or unlock it with ssh-add",
        )
    if "password is required" in low or "a terminal is required" in low:
        return Refused(f"{host} asks for the password of sudo", got=last)
    if "incorrect password" in low or "try again" in low:
        return EdgelaneError(f"{host} refuses the password of sudo", got=last)
    if code == 127 or "command not found" in low or "no such file or directory" in low:
        return EdgelaneError(
            f"{host} lacks what answers there",
            got=last,
            remedy="install it there: apt install python3",
        )
    if code == 255 and any(w in low for w in ("refused", "resolve", "no route", "unreachable")):
        return EdgelaneError(f"{host} cannot be reached", got=last, remedy="see that it is up")
    if code == 255 and ("timed out" in low or "timeout" in low):
        return EdgelaneError(f"{host} does not answer", got=last, remedy="see that it is up")
    return Cut(
        f"the connection to {host} was cut",
        got=last or f"ssh ended with {code}",
        remedy="give the same command again: it goes on where it was",
    )


def commands(text: str) -> List[str]:
    """The words of a command, as a shell would split them."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError("the command of ssh makes no sense", got=str(error)) from None
    return words or ["ssh"]


def environment_ssh() -> List[str]:
    """The ssh that `EDGELANE_SSH` names, or the system's."""
    return commands(os.environ.get("EDGELANE_SSH", "ssh"))
