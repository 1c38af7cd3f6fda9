"""Downloads from a real server on loopback that cuts, stalls, changes and lies."""

import os
import random
import threading
from pathlib import Path

import pytest
from faulty import Reply, Server

from edgelane.core import ModelError, StorageError
from edgelane.runtime.registry import download as module
from edgelane.runtime.registry.download import download

CONTENT = random.Random(7).getrandbits(8 * 300_000).to_bytes(300_000, "little")


@pytest.fixture()
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture()
def part(tmp_path) -> Path:
    return tmp_path / "m.onnx.part"


def get(server, part, path="/m.onnx", **options):
    """Download without waiting between tries; gives the waits that were asked for."""
    waits = []
    options.setdefault("timeout", 5.0)
    download(server.address + path, part, sleep=waits.append, **options)
    return waits


def test_a_good_server_is_asked_once(server, part):
    server.answer = lambda number, path: Reply(CONTENT)
    told = []
    assert get(server, part, report=lambda *state: told.append(state)) == []
    assert part.read_bytes() == CONTENT and len(server.seen) == 1
    assert told[0] == (0, 0, len(CONTENT)) and told[-1] == (len(CONTENT),) * 3


@pytest.mark.parametrize("seed", range(5))
def test_a_line_that_is_cut_anywhere_is_resumed(server, part, seed):
    chance = random.Random(seed)
    server.answer = lambda number, path: Reply(CONTENT, cut=chance.randrange(1, 90_000))
    get(server, part)
    assert part.read_bytes() == CONTENT
    ranges = [seen.get("range") for seen in server.seen]
    assert ranges[0] is None and all(r.startswith("bytes=") for r in ranges[1:])
    assert sum(seen.get("if-range") == '"one"' for seen in server.seen) == len(ranges) - 1


def test_a_server_without_ranges_begins_anew(server, part):
    server.answer = lambda number, path: Reply(
        CONTENT, ranges=False, cut=70_000 if number < 4 else None
    )
    get(server, part)
    assert part.read_bytes() == CONTENT and len(server.seen) == 4


@pytest.mark.parametrize(
    "etag, modified", [('"one"', None), (None, "Mon, 01 Jan 2024 00:00:00 GMT")]
)
def test_a_file_that_changes_in_between_begins_anew(server, part, etag, modified):
    """Two halves of two files are never put together."""
    other = CONTENT[::-1]

    def answer(number, path):
        if number == 1:
            return Reply(CONTENT, cut=100_000, etag=etag, modified=modified)
        changed = etag and '"two"', modified and "Tue, 02 Jan 2024 00:00:00 GMT"
        return Reply(other, etag=changed[0], modified=changed[1])

    server.answer = answer
    get(server, part)
    assert part.read_bytes() == other


def test_a_server_that_ignores_if_range_is_seen_through(server, part):
    """It sends the rest of another file; its ETag or length gives it away."""
    other = CONTENT + b"longer"

    def answer(number, path):
        if number == 1:
            return Reply(CONTENT, cut=100_000, etag=None)
        return Reply(other, etag=None)

    server.answer = answer
    get(server, part)
    assert part.read_bytes() == other and len(server.seen) == 3


def test_nothing_is_resumed_of_which_nothing_is_known(server, part):
    part.write_bytes(b"half of what?")
    server.answer = lambda number, path: Reply(CONTENT)
    get(server, part)
    assert part.read_bytes() == CONTENT and "range" not in server.seen[0]


def test_another_call_goes_on_where_the_first_gave_up(server, part):
    server.answer = lambda number, path: Reply(CONTENT, cut=120_000 if number == 1 else 0)
    with pytest.raises(ModelError, match="120,000 bytes are kept"):
        get(server, part, attempts=3)
    assert part.stat().st_size == 120_000
    server.answer = lambda number, path: Reply(CONTENT)
    get(server, part)
    assert part.read_bytes() == CONTENT
    assert server.seen[-1]["range"] == "bytes=120000-"


def test_a_partial_file_that_is_whole_already_is_not_asked_for(server, part):
    server.answer = lambda number, path: Reply(CONTENT)
    get(server, part)
    get(server, part)
    assert len(server.seen) == 1


def test_a_partial_file_of_another_address_begins_anew(server, part):
    server.answer = lambda number, path: Reply(CONTENT, cut=50_000)
    with pytest.raises(ModelError):
        get(server, part, attempts=1)
    server.answer = lambda number, path: Reply(CONTENT[::-1])
    get(server, part, "/other.onnx")
    assert part.read_bytes() == CONTENT[::-1] and "range" not in server.seen[-1]


def test_a_server_that_falls_silent_is_given_up(server, part):
    server.answer = lambda number, path: Reply(CONTENT, cut=90_000, stall=1.0 if number == 1 else 0)
    get(server, part, timeout=0.2)
    assert part.read_bytes() == CONTENT
    server.answer = lambda number, path: Reply(CONTENT, cut=0, stall=0.6)
    part.unlink()
    with pytest.raises(ModelError, match=r"sent nothing for 0\.1 s"):
        get(server, part, timeout=0.1, attempts=2)
    assert os.listdir(part.parent) == []


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_passing_faults_are_tried_again_with_growing_waits(server, part, status):
    server.answer = lambda number, path: Reply(status=status) if number < 4 else Reply(CONTENT)
    assert get(server, part) == [0.5, 1.0, 2.0]
    assert part.read_bytes() == CONTENT


def test_a_server_may_say_how_long_to_wait(server, part):
    server.answer = lambda number, path: (
        Reply(status=503, headers={"Retry-After": "7"}) if number == 1 else Reply(CONTENT)
    )
    assert get(server, part) == [7.0]


def test_a_server_that_stays_broken_is_given_up(server, part):
    server.answer = lambda number, path: Reply(status=500)
    with pytest.raises(ModelError, match="failed 3 times.*status 500"):
        get(server, part, attempts=3)
    assert len(server.seen) == 3 and os.listdir(part.parent) == []


@pytest.mark.parametrize("status, told", [(404, "no file at"), (410, "no file"), (403, "refuses")])
def test_final_answers_are_told_at_once(server, part, status, told):
    server.answer = lambda number, path: Reply(status=status)
    with pytest.raises(ModelError, match=told):
        get(server, part)
    assert len(server.seen) == 1


def test_redirects_are_followed_with_the_range(server, part):
    def answer(number, path):
        if path == "/m.onnx":
            return Reply(status=302, headers={"Location": "/there.onnx"})
        return Reply(CONTENT, cut=100_000 if number == 2 else None)

    server.answer = answer
    get(server, part)
    assert part.read_bytes() == CONTENT and server.seen[3]["range"] == "bytes=100000-"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/m", "data:,x"])
def test_redirects_out_of_the_web_are_refused(server, part, target):
    server.answer = lambda number, path: Reply(status=302, headers={"Location": target})
    with pytest.raises(ModelError, match="leads somewhere unsafe"):
        get(server, part)
    assert os.listdir(part.parent) == []


def test_a_redirect_from_https_to_http_is_refused():
    import urllib.request

    request = urllib.request.Request("https://host/m.onnx")
    with pytest.raises(ModelError, match="expected https"):
        module._Redirects().redirect_request(request, None, 302, "", {}, "http://host/m.onnx")


def test_circles_are_told(server, part):
    server.answer = lambda number, path: Reply(status=302, headers={"Location": path + "x"})
    with pytest.raises(ModelError, match="round in circles"):
        get(server, part)
    server.answer = lambda number, path: Reply(status=302, headers={"Location": path})
    with pytest.raises(ModelError, match="round in circles"):
        get(server, part)


def test_a_web_page_is_no_model(server, part):
    page = Reply(b"<html>Log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    server.answer = lambda number, path: page
    with pytest.raises(ModelError, match="a web page instead of a model"):
        get(server, part)
    assert os.listdir(part.parent) == []


def test_another_length_than_known_is_told_before_it_is_sent(server, part):
    server.answer = lambda number, path: Reply(CONTENT)
    with pytest.raises(ModelError, match="got 300,000 bytes, expected 5"):
        get(server, part, expected=5)
    assert os.listdir(part.parent) == []


def test_more_than_was_said_is_refused(server, part):
    server.answer = lambda number, path: Reply(CONTENT, length=False, more=b"!")
    with pytest.raises(ModelError, match="sent more than it said"):
        get(server, part, expected=len(CONTENT))
    assert os.listdir(part.parent) == []


def test_what_does_not_end_is_given_up(server, part, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 100_000)
    server.answer = lambda number, path: Reply(CONTENT, length=False)
    with pytest.raises(ModelError, match="at most 100,000"):
        get(server, part)
    server.answer = lambda number, path: Reply(CONTENT)
    with pytest.raises(ModelError, match="too long"):
        get(server, part)


def test_a_length_nobody_says_is_what_came(server, part):
    server.answer = lambda number, path: Reply(CONTENT, length=False)
    get(server, part)
    assert part.read_bytes() == CONTENT


def test_a_full_disk_is_told_before_and_while_it_fills(server, part, monkeypatch):
    server.answer = lambda number, path: Reply(CONTENT)
    free = module.shutil.disk_usage(part.parent)._replace(free=1000)
    with monkeypatch.context() as patched:
        patched.setattr(module.shutil, "disk_usage", lambda path: free)
        with pytest.raises(StorageError, match="too full.*expected 1 MB"):
            get(server, part)
    assert os.listdir(part.parent) == []

    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    part.symlink_to("/dev/full")
    monkeypatch.setattr(module._Download, "_write", lambda self, file, offset, said: None)
    with pytest.raises(StorageError, match="No space left on device"):
        get(server, part)
    assert not part.is_symlink()


def test_nobody_listening_and_no_such_host_are_told(part):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ModelError, match="Connection refused"):
        download(f"http://127.0.0.1:{port}/m", part, attempts=2, sleep=lambda seconds: None)
    with pytest.raises(ModelError, match="cannot be reached.*Check the network"):
        download("http://no-such-host.invalid/m", part, sleep=lambda seconds: None)
    assert os.listdir(part.parent) == []


def test_a_network_that_goes_away_in_the_middle_is_waited_for(server, part, monkeypatch):
    """A name that was found before may be found again: only the first miss is final."""
    import socket

    server.answer = lambda number, path: Reply(CONTENT, cut=100_000 if number == 1 else None)
    real, calls = socket.create_connection, []

    def connect(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(*args, **options)

    monkeypatch.setattr(socket, "create_connection", connect)
    get(server, part)
    assert part.read_bytes() == CONTENT and len(calls) == 3


def test_a_server_that_speaks_no_http_is_told(part):
    import socket

    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for _ in range(2):
            line, _ = listener.accept()
            line.recv(1000)
            line.sendall(b"SSH-2.0-hello\r\n")
            line.close()

    threading.Thread(target=serve, daemon=True).start()
    with pytest.raises(ModelError, match="failed 2 times"):
        download(
            f"http://127.0.0.1:{listener.getsockname()[1]}/m",
            part,
            attempts=2,
            sleep=lambda seconds: None,
        )
    listener.close()
