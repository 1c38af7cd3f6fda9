"""Passwords by name."""

import os

import pytest

from edgelane.core import ConfigError, UsageError
from edgelane.runtime.secrets import read_secret, with_secrets, write_secret


def test_a_secret_is_its_owners_alone(tmp_path):
    path = write_secret("door", "hunter2 ü", tmp_path / "secrets")
    assert (path.stat().st_mode & 0o777) == 0o600
    assert read_secret("door", tmp_path / "secrets") == "hunter2 ü"
    write_secret("door", "other", tmp_path / "secrets")
    assert [p.name for p in (tmp_path / "secrets").iterdir()] == ["door"]
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others") as caught:
        read_secret("door", tmp_path / "secrets")
    assert "other" not in str(caught.value).replace("others", "")


def test_sources_name_them(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELANE_SECRETS", str(tmp_path))
    write_secret("door", "a/b@c:d")
    write_secret("url", "rtsp://h/x")
    assert with_secrets("rtsp://me:secret:door@h:554/x") == "rtsp://me:a%2Fb%40c%3Ad@h:554/x"
    assert with_secrets("secret:url") == "rtsp://h/x"
    write_secret("whole", "rtsp://me:secret:door@h:554/x")
    assert with_secrets("secret:whole") == "rtsp://me:a%2Fb%40c%3Ad@h:554/x"
    for plain in ("rtsp://me:pw@h/x", "v.mp4", "synth://store?seed=1", "rtsp://h/secret:door@x"):
        assert with_secrets(plain) == plain


def test_what_is_missing_or_odd_is_told(tmp_path):
    with pytest.raises(ConfigError, match="not set on this machine. edgelane secret set door"):
        with_secrets("secret:door", tmp_path)
    for name in ("", "../x", "a/b", ".x", "x" * 65):
        with pytest.raises(UsageError, match="name of a secret"):
            read_secret(name, tmp_path)
    for value in ("", "two\nlines", "x" * 5000):
        with pytest.raises(UsageError, match="the secret x is wrong"):
            write_secret("x", value, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_secret_that_root_sets_belongs_to_whom_the_folder_belongs(tmp_path):
    os.chown(str(tmp_path), 1234, 1234)
    path = write_secret("door", "hunter2", tmp_path)
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (1234, 0o600)
