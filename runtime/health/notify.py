"""Telling systemd how a service is: `sd_notify` without a library.

Source: `sd_notify(3)`, "Notes": a datagram of `KEY=value` lines to the socket that
`NOTIFY_SOCKET` names; a name that begins with `@` is one of Linux' abstract sockets.
"""

import os
import socket
from typing import Mapping, Optional


class Notifier:
    """Tells systemd; does nothing where nobody listens.

    Attributes:
        watchdog_s: Seconds within which systemd wants to hear from us, or None.

    Args:
        environment: Where `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` stand.
    """

    def __init__(self, environment: Optional[Mapping[str, str]] = None) -> None:
        given = os.environ if environment is None else environment
        place = given.get("NOTIFY_SOCKET", "")
        self._place = "\0" + place[1:] if place.startswith("@") else place
        if not place.startswith(("/", "@")):
            self._place = ""
        self.watchdog_s: Optional[float] = None
        wanted = given.get("WATCHDOG_USEC", "")
        # It is meant for one process, and the capture processes inherit it.
        ours = given.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if ours and wanted.isdigit() and int(wanted) > 0:
            self.watchdog_s = int(wanted) / 1e6
        self._status = ""

    def __bool__(self) -> bool:
        return bool(self._place)

    def tell(self, *lines: str) -> bool:
        """Send lines such as `READY=1`; whether they were taken."""
        if not self._place or not lines:
            return False
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.setblocking(False)  # who does not read must not stop us
                line.connect(self._place)
                line.sendall(text.encode("utf-8"))
        except (OSError, ValueError):
            return False
        return True

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows; sent when it changes."""
        if text != self._status and self.tell(f"STATUS={text}"):
            self._status = text
