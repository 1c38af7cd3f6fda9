"""Asking a camera whether it would give pictures, before a decoder is set on it.

FFmpeg behind OpenCV says "no" to everything; and where a camera accepts connections but answers
nothing, it does so after many seconds. A few lines of RTSP (RFC 2326) say why, and soon.
"""

import base64
import hashlib
import os
import re
import socket
import ssl
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .address import Address


class Away(Exception):
    """A camera gives no pictures now; the message says why, in a few words for a report.

    Attributes:
        patient: Trying again soon would do harm: cameras lock out who comes with a wrong
            password too often.
    """

    def __init__(self, why: str, patient: bool = False) -> None:
        super().__init__(why)
        self.patient = patient


_CODEC = re.compile(r"(?im)^a=rtpmap:\d+\s+(H264|H265|HEVC|JPEG|MP4V-ES)/")


_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_UNKNOWN_SIGNER = (18, 19, 20, 21)  # X509_V_ERR_… of OpenSSL
_EXPIRED = 10
_OTHER_NAME = (62, 64)


def tls_context(tls: Mapping[str, Any]) -> ssl.SSLContext:
    """How a camera has to prove who it is: `verify`, and `ca`, a file of certificates, or None for
    those that the machine trusts."""
    context = ssl.create_default_context(cafile=tls.get("ca"))
    if not tls.get("verify", True):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ca_file(tls: Mapping[str, Any]) -> Optional[str]:
    """The file of certificates that are trusted, for libraries that do not find the machine's."""
    own = ssl.get_default_verify_paths().cafile
    known = (tls.get("ca"), own, *_BUNDLES)
    return next((path for path in known if path and os.path.isfile(path)), None)


def untrusted(error: ssl.SSLCertVerificationError, host: str) -> "Away":
    """What is wrong with the camera's certificate, in words."""
    code = error.verify_code
    if code in _UNKNOWN_SIGNER:
        why = "the camera's certificate is signed by nobody known here"
    elif code == _EXPIRED:
        why = "the camera's certificate has expired"
    elif code in _OTHER_NAME:
        why = f"the camera's certificate is for another name than {host}"
    else:
        why = f"the camera's certificate is not trusted ({error.verify_message})"
    return Away(why, patient=True)


def reach(
    address: Address, timeout: float, tls: Optional[Mapping[str, Any]] = None
) -> socket.socket:
    """A connection to the camera, over which nothing was said yet.

    A camera whose very certificate is in the file of `ca` is taken whatever name that is for: most
    cameras sign for themselves, under a name that is no address.

    Args:
        address: Of the stream.
        timeout: In seconds.
        tls: Of an encrypted one, see `tls_context`.

    Raises:
        Away: There is none to be had, or the camera does not prove who it is.
    """
    made = _connect(address, timeout)
    if address.scheme not in ("rtsps", "https"):
        return made
    try:
        return _encrypt(made, address, tls_context(tls or {}))
    except ssl.SSLCertVerificationError as error:
        own = _certificates(tls.get("ca") if tls else None)
        if error.verify_code in _OTHER_NAME and own:
            context = tls_context(tls or {})
            context.check_hostname = False
            link = _encrypt(_connect(address, timeout), address, context)
            if link.getpeercert(True) in own:
                return link
            link.close()
        raise untrusted(error, address.host) from None


def _connect(address: Address, timeout: float) -> socket.socket:
    try:
        return socket.create_connection((address.host, address.port), timeout)
    except socket.timeout:
        raise Away("no answer from the network") from None
    except ConnectionRefusedError:
        raise Away("connection refused") from None
    except socket.gaierror:
        raise Away(f"the name {address.host} is unknown") from None
    except OSError as error:
        raise Away(f"not reachable ({error.strerror or error})") from None


def _encrypt(link: socket.socket, address: Address, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The connection encrypted; closed where that fails.

    Raises:
        SSLCertVerificationError: The camera does not prove who it is.
        Away: It does not encrypt.
    """
    try:
        return context.wrap_socket(link, server_hostname=address.host)
    except ssl.SSLCertVerificationError:
        link.close()
        raise
    except (OSError, ValueError) as error:
        link.close()
        raise Away(f"no encrypted connection ({error})") from None


def _certificates(path: Optional[str]) -> List[bytes]:
    """The certificates in a PEM file, as they come over a connection."""
    if path is None:
        return []
    try:
        with open(path, encoding="latin-1") as file:
            return [ssl.PEM_cert_to_DER_cert(text) for text in _PEM.findall(file.read())]
    except (OSError, ValueError):
        return []


def describe(
    address: Address, timeout: float, tls: Optional[Mapping[str, Any]] = None
) -> Optional[str]:
    """Ask an RTSP camera to describe the stream.

    Args:
        address: Of the stream.
        timeout: Seconds for each answer.
        tls: As in `reach`.

    Returns:
        The codec: `h264`, `h265`, `jpeg`, `mpeg4`, or None where it is not told.

    Raises:
        Away: Refused, not reachable, no answer, wrong password, no such stream.
    """
    with reach(address, timeout, tls) as link:
        status, headers, body = _ask(link, address, 1, None)
        if status == 401:
            if address.user is None:
                raise Away("the camera asks for a user and a password", patient=True)
            login = authorization(headers.get("www-authenticate", ""), address, "DESCRIBE")
            status, headers, body = _ask(link, address, 2, login)
            if status in (401, 403):
                raise Away("wrong user or password", patient=True)
    if status == 404:
        raise Away("the camera has no stream of that name")
    if status != 200:
        raise Away(f"the camera answers {status}")
    found = _CODEC.search(body)
    names = {"h264": "h264", "h265": "h265", "hevc": "h265", "jpeg": "jpeg", "mp4v-es": "mpeg4"}
    return names[found.group(1).lower()] if found else None


def authorization(challenge: str, address: Address, method: str, uri: str = "") -> str:
    """The `Authorization` header that answers a challenge: Basic, or Digest with MD5 or SHA-256
    (RFC 7616)."""
    user, password = address.user or "", address.password or ""
    kind, _, rest = challenge.partition(" ")
    if kind.lower() != "digest":
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', rest))
    algorithm = given.get("algorithm", "MD5")
    kind_of = hashlib.sha256 if algorithm.upper() == "SHA-256" else hashlib.md5

    def digest(*parts: str) -> str:
        return kind_of(":".join(parts).encode()).hexdigest()

    uri = uri or address.url
    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    first, second = digest(user, realm, password), digest(method, uri)
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
    extra = ""
    if "auth" in [part.strip() for part in given.get("qop", "").split(",")]:
        own = os.urandom(8).hex()
        fields["response"] = digest(first, nonce, "00000001", own, "auth", second)
        extra = f', qop=auth, nc=00000001, cnonce="{own}"'
    else:
        fields["response"] = digest(first, nonce, second)
    if "algorithm" in given:
        extra += f", algorithm={algorithm}"
    if "opaque" in given:
        extra += f', opaque="{given["opaque"]}"'
    return "Digest " + ", ".join(f'{k}="{v}"' for k, v in fields.items()) + extra


def _ask(
    link: socket.socket, address: Address, number: int, login: Optional[str]
) -> Tuple[int, Dict[str, str], str]:
    lines = [f"DESCRIBE {address.url} RTSP/1.0", f"CSeq: {number}", "Accept: application/sdp"]
    if login:
        lines.append(f"Authorization: {login}")
    data = b""
    try:
        link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in data:
            data += _more(link, data)
        head, _, body = data.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in rest]
        headers: Dict[str, str] = {}
        for name, _, value in pairs:
            # Of several challenges Digest is the one to answer.
            name = name.strip().lower()
            if name not in headers or value.strip().lower().startswith("digest"):
                headers[name] = value.strip()
        match = re.match(r"RTSP/1\.\d (\d{3})", first)
        if match is None:
            raise Away("what answers there is no RTSP camera")
        length = int(headers.get("content-length") or 0)
        while len(body) < min(length, 1 << 16):
            body += _more(link, body)
    except socket.timeout:
        raise Away("no answer from the camera") from None
    except (OSError, ValueError) as error:
        raise Away(f"the camera broke off ({error})") from None
    return int(match.group(1)), headers, body.decode("latin-1")


def _more(link: socket.socket, so_far: bytes) -> bytes:
    data = link.recv(4096)
    if not data:
        raise Away("the camera hung up")
    if len(so_far) > 1 << 17:
        raise Away("what answers there is no RTSP camera")
    return data
