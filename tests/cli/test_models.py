"""`edgelane models` against a real server on loopback."""

import hashlib
import http.server
import json
import threading

import pytest

from edgelane.cli.app import run_cli
from edgelane.core import ModelCard
from edgelane.runtime.onnx_metadata import read_metadata

MODEL = b"\x08\x07\x3a\x80\x80\x10" + bytes(1 << 18)  # an IR version and a graph of 256 KB


@pytest.fixture()
def registry(tmp_path, monkeypatch):
    """A registry file with `tiny` (checksum known) and `unknown` (not), and a server for both."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if "missing" not in self.path else 404)
            self.send_header("Content-Length", str(len(MODEL)))
            self.end_headers()
            self.wfile.write(MODEL)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    entry = {
        "task": "detect",
        "licence": "MIT",
        "licence_source": "https://example.org",
        "project": "https://example.org",
        "input_size": [320, 240],
        "file_size": len(MODEL),
        "card": {"decoder": "yolox", "classes": ["person"]},
    }
    checksum = hashlib.sha256(MODEL).hexdigest()
    path = tmp_path / "registry.json"
    models = {
        "tiny": {**entry, "address": f"{address}/tiny.onnx", "sha256": checksum},
        "unknown": {**entry, "address": f"{address}/unknown.onnx"},
        "missing": {**entry, "address": f"{address}/missing.onnx", "sha256": checksum},
    }
    path.write_text(json.dumps({"models": models}))
    monkeypatch.setenv("EDGELANE_REGISTRY", str(path))
    monkeypatch.setenv("EDGELANE_CACHE", str(tmp_path / "cache"))
    yield path
    server.shutdown()
    server.server_close()


def test_the_list_says_what_a_user_chooses_by(registry, capsys):
    assert run_cli(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    nano = next(line for line in lines if line.startswith("yolox-nano"))
    for fact in ("detect", "Apache-2.0", "0.91 M", "25.8 [1]", "416x416", "3.7 MB", "no"):
        assert fact in nano
    assert any(line.startswith("[1] AP on COCO") and "https://" in line for line in lines)
    assert "asks for --trust" in next(line for line in lines if line.startswith("unknown"))
    assert "no download" in next(line for line in lines if line.startswith("rf-detr-medium"))


def test_the_list_is_there_for_programs_too(registry, capsys):
    assert run_cli(["models", "--json"]) == 0
    models = {m["name"]: m for m in json.loads(capsys.readouterr().out)}
    assert models["tiny"]["input_size"] == [320, 240] and models["tiny"]["cached"] is False
    assert models["rtmpose-t"]["task"] == "pose"
    assert models["unknown"]["sha256"] is None and models["unknown"]["verifiable"] is False


def test_get_downloads_once_and_tells_where(registry, tmp_path, capsys):
    assert run_cli(["models", "get", "tiny"]) == 0
    path = tmp_path / "cache" / "tiny.onnx"
    told = capsys.readouterr().out
    assert f"model   {path}\n" in told and "as published" in told
    assert ModelCard.from_json(read_metadata(path)["edgelane"]).input.size == (320, 240)
    assert run_cli(["models", "get", "tiny"]) == 0
    assert "in the cache already" in capsys.readouterr().out
    assert run_cli(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("tiny")).endswith("yes")


def test_get_without_a_checksum_asks_for_trust(registry, tmp_path, capsys):
    assert run_cli(["models", "get", "unknown"]) == 2
    assert "say --trust" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
    assert run_cli(["models", "get", "unknown", "--trust"]) == 0
    assert hashlib.sha256(MODEL).hexdigest() in capsys.readouterr().out


def test_get_answers_programs(registry, tmp_path, capsys):
    out = tmp_path / "copies"
    out.mkdir()
    arguments = [
        "models",
        "get",
        "tiny",
        "--out",
        str(out),
        "--cache",
        str(tmp_path / "c"),
        "--json",
    ]
    assert run_cli(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["path"] == str(out / "tiny.onnx") and answer["fresh"] is True
    assert answer["sha256"] == hashlib.sha256(MODEL).hexdigest()
    assert (tmp_path / "c" / "tiny.onnx").exists()


def test_options_may_stand_before_get(registry, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("EDGELANE_REGISTRY")
    options = ["--registry", str(registry), "--cache", str(tmp_path / "c")]
    assert run_cli(["models", *options, "get", "tiny"]) == 0
    assert (tmp_path / "c" / "tiny.onnx").exists()


@pytest.mark.parametrize(
    "arguments, code, told",
    [
        (["models", "get", "tinny"], 2, "Did you mean 'tiny'?"),
        (["models", "get", "missing"], 1, "there is no file at"),
        (["models", "gte", "tiny"], 2, "No such command"),
        (["models", "get"], 2, "Missing argument"),
        (["models", "--registry", "none.json"], 2, "none.json does not exist"),
    ],
)
def test_what_goes_wrong_is_one_sentence(registry, capsys, arguments, code, told):
    assert run_cli(arguments) == code
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error


def test_progress_goes_to_stderr(registry, capsys):
    assert run_cli(["models", "get", "tiny"]) == 0
    captured = capsys.readouterr()
    assert "MB" not in captured.out
    assert "tiny 100 %  0.2 MB" in captured.err
