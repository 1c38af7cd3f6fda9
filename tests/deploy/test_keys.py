"""Signatures are minisign's, in both directions."""

import base64
import os
import shutil
import subprocess

import pytest

from edgelane.core import DataError, ReleaseError, UsageError
from edgelane.deploy import keys


@pytest.fixture
def minisign():
    """Debian's own."""
    path = shutil.which("minisign")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("minisign is missing, and CI must compare with it")
        pytest.skip("minisign is not installed")
    return lambda *words: subprocess.run(
        [path, *map(str, words)], capture_output=True, text=True, check=False
    )


def test_minisign_verifies_a_bundle(shop, minisign):
    bundle = shop.bundle(7)
    done = minisign("-V", "-m", bundle, "-p", shop.public)
    assert done.returncode == 0, done.stderr
    assert "Trusted comment: edgelane shop version 7" in done.stdout
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    assert minisign("-V", "-m", bundle, "-p", shop.public).returncode != 0


def test_minisign_signs_with_a_key_of_ours_and_we_verify(shop, minisign, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"as it is")
    done = minisign("-S", "-W", "-s", shop.key, "-m", file, "-t", "by hand")
    assert done.returncode == 0, done.stderr
    signature = keys.parse_signature((tmp_path / "file.minisig").read_bytes(), "file")
    with open(file, "rb") as opened:
        digest, _, _ = keys.digest_of(opened)
    keys.verify(digest, signature, shop.secret.public, "file")
    assert signature.comment == "by hand"


def test_a_key_of_minisign_signs_bundles(shop, minisign, tmp_path):
    secret, public = tmp_path / "m.key", tmp_path / "m.pub"
    done = minisign("-G", "-W", "-s", secret, "-p", public)
    assert done.returncode == 0, done.stderr
    bundle = shop.bundle(1, key=secret)
    assert minisign("-V", "-m", bundle, "-p", public).returncode == 0
    assert keys.read_public(public).id == keys.read_key(secret).public.id


def test_the_secret_is_for_its_owner_alone_and_never_overwritten(shop):
    assert (shop.key.stat().st_mode & 0o777) == 0o600
    assert keys.read_key(shop.key) == shop.secret
    with pytest.raises(UsageError, match="never overwritten"):
        keys.write_key(shop.key, keys.new_key())


@pytest.mark.parametrize(
    "text",
    ["", "untrusted comment: x\n", "x\nAAAA\n", "untrusted comment: x\nRW" + "A" * 54 + "\n"],
)
def test_what_is_no_key_is_told(tmp_path, text):
    file = tmp_path / "no.key"
    file.write_text(text)
    for read in (keys.read_key, keys.read_public):
        with pytest.raises(DataError, match="no (secret|public) key"):
            read(file)


def test_a_signature_has_one_spelling(shop):
    good = keys.sign(b"d" * 64, shop.secret, "comment")
    keys.verify(b"d" * 64, keys.parse_signature(good, "x"), shop.secret.public, "x")
    lines = good.split(b"\n")
    legacy = base64.b64encode(b"Ed" + base64.b64decode(lines[1])[2:])
    for wrong in (
        good[:-1],
        good + b"\n",
        good.replace(b"\n", b"\r\n"),
        b"\n".join([lines[0], lines[1] + b" ", *lines[2:]]),
        b"\n".join([lines[0], legacy, *lines[2:]]),
        b"",
        b"\xff" * 100,
    ):
        with pytest.raises(ReleaseError):
            keys.parse_signature(wrong, "x")


def test_the_comment_is_signed_too(shop):
    good = keys.sign(b"d" * 64, shop.secret, "version 3")
    with pytest.raises(ReleaseError, match="is not what key"):
        keys.verify(
            b"d" * 64,
            keys.parse_signature(good.replace(b"version 3", b"version 4"), "x"),
            shop.secret.public,
            "x",
        )
