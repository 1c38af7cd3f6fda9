"""The releases river from the command line: what a user types, what comes back."""

import json

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")
pytest.importorskip("nacl")

from edgelane.cli.app import run_cli  # noqa: E402

CONFIG = """\
pipeline: counting
model: store-person
reference_size: [640, 360]
lines: {door: {from: [300, 60], to: [330, 340]}}
source: rtsp://viewer:secret:door@10.0.0.5/stream
"""


def test_from_a_config_to_a_device_and_back(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(CONFIG)

    def run(line: str, code: int = 0) -> str:
        assert run_cli(line.split()) == code
        out = capsys.readouterr()
        assert "Traceback" not in out.err
        return out.err if code else out.out

    assert "store.pub" in run("keys new store.key")
    run("keys trust store.pub --root device")
    said = run("bundle store.yaml --out store-1.edgelane --key store.key --device nano")
    assert "for        nano" in said and "events" in said
    assert "no Jetson" in run("install store-1.edgelane --root device", 1)
    assert "detections within" in run("install store-1.edgelane --root device --device nano")
    made = json.loads(
        run("bundle store.yaml --out store-2.edgelane --key store.key --no-frames --json")
    )
    assert (made["name"], made["version"]) == ("store", 2)
    done = json.loads(run("install store-2.edgelane --root device --json"))
    assert done["version"] == 2 and done["tested"]["cameras"] == 1
    assert "runs already" in run("install store-2.edgelane --root device")
    assert "runs  store-2-" in run("rollback --root device --list")
    assert "store-1-" in run("rollback --root device")
    assert json.loads(run("rollback --root device --list --json"))[0]["running"]
    key = run("keys list --root device").split()[1]
    assert "no trusted key would be left" in run(f"keys revoke {key} --root device", 1)
    assert "older" not in run("install store-2.edgelane --root device")


def test_a_password_in_the_config_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(CONFIG.replace("secret:door", "hunter2"))
    assert run_cli(["keys", "new", "store.key"]) == 0
    assert run_cli(["bundle", "store.yaml", "--out", "s-1.edgelane", "--key", "store.key"]) == 2
    said = capsys.readouterr().err
    assert "source holds a password" in said and "hunter2" not in said


def test_a_secret_comes_from_the_standard_input(tmp_path):
    from click.testing import CliRunner

    from edgelane.cli.secret import command

    done = CliRunner().invoke(command, ["set", "door", "--root", str(tmp_path)], input="hunter2\n")
    assert done.exit_code == 0, done.output
    path = tmp_path / "etc/edgelane/secrets/door"
    assert path.read_text() == "hunter2\n" and (path.stat().st_mode & 0o777) == 0o600
    assert "hunter2" not in done.output


def test_a_run_opens_its_source_by_the_name_of_a_secret_and_never_tells_it(tmp_path, monkeypatch):
    from edgelane.cli.jobs import run
    from edgelane.core import ConfigError
    from edgelane.runtime.secrets import write_secret

    monkeypatch.setenv("EDGELANE_SECRETS", str(tmp_path / "secrets"))
    config = {"pipeline": "counting", "model": "store-person", "source": "secret:door"}
    with pytest.raises(ConfigError, match="secret door is not set"):
        run(config, out=tmp_path / "run")
    write_secret("door", "synth://store?seed=74123&seconds=1")
    summary, folder = run(config, out=tmp_path / "run")
    assert summary["frames"] > 0
    written = b"".join(p.read_bytes() for p in folder.iterdir())
    assert b"74123" not in written and b"secret:door" in written


def test_a_probation_that_nothing_needs_ends_at_once(tmp_path, capsys, monkeypatch):
    from edgelane.deploy import Layout

    monkeypatch.chdir(tmp_path)
    assert run_cli(["probation", "--root", "nothing"]) == 0
    assert "counts as good" in capsys.readouterr().out
    assert Layout("nothing").current() is None
    assert run_cli(["probation", "--root", "nothing", "--for", "soon"]) == 2
    assert "a time is wrong" in capsys.readouterr().err
