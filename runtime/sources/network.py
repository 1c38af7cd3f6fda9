"""Openers of live cameras: `rtsp://…`, `http://…`, `csi://…`, `live+v4l2://…`, `live+file://…`."""

from dataclasses import asdict
from typing import Any, Dict, Optional
from urllib.parse import parse_qsl

from ...core import UsageError, did_you_mean
from .address import mask, parse_address
from .base import Query, Source, positive, take
from .live import LiveSource, patience

TRANSPORTS = ("tcp", "udp")
BACKENDS = ("auto", "ffmpeg", "gstreamer")
_OWN = ("transport", "timeout", "open", "backend", "latency")
_TLS = ("ca", "verify")


def open_rtsp(location: str, camera: str, query: Query) -> Source:
    """An RTSP camera: `rtsp://user:password@host:554/stream?transport=udp`.

    `transport` (`tcp` or `udp`), `timeout` (seconds without a picture), `open` (seconds for the
    first), `backend` (`auto`, `ffmpeg`, `gstreamer`) and `latency` (milliseconds, GStreamer) are
    read here; whatever else the query holds belongs to the camera. With `rtsps` also `ca`, a file
    with the certificate of the camera or of who signed it, and `verify`; `verify=no` trusts whoever
    answers.
    """
    address_text, own = _own(location, _OWN + _tls_keys(location))
    patient = patience(own, mask(location))
    tls = _tls(own, location)
    values = take(
        own,
        mask(location),
        transport=_one_of("transport", TRANSPORTS),
        backend=_one_of("backend", BACKENDS),
        latency=positive,
    )
    spec: Dict[str, Any] = {
        "kind": "rtsp",
        "address": asdict(parse_address(address_text)),
        "transport": values.get("transport", "tcp"),
        "backend": values.get("backend", "auto"),
        "latency_ms": int(values.get("latency", 100)),
        "tls": tls,
    }
    if tls and tls["ca"] and values.get("backend") == "gstreamer":
        raise UsageError(
            f"source {mask(location)!r}: GStreamer trusts the machine's certificates alone",
            remedy="install the certificate with update-ca-certificates, or use backend=ffmpeg",
        )
    return LiveSource(location, camera, spec, patient)


def open_http(location: str, camera: str, query: Query) -> Source:
    """A camera that sends motion JPEG over HTTP; `timeout`, `open`, and with `https` `ca` and
    `verify` as with RTSP."""
    address_text, own = _own(location, ("timeout", "open", *_tls_keys(location)))
    patient = patience(own, mask(location))
    spec = {
        "kind": "mjpeg",
        "address": asdict(parse_address(address_text)),
        "tls": _tls(own, location),
    }
    return LiveSource(location, camera, spec, patient)


def open_csi(location: str, camera: str, query: Query) -> Source:
    """A Jetson's CSI camera: `csi://0?width=1280&height=720&fps=30&flip=2`."""
    from .gstreamer import csi_pipeline

    uri = f"csi://{location}"
    text = location.strip("/") or "0"
    if not text.isdigit():
        raise UsageError(f"source {uri!r} is wrong", expected="the sensor's number, e.g. csi://0")
    patient = patience(query, uri)
    values = take(query, uri, width=positive, height=positive, fps=positive, flip=int)
    for key in ("width", "height"):
        if key in values:
            values[key] = int(values[key])
    spec = {"kind": "gstreamer", "pipeline": csi_pipeline(int(text), **values)}
    return LiveSource(uri, camera, spec, patient)


def open_device(location: str, camera: str, query: Query) -> Source:
    """A USB camera that may be unplugged and hang: `live+v4l2:///dev/video0?width=1280`.

    Keys as with `v4l2://`, and `timeout`, `open` and `backend`: with `gstreamer` a Jetson's
    hardware decodes the camera's Motion JPEG.
    """
    from .gstreamer import usb_pipeline

    uri, rest = f"live+v4l2://{location}", dict(query)
    patient = patience(rest, uri)
    backend = rest.pop("backend", "ffmpeg")
    _one_of("backend", BACKENDS[1:])(backend)
    values = take(rest, uri, width=positive, height=positive, fps=positive, format=str)
    if backend == "gstreamer":
        size = [int(values[key]) if key in values else None for key in ("width", "height")]
        line = usb_pipeline(location, size[0], size[1], values.get("fps"))
        return LiveSource(uri, camera, {"kind": "gstreamer", "pipeline": line}, patient)
    return LiveSource(uri, camera, {"kind": "device", "device": location, "query": rest}, patient)


def open_played(scheme: str) -> Any:
    """An opener that plays what another scheme opens: `live+file:///clip.mp4?loop=1&speed=2`."""

    def opened(location: str, camera: str, query: Query) -> Source:
        rest = dict(query)
        patient = patience(rest, location)
        if scheme == "file":  # of a scene's own keys the capture process judges
            take(rest, f"live+{scheme}://{location}", loop=int, speed=positive, fps=positive)
        own = {key: rest.pop(key) for key in ("loop", "speed") if key in rest}
        values = take(own, location, loop=int, speed=positive)
        pairs = "&".join(f"{key}={value}" for key, value in rest.items())
        uri = (location if scheme == "file" else f"{scheme}://{location}") + (
            f"?{pairs}" if pairs else ""
        )
        spec = {
            "kind": "file",
            "uri": uri,
            "speed": values.get("speed", 1.0),
            "loop": bool(values.get("loop", 0)),
        }
        return LiveSource(f"live+{scheme}://{location}", camera, spec, patient)

    return opened


open_live_file = open_played("file")
open_live_synth = open_played("synth")


def _own(location: str, keys: Any = _OWN) -> Any:
    """The address with the camera's own query, and the keys that are read here."""
    base, mark, text = location.partition("?")
    own: Query = {}
    rest = []
    for part in text.split("&") if mark else []:
        key = part.partition("=")[0]
        if key in keys:
            own.update(parse_qsl(part, keep_blank_values=True))
        else:
            rest.append(part)
    return base + ("?" + "&".join(rest) if rest else ""), own


def _tls_keys(location: str) -> Any:
    return _TLS if location.lower().startswith(("rtsps:", "https:")) else ()


def _tls(own: Query, location: str) -> Optional[Dict[str, Any]]:
    """Take the keys `ca` and `verify` out of a query; None where nothing is encrypted."""
    if not _tls_keys(location):
        return None
    uri = mask(location)
    verify = take({k: own.pop(k) for k in ("verify",) if k in own}, uri, verify=_yes_or_no)
    path = own.pop("ca", None)
    if path is not None and not _certificates(path):
        raise UsageError(
            f"source {uri!r}: ca is no file that can be used",
            got=repr(path),
            expected="the path of a file of certificates (PEM), without ; and |",
        )
    return {"ca": path, "verify": verify.get("verify", True)}


def _certificates(path: str) -> bool:
    import ssl

    if set(path) & set(";|"):  # OpenCV takes options apart at these marks
        return False
    try:
        ssl.create_default_context(cafile=path)
    except OSError:
        return False
    return True


def _yes_or_no(text: str) -> bool:
    known = {"yes": True, "no": False, "1": True, "0": False}
    if text not in known:
        raise UsageError(f"verify {text!r} is unknown", expected="yes or no")
    return known[text]


def _one_of(key: str, known: Any) -> Any:
    def read(text: str) -> str:
        if text not in known:
            raise UsageError(f"{key} {text!r} is unknown", remedy=did_you_mean(text, known))
        return text

    return read
