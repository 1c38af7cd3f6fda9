"""Many devices in waves: an inventory, what stops them, and the table at the end."""

import math
import sys

import pytest

from edgelane.core import ConfigError, UsageError
from edgelane.deploy import Host, flash_all, mark_good, read_inventory, rollback, running
from edgelane.deploy.fleet import share_of, table, waves_of
from edgelane.deploy.inventory import secrets_of

INVENTORY = """\
defaults: {root: /srv/device, values: {site: uk}, secrets: [door]}
hosts:
  kings-road:
    address: edge@10.0.0.11
    port: 2222
    device: orin-nano
    values: {door_url: "rtsp://viewer:secret:door@10.0.0.5/stream"}
    secrets: [till]
  high-street: edge@10.0.0.12
"""


def inventory(tmp_path, text):
    path = tmp_path / "stores.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_hosts_have_in_common_is_written_once(tmp_path):
    hosts = read_inventory(inventory(tmp_path, INVENTORY))
    assert list(hosts) == ["kings-road", "high-street"]
    one, two = hosts.values()
    assert (one.port, one.device, one.root) == (2222, "orin-nano", "/srv/device")
    assert one.values["site"] == "uk" and one.values["door_url"].startswith("rtsp://")
    assert one.secrets == ["door", "till"]
    assert two == Host("edge@10.0.0.12", root="/srv/device", values={"site": "uk"},
                       secrets=["door"])  # fmt: skip


WRONG = [
    ("hosts: {}", "has no hosts"),
    ("host: {a: b}", "host is unknown.*hosts"),
    ("hosts: {a: {address: x, valeus: {}}}", "hosts.a.valeus is unknown.*values"),
    ("hosts: {a: {port: 22}}", "hosts.a lacks address"),
    ("hosts: {a: {address: x, port: high}}", "hosts.a.port"),
    ("hosts: {a: {address: '-oProxyCommand=x'}}", "hosts.a: that names no device"),
    ("hosts: {a: [x]}", "hosts.a"),
    ("hosts: {'a b': x}", "the name 'a b' is wrong"),
    ("hosts: {a: x, b: x}", "hosts.b is the same device as hosts.a"),
    ("hosts: {a: {address: x, values: {'../x': y}}}", "name of a secret is wrong"),
    ("defaults: {address: x}\nhosts: {a: x}", "no address"),
    ("hosts: [", "is no YAML"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_inventory_is_told_by_its_field(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        read_inventory(inventory(tmp_path, text))


def test_waves_reach_ever_more(tmp_path):
    assert waves_of("1,10%,100%", 40) == [1, 4, 40]
    assert waves_of("1,10%,100%", 3) == [1, 3]
    assert waves_of("5", 3) == [3]
    assert waves_of("33%,66%,100%", 7) == [3, 5, 7]
    for count in range(1, 60):
        assert waves_of("1,10%,100%", count)[-1] == count
        assert waves_of("10%", count) == [math.ceil(count / 10)]
    for text in ("", "0", "x", "50%,5%", "101%", "1.5", "1,,2"):
        with pytest.raises(UsageError, match="--waves"):
            waves_of(text, 10)
    assert (share_of("20%"), share_of("0.2"), share_of("0")) == (0.2, 0.2, 0)
    for text in ("x", "120%", "-1"):
        with pytest.raises(UsageError, match="no share"):
            share_of(text)


def test_secrets_come_from_the_desk(tmp_path):
    host = Host("x", secrets=["door"])
    with pytest.raises(ConfigError, match="Give --secrets"):
        secrets_of("shop", host, None)
    with pytest.raises(ConfigError, match="needs the secret door: got neither"):
        secrets_of("shop", host, tmp_path)
    (tmp_path / "door").write_text("for all\n")
    (tmp_path / "door").chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others"):
        secrets_of("shop", host, tmp_path)
    (tmp_path / "door").chmod(0o600)
    assert secrets_of("shop", host, tmp_path) == {"door": "for all"}
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/door").write_text("its own\n")
    (tmp_path / "shop/door").chmod(0o600)
    assert secrets_of("shop", host, tmp_path) == {"door": "its own"}


@pytest.fixture
def fleet(server, tmp_path, shop):
    """Devices behind one sshd, each a folder; those named here cannot be reached."""

    def fleet(names, down=()):
        hosts = {}
        for name in names:
            root = tmp_path / name
            root.mkdir(exist_ok=True)
            port = 9 if name in down else server.port
            hosts[name] = Host(server.host, root=str(root), python=sys.executable, port=port)
        return hosts

    return fleet


def without_port(server):
    """The command that reaches the server; an inventory says the port."""
    ssh = server.ssh()
    at = ssh.index("-p")
    return ssh[:at] + ssh[at + 2 :]


@pytest.mark.slow
def test_they_come_one_after_the_other_and_then_together(server, fleet, shop, tmp_path):
    told = []
    rolled = flash_all(
        fleet("abc"),
        shop.bundle(1),
        waves="1,100%",
        parallel=2,
        ssh=without_port(server),
        trust=shop.secret.public,
        tell=lambda name, text: told.append((name, text)),
    )
    assert [(r.name, r.wave, r.state) for r in rolled.rows] == [
        ("a", 1, "installed"), ("b", 2, "installed"), ("c", 2, "installed")
    ]  # fmt: skip
    assert (rolled.stopped, rolled.failed) == ("", 0)
    ended = told.index(("a", f"installed: {rolled.rows[0].flashed.release}"))
    assert ended < min(i for i, (name, _) in enumerate(told) if name in ("b", "c"))
    for name in "abc":
        assert running(tmp_path / name).id == rolled.rows[0].flashed.release
    lines = table(rolled)
    assert lines[0].split() == ["device", "wave", "state", "release", "sent", "time"]
    assert len(lines) == 4 and lines[1].startswith("a       1     installed")
    # Once more, and those that have it are quick.
    again = flash_all(fleet("abc"), shop.bundle(1), ssh=without_port(server))
    assert [r.state for r in again.rows] == ["unchanged"] * 3


def test_a_first_one_that_fails_stops_all(server, fleet, shop, tmp_path):
    rolled = flash_all(
        fleet("abcd", down="a"),
        shop.bundle(1),
        waves="1,100%",
        ssh=without_port(server),
        trust=shop.secret.public,
    )
    assert [r.state for r in rolled.rows] == ["failed", "left", "left", "left"]
    assert rolled.stopped == "1 of 1 devices failed, and 20 % may of 1"
    assert "cannot be reached" in rolled.rows[0].error
    assert "cannot be reached" in table(rolled)[1] and table(rolled)[2].split()[1:3] == [
        "-",
        "left",
    ]
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.slow
def test_a_few_may_fail_and_the_next_call_goes_on(server, fleet, shop):
    options = {"ssh": without_port(server), "trust": shop.secret.public, "waves": "100%"}
    bundle = shop.bundle(1)
    rolled = flash_all(fleet("abc", down="b"), bundle, max_failures=0.4, **options)
    assert [r.state for r in rolled.rows] == ["installed", "failed", "installed"]
    assert rolled.stopped == "" and rolled.failed == 1
    rolled = flash_all(fleet("abc"), bundle, **options)
    assert [r.state for r in rolled.rows] == ["unchanged", "installed", "unchanged"]


def test_within_a_wave_no_more_are_begun_than_may_fail(server, fleet, shop, tmp_path):
    rolled = flash_all(
        fleet("abcdef", down="abcdef"),
        shop.bundle(1),
        waves="100%",
        parallel=1,
        max_failures=0.2,
        ssh=without_port(server),
        trust=shop.secret.public,
    )
    assert [r.state for r in rolled.rows] == ["failed", "failed", *["left"] * 4]
    assert "2 of 2 devices failed" in rolled.stopped


def test_waves_may_end_early(server, fleet, shop, contents, tmp_path):
    rolled = flash_all(
        fleet("ab"), shop.bundle(1), waves="1", dry_run=True,
        ssh=without_port(server), trust=shop.secret.public,
    )  # fmt: skip
    assert [r.state for r in rolled.rows] == ["planned", "left"]
    assert rolled.stopped == "the waves end after 1 of 2 devices"
    assert contents(tmp_path / "a") == {}


@pytest.mark.slow
@pytest.mark.parametrize("goes_back", [False, True])
def test_the_next_wave_waits_for_what_comes_of_a_probation(
    server, fleet, shop, tmp_path, goes_back
):
    """What watches a release on a device is played here: it keeps it, or goes back."""
    flash_all(fleet("ab"), shop.bundle(1), ssh=without_port(server), trust=shop.secret.public)
    told = []

    def tell(name, text):
        told.append((name, text))
        if name == "a" and "is watched" in text:
            (rollback if goes_back else mark_good)(tmp_path / "a")

    rolled = flash_all(
        fleet("ab"), shop.bundle(2), waves="1,100%", poll_s=0.1, tell=tell,
        ssh=without_port(server), options=["--probation", "10m"],
    )  # fmt: skip
    if goes_back:
        assert [r.state for r in rolled.rows] == ["back", "left"]
        assert "went back to shop-1-" in rolled.rows[0].error and rolled.failed == 1
    else:
        assert [r.state for r in rolled.rows] == ["installed", "installed"]
        assert ("a", "has proved itself") in told
