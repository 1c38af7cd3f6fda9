"""The capture process of one camera: `python -m edgelane.runtime.sources.child LINK MEMORY`.

It connects, decodes and reconnects for ever; whoever started it kills it when it hangs. Both
arguments are file descriptors: a socket of whole messages, and the memory of a `Ring`. The address
comes over the socket, because arguments and environments can be read by every user of the machine.

Messages out: `F` + number + moment for a picture, `S` + JSON for anything else. In: JSON, first
the specification, later `{"size": [width, height]}`; the end of the socket ends the process.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any, Dict, Optional, Tuple

from ...core import EdgelaneError
from .address import mask
from .backoff import Backoff
from .base import resized
from .probe import Away
from .readers import Ended, Picture, connect
from .ring import Ring

FRAME = struct.Struct("=cQd")


class _Outbox:
    """Where pictures and news go."""

    def __init__(self, link: socket.socket, memory: int, size: Optional[Tuple[int, int]]) -> None:
        self._link = link
        self._ring = Ring(memory)
        self._number = 0
        self._from: Tuple[int, int] = (0, 0)
        self.wanted = size
        self._asked = select.poll()
        self._asked.register(link, select.POLLOUT)

    def tell(self, state: str, **more: Any) -> None:
        """Tell how it stands."""
        self._link.sendall(b"S" + json.dumps({"state": state, **more}).encode())

    def put(self, picture: Picture) -> None:
        """Hand on a picture, in the size that is wanted: what follows works in one size."""
        number, self._number = self._number, self._number + 1
        image, wanted = picture.image, self.wanted
        size = (image.shape[1], image.shape[0])
        if wanted is None:
            wanted = self.wanted = size
        if self._ring.size != wanted:
            self.tell("size", size=wanted)
            self._ring.shape(wanted)
        if size != self._from:
            self._from = size
            self.tell("camera", size=size)
        if not self._asked.poll(0):
            return  # nobody takes them at the moment, and what nobody was told is not written
        if size != wanted:
            image = resized(image, wanted)
        self._ring.write(number, image)
        self._link.sendall(FRAME.pack(b"F", number, picture.moment))


def serve(link: socket.socket, memory: int) -> None:
    """Work until the socket ends, the source does, or it cannot work."""
    spec: Dict[str, Any] = json.loads(link.recv(1 << 16))
    outbox = _Outbox(link, memory, tuple(spec["size"]) if spec.get("size") else None)
    threading.Thread(target=_listen, args=(link, outbox), daemon=True).start()
    outbox.tell("started")
    backoff = Backoff(spec["retry_s"], spec["retry_most_s"], spec["stable_s"])
    while True:
        patient = False
        try:
            outbox.tell("connecting")
            _play(spec, outbox, backoff)
        except Ended:
            outbox.tell("ended")
            return
        except Away as away:
            why, patient = str(away), away.patient
        except BrokenPipeError:
            return
        except EdgelaneError as error:
            parts = (error.what, error.got, error.expected, error.remedy)
            texts = [None if part is None else mask(str(part)) for part in parts]
            outbox.tell("failed", kind=type(error).__name__, parts=texts)
            return
        except Exception as error:
            why = f"{type(error).__name__}: {mask(str(error))[:200]}"
        pause = max(backoff.pause(), spec["patient_s"] if patient else 0.0)
        outbox.tell("away", why=mask(why), pause=pause, patient=patient)
        time.sleep(pause)


def _play(spec: Dict[str, Any], outbox: _Outbox, backoff: Backoff) -> None:
    reader = connect(spec)
    try:
        told = False
        while True:
            picture = reader.read()
            if not told:
                outbox.tell("playing", fps=reader.fps)
                told = True
            outbox.put(picture)
            backoff.good(time.monotonic())
    finally:
        reader.close()


def _listen(link: socket.socket, outbox: _Outbox) -> None:
    while True:
        try:
            data = link.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            # A decoder that hangs would keep the process: it has nothing to finish.
            os._exit(0)
        outbox.wanted = tuple(json.loads(data)["size"])


def main() -> None:
    """Entry of the process."""
    # Ctrl-C goes to a terminal's whole group; the run stops this process itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = socket.socket(fileno=int(sys.argv[1]))
    with contextlib.suppress(ConnectionError):
        serve(link, int(sys.argv[2]))
    # Libraries that hang at exit must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
