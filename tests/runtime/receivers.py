"""A real receiver of webhooks on loopback that fails in every way that receivers fail."""

import http.server
import json
import ssl
import threading
import time


class Receiver:
    """Takes posts; `answer(number)` gives a status, or seconds to hang as a negative number.

    Attributes:
        got: Bodies of the posts that were taken with 200, as objects.
        tries: `(headers, body)` of all posts.
    """

    def __init__(self, answer=lambda number: 200, port=0, tls=None, headers=None):
        self.answer, self.got, self.tries = answer, [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.tries.append((dict(self.headers), body))
                status = outer.answer(len(outer.tries))
                if status < 0:
                    time.sleep(-status)
                    self.close_connection = True
                    return
                if status == 200:
                    outer.got.append(json.loads(body))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *args):
                pass

        self.http = Server(("127.0.0.1", port), Handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.port = self.http.server_address[1]
        self.scheme = "http" if tls is None else "https"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        host = "localhost" if self.scheme == "https" else "127.0.0.1"
        return f"{self.scheme}://{host}:{self.port}/hook?a=1"

    @property
    def ids(self):
        return [told["id"] for told in self.got]

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
