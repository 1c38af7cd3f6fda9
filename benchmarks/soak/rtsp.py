"""A small RTSP server on loopback that can be stopped, slowed, killed.

It plays what is encoded already, so it needs nothing but the standard library and costs next to
nothing. As a process of its own it is `RtspProcess`.
"""

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
from typing import Any, Dict, List, Optional

from .played import Camera, Clip
from .servers import Server

_LENGTH = struct.Struct(">Q")


class RtspServer(Server):
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
