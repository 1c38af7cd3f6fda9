"""What goes wrong between a desk and a device: one sentence, and the device runs what it ran."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from loopback import below, executable, save_heavy

from edgelane.core import EdgelaneError, ReleaseError, StorageError, UsageError
from edgelane.deploy import Layout, change_trust, new_key, running, write_key
from edgelane.deploy.far import Cut, Far
from edgelane.deploy.flash import flash


def test_a_host_key_that_changed_is_told_and_not_overridden(shop, send, server):
    server.know("stranger")
    try:
        with pytest.raises(EdgelaneError, match="not the one that is known.*ssh-keygen -R") as told:
            send(shop.bundle(1))
        assert "SHA256:" in str(told.value)
        with pytest.raises(EdgelaneError, match="not the one that is known"):
            send(shop.bundle(1), ssh=server.ssh(strict="accept-new"))
    finally:
        server.know("host")
    assert list(send.root.iterdir()) == []


def test_a_host_key_that_is_not_known_is_told(shop, send, server):
    (server.folder / "known").write_text("")
    try:
        with pytest.raises(EdgelaneError, match="is not known: nothing was sent.*ssh "):
            send(shop.bundle(1))
    finally:
        server.know("host")


def test_a_key_that_the_device_does_not_take_is_told(shop, send, server):
    with pytest.raises(EdgelaneError, match="does not let you in.*ssh-copy-id"):
        send(shop.bundle(1), ssh=server.ssh(user="stranger"))


def test_a_device_that_is_down_is_told(shop, send):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ssh = ["ssh", "-F", "none", "-p", str(port)]
    with pytest.raises(EdgelaneError, match="cannot be reached: got .*refused"):
        send(shop.bundle(1), ssh=ssh)
    with pytest.raises(EdgelaneError, match="cannot be reached"):
        flash("user@no-such-host.invalid", shop.bundle(1), trust=shop.secret.public, retries=0)


def test_a_device_that_does_not_answer_is_told(shop, send):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(5)
        ssh = ["ssh", "-F", "none", "-p", str(deaf.getsockname()[1]), "-o", "ConnectTimeout=1"]
        with pytest.raises(EdgelaneError, match="does not answer"):
            send(shop.bundle(1), ssh=ssh)


def test_a_device_that_hangs_is_told(tmp_path):
    silent = executable(tmp_path / "ssh", "sleep 60")
    with pytest.raises(EdgelaneError, match="does not answer: got nothing for 1 s"):
        Far("edge@x", ssh=[str(silent)], timeout_s=1.0)


@pytest.mark.parametrize("host", ["", "-oProxyCommand=x", "a b", "a\nb"])
def test_a_name_that_ssh_would_take_for_something_else_is_refused(shop, host):
    with pytest.raises(UsageError, match="names no device"):
        flash(host, shop.bundle(1))


def test_no_ssh_and_no_python_are_told(shop, send, server, bin):
    with pytest.raises(EdgelaneError, match="cannot be started.*openssh-client"):
        send(shop.bundle(1), ssh=["no-such-ssh"])
    executable(bin / "python3", "echo 'python3: command not found' >&2; exit 127")
    with pytest.raises(EdgelaneError, match="lacks what answers there.*apt install python3"):
        send(shop.bundle(1))


def test_a_python_that_is_too_old_is_told(shop, send, bin):
    old = executable(bin / "old", """echo '[[3, 6], "aarch64", null, "none"]'""")
    with pytest.raises(EdgelaneError, match="no Python that edgelane runs on: got 3.6.*3.8 or new"):
        send(shop.bundle(1), python=str(old))
    assert list(send.root.iterdir()) == []


def refused(shop, send, **wrong):
    """Bundles that a device refuses before anything is sent to it, and why."""
    yield shop.bundle(1), {}, "older than what runs"
    yield shop.bundle(3, devices=["orin-nano"]), {}, "no Jetson"
    yield shop.bundle(4, devices=["orin-nano"]), {"device": "nano"}, "is for orin-nano"
    yield shop.bundle(5, expires="2025-02-01"), {}, "has expired on 2025-02-01"
    unsigned = shop.bundle(6)
    unsigned.with_name(unsigned.name + ".minisig").unlink()
    yield unsigned, {}, "comes without its signature"
    changed = shop.bundle(7)
    data = bytearray(changed.read_bytes())
    data[-2000] ^= 1
    changed.write_bytes(bytes(data))
    yield changed, {}, "is not what key"
    other = new_key()
    key, _ = write_key(shop.folder / "other.key", other)
    yield shop.bundle(8, key=key), {"trust": None}, "does not trust"
    yield shop.bundle(9, key=key), {"trust": other.public}, "trusts others than the key"
    yield shop.folder / "none.edgelane", {}, "cannot be read"


def test_what_is_refused_is_refused_before_anything_is_sent(shop, send, contents):
    done = send(shop.bundle(2))
    before = contents(send.root)
    for bundle, options, said in refused(shop, send):
        with pytest.raises(ReleaseError) as caught:
            send(bundle, **options)
        assert said in str(caught.value)
        assert contents(send.root) == before
    assert running(send.root).id == done.release


def test_a_device_that_trusts_nobody_is_given_a_key_by_name_only(shop, send):
    with pytest.raises(ReleaseError, match="trusts no key yet.*--trust NAME.pub"):
        send(shop.bundle(1), trust=None)
    stranger = new_key()
    with pytest.raises(ReleaseError, match="does not trust"):
        send(shop.bundle(1), trust=stranger.public)
    assert list(send.root.iterdir()) == []


def test_a_clock_in_1970_is_told(shop, send, server, bin):
    early = server.folder / "early"
    early.mkdir(exist_ok=True)
    (early / "sitecustomize.py").write_text("import time\ntime.time = lambda: 86400.0 * 3\n")
    executable(bin / "python3", f'PYTHONPATH={early} exec /usr/bin/python3 "$@"')
    with pytest.raises(ReleaseError, match="clock is wrong: got 1970-01-04.*timedatectl"):
        send(shop.bundle(1, expires="2031-12-31"))
    assert list(send.root.iterdir()) == []
    done = send(shop.bundle(2))
    assert done.state == "installed" and "clock" in done.warnings[0]


def test_a_full_disk_is_told_and_what_came_is_kept(shop, send, bin):
    send(shop.bundle(1))
    ran = running(send.root).id
    bundle = shop.bundle(2, variants=[save_heavy(shop.folder / "heavy.onnx")])
    executable(bin / "python3", 'ulimit -f 300; exec /usr/bin/python3 "$@"')
    with pytest.raises(StorageError, match="the disk of .* is full.*it goes on"):
        send(bundle)
    assert running(send.root).id == ran
    (bin / "python3").unlink()
    done = send(bundle)
    assert running(send.root).id == done.release
    assert done.sent < 350_000  # of 400 kB a good part was there


def test_a_disk_that_is_too_full_is_told_before_anything_is_sent(shop, send, bin, contents):
    bundle = shop.bundle(1)
    text = "import shutil, collections\nU = collections.namedtuple('U', 'total used free')\n"
    (send.server.folder / "sitecustomize.py").write_text(
        text + "shutil.disk_usage = lambda path: U(2000000000, 1995000000, 5000000)\n"
    )
    folder = send.server.folder
    executable(bin / "python3", f'PYTHONPATH={folder} exec /usr/bin/python3 "$@"')
    with pytest.raises(StorageError, match="too full for this release: got 5 MB free"):
        send(bundle, dry_run=True)
    assert contents(send.root) == {}


def test_two_flashes_at_once_do_not_meet(shop, send):
    bundle = shop.bundle(1, variants=[save_heavy(shop.folder / "heavy.onnx")])
    met = []

    def tell(what, at, of):
        if what.startswith("sending") and not met:
            met.append(None)
            try:
                send(bundle)
            except ReleaseError as error:
                met[0] = str(error)

    assert send(bundle, tell=tell).state == "installed"
    assert "another flash is at work" in met[0] and "Wait until" in met[0]


def test_an_installation_at_work_on_the_device_is_told(shop, send):
    change_trust(send.root, trust=[shop.secret.public])
    with Layout(send.root).locked(), pytest.raises(ReleaseError, match="another installation is"):
        send(shop.bundle(1))


def test_two_that_come_at_the_same_moment_are_told_apart(shop, send):
    send(shop.bundle(1))
    handle = os.open(str(send.root / "var/lib/edgelane/flash.lock"), os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(ReleaseError, match="another flash is at work"):
            send(shop.bundle(2))
    finally:
        os.close(handle)
    assert send(shop.bundle(2)).state == "installed"


def cut_after(count: int, server, victims: str):
    """Kills what is between desk and device once so many bytes have gone."""
    state = {"cut": False}

    def tell(what, at, of):
        if what.startswith("sending") and at > count and not state["cut"]:
            state["cut"] = True
            time.sleep(0.3)  # what was sent is there
            if victims == "desk":
                kill(os.getpid(), ["ssh"])
            else:
                kill(server.process.pid, ["sshd", "python3", "python3.11"])

    return tell


def kill(parent: int, names) -> None:
    for pid in below(parent):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/comm") as file:
                comm = file.read().strip()
            if comm in names:
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("victims", ["desk", "device"])
def test_a_connection_that_is_cut_goes_on_where_it_was(shop, send, server, victims):
    bundle = shop.bundle(1, variants=[save_heavy(shop.folder / "heavy.onnx", 2_000_000)])
    with pytest.raises(Cut, match="was cut.*same command again: it goes on"):
        send(bundle, tell=cut_after(1_200_000, server, victims))
    (part,) = (send.root / "var/lib/edgelane/incoming").iterdir()
    kept = part.stat().st_size
    assert part.suffix == ".part" and kept > 500_000
    done = send(bundle)
    assert running(send.root).id == done.release
    assert done.sent < 2_000_000 - kept + 100_000


def test_it_goes_on_by_itself(shop, send, server):
    bundle = shop.bundle(1, variants=[save_heavy(shop.folder / "heavy.onnx", 2_000_000)])
    done = send(bundle, tell=cut_after(1_200_000, server, "desk"), retries=1)
    assert done.state == "installed" and running(send.root).id == done.release


def test_an_installation_goes_on_without_the_desk(shop, send, server):
    cut = []

    def tell(what, at, of):
        if what.startswith("installing") and not cut:
            cut.append(None)
            threading.Timer(0.3, kill, [os.getpid(), ["ssh"]]).start()

    send(shop.bundle(1))
    done = send(shop.bundle(2), tell=tell, retries=1)
    assert done.state == "installed" and done.before.startswith("shop-1-")
    assert running(send.root).id == done.release


@pytest.mark.parametrize("at", [100, 700_000])
def test_what_a_power_cut_left_torn_is_sent_again(shop, send, server, at):
    bundle = shop.bundle(1, variants=[save_heavy(shop.folder / "heavy.onnx", 2_000_000)])
    with pytest.raises(Cut):
        send(bundle, tell=cut_after(1_200_000, server, "desk"))
    (part,) = (send.root / "var/lib/edgelane/incoming").iterdir()
    with open(part, "r+b") as file:
        file.seek(at)
        file.write(bytes(64))
    # A member that is half there shows only at its end; it is taken once more then.
    done = send(bundle, retries=1)
    assert done.state == "installed"
    running(send.root).check()


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.05, 0.5, 1.0, 2.0])
def test_a_device_that_reboots_in_the_middle_runs_the_old_or_the_new(shop, send, server, delay):
    one = send(shop.bundle(1)).release
    bundle = shop.bundle(2)
    threads = []

    def reboot():
        time.sleep(delay)
        for _ in range(3):  # also what was started meanwhile
            found = below(server.process.pid)
            for pid in found:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def tell(what, at, of):
        if what.startswith("installing") and not threads:
            threads.append(threading.Thread(target=reboot))
            threads[0].start()

    try:
        done = send(bundle, tell=tell)
        assert done.state == "installed"
    except EdgelaneError as error:
        assert "cut" in str(error) or "failed" in str(error) or "kill" in str(error)
    threads[0].join()
    current = running(send.root)
    current.check()
    if current.id == one:
        deadline = time.monotonic() + 20
        while True:
            try:
                done = send(bundle)
                break
            except ReleaseError as error:  # what was not killed is still at work
                assert "at work" in str(error) and time.monotonic() < deadline
                time.sleep(0.2)
        assert done.state in ("installed", "unchanged")
    assert send(bundle).state == "unchanged"


def test_a_bundle_that_fails_there_leaves_what_ran(shop, send, contents, bin):
    first = send(shop.bundle(1))
    text = "echo 'Error: the golden clip does not agree.' >&2; exit 1"
    script = send.root / "opt/edgelane/current/edgelane"
    if script.exists():
        script.unlink()
    executable(bin / "bad", f'case "$*" in *install*) {text};; esac; exec {bin}/good "$@"')
    executable(bin / "good", f'exec {send.options["python"]} "$@"')
    with pytest.raises(ReleaseError, match="failed, and what ran before.*the golden clip does not"):
        send(shop.bundle(2), python=str(bin / "bad"))
    assert running(send.root).id == first.release


def test_sudo_is_asked_where_the_user_may_not_write(shop, send, server, bin, tmp_path):
    """A `sudo` of our own stands for the system's: it lets through with the right password."""
    if os.geteuid() != 0:
        pytest.skip("only root can play another user")
    plain = "import os\nif not os.environ.get('SUDO'): os.access = lambda *given: False\n"
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(plain)
    executable(bin / "python3", f'PYTHONPATH={folder} exec /usr/bin/python3 "$@"')
    executable(
        bin / "sudo",
        'if [ "$1" = -n ]; then echo "sudo: a password is required" >&2; exit 1; fi\n'
        'read -r word; [ "$word" = right ] || { echo "Sorry, try again." >&2; exit 1; }\n'
        'shift 3; SUDO=1 exec "$@"',
    )
    with pytest.raises(EdgelaneError, match="sudo asks for a password there.*--ask-sudo"):
        send(shop.bundle(1))
    with pytest.raises(EdgelaneError, match="refuses the password of sudo"):
        send(shop.bundle(1), password="wrong")
    planned = send(shop.bundle(1), dry_run=True)
    assert any("sudo would be used" in text for text in planned.warnings)
    assert list(send.root.iterdir()) == []
    assert send(shop.bundle(1), password="right").state == "installed"


def test_nothing_is_left_running(shop, send, server):
    send(shop.bundle(1))
    for _ in range(50):
        left = below(server.process.pid)
        if not left:
            break
        time.sleep(0.1)
    assert left == []
    names = subprocess.run(["ps", "-o", "args", "--ppid", str(os.getpid())], capture_output=True)
    assert b"ssh -F none" not in names.stdout
