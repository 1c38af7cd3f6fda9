"""A profile on another machine, behind a true sshd on loopback, and behind lines that fail."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from profiles import MODEL, write_data

from edgelane.benchmarks.profile import profile, remote
from edgelane.core import EdgelaneError, UsageError

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A server with keys of its own; the command that reaches it, and the folder that it uses."""
    if not os.path.exists(SSHD) or not shutil.which("ssh"):
        if os.environ.get("CI"):
            pytest.fail("sshd is missing, and CI must test with it: apt install openssh-server")
        pytest.skip("sshd is not installed")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        key = str(folder / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    shutil.copy(str(folder / "user.pub"), str(folder / "authorized"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    public = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/authorized\nPidFile {folder}/pid\nUsePAM no\n"
        "StrictModes no\nPasswordAuthentication no\n"
        f"SetEnv EDGELANE_PROFILES={folder}/there OMP_NUM_THREADS=1\n"
    )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    server = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL
    )
    ssh = ["ssh", "-F", "none", "-p", str(port), "-i", str(folder / "user"),
           "-o", f"UserKnownHostsFile={folder}/known", "-o", "StrictHostKeyChecking=yes",
           "-o", "IdentitiesOnly=yes"]  # fmt: skip
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"{getpass.getuser()}@127.0.0.1", ssh, folder / "there"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.slow
def test_models_go_there_and_rows_come_home(host, tmp_path):
    name, ssh, there = host
    write_data(tmp_path / "data")
    options = {"repeats": 1, "seconds": 0.02, "on": name, "ssh": ssh,
               "remote_python": sys.executable, "threads": 1}  # fmt: skip
    models = [MODEL, tmp_path / "none.onnx"]
    told = []
    result = profile(models, tmp_path / "data", out=tmp_path / "out", **options,
                     progress=lambda *step: told.append(step))  # fmt: skip
    good, absent = result["rows"]
    assert good["error"] is None and good["ms"] > 0 and good["metric"] == "AP"
    assert good["device"] == name and name in good["machine"]
    assert "none.onnx" in absent["error"]
    assert (tmp_path / "out" / "report.html").exists()
    assert told[-1][0] == f"measuring on {name}" and told[-1][1] == told[-1][2]
    # Given again, it goes on where it was, there and here.
    (folder,) = there.iterdir()
    before = (folder / "measured" / "rows.jsonl").read_text()
    again = profile(models, tmp_path / "data", out=tmp_path / "other", **options)
    assert again["rows"][0]["ms"] == good["ms"]
    assert (folder / "measured" / "rows.jsonl").read_text() == before


@pytest.mark.slow
def test_a_machine_without_edgelane_says_so(host, tmp_path):
    name, ssh, _ = host
    write_data(tmp_path / "data")
    with pytest.raises(EdgelaneError, match="has no edgelane.*--remote-python"):
        profile([MODEL], tmp_path / "data", out=tmp_path / "out", on=name, ssh=ssh,
                remote_python="python-of-nobody")  # fmt: skip


def test_a_machine_that_does_not_answer_says_so(tmp_path):
    write_data(tmp_path / "data")
    fake = tmp_path / "ssh"
    fake.write_text("#!/bin/sh\necho 'ssh: connect to host x port 22: refused' >&2\nexit 255\n")
    fake.chmod(0o755)
    with pytest.raises(EdgelaneError, match="user@x cannot be reached: got ssh: connect"):
        profile([MODEL], tmp_path / "data", out=tmp_path / "out", on="user@x", ssh=[str(fake)])


def test_what_came_home_before_a_line_broke_is_kept(tmp_path):
    write_data(tmp_path / "data")
    fake = tmp_path / "ssh"
    stage = {"p50": 5, "p95": 5, "p99": 5, "mean": 5}
    stages = {"infer": stage, "end_to_end": stage}
    line = json.dumps({"kind": "round", "key": "k", "round": 0, "stages": stages})
    fake.write_text(
        "#!/bin/sh\ncat > /dev/null\nfor last; do :; done\n"
        f"case \"$last\" in *job.json*) echo '{line}'; echo reset >&2; exit 255;; esac\n"
    )
    fake.chmod(0o755)
    with pytest.raises(EdgelaneError, match="broke off.*same command again"):
        profile([MODEL], tmp_path / "data", out=tmp_path / "out", on="user@x", ssh=[str(fake)])
    assert '"round": 0' in (tmp_path / "out" / "rows.jsonl").read_text()


@pytest.mark.parametrize("name", ["", "-oProxyCommand=x", "a b"])
def test_a_name_that_ssh_would_take_for_something_else_is_refused(tmp_path, name):
    write_data(tmp_path / "data")
    with pytest.raises(UsageError, match="--on names no machine"):
        profile([MODEL], tmp_path / "data", out=tmp_path / "out", on=name)


def test_no_ssh_at_all_says_so(tmp_path):
    far = remote._Far("x", ["no-such-ssh-command"])
    with pytest.raises(EdgelaneError, match="cannot be started"):
        far.run("true")
