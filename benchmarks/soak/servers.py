"""Small real cameras on loopback that can be stopped, slowed, killed: RTSP and motion JPEG.

They play what is encoded already, so they need nothing but the standard library and cost next to
nothing. The RTSP server also runs as a process of its own, see `RtspProcess`.
"""

import base64
import contextlib
import hashlib
import json
import os
import pickle
import re
import select
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

CLOCK_RATE = 90000
_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True)
class Clip:
    """Pictures as RTP payloads, played over and over.

    Attributes:
        codec: `h264`, `h265` or `jpeg`.
        size: `(width, height)` in pixels.
        fps: Pictures a second.
        units: Of each picture the payloads of its packets; the first is a keyframe.
        format: What `a=fmtp` tells of the stream, or nothing.
    """

    codec: str
    size: Tuple[int, int]
    fps: float
    units: Tuple[Tuple[bytes, ...], ...]
    format: str = ""

    @property
    def payload(self) -> int:
        """The payload type."""
        return 26 if self.codec == "jpeg" else 96

    def sdp(self) -> bytes:
        """What DESCRIBE is answered with."""
        names = {"h264": "H264", "h265": "H265", "jpeg": "JPEG"}
        lines = [
            "v=0",
            "o=- 0 0 IN IP4 127.0.0.1",
            "s=camera",
            "c=IN IP4 0.0.0.0",
            "t=0 0",
            f"m=video 0 RTP/AVP {self.payload}",
            f"a=rtpmap:{self.payload} {names[self.codec]}/{CLOCK_RATE}",
            f"a=framerate:{self.fps:g}",
            "a=control:track0",
        ]
        if self.format:
            lines.append(f"a=fmtp:{self.payload} {self.format}")
        return ("\r\n".join(lines) + "\r\n").encode()


class Camera:
    """What a server shows: the same moment for all viewers, whether anybody looks or not.

    Args:
        clip: What is played.
        second: What is played later without a new connection, as when somebody sets another size.
        after: Pictures until then.
    """

    def __init__(self, clip: Clip, second: Optional[Clip] = None, after: int = 0) -> None:
        self.clip, self.second, self.after = clip, second, after
        self.began = self._since = time.monotonic()
        self._base, self._pace = 0.0, 1.0

    @property
    def pace(self) -> float:
        """How fast it plays; 1 is its own rate."""
        return self._pace

    @pace.setter
    def pace(self, pace: float) -> None:
        base = self.position()
        self._base, self._since, self._pace = base, time.monotonic(), pace

    def position(self) -> float:
        """Pictures since the beginning."""
        return self._base + (time.monotonic() - self._since) * self.clip.fps * self._pace

    def unit(self, number: int) -> Tuple[bytes, ...]:
        """Payloads of picture `number`."""
        shown = self.second if self.second is not None and number >= self.after else self.clip
        return shown.units[number % len(shown.units)]

    def packets(self, number: int, sequence: int) -> List[bytes]:
        """RTP packets of picture `number` (RFC 3550)."""
        unit = self.unit(number)
        stamp = int(number * CLOCK_RATE / self.clip.fps) & 0xFFFFFFFF
        made = []
        for at, payload in enumerate(unit):
            kind = self.clip.payload | (0x80 if at == len(unit) - 1 else 0)
            head = struct.pack(">BBHII", 0x80, kind, (sequence + at) & 0xFFFF, stamp, 0x1234)
            made.append(head + payload)
        return made


class _Server(socketserver.ThreadingTCPServer):
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


class RtspServer(_Server):
    """`rtsp://127.0.0.1:<port>/cam` (RFC 2326), over TCP or UDP.

    Attributes, which may be changed while it serves: `camera`, `login`.

    Args:
        camera: What it shows.
        port: 0 for any that is free.
        login: `user:password` that it asks for by Digest.
        only_tcp: Refuse UDP.
        die_after: Packets after which it breaks off, 0 for never.
        context: An `ssl.SSLContext`, then it is `rtsps`.
    """

    def __init__(
        self,
        camera: Camera,
        port: int = 0,
        login: str = "",
        only_tcp: bool = False,
        die_after: int = 0,
        context: Any = None,
    ) -> None:
        self.camera, self.login, self.only_tcp = camera, login, only_tcp
        self.die_after = die_after
        self.asked: List[str] = []
        super().__init__(port, _RtspHandler, context)

    @property
    def url(self) -> str:
        return f"rtsp{'s' if self.context else ''}://127.0.0.1:{self.port}/cam"


class _RtspHandler(socketserver.BaseRequestHandler):
    """One viewer: OPTIONS, DESCRIBE, SETUP over TCP or UDP, PLAY, TEARDOWN, Digest."""

    server: RtspServer

    def handle(self) -> None:
        self.lock, self.playing = threading.Lock(), threading.Event()
        self.udp: Optional[socket.socket] = None
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = self.receive()
                    if not more:
                        return
                    data += more
                    while data[:1] == b"$" and len(data) >= 4:  # receiver reports
                        length = 4 + int.from_bytes(data[2:4], "big")
                        if len(data) < length:
                            break
                        data = data[length:]
                head, _, data = data.partition(b"\r\n\r\n")
                if not self.answer(head.decode("latin-1")):
                    return
        except (OSError, ValueError):
            return
        finally:
            self.playing.clear()
            if self.udp is not None:
                self.udp.close()

    def receive(self) -> bytes:
        if self.server.context is None:
            return self.request.recv(4096)
        # Of a TLS connection only one thread at a time may read or write.
        while not (self.request.pending() or select.select([self.request], [], [], 0.05)[0]):
            if self.server.ended.is_set():
                return b""
        with self.lock:
            return self.request.recv(4096)

    def answer(self, head: str) -> bool:
        first, *rest = head.split("\r\n")
        method, url, _ = first.split(" ")
        headers = {k.strip().lower(): v.strip() for k, _, v in (r.partition(":") for r in rest)}
        reply, body, status = {"CSeq": headers.get("cseq", "0")}, b"", "200 OK"
        server = self.server
        server.asked.append(method)
        del server.asked[:-1000]
        if server.login and method != "OPTIONS" and not self.allowed(method, headers):
            reply["WWW-Authenticate"] = 'Digest realm="camera", nonce="abc"'
            status = "401 Unauthorized"
        elif method == "OPTIONS":
            reply["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
        elif method == "DESCRIBE":
            if "/cam" not in url:
                status = "404 Not Found"
            else:
                body = server.camera.clip.sdp()
                reply["Content-Type"] = "application/sdp"
                reply["Content-Base"] = url.rstrip("/") + "/"
        elif method == "SETUP":
            status = self.set_up(headers.get("transport", ""), reply)
        elif method == "PLAY":
            reply["Session"], reply["Range"] = "1", "npt=0-"
        text = f"RTSP/1.0 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in reply.items())
        if body:
            text += f"Content-Length: {len(body)}\r\n"
        with self.lock:
            self.request.sendall((text + "\r\n").encode() + body)
        if method == "PLAY" and status.startswith("200"):
            self.playing.set()
            threading.Thread(target=self.play, daemon=True).start()
        return method != "TEARDOWN"

    def set_up(self, wanted: str, reply: Dict[str, str]) -> str:
        reply["Session"] = "1"
        if "TCP" in wanted:
            reply["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
            return "200 OK"
        asked = re.search(r"client_port=(\d+)", wanted)
        if self.server.only_tcp or asked is None:
            return "461 Unsupported transport"
        port = int(asked.group(1))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.connect((self.client_address[0], port))
        own = self.udp.getsockname()[1]
        reply["Transport"] = (
            f"RTP/AVP;unicast;client_port={port}-{port + 1};server_port={own}-{own + 1}"
        )
        return "200 OK"

    def allowed(self, method: str, headers: Dict[str, str]) -> bool:
        given = dict(re.findall(r'(\w+)="([^"]*)"', headers.get("authorization", "")))
        user, _, password = self.server.login.partition(":")

        def digest(*parts: str) -> str:
            return hashlib.md5(":".join(parts).encode()).hexdigest()

        right = digest(
            digest(user, "camera", password), "abc", digest(method, given.get("uri", ""))
        )
        return given.get("username") == user and given.get("response") == right

    def play(self) -> None:
        server, camera, sequence = self.server, self.server.camera, 1
        # As a camera: a viewer joins in the middle of a group of pictures.
        number = int(camera.position())
        try:
            while self.playing.is_set() and not server.ended.is_set():
                early = number - camera.position()
                if early > 0:
                    # Not longer, for the pace may change meanwhile.
                    time.sleep(min(early / (camera.clip.fps * camera.pace), 0.1))
                    continue
                for packet in camera.packets(number, sequence):
                    sequence += 1
                    if self.udp is not None:
                        self.udp.send(packet)
                        continue
                    with self.lock:
                        self.request.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                number += 1
                if server.die_after and sequence > server.die_after:
                    self.request.shutdown(socket.SHUT_RDWR)
                    return
        except (OSError, ValueError):
            return


class RtspProcess:
    """The RTSP server as a process that can be stopped, slowed and killed.

    Args:
        clip: What it shows.
        port: 0 for any that is free.
        login: `user:password` that it asks for.
    """

    def __init__(self, clip: Clip, port: int = 0, login: str = "") -> None:
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        data = pickle.dumps((clip, port, login))
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(_LENGTH.pack(len(data)) + data)
        self.process.stdin.flush()
        told = self.process.stdout.readline()
        if not told.strip():
            self.kill()
            raise OSError(f"the RTSP server did not start on port {port}")
        self.port = int(told)
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"

    def tell(self, **changes: Any) -> None:
        """Change `pace` or `login` while it serves."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(changes).encode() + b"\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        """Hang: it keeps its connections and says nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Go on after `stop`."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As when the plug is pulled, but that its kernel still closes what is open."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def __enter__(self) -> "RtspProcess":
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.kill()


class MjpegServer(_Server):
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


def _main() -> None:
    read = sys.stdin.buffer
    clip, port, login = pickle.loads(read.read(_LENGTH.unpack(read.read(_LENGTH.size))[0]))
    # A stream that was killed a moment ago is opened again at the same port.
    server = RtspServer(Camera(clip), port, login)
    print(server.port, flush=True)
    for line in read:
        for key, value in json.loads(line).items():
            setattr(server.camera if key == "pace" else server, key, value)
    os._exit(0)  # whoever started it is gone


if __name__ == "__main__":
    _main()
