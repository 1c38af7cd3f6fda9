"""Encrypted cameras prove who they are: rtsps and https."""
# ruff: noqa: SIM117 - a server and who watches it read better apart

import shutil
import ssl
import subprocess

import pytest
from viewer import Viewer

from edgelane.benchmarks.soak.played import Camera
from edgelane.benchmarks.soak.rtsp import RtspServer
from edgelane.benchmarks.soak.servers import MjpegServer
from edgelane.core import SourceError, UsageError
from edgelane.runtime.sources import gstreamer, open_source
from edgelane.runtime.sources.address import parse_address
from edgelane.runtime.sources.readers import ffmpeg_options

if shutil.which("openssl") is None:
    pytest.skip("openssl makes the certificates of these tests", allow_module_level=True)


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An authority; a camera whose certificate it signed; one whose certificate is for another
    name; one that signed for itself; and one that did so for its serial number, as most do."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ["req", "-newkey", "rsa:2048", "-nodes", "-keyout"]
    openssl(folder, *new, "ca.key", "-x509", "-out", "ca.crt", "-days", "2", "-subj", "/CN=own ca")
    for name, place in (("signed", "IP:127.0.0.1"), ("elsewhere", "DNS:camera.example")):
        openssl(folder, *new, f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / f"{name}.txt").write_text(f"subjectAltName={place}\n")
        signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        made = ["-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", f"{name}.txt"]
        openssl(folder, "x509", "-req", *made, *signer)
    for name, place in (("self", "IP:127.0.0.1"), ("serial", "DNS:ipc-7391.local")):
        own = ["-x509", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={place}"]
        openssl(folder, *new, f"{name}.key", "-out", f"{name}.crt", *own)
    return folder


def context(folder, name):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(str(folder / f"{name}.crt"), str(folder / f"{name}.key"))
    return made


@pytest.fixture(scope="module")
def film():
    pytest.importorskip("av", reason="the RTSP server of these tests shows what PyAV encodes")
    from edgelane.benchmarks.soak.clips import bars

    return bars()


def server(kind, folder, name, film, login=""):
    if kind == "https":
        return MjpegServer(login=login, context=context(folder, name))
    return RtspServer(Camera(film), login=login, context=context(folder, name))


@pytest.mark.parametrize("kind", ["rtsps", "https"])
@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("signed", "ca={}/ca.crt"),
        ("self", "ca={}/self.crt"),
        ("serial", "ca={}/serial.crt"),
        ("self", "verify=no"),
    ],
)
def test_who_is_trusted_is_watched(folder, film, kind, name, query):
    with server(kind, folder, name, film, "joe:secret") as camera:
        uri = camera.url.replace("://", "://joe:secret@")
        with Viewer(f"{uri}?{query.format(folder)}") as viewer:
            viewer.more(3)
            assert viewer.frames[-1][3].max() > 180


@pytest.mark.parametrize("kind", ["rtsps", "https"])
@pytest.mark.parametrize(
    ("name", "query", "told"),
    [
        ("self", "", "signed by nobody known here"),
        ("self", "&ca={}/ca.crt", "signed by nobody known here"),
        ("elsewhere", "&ca={}/ca.crt", "for another name than 127.0.0.1"),
        ("serial", "&ca={}/self.crt", "signed by nobody known here"),
    ],
)
def test_who_is_not_trusted_gets_no_password(folder, film, kind, name, query, told):
    with server(kind, folder, name, film, "joe:secret") as camera:
        uri = camera.url.replace("://", "://joe:secret@")
        with open_source(f"{uri}?open=5{query.format(folder)}") as source:
            with pytest.raises(SourceError, match=told) as caught:
                assert source.size
        assert "verify=no" in str(caught.value) and "secret" not in str(caught.value)
        # Nothing was asked over the connection.
        assert not getattr(camera, "asked", []) and not getattr(camera, "requests", 0)


def test_what_is_no_certificate_is_refused_at_once(tmp_path):
    (tmp_path / "no.crt").write_text("nothing")
    for path in (tmp_path / "none.crt", tmp_path / "no.crt"):
        with pytest.raises(UsageError, match="ca is no file that can be used"):
            open_source(f"rtsps://127.0.0.1:9/cam?ca={path}")
    with pytest.raises(UsageError, match="expected yes or no"):
        open_source("https://127.0.0.1:9/video?verify=maybe")


def test_a_camera_without_encryption_keeps_its_own_keys():
    with open_source("http://127.0.0.1:9/video?ca=1&open=0.1") as source:
        assert "ca=1" in source.uri


def test_decoders_are_told_whom_to_trust(folder):
    trusted = str(folder / "ca.crt")
    told = ffmpeg_options("tcp", {"ca": trusted, "verify": True})
    assert told.endswith(f"|tls_verify;1|ca_file;{trusted}")
    assert "tls" not in ffmpeg_options("tcp") + ffmpeg_options("tcp", {"verify": False})
    address = parse_address("rtsps://h/cam")
    line = gstreamer.rtsp_pipeline(address, "h264", "tcp", 1, False, {"verify": False})
    assert "tls-validation-flags=0 " in line
    assert "tls-" not in gstreamer.rtsp_pipeline(address, "h264", "tcp", 1, False, {"verify": True})
    with pytest.raises(UsageError, match="the machine's certificates"):
        open_source(f"rtsps://127.0.0.1:9/cam?backend=gstreamer&ca={trusted}")
