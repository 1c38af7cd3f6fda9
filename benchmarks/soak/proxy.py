"""TCP through a process of one's own, with faults: no root, no kernel settings."""

import contextlib
import random
import select
import socket
import struct
import threading
import time
from typing import List, Optional, Tuple

_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """TCP from a port of its own to a server, with faults.

    Attributes, which may be changed while it carries: `target` port; `hold` (bytes are kept back
    and connections stay open: half-open); `delay` seconds for every piece; `drop`, the share of
    pieces from the server that get lost, 0..1; `refuse` (new connections are closed at once).

    Args:
        target: Port on loopback.
        seed: Of what gets lost.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target, self.hold, self.delay, self.refuse = target, False, 0.0, False
        self.drop = 0.0
        self.connections = 0
        self._chance = random.Random(seed)
        self._pairs: List[Tuple[socket.socket, socket.socket]] = []
        self._ended = threading.Event()
        self._listener: Optional[socket.socket] = None
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """Take connections, at the port that it had before."""
        listener = self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    @property
    def listening(self) -> bool:
        """Whether it takes connections."""
        return self._listener is not None

    def deaf(self) -> None:
        """Listen no more: who connects is refused by the kernel."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while not self._ended.is_set():
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.refuse:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target), 2)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self._pairs.append((near, far))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        try:
            while not self._ended.is_set():
                if self.hold:
                    time.sleep(0.05)
                    continue
                ready, _, _ = select.select([near, far], [], [], 0.1)
                for side in ready:
                    data = side.recv(65536)
                    if not data:
                        return
                    if self.delay:
                        time.sleep(self.delay)
                    if side is far and self.drop and self._chance.random() < self.drop:
                        continue
                    (far if side is near else near).sendall(data)
        except (OSError, ValueError):
            return
        finally:
            near.close()
            far.close()
            with contextlib.suppress(ValueError):
                self._pairs.remove((near, far))

    def cut(self) -> None:
        """Reset all connections."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    side.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.deaf()
        self.cut()
