"""Small real servers for tests of live sources: RTSP (H.264 by PyAV), motion JPEG, and a proxy
that drops, delays and cuts. All on loopback.

The RTSP server is also a program, so that a test can stop and kill it:
`python servers.py --port 8554 --fps 20 --size 320x240`, which prints its port when it listens.
"""

import argparse
import base64
import hashlib
import os
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

import numpy as np


def picture(number, size):
    """A picture with a bright bar that moves: `(h, w, 3)` uint8."""
    width, height = size
    image = np.full((height, width, 3), 60, np.uint8)
    left = 8 * number % (width - 16)
    image[:, left : left + 16] = 220
    return image


def encode(size, fps, gop, count):
    """Pictures as H.264 access units: a list of lists of NAL units, the first a keyframe."""
    import av

    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height = size
    codec.pix_fmt = "yuv420p"
    from fractions import Fraction

    codec.time_base = Fraction(1, int(fps))
    codec.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": f"repeat-headers=1:keyint={gop}:min-keyint={gop}:scenecut=0:threads=1",
    }
    units = []
    frames = [
        av.VideoFrame.from_ndarray(picture(i, size), format="bgr24").reformat(format="yuv420p")
        for i in range(count)
    ]
    for i, frame in enumerate(frames):
        frame.pts = i
        for packet in codec.encode(frame):
            units.append(split(bytes(packet)))
    for packet in codec.encode(None):
        units.append(split(bytes(packet)))
    return units


def split(data):
    """NAL units of an Annex B byte stream."""
    return [p.rstrip(b"\0") for p in re.split(b"\0\0\0?\1", data) if p]


def packets(units, number, stamp, ssrc=0x1234):
    """RTP packets of one access unit (RFC 6184); gives them and the next sequence number."""
    result = []
    for at, nal in enumerate(units):
        pieces = [nal]
        if len(nal) > 1300:
            head, body = nal[0], nal[1:]
            parts = [body[i : i + 1300] for i in range(0, len(body), 1300)]
            pieces = []
            for i, part in enumerate(parts):
                flags = (0x80 if i == 0 else 0) | (0x40 if i == len(parts) - 1 else 0)
                pieces.append(bytes([(head & 0xE0) | 28, flags | (head & 31)]) + part)
        for i, piece in enumerate(pieces):
            last = at == len(units) - 1 and i == len(pieces) - 1
            header = struct.pack(
                ">BBHII",
                0x80,
                96 | (0x80 if last else 0),
                number & 0xFFFF,
                stamp & 0xFFFFFFFF,
                ssrc,
            )
            result.append(header + piece)
            number += 1
    return result, number


class Camera:
    """What a server shows: encoded once, played in a loop, the same moment for all viewers."""

    def __init__(self, size=(320, 240), fps=20.0, gop=10, second=None, after=0):
        self.fps, self.gop = fps, gop
        self.sets = [encode(size, fps, gop, 4 * gop)]
        if second:
            self.sets.append(encode(second, fps, gop, 4 * gop))
        self.after = after  # frames until the second size is shown
        self.began = time.monotonic()

    def units(self, number):
        which = len(self.sets) > 1 and number >= self.after
        units = self.sets[which]
        return units[number % len(units)]

    def headers(self):
        sps = next(n for n in self.sets[0][0] if n[0] & 31 == 7)
        pps = next(n for n in self.sets[0][0] if n[0] & 31 == 8)
        return sps, pps


def sdp(camera):
    sps, pps = camera.headers()
    sets = ",".join(base64.b64encode(x).decode() for x in (sps, pps))
    return (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n"
        f"a=fmtp:96 packetization-mode=1;profile-level-id={sps[1:4].hex()};"
        f"sprop-parameter-sets={sets}\r\n"
    ).encode()


class RtspHandler(socketserver.BaseRequestHandler):
    """One viewer: OPTIONS, DESCRIBE, SETUP over TCP or UDP, PLAY, TEARDOWN, Digest."""

    def handle(self):
        self.lock, self.playing, self.udp = threading.Lock(), threading.Event(), None
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = self.request.recv(4096)
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
        except OSError:
            return
        finally:
            self.playing.clear()

    def answer(self, head):
        first, *rest = head.split("\r\n")
        method, url, _ = first.split(" ")
        headers = {k.strip().lower(): v.strip() for k, _, v in (r.partition(":") for r in rest)}
        reply, body, status = {"CSeq": headers.get("cseq", "0")}, b"", "200 OK"
        server = self.server
        server.asked.append(method)
        if server.login and method != "OPTIONS" and not self.allowed(method, headers):
            reply["WWW-Authenticate"] = 'Digest realm="camera", nonce="abc"'
            status = "401 Unauthorized"
        elif method == "OPTIONS":
            reply["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
        elif method == "DESCRIBE":
            if "/cam" not in url:
                status = "404 Not Found"
            else:
                body = sdp(server.camera)
                reply["Content-Type"] = "application/sdp"
                reply["Content-Base"] = url.rstrip("/") + "/"
        elif method == "SETUP":
            wanted = headers.get("transport", "")
            reply["Session"] = "1"
            if "TCP" in wanted:
                reply["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
            elif server.only_tcp:
                status = "461 Unsupported transport"
            else:
                port = int(re.search(r"client_port=(\d+)", wanted).group(1))
                self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.udp.bind(("127.0.0.1", 0))
                self.udp.connect((self.client_address[0], port))
                own = self.udp.getsockname()[1]
                reply["Transport"] = (
                    f"RTP/AVP;unicast;client_port={port}-{port + 1};server_port={own}-{own + 1}"
                )
        elif method == "PLAY":
            reply["Session"], reply["Range"] = "1", "npt=0-"
        text = f"RTSP/1.0 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in reply.items())
        if body:
            text += f"Content-Length: {len(body)}\r\n"
        with self.lock:
            self.request.sendall((text + "\r\n").encode() + body)
        if method == "PLAY":
            self.playing.set()
            threading.Thread(target=self.play, daemon=True).start()
        return method != "TEARDOWN"

    def allowed(self, method, headers):
        given = dict(re.findall(r'(\w+)="([^"]*)"', headers.get("authorization", "")))
        user, _, password = self.server.login.partition(":")

        def digest(*parts):
            return hashlib.md5(":".join(parts).encode()).hexdigest()

        right = digest(
            digest(user, "camera", password), "abc", digest(method, given.get("uri", ""))
        )
        return given.get("username") == user and given.get("response") == right

    def play(self):
        camera, sequence = self.server.camera, 1
        # As a camera: a viewer joins in the middle of a group of pictures.
        number = int((time.monotonic() - camera.began) * camera.fps)
        try:
            while self.playing.is_set():
                late = time.monotonic() - camera.began - number / camera.fps
                if late < 0:
                    time.sleep(-late)
                stamp = int(number * 90000 / camera.fps)
                several, sequence = packets(camera.units(number), sequence, stamp)
                for packet in several:
                    if self.udp is not None:
                        self.udp.send(packet)
                        continue
                    with self.lock:
                        self.request.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                number += 1
                if self.server.die_after and sequence > self.server.die_after:
                    self.request.shutdown(socket.SHUT_RDWR)
                    return
        except OSError:
            return


class RtspServer(socketserver.ThreadingTCPServer):
    """`rtsp://127.0.0.1:<port>/cam`, in threads of this process."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, camera, port=0, login="", only_tcp=False, die_after=0):
        self.camera, self.login, self.only_tcp = camera, login, only_tcp
        self.die_after, self.asked = die_after, []
        super().__init__(("127.0.0.1", port), RtspHandler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"rtsp://127.0.0.1:{self.server_address[1]}/cam"

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


class RtspProcess:
    """The RTSP server as a process that can be stopped and killed."""

    def __init__(self, port=0, **options):
        command = [sys.executable, os.path.abspath(__file__), "--port", str(port)]
        for key, value in options.items():
            command += [f"--{key.replace('_', '-')}", str(value)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.kill()


class MjpegServer(socketserver.ThreadingTCPServer):
    """`http://127.0.0.1:<port>/video.mjpg`: motion JPEG.

    Attributes, which a test may change while it serves: `size`, `fps`, `silent` (connections
    stay open and nothing comes), `refuse` (a status to answer with), `login`, `kind`.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, size=(320, 240), fps=20.0, port=0, login=""):
        self.size, self.fps, self.login = size, fps, login
        self.silent, self.refuse = False, 0
        self.kind = "multipart/x-mixed-replace; boundary=frame"
        self.requests = 0
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", port), _MjpegHandler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/video.mjpg"

    def __exit__(self, *error):
        self.ended.set()
        self.shutdown()
        self.server_close()


class _MjpegHandler(socketserver.StreamRequestHandler):
    def handle(self):
        import cv2

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
                    data = cv2.imencode(".jpg", picture(number, server.size))[1].tobytes()
                    self.wfile.write(
                        b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + data + b"\r\n"
                    )
                number += 1
                time.sleep(1 / server.fps)
        except OSError:
            return


class Proxy:
    """TCP from a port of its own to a server, with faults.

    Attributes, which a test may change: `target` port; `hold` (bytes are kept back and
    connections stay open: half-open); `delay` seconds for every piece; `refuse` (new connections
    are closed at once).
    """

    def __init__(self, target):
        self.target, self.hold, self.delay, self.refuse = target, False, 0.0, False
        self.connections = 0
        self._pairs, self._ended = [], threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self._ended.is_set():
            try:
                near, _ = self._listener.accept()
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
            self._pairs.append((near, far))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near, far):
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
                    (far if side is near else near).sendall(data)
        except (OSError, ValueError):
            return
        finally:
            near.close()
            far.close()

    def cut(self):
        """Reset all connections."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for side in pair:
                try:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    side.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()
        self.cut()


def _main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fps", type=float, default=20.0)
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--second", default="")
    parser.add_argument("--after", type=int, default=0)
    parser.add_argument("--gop", type=int, default=10)
    parser.add_argument("--login", default="")
    given = parser.parse_args()
    sizes = [tuple(map(int, s.split("x"))) for s in (given.size, given.second) if s]
    camera = Camera(
        sizes[0], given.fps, given.gop, sizes[1] if len(sizes) > 1 else None, given.after
    )
    server = RtspServer(camera, given.port, given.login)
    print(server.server_address[1], flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    _main()
