"""Somebody who watches a live source, for tests."""

import threading
import time

from edgelane.runtime.sources import open_source


class Viewer:
    """Reads a source in a thread, as the run loop does."""

    def __init__(self, uri):
        self.source = open_source(uri, "door")
        self.frames, self.error = [], None
        self.size = self.source.size
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            for frame in self.source:
                assert frame.size == self.size
                self.frames.append((time.monotonic(), frame.timestamp, frame.index, frame.image))
        except Exception as error:
            self.error = error

    def wait(self, condition, limit=15.0):
        until = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < until, self.source.health()
            assert self.error is None, self.error
            time.sleep(0.02)

    def more(self, count=5, limit=15.0):
        seen = len(self.frames)
        self.wait(lambda: len(self.frames) >= seen + count, limit)

    def quiet(self, seconds=0.4, limit=15.0):
        self.wait(lambda: time.monotonic() - self.frames[-1][0] > seconds, limit)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.source.interrupt()
        self.thread.join(2.0)
        self.source.close()
        assert not self.thread.is_alive()
        indices = [f[2] for f in self.frames]
        stamps = [f[1] for f in self.frames]
        assert indices == sorted(set(indices)) and stamps == sorted(stamps)
