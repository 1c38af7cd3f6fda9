"""The health endpoint: `/health` and `/metrics` over HTTP, in threads of its own.

It serves whoever may reach the address, and stands up to those who mean no good: each connection
has a few seconds in all, there are never more than a few at a time, and the oldest has to go
where a new one comes.
"""

import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, Tuple

from ...core import UsageError
from .metrics import CONTENT_TYPE
from .settings import Address, parse_listen

MOST_CONNECTIONS = 16
CONNECTION_S = 5.0
LONGEST_PATH = 200


class HealthServer:
    """Serves how a run is.

    Attributes:
        address: Where it listens; the port is the one that was free where 0 was asked for.

    Args:
        listen: Address and port, see `parse_listen`.
        report: Gives what `/health` tells; its `state` decides between 200 and 503.
        metrics: Gives what `/metrics` tells.

    Raises:
        UsageError: The address cannot be listened on.
    """

    def __init__(
        self, listen: str, report: Callable[[], Dict[str, Any]], metrics: Callable[[], str]
    ) -> None:
        wanted = parse_listen(listen)
        try:
            self._http = _Http(wanted, report, metrics)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"health: {wanted} cannot be listened on",
                got=getattr(error, "strerror", None) or error,
                remedy="choose another port, or 0 for one that is free",
            ) from None
        self.address = Address(wanted.host, int(self._http.server_address[1]))
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.2,), name="health", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving, at once."""
        self._http.shutdown()
        self._http.server_close()
        self._http.hang_up(0.0)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(
        self,
        address: Address,
        report: Callable[[], Dict[str, Any]],
        metrics: Callable[[], str],
    ) -> None:
        self.report, self.metrics = report, metrics
        self._open: Dict[socket.socket, float] = {}
        self._guard = threading.Lock()
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        # Unlike the parent's, this asks no name server who we are.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            if len(self._open) >= MOST_CONNECTIONS:
                oldest = min(self._open, key=lambda line: self._open[line])
                del self._open[oldest]
                _hang_up(oldest)
            self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        self.hang_up(CONNECTION_S)

    def hang_up(self, older_s: float) -> None:
        """End connections that have been open for longer."""
        now = time.monotonic()
        with self._guard:
            for line in [k for k, began in self._open.items() if now - began >= older_s]:
                del self._open[line]
                _hang_up(line)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # somebody who hung up; nothing that the run's log should tell


class _Handler(BaseHTTPRequestHandler):
    server_version = "edgelane"
    sys_version = ""
    timeout = CONNECTION_S

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)

    def _answer(self, body: bool) -> None:
        status, kind, content = self._content(self.path[:LONGEST_PATH].split("?")[0])
        data = content.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _content(self, path: str) -> Tuple[int, str, str]:
        server: Any = self.server
        plain = "text/plain; charset=utf-8"
        try:
            if path == "/metrics":
                return 200, CONTENT_TYPE, server.metrics()
            if path in ("/health", "/healthz"):
                report = server.report()
                status = 503 if report["state"] == "failed" else 200
                return status, "application/json", json.dumps(report, indent=1) + "\n"
            if path == "/":
                return 200, plain, "edgelane: /health (JSON), /metrics (Prometheus)\n"
        except Exception as error:  # noqa: BLE001 - told to who asks; the run goes on
            return 500, plain, f"{type(error).__name__}\n"
        return 404, plain, "there are /health and /metrics\n"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        pass


def _hang_up(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
