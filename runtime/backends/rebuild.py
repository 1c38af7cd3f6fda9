"""Building an engine anew in a process of its own, while another backend serves.

A process rather than a thread: a builder takes gigabytes that it never gives back, and one that the
system kills for want of memory must not take the camera with it.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import Any, Callable, Dict, Optional

from ...core import EdgelaneError, ModelError, StorageError

MODULE = "edgelane.runtime.backends.rebuild"


class Rebuild:
    """An engine being built in another process.

    Args:
        onnx: The model.
        engine: The file to write; None for the cache of engines.
        options: What `build_engine` is asked for.
        then: Called in a thread of its own with the path of the engine, or with None and what went
            wrong. Not called after `cancel`.
    """

    def __init__(
        self,
        onnx: str,
        engine: Optional[str],
        options: Dict[str, Any],
        then: Callable[[Optional[str], str], None],
    ) -> None:
        self._then = then
        self._cancelled = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE, onnx, engine or "", json.dumps(options)],
            stdin=subprocess.PIPE,  # it ends when we do, for then this pipe breaks
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
        )
        self._thread = threading.Thread(target=self._wait, name="edgelane-rebuild", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End the build, if it goes on; nothing half-built is left."""
        self._cancelled.set()
        with contextlib.suppress(OSError):
            self._process.terminate()
        if threading.current_thread() is not self._thread:
            self._thread.join(10)

    def join(self, timeout: Optional[float] = None) -> None:
        """Wait until it is done and `then` has returned."""
        self._thread.join(timeout)

    def _wait(self) -> None:
        stdout, stdin = self._process.stdout, self._process.stdin
        assert stdout is not None and stdin is not None
        with stdout, stdin:
            lines = stdout.read().strip().splitlines()
            code = self._process.wait()
        if self._cancelled.is_set():
            return
        answer: Dict[str, str] = {}
        with contextlib.suppress(ValueError, IndexError):
            answer = json.loads(lines[-1])
        if code == 0 and "engine" in answer:
            self._then(answer["engine"], "")
        elif code < 0:
            self._then(None, f"the builder was ended by signal {-code}")
        else:
            self._then(None, answer.get("error") or f"the builder ended with code {code}")


def build(onnx: str, engine: Optional[str], options: Dict[str, Any]) -> str:
    """Build an engine; into the cache where its place cannot be written. Gives its path.

    Raises:
        EdgelaneError: It cannot be built.
    """
    from ..engines import build_engine

    try:
        return os.fspath(build_engine(onnx, engine, **options).path)
    except StorageError:
        if engine is None:
            raise
        return os.fspath(build_engine(onnx, None, **options).path)


def main() -> int:
    """What the other process does; answers with one line of JSON."""
    onnx, engine, options = sys.argv[1:4]
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)  # the cameras come first
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = {"engine": build(onnx, engine or None, json.loads(options))}
    except EdgelaneError as error:
        answer = {"error": str(error)}
    except (TypeError, ValueError) as error:  # options of another release of edgelane
        answer = {"error": str(ModelError("the engine cannot be built as it was", got=str(error)))}
    print(json.dumps(answer), flush=True)
    return 0 if "engine" in answer else 1


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
