"""What a device does with a release beyond files: its Python, its cameras, its service."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

import edgelane
from edgelane.core import ReleaseError, UsageError
from edgelane.deploy import (
    Known,
    Layout,
    Service,
    Systemd,
    Wanted,
    install,
    prepare_start,
    prove,
    rollback,
    running,
    watch_release,
)
from edgelane.deploy.environment import fitting, glibc
from edgelane.deploy.service import State
from edgelane.deploy.starting import pause
from edgelane.runtime.journal import Journal

UNITS = Path(edgelane.__file__).parent / "deploy/units"


def write_wheel(path, files):
    name, version = path.name.split("-")[:2]
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{info}/METADATA", f"Name: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/RECORD", "")
        for where, content in files.items():
            archive.writestr(where, content)
    return path


@pytest.fixture
def wheels(tmp_path):
    """edgelane as a wheel, and one that leads to the libraries of this very environment."""
    root = Path(edgelane.__file__).parent
    folder = tmp_path / "wheels"
    folder.mkdir()
    inside = {}
    rooms = ("core", "runtime", "pipelines", "dashboard", "deploy", "cli")
    for path in (*root.glob("__*__.py"), *(p for r in rooms for p in (root / r).rglob("*.*"))):
        if "__pycache__" not in path.parts and path.is_file():
            inside[f"edgelane/{path.relative_to(root)}"] = path.read_bytes()
    write_wheel(folder / "edgelane-0.1.0-py3-none-any.whl", inside)
    site = sysconfig.get_paths()["purelib"]
    write_wheel(folder / "libraries-1.0-py3-none-any.whl", {"libraries.pth": f"{site}\n"})
    return folder


def run_script(root, *arguments):
    script = Layout(root).current().folder / "edgelane"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [str(script), *arguments], env=env, cwd="/", capture_output=True, text=True, check=False
    )


def test_a_release_brings_its_own_python_and_edgelane(shop, device, wheels):
    said = []
    done = install(shop.bundle(1, wheels=[wheels]), device, say=said.append)
    assert done.tested.events > 0 and "golden clip" in said
    folder = Layout(device).current().folder
    where = run_script(device, "--version")
    assert where.returncode == 0 and edgelane.__version__ in where.stdout, where.stderr
    found = subprocess.run(
        [str(folder / "venv/bin/python"), "-c", "import edgelane; print(edgelane.__file__)"],
        cwd="/", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert Path(found.strip()).parent.parent.parent.parent.parent == folder / "venv"


def test_a_release_whose_edgelane_is_broken_is_not_switched_to(shop, device, wheels):
    first = install(shop.bundle(1, wheels=[wheels]), device).release
    broken = {"edgelane/__init__.py": "", "edgelane/__main__.py": "import no_such_library\n"}
    write_wheel(wheels / "edgelane-0.1.0-py3-none-any.whl", broken)
    with pytest.raises(ReleaseError, match="does not prove itself.*no_such_library"):
        install(shop.bundle(2, wheels=[wheels]), device)
    assert running(device).id == first and len(Layout(device).all()) == 1


def test_wheels_for_another_machine_are_refused_before_anything_is_touched(shop, device, tmp_path):
    wheel = write_wheel(tmp_path / "edgelane-0.1.0-cp34-cp34m-linux_armv7l.whl", {})
    with pytest.raises(ReleaseError, match="no wheel of edgelane .* fits this machine"):
        install(shop.bundle(1, wheels=[wheel]), device)
    assert Layout(device).all() == []


def test_of_a_bundles_wheels_those_for_this_machine_are_taken():
    python = "cp{}{}".format(*sys.version_info[:2])
    names = [
        "wheels/edgelane-0.1.0-py3-none-any.whl",
        f"wheels/numpy-1.2.3-{python}-{python}-manylinux2014_{platform.machine()}.whl",
        f"wheels/numpy-1.2.3-{python}-{python}-manylinux2014_sparc.whl",
        "wheels/numpy-1.2.3-cp27-cp27m-manylinux2014_x86_64.whl",
    ]
    assert fitting(names) == names[:2]
    assert fitting([]) == [] and glibc() >= (2, 17)


def test_a_damaged_wheel_is_told(shop, device, wheels):
    (wheels / "other-1.0-py3-none-any.whl").write_bytes(b"no zip")
    with pytest.raises(ReleaseError, match="other-1.0.* is no wheel"):
        install(shop.bundle(1, wheels=[wheels]), device)
    assert Layout(device).all() == []


# Cameras


@pytest.fixture
def clip(tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for i in range(60):
        writer.write(np.full((48, 64, 3), i, np.uint8))
    writer.release()
    return path


def release_of(shop, device, source):
    shop.config.write_text(
        f"pipeline: counting\nmodel: tiny.onnx\nreference_size: [640, 360]\nsource: {source}\n"
        "lines: {door: {from: [300, 60], to: [330, 340]}}\n"
    )
    install(shop.bundle(1), device)
    return Layout(device).current().folder


def test_the_speed_of_a_camera_is_told(shop, device, clip):
    folder = release_of(shop, device, f"live+file://{clip}?loop=1")
    proof = prove(folder, Wanted(cameras_s=1.5))
    assert 7 < proof.cameras["camera"] < 13 and proof.warnings == []
    with pytest.raises(ReleaseError, match="slower than it is to the release that runs"):
        prove(folder, Wanted(cameras_s=1.5, known={"camera": Known(25.0, False)}))


def test_a_camera_that_gives_nothing_stops_the_switch_unless_it_gave_nothing_before(shop, device):
    folder = release_of(shop, device, "http://127.0.0.1:9/video.mjpg?open=1&timeout=1")
    with pytest.raises(ReleaseError, match="camera camera gives no pictures") as caught:
        prove(folder, Wanted(cameras_s=0.1))
    assert "--no-cameras" in str(caught.value)
    proof = prove(folder, Wanted(cameras_s=0.1, known={"camera": Known(0.0, False)}))
    assert proof.warnings == ["camera camera gives no pictures, nor did it before"]


def test_a_camera_that_the_running_release_has_is_not_opened_again(shop, device):
    folder = release_of(shop, device, "csi://0")
    proof = prove(folder, Wanted(cameras_s=5.0, known={"camera": Known(29.7, True)}))
    assert proof.cameras == {"camera": 29.7}


def test_what_the_running_release_has_of_its_cameras_is_in_its_journal(shop, device, monkeypatch):
    first = install(shop.bundle(1), device).release
    frames, asked = iter((100, 160)), []
    layout = Layout(device)

    def journal():
        folder = layout.runs / first
        folder.mkdir(parents=True, exist_ok=True)
        with Journal(folder / "events.db") as out:
            count = next(frames)
            out.write("camera", count, float(count), [], b"state", {"frames": count})

    def test(folder, wanted):
        asked.append(wanted)
        return prove(folder)

    module = sys.modules["edgelane.deploy.install"]
    original, times = module.read_now, iter((0.0, 4.0))

    def read_now(layout):
        reading = original(layout, lambda: next(times))
        if reading.at == 0.0:
            journal()
        return reading

    journal()
    monkeypatch.setattr(module, "read_now", read_now)
    install(shop.bundle(2), device, cameras_s=1.0, probation_s=60.0, test=test)
    assert asked == [Wanted(True, 1.0, {"camera": Known(15.0, True)})]
    state = layout.read_state()
    assert state.before == {"camera": 15.0} and state.probation_s == 60.0


# The service


class Systemctl:
    """Stands for the commands of a system with systemd, and writes them down."""

    def __init__(self, users=(), show="ActiveState=active\nNRestarts=3\n"):
        self.users, self.show, self.said = set(users), show, []

    def __call__(self, command):
        self.said.append(" ".join(command))
        if command[:2] == ["getent", "passwd"]:
            return (0 if command[2] in self.users else 2), ""
        if command[:2] == ["getent", "group"]:
            return (0 if command[2] == "video" else 2), ""
        if command[:2] == ["systemctl", "show"]:
            return 0, self.show
        return 0, ""


def test_the_service_is_made_once_and_told_of_every_release(shop, device):
    system = Systemctl()
    install(shop.bundle(1), device, service=Systemd(system), probation_s=600.0)
    said = system.said
    assert any(line.startswith("useradd --system") for line in said)
    assert "usermod -aG video edgelane" in said
    assert f"chown -R edgelane:edgelane {device}/etc/edgelane/secrets" in said
    assert said.index("systemctl daemon-reload") < said.index(
        "systemctl restart --no-block edgelane.service"
    )
    assert said[-1] == "systemctl restart --no-block edgelane-probation.service"
    for unit in UNITS.iterdir():
        assert (device / "etc/systemd/system" / unit.name).read_bytes() == unit.read_bytes()
    again = Systemctl(users=["edgelane"])
    install(shop.bundle(2), device, service=Systemd(again))
    assert not any("useradd" in line or "daemon-reload" in line for line in again.said)
    assert again.said[-1] == "systemctl restart --no-block edgelane.service"


def test_a_system_that_refuses_stops_the_installation(shop, device):
    def refuses(command):
        return (1, "useradd: Permission denied.\n") if command[0] == "useradd" else (2, "")

    with pytest.raises(ReleaseError, match="Permission denied"):
        install(shop.bundle(1), device, service=Systemd(refuses))
    assert Layout(device).current() is None and Layout(device).all() == []


def test_how_the_service_is():
    assert Systemd(Systemctl()).state() == State(True, 3)
    assert Systemd(Systemctl(show="ActiveState=failed\nNRestarts=7\n")).state() == State(False, 7)
    assert Systemd(Systemctl(show="")).state() is None
    assert Systemd(lambda command: (127, "not found")).state() is None
    assert Service().state() is None


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"),
    reason="systemd-analyze is not installed",
)
def test_the_units_are_what_systemd_takes_and_are_hardened(tmp_path):
    """A misspelt key is only a warning to `verify`, so what it says is looked at."""
    root = tmp_path / "root"
    for name in ("current", "watcher"):
        (root / "opt/edgelane" / name).mkdir(parents=True)
        script = root / "opt/edgelane" / name / "edgelane"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
    paths = []
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/edgelane/", f"{root}/opt/edgelane/")
        paths.append(tmp_path / unit.name)
        paths[-1].write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stderr == ""
    for path in paths:
        told = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        # 2.0 of 10, where 10 is a service that may do anything.
        assert told.returncode == 0, told.stdout[-200:]


# Probation


class Running(Service):
    """A release that runs: its journal grows while somebody waits."""

    there = True

    def __init__(self, device, fps):
        self.layout, self.fps, self.frames = Layout(device), fps, 0
        self.restarts, self.alive, self.restarted = 0, True, 0

    def state(self):
        return State(self.alive, self.restarts)

    def restart(self):
        self.restarted += 1

    def live(self, seconds):
        folder = self.layout.runs / running(self.layout.root).id
        folder.mkdir(parents=True, exist_ok=True)
        self.frames += int(self.fps * seconds)
        with Journal(folder / "events.db") as journal:
            told = {"frames": self.frames}
            journal.write("camera", self.frames, float(self.frames), [], b"state", told)


@pytest.fixture
def watched(shop, device, monkeypatch):
    """A device whose second release is watched for a minute, in no time."""
    import edgelane.deploy.watching as module

    first = install(shop.bundle(1), device).release
    second = install(shop.bundle(2), device, probation_s=60.0).release
    state = Layout(device).read_state()
    state.before = {"camera": 15.0}
    Layout(device).write_state(state)
    service, passed = Running(device, 15.0), [0.0]

    def sleep(seconds):
        passed[0] += seconds
        service.live(seconds)

    real = module.samples
    monkeypatch.setattr(
        module,
        "samples",
        lambda layout, service, every_s: real(
            layout, service, every_s=every_s, clock=lambda: passed[0], sleep=sleep
        ),
    )
    return service, first, second


def test_a_release_that_does_as_well_as_before_counts_as_good(watched, device):
    service, _, second = watched
    assert watch_release(device, service=service).action == "keep"
    state = Layout(device).read_state()
    assert state.good[-1] == second and state.probation is None and not service.restarted


@pytest.mark.parametrize(
    "how, why",
    [
        ({"fps": 0.0}, "no frames any more"),
        ({"restarts": 0, "crash": True}, "crashed"),
        ({"alive": False}, "has not run"),
        ({"fps": 1.0}, "down to 1.0 frames"),
    ],
)
def test_a_release_that_does_worse_is_taken_back_by_itself(watched, device, how, why):
    service, first, _ = watched
    service.fps = how.get("fps", 15.0)
    service.alive = how.get("alive", True)
    if how.get("crash"):
        ends = iter(range(99))
        service.state = lambda: State(True, next(ends))
    verdict = watch_release(device, 600.0, service=service)
    assert verdict.action == "back" and why in verdict.reason
    assert running(device).id == first and service.restarted == 1


def test_nothing_is_watched_where_nothing_is_new(shop, device):
    install(shop.bundle(1), device)
    service = Running(device, 15.0)
    assert watch_release(device, service=service).action == "keep"
    assert service.frames == 0 and not service.restarted


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9, float("nan")])
def test_a_probation_of_no_time_is_refused(shop, device, seconds):
    with pytest.raises(UsageError, match="probation"):
        install(shop.bundle(1), device, probation_s=seconds)


# The start


def test_every_release_has_its_own_run_and_goes_on_with_it(shop, device):
    first = install(shop.bundle(1), device).release
    begun = prepare_start(device, clock=lambda: 1e9)
    assert begun.out.name == first and begun.wait_s == 0.0
    assert begun.config == running(device).folder / "config.yaml"
    second = install(shop.bundle(2), device).release
    assert prepare_start(device, clock=lambda: 1e9 + 1).out.name == second
    rollback(device)
    assert prepare_start(device, clock=lambda: 1e9 + 2).out == begun.out


def test_a_release_that_ends_again_and_again_waits_longer_and_longer(shop, device):
    install(shop.bundle(1), device)
    waits = [prepare_start(device, clock=lambda i=i: 1e9 + i).wait_s for i in range(8)]
    assert waits == [0.0, 0.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert prepare_start(device, clock=lambda: 1e9 + 1000).wait_s == 0.0
    (Layout(device).runs / ".starts.json").write_text("{")
    assert prepare_start(device, clock=lambda: 1e9 + 1001).wait_s == 0.0
    assert pause(1000) == 60.0


def test_nothing_installed_or_something_damaged_is_told(shop, device):
    with pytest.raises(ReleaseError, match="nothing is installed"):
        prepare_start(device)
    install(shop.bundle(1), device)
    (running(device).folder / "config.yaml").write_text("pipeline: detection\n")
    with pytest.raises(ReleaseError, match="damaged at config.yaml"):
        prepare_start(device)


def test_the_release_runs_as_its_service_starts_it(shop, device, wheels):
    shop.config.write_text(
        "pipeline: counting\nmodel: store-person\nsource: synth://store?seconds=2&fps=5\n"
        "reference_size: [640, 360]\nlines: {door: {from: [300, 60], to: [330, 340]}}\n"
    )
    release = install(shop.bundle(1, wheels=[wheels]), device).release
    done = run_script(device, "start", "--root", str(device))
    assert done.returncode == 0, done.stderr
    assert "frames  10" in done.stdout
    assert (Layout(device).runs / release / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("release, said", [("8.5", "built in"), ("none", "")])
def test_engines_are_built_before_the_switch_and_kept_for_all_releases(shop, device, release, said):
    """The model goes through the engine in the golden clip, on a TensorRT that computes."""
    fakes = Path(__file__).resolve().parents[1] / "fakes/site"
    env = {**os.environ, "PYTHONPATH": str(fakes), "EDGELANE_FAKE_TENSORRT": release}
    if release == "none":
        env.pop("EDGELANE_FAKE_TENSORRT")
    shop.config.write_text(
        "pipeline: counting\nmodel: store-person\nsource: rtsp://127.0.0.1:9/door\n"
        "reference_size: [640, 360]\nlines: {door: {from: [300, 60], to: [330, 340]}}\n"
    )
    for version in (1, 2):
        bundle = shop.bundle(version, frames=None)
        command = [sys.executable, "-m", "edgelane", "install", str(bundle), "--root", str(device)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert ("engine   models/detector" in done.stdout) == bool(said)
        assert said in done.stdout.replace("built before", "built in")
        assert ("built before" in done.stdout) == (version == 2 and bool(said))
        assert "detections within tolerance" in done.stdout
    engines = list((device / "var/lib/edgelane/engines").glob("*.engine"))
    assert len(engines) == bool(said)
