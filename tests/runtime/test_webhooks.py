"""Webhooks against real receivers: at least once, in order, signed, and never in the way."""
# ruff: noqa: SIM117 - a receiver and a run one after the other read better apart

import json
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgelane.core import ConfigError, Event, StorageError
from edgelane.runtime import secrets
from edgelane.runtime.journal import Journal
from edgelane.runtime.loop import Step
from edgelane.runtime.webhooks import sender as sending
from edgelane.runtime.webhooks.outbox import Outbox
from edgelane.runtime.webhooks.settings import WebhookSettings
from edgelane.runtime.webhooks.signing import sign, verify
from edgelane.runtime.webhooks.webhooks import Webhooks

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contextlib

from receivers import Receiver  # noqa: E402


def crossing(number, camera="door"):
    return Event(camera, 1.7e9 + number, "crossing", {"line": "door", "direction": "in"})


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Pauses as short as a test wants them."""
    monkeypatch.setattr(sending, "FIRST_S", 0.05)
    monkeypatch.setattr(sending, "MOST_S", 0.2)
    monkeypatch.setattr(sending, "DISK_S", 0.3)


class Run:
    """A journal and the webhooks of a run."""

    def __init__(self, folder, *settings):
        self.journal = Journal(folder / "events.db")
        self.hooks = Webhooks(settings, folder)
        self.number = 0

    def __enter__(self):
        self.hooks.__enter__()
        return self

    def say(self, *events):
        """As the run loop does: the sinks are told, then it is journalled."""
        began = time.perf_counter()
        self.hooks(Step("door", None, None, list(events), None))
        took = time.perf_counter() - began
        self.number += 1
        self.journal.write("door", self.number, 1.7e9 + self.number, list(events))
        return took

    def told(self, name="127.0.0.1"):
        return self.hooks.told()[0][name]

    def __exit__(self, *error):
        self.hooks.__exit__()
        self.journal.close()


def until(condition, limit=15.0):
    ends = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def hook(receiver, **more):
    more.setdefault("events", ["crossing"])
    return WebhookSettings(url=receiver.url, **more)


def test_events_arrive_in_order_with_their_ids(tmp_path):
    with Receiver() as receiver, Run(tmp_path, hook(receiver)) as run:
        events = [crossing(n) for n in range(50)]
        for event in events:
            run.say(event, Event("door", event.timestamp, "heatmap", {}))
        until(lambda: len(receiver.got) == 50)
        assert receiver.ids == [e.id for e in events]
        told = receiver.got[3]
        assert told["kind"] == "crossing" and told["camera"] == "door"
        assert told["payload"]["direction"] == "in" and told["time"] == "2023-11-14T22:13:23.000Z"
        assert told["host"] == socket.gethostname() and told["run"] == tmp_path.name
        headers, body = receiver.tries[3]
        assert headers["Edgelane-Event-Id"] == told["id"] == json.loads(body)["id"]
        until(lambda: run.told()["delivered"] == 50)
        assert run.told()["queued"] == 0 and run.told()["dropped"] == 0


def test_posts_are_signed(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELANE_SECRETS", str(tmp_path / "secrets"))
    secrets.write_secret("hook", "shared word")
    with Receiver() as receiver, Run(tmp_path, hook(receiver, secret="hook")) as run:
        run.say(crossing(1))
        until(lambda: receiver.tries)
        headers, body = receiver.tries[0]
    assert verify(body, headers["Edgelane-Signature"], "shared word")
    assert not verify(body + b" ", headers["Edgelane-Signature"], "shared word")
    assert not verify(body, headers["Edgelane-Signature"], "another")
    assert not verify(body, headers["Edgelane-Signature"], "shared word", now=time.time() + 400)
    assert not verify(body, "", "shared word") and not verify(body, "t=1,v1=x", "shared word")


def test_a_signature_is_what_it_is_documented_to_be():
    import hashlib
    import hmac

    digest = hmac.new(b"key", b'1700000000.{"a":1}', hashlib.sha256).hexdigest()
    assert sign(b'{"a":1}', "key", 1.7e9) == f"t=1700000000,v1={digest}"


def test_a_secret_that_is_not_set_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELANE_SECRETS", str(tmp_path / "none"))
    Journal(tmp_path / "events.db").close()
    with pytest.raises(ConfigError, match="the secret hook is not set"):
        Webhooks([WebhookSettings("http://127.0.0.1/", ["crossing"], secret="hook")], tmp_path)


def test_a_receiver_that_fails_gets_it_again_until_it_takes_it(tmp_path, caplog):
    with Receiver(lambda n: 500 if n <= 4 else 200) as receiver:
        with Run(tmp_path, hook(receiver, name="erp")) as run:
            for number in range(3):
                run.say(crossing(number))
            until(lambda: len(receiver.got) == 3)
            until(lambda: run.told("erp")["delivered"] == 3)
            assert run.told("erp")["failed_tries"] == 4
    assert receiver.ids == [crossing(n).id for n in range(3)]  # in order all the same
    assert "webhook erp: answered 500" in caplog.text


def test_a_receiver_that_is_away_gets_it_when_it_is_back(tmp_path):
    with Receiver() as gone:
        port = gone.port
        settings = hook(gone)
    with Run(tmp_path, settings) as run:
        for number in range(5):
            run.say(crossing(number))
        until(lambda: run.told()["failed_tries"] >= 2)
        assert run.told()["error"] == "connection refused" and run.told()["queued"] == 5
        with Receiver(port=port) as back:
            until(lambda: len(back.got) == 5)
            assert back.ids == [crossing(n).id for n in range(5)]


@pytest.mark.parametrize("how", ["silent", "dripping"])
def test_a_receiver_that_hangs_is_left_and_holds_up_nobody(tmp_path, how):
    lines, stop = [], threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def hang():
        server.settimeout(0.1)
        while not stop.is_set():
            with contextlib.suppress(OSError):
                lines.append(server.accept()[0])
            for line in lines:
                try:
                    if how == "dripping":
                        line.sendall(b"H")
                except OSError:
                    pass

    thread = threading.Thread(target=hang, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    slow = WebhookSettings(url, ["crossing"], name="slow", timeout_s=0.4)
    with Receiver() as receiver, Run(tmp_path, slow, hook(receiver)) as run:
        took = [run.say(crossing(number)) for number in range(20)]
        until(lambda: len(receiver.got) == 20)
        until(lambda: run.told("slow")["failed_tries"] >= 1)
        assert run.told("slow")["error"] == "no answer in time"
        assert run.told("slow")["queued"] == 20
        assert sorted(took)[len(took) // 2] < 0.005  # the frame path does not wait
        began = time.monotonic()
    assert time.monotonic() - began < 2.5  # nor does the end of the run
    stop.set()
    thread.join()
    for line in [server, *lines]:
        line.close()


def test_a_refused_event_is_given_up_and_the_others_go_on(tmp_path):
    with Receiver(lambda n: 422 if n == 2 else 200) as receiver:
        with Run(tmp_path, hook(receiver)) as run:
            for number in range(4):
                run.say(crossing(number))
            until(lambda: len(receiver.got) == 3)
            until(lambda: run.told()["delivered"] == 3)
            assert run.told()["dropped"] == 1 and run.told()["failed_tries"] == 0


def test_redirects_are_not_followed(tmp_path):
    elsewhere = {"Location": "http://127.0.0.1:1/"}
    with Receiver(lambda n: 302 if n == 1 else 200, headers=elsewhere) as receiver:
        with Run(tmp_path, hook(receiver)) as run:
            run.say(crossing(1))
            until(lambda: run.told()["failed_tries"] == 1)
            until(lambda: len(receiver.got) == 1)


def test_the_receiver_may_ask_for_time(tmp_path):
    asked = {"Retry-After": "1"}
    with Receiver(lambda n: 429 if n == 1 else 200, headers=asked) as receiver:
        with Run(tmp_path, hook(receiver)) as run:
            began = time.monotonic()
            run.say(crossing(1))
            until(lambda: len(receiver.got) == 1)
            assert time.monotonic() - began > 0.9


def test_a_full_queue_gives_up_the_oldest_and_says_so(tmp_path, caplog):
    with Receiver() as gone:
        port, settings = gone.port, hook(gone, queue=10)
    with Run(tmp_path, settings) as run:
        for number in range(30):
            run.say(crossing(number))
        until(lambda: run.told()["dropped"] == 20)
        assert run.told()["queued"] == 10
        with Receiver(port=port) as back:
            until(lambda: len(back.got) == 10)
            assert back.ids == [crossing(n).id for n in range(20, 30)]
    assert "the queue of 10 events is full" in caplog.text


def test_only_the_cameras_and_kinds_asked_for(tmp_path):
    with Receiver() as receiver:
        settings = hook(receiver, events=["crossing", "alert"], cameras=["till"])
        with Run(tmp_path, settings) as run:
            run.say(crossing(1), crossing(2, "till"))
            run.hooks.alert(Event("till", 1.7e9, "alert", {"what": "away"}))
            run.hooks.alert(Event("door", 1.7e9, "alert", {"what": "away"}))
            until(lambda: len(receiver.got) == 2)
            time.sleep(0.5)
    assert {(t["camera"], t["kind"]) for t in receiver.got} == {
        ("till", "crossing"), ("till", "alert"),
    }  # fmt: skip


def test_what_waits_survives_a_stop_and_older_events_are_not_sent(tmp_path):
    with Journal(tmp_path / "events.db") as journal:
        journal.write("door", 0, 1.0, [crossing(-1)])  # before there was a webhook
    with Receiver() as gone:
        port, settings = gone.port, hook(gone)
    with Run(tmp_path, settings) as run:
        run.say(crossing(1))
        until(lambda: run.told()["failed_tries"] >= 1)
    with Receiver(port=port) as back, Run(tmp_path, settings) as run:
        run.say(crossing(2))
        until(lambda: len(back.got) == 2)
    assert back.ids == [crossing(1).id, crossing(2).id]


def test_what_a_recording_takes_back_is_sent_at_its_true_end_alone(tmp_path):
    """A run over a file that is stopped tells ends that are taken back when it goes on."""
    with Receiver() as receiver:
        with Run(tmp_path, hook(receiver)) as run:
            run.say(crossing(1))
            run.journal.write("door", 5, 1.0, [crossing(99)], provisional=True)
            run.journal.set("ended", "stopped")
        with Run(tmp_path, hook(receiver)) as run:
            run.journal.set("ended", None)
            run.journal.retract("door")
            run.say(crossing(2))
            run.say(crossing(3))
            run.journal.write("door", 9, 9.0, [crossing(4)], provisional=True)
            run.journal.set("ended", "end")
    assert receiver.ids == [crossing(n).id for n in (1, 2, 3, 4)]


def test_a_full_disk_loses_nothing_once_there_is_room(tmp_path):
    with Receiver() as receiver, Run(tmp_path, hook(receiver)) as run:
        database = run.hooks._outbox._db
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count={pages}")
        events = [crossing(n) for n in range(200)]
        run.say(*events)
        time.sleep(0.6)
        database.execute("PRAGMA max_page_count=1000000")
        until(lambda: len(receiver.got) == 200)
        assert receiver.ids == [e.id for e in events]


def test_a_file_of_another_program_is_left_alone(tmp_path):
    with sqlite3.connect(str(tmp_path / "outbox.db")) as other:
        other.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StorageError, match="another program"):
        Outbox(tmp_path / "outbox.db")


SENDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from edgelane.runtime.webhooks.settings import WebhookSettings
from test_webhooks import Run, crossing, sending
sending.FIRST_S = 0.02
folder = Path(sys.argv[1])
with Run(folder, WebhookSettings(sys.argv[2], ["crossing"])) as run:
    first = (run.journal.position("door") or (0, 0))[0]
    run.number = first
    for number in range(first, first + 10000):
        run.say(crossing(number))
        print(number, flush=True)
        time.sleep(0.002)
"""


def test_kill_9_loses_no_event(tmp_path):
    seen = set()
    with Receiver(lambda n: 500 if n % 7 == 0 else 200) as receiver:
        for _ in range(3):
            command = [sys.executable, "-c", SENDER, str(tmp_path), receiver.url]
            command.append(str(Path(__file__).resolve().parent))
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            seen.update(int(process.stdout.readline()) for _ in range(60))
            process.send_signal(signal.SIGKILL)
            seen.update(map(int, process.stdout.read().split()))
            process.wait()
        with Run(tmp_path, hook(receiver)) as run:
            until(lambda: run.told()["queued"] == 0 and run.told()["delivered"] > 0, 60)
            until(lambda: {crossing(n).id for n in seen} <= set(receiver.ids), 30)
    doubles = len(receiver.ids) - len(set(receiver.ids))
    assert doubles <= 8  # one that was taken and not noted, at each kill


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(cert), str(key)


def test_tls_is_verified(tmp_path, certificate, caplog):
    with Receiver(tls=certificate) as receiver:
        trusting = hook(receiver, ca=certificate[0], name="trusting")
        strict = hook(receiver, name="strict")
        with Run(tmp_path, trusting, strict) as run:
            run.say(crossing(1))
            until(lambda: len(receiver.got) == 1)
            until(lambda: run.told("strict")["failed_tries"] >= 1)
            assert "its certificate is not trusted" in run.told("strict")["error"]
    with pytest.raises(ConfigError, match="holds no certificates"):
        Webhooks([hook(receiver, ca=str(tmp_path / "none.pem"))], tmp_path)


def test_passwords_of_an_address_are_sent_and_never_told(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with Receiver(lambda n: 401) as receiver:
        url = receiver.url.replace("//", "//joe:s3cret%21@")
        with Run(tmp_path, WebhookSettings(url, ["crossing"])) as run:
            run.say(crossing(1))
            until(lambda: run.told()["failed_tries"] >= 1)
            assert receiver.tries[0][0]["Authorization"] == "Basic am9lOnMzY3JldCE="
            assert list(run.hooks.told()[0]) == ["127.0.0.1"]
    assert "s3cret" not in caplog.text
    for name in os.listdir(str(tmp_path)):
        assert b"s3cret" not in (tmp_path / name).read_bytes()


def test_long_failure_is_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(sending, "TELL_S", 0.0)
    with Receiver(lambda n: 500) as receiver, Run(tmp_path, hook(receiver, name="erp")) as run:
        run.say(crossing(1))
        until(lambda: run.told("erp")["failed_tries"] >= 1)
        (note,) = run.hooks.told()[1]
        assert note == "webhook erp fails (answered 500); 1 events wait"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x/"}, {"url": "http://"}, {"events": []}, {"queue": 0}, {"timeout_s": 0},
        {"name": "a/b"},
    ],
)  # fmt: skip
def test_wrong_settings(wrong):
    with pytest.raises(ValueError):
        WebhookSettings(**{"url": "http://x/", "events": ["crossing"], **wrong})


def test_the_receiver_of_the_examples_counts_each_once(tmp_path, monkeypatch):
    import importlib.util

    path = Path(__file__).resolve().parents[2] / "examples" / "receiver.py"
    spec = importlib.util.spec_from_file_location("receiver_example", str(path))
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setenv("EDGELANE_SECRETS", str(tmp_path / "secrets"))
    secrets.write_secret("hook", "shared word")
    counter = example.Counter()
    server = example.make_server(0, "shared word", counter)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        with Run(tmp_path, WebhookSettings(url, ["crossing"], secret="hook")) as run:
            run.say(*[crossing(n) for n in range(5)])
            until(lambda: run.told()["delivered"] == 5)
            assert counter.counts == {"door in": 5}
            assert not counter.take({"id": crossing(1).id, "payload": {}})
        (tmp_path / "b").mkdir()
        with Run(tmp_path / "b", WebhookSettings(url, ["crossing"])) as run:  # not signed
            run.say(crossing(9))
            until(lambda: run.told()["failed_tries"] >= 1)
            assert run.told()["error"] == "answered 401"
        assert counter.counts == {"door in": 5}
    finally:
        server.shutdown()
        server.server_close()
