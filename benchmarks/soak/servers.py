"""Small real servers on loopback, which can be changed while they serve; here motion JPEG."""

import base64
import contextlib
import socket
import socketserver
import threading
import time
from typing import Any, Tuple


class Server(socketserver.ThreadingTCPServer):
    """On loopback, in threads of this process, over TLS where there is a context for it."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int, handler: Any, context: Any) -> None:
        self.context = context
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", port), handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
            return
        try:
            wrapped = self.context.wrap_socket(request, server_side=True)
        except OSError:
            return  # who does not trust the certificate breaks off here
        with wrapped, contextlib.suppress(OSError):
            super().finish_request(wrapped, client_address)

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.shutdown()
        self.server_close()


class MjpegServer(Server):
    """`http://127.0.0.1:<port>/video.mjpg`: motion JPEG of a bar that moves.

    Attributes, which may be changed while it serves: `size`, `fps`, `silent` (connections stay
    open and nothing comes), `refuse` (a status to answer with), `login`, `kind`.
    """

    def __init__(
        self,
        size: Tuple[int, int] = (320, 240),
        fps: float = 20.0,
        port: int = 0,
        login: str = "",
        context: Any = None,
    ) -> None:
        self.size, self.fps, self.login = size, fps, login
        self.silent, self.refuse = False, 0
        self.kind = "multipart/x-mixed-replace; boundary=frame"
        self.requests = 0
        super().__init__(port, _MjpegHandler, context)

    @property
    def url(self) -> str:
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}/video.mjpg"


class _MjpegHandler(socketserver.StreamRequestHandler):
    server: MjpegServer

    def handle(self) -> None:
        import cv2

        from .clips import bar

        server, lines = self.server, []
        while True:
            line = self.rfile.readline().strip().decode("latin-1")
            if not line:
                break
            lines.append(line)
        if not lines:
            return  # who only connects has asked nothing
        server.requests += 1
        login = base64.b64encode(server.login.encode()).decode()
        if server.login and f"Authorization: Basic {login}" not in lines:
            self.wfile.write(
                b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="c"\r\nContent-Length: 0\r\n\r\n'
            )
            return
        if server.refuse:
            self.wfile.write(f"HTTP/1.1 {server.refuse} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        try:
            self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: {server.kind}\r\n\r\n".encode())
            number = 0
            while not server.ended.is_set():
                if not server.silent:
                    data = cv2.imencode(".jpg", bar(number, server.size))[1].tobytes()
                    self.wfile.write(
                        b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + data + b"\r\n"
                    )
                number += 1
                time.sleep(1 / server.fps)
        except OSError:
            return


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
