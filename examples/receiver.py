"""Takes events of a webhook, checks that they are ours, and counts each once.

    edgelane secret set hook                # the same word on both machines
    python examples/receiver.py 8080        # asks for it

and in the config of the run

    webhooks: [{url: "http://127.0.0.1:8080/", events: [crossing], secret: hook}]

A webhook delivers at least once: after a failure the same event may come again, under its own id.
"""

import json
import sys
from getpass import getpass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, Set

from edgelane.runtime.webhooks.signing import HEADER, verify

LARGEST = 1 << 20


class Counter:
    """Counts crossings by line and direction."""

    def __init__(self) -> None:
        self.known: Set[str] = set()
        self.counts: Dict[str, int] = {}

    def take(self, event: Dict[str, Any]) -> bool:
        """Count an event; False where it is known already."""
        if event["id"] in self.known:
            return False
        self.known.add(event["id"])
        payload = event["payload"]
        key = f"{payload.get('line')} {payload.get('direction')}"
        self.counts[key] = self.counts.get(key, 0) + 1
        return True


def make_server(port: int, secret: str, counter: Counter) -> ThreadingHTTPServer:
    """A server on this machine that counts what is signed with the secret."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(min(length, LARGEST))
            if not verify(body, self.headers.get(HEADER) or "", secret):
                self.send_error(401)
                return
            counter.take(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    made = Counter()
    server = make_server(int(sys.argv[1]), getpass("secret: "), made)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print(json.dumps(made.counts))
