"""A real HTTP server on loopback that fails in every way that servers and lines fail."""

import contextlib
import http.server
import re
import socket
import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional


class Reply(NamedTuple):
    """What the server does with one request.

    Attributes:
        content: The whole file.
        status: Of the answer; a good one becomes 206 where a range is asked for and known.
        ranges: Whether it knows ranges.
        cut: Bytes of the body after which it closes the line, or None.
        stall: Seconds for which it says nothing after the cut instead of closing.
        length: Whether it says how long the body is.
        more: Bytes that it sends beyond the content, chunked.
        etag: Sent, and compared with If-Range.
        modified: Likewise.
        headers: Further ones.
    """

    content: bytes = b""
    status: int = 200
    ranges: bool = True
    cut: Optional[int] = None
    stall: float = 0.0
    length: bool = True
    more: bytes = b""
    etag: Optional[str] = '"one"'
    modified: Optional[str] = None
    headers: Dict[str, str] = {}


class Server:
    """Answers each request with what `answer(number, path)` gives; `seen` keeps the headers."""

    def __init__(self) -> None:
        self.answer: Callable[[int, str], Reply] = lambda number, path: Reply()
        self.seen: List[Dict[str, str]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen.append({k.lower(): v for k, v in self.headers.items()})
                with contextlib.suppress(OSError):
                    outer._reply(self, outer.answer(len(outer.seen), self.path))

            def log_message(self, *args) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def _reply(self, handler, reply: Reply) -> None:
        if reply.status >= 300:
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        start = 0
        asked = re.match(r"bytes=(\d+)-\Z", handler.headers.get("Range") or "")
        condition = handler.headers.get("If-Range")
        if asked and reply.ranges and condition in (None, reply.etag, reply.modified):
            start = int(asked.group(1))
            if start >= len(reply.content):
                handler.send_response(416)
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206)
            span = f"bytes {start}-{len(reply.content) - 1}/{len(reply.content)}"
            handler.send_header("Content-Range", span)
        else:
            handler.send_response(200)
        for name, value in (("ETag", reply.etag), ("Last-Modified", reply.modified)):
            if value:
                handler.send_header(name, value)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        body = reply.content[start:]
        if reply.length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write((body + reply.more)[: reply.cut])
        handler.wfile.flush()
        if reply.stall:
            time.sleep(reply.stall)
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)
