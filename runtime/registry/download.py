"""Downloads that survive cut lines: resumed where the server can, begun anew where it cannot.

Only the standard library, so that a device with the base install can do it.
"""

import contextlib
import errno
import http.client
import json
import os
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import IO, Any, Callable, Dict, NamedTuple, Optional
from urllib.parse import urlsplit

from ...core import EdgelaneError, ModelError, StorageError

LIMIT = 8 << 30
"""Bytes after which a download of unknown length is given up."""

_CHUNK = 1 << 16
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_WAIT_LIMIT = 60.0

Report = Callable[[int, int, Optional[int]], None]
"""Called with the bytes that came so far in this call, those in the file, and the whole or None."""


class _Again(Exception):
    """A try that failed and may work the next time."""

    def __init__(self, why: str, wait: Optional[float] = None) -> None:
        super().__init__(why)
        self.wait = wait


class _Known(NamedTuple):
    """What the server said of the file that the partial one is a part of."""

    address: str = ""
    etag: str = ""
    modified: str = ""
    total: Optional[int] = None


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 10

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before == "https" and after == "http"):
            raise _unsafe(req.full_url, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    address: str,
    part: Path,
    *,
    expected: Optional[int] = None,
    timeout: float = 30.0,
    attempts: int = 5,
    report: Optional[Report] = None,
    sleep: Optional[Callable[[float], None]] = None,
) -> None:
    """Bring what lies at an address into a file, going on with what is there already.

    What was said about the file (ETag, date, length) lies beside it as `<part>.json`; a file that
    changed in between begins anew. When this returns the file is as long as the server said, its
    content is for the caller to check.

    Args:
        address: http or https.
        part: The partial file. It stays when the line is cut for good, to be resumed.
        expected: Length that is known from elsewhere, in bytes.
        timeout: Seconds without a byte after which a connection counts as dead.
        attempts: How often in a row it may fail without a new byte.
        report: See `Report`.
        sleep: How to wait; `time.sleep` unless given.

    Raises:
        ModelError: The address cannot be reached, refuses, leads elsewhere, or gives a web page
            or another length than expected.
        StorageError: The disk is full or the folder cannot be written.
    """
    _Download(address, part, expected, timeout, report).run(attempts, sleep or time.sleep)


def forget(part: Path) -> None:
    """Remove a partial file and what is known of it."""
    for path in (part, _note_path(part)):
        with contextlib.suppress(OSError):
            path.unlink()


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


class _Download:
    def __init__(
        self,
        address: str,
        part: Path,
        expected: Optional[int],
        timeout: float,
        report: Optional[Report],
    ) -> None:
        self.address = address
        self.part = part
        self.expected = expected
        self.timeout = timeout
        self.report = report
        self.host = urlsplit(address).hostname or address
        self.came = 0
        self.best = -1
        self.connected = False
        self.opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
            _Redirects(),
        ):
            self.opener.add_handler(handler)

    def run(self, attempts: int, sleep: Callable[[float], None]) -> None:
        failed = 0
        while True:
            try:
                self._try()
                return
            except _Again as reason:
                reached = self._length()
                if reached > self.best:
                    self.best, failed = reached, 0
                failed += 1
                if failed >= max(attempts, 1):
                    if not reached:
                        forget(self.part)
                    kept = f"{reached:,} bytes are kept, " if reached else ""
                    raise ModelError(
                        f"the download from {self.host} failed {failed} times",
                        got=str(reason),
                        remedy=f"{kept}try again later to go on" if kept else "try again later",
                    ) from None
                wait = reason.wait if reason.wait is not None else 0.5 * 2 ** (failed - 1)
                sleep(min(wait, _WAIT_LIMIT))

    def _length(self) -> int:
        try:
            return self.part.stat().st_size
        except OSError:
            return 0

    def _known(self) -> _Known:
        """What is noted of the partial file, if it is of this address."""
        try:
            known = _Known(**json.loads(_note_path(self.part).read_text(encoding="utf-8")))
            if known.address == self.address:
                return known
        except (OSError, ValueError, TypeError):
            pass
        return _Known()

    def _try(self) -> None:
        known, offset = self._known(), self._length()
        if offset and not (known.address and (known.etag or known.modified or known.total)):
            offset = 0  # nothing says that the rest would fit
        if offset and known.total is not None and offset >= known.total:
            if offset == known.total and self.expected in (None, offset):
                return
            offset = 0
        headers = {
            "User-Agent": "edgelane",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if known.etag and not known.etag.startswith("W/"):
                headers["If-Range"] = known.etag
            elif known.modified:
                headers["If-Range"] = known.modified
        with contextlib.closing(self._open(headers)) as response:
            self.connected = True
            said = _Known(
                self.address,
                response.headers.get("ETag") or "",
                response.headers.get("Last-Modified") or "",
                None,
            )
            if response.status == 206 and offset:
                said = said._replace(total=_range(response.headers, offset))
                same = (
                    said.total is not None
                    and known.total in (None, said.total)
                    and (not (known.etag and said.etag) or known.etag == said.etag)
                    and (not (known.modified and said.modified) or known.modified == said.modified)
                )
                if not same:
                    forget(self.part)
                    raise _Again("the file at the address changed, it begins anew", wait=0.0)
            elif response.status == 200:
                offset = 0
                said = said._replace(total=_whole(response.headers))
            else:
                raise ModelError(f"{self.host} gave an odd answer", got=f"status {response.status}")
            self._check(response.headers, said.total)
            self._receive(response, offset, said)

    def _open(self, headers: Dict[str, str]) -> Any:
        request = urllib.request.Request(self.address, headers=headers)
        try:
            return self.opener.open(request, timeout=self.timeout)
        except EdgelaneError:
            raise
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                raise self._refused(error) from None
        except urllib.error.URLError as error:
            reason = error.reason
            raise self._unreachable(
                reason if isinstance(reason, OSError) else OSError(str(reason))
            ) from None
        except OSError as error:
            raise self._unreachable(error) from None
        except (http.client.HTTPException, ValueError) as error:
            raise _Again(f"no proper answer, {type(error).__name__}") from None

    def _refused(self, error: urllib.error.HTTPError) -> Exception:
        code = error.code
        if code == 416:
            forget(self.part)
            return _Again("the partial file did not fit, it begins anew", wait=0.0)
        if code in _RETRIED:
            wait = None
            with contextlib.suppress(ValueError):  # it may also be a date
                wait = max(float(error.headers.get("Retry-After") or ""), 0.0)
            return _Again(f"status {code} from {self.host}", wait)
        if 300 <= code < 400:
            if "not allowed" in str(error.msg):
                return _unsafe(error.url, error.headers.get("Location"))
            return ModelError(
                f"{self.address} leads round in circles or nowhere", got=f"status {code}"
            )
        if code in (404, 410):
            return ModelError(
                f"there is no file at {self.address}",
                got=f"status {code}",
                remedy="a newer edgelane may know where it went; --registry names your own list",
            )
        if code == 407:
            return ModelError(
                "the proxy wants a name and password",
                got=f"status {code}",
                remedy="set https_proxy=http://name:password@host:port",
            )
        return ModelError(f"{self.host} refuses {self.address}", got=f"status {code}")

    def _unreachable(self, error: OSError) -> Exception:
        """What a failed connection means; only what may pass by itself is tried again."""
        text = error.strerror or str(error) or type(error).__name__
        if isinstance(error, socket.timeout):
            return _Again(f"no answer from {self.host} within {self.timeout:g} s")
        if isinstance(error, ssl.SSLError) and "CERTIFICATE" in str(error):
            return ModelError(
                f"{self.host} cannot be trusted",
                got=getattr(error, "verify_message", "") or text,
                remedy="check the clock of this machine, and whether a proxy stands in between",
            )
        offline = isinstance(error, socket.gaierror) or error.errno in (
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
            errno.ENETDOWN,
        )
        if offline and not self.connected:
            return ModelError(
                f"{self.host} cannot be reached",
                got=text,
                remedy="check the network; behind a proxy, set https_proxy",
            )
        return _Again(f"no connection to {self.host}, {text}")

    def _check(self, headers: Message, total: Optional[int]) -> None:
        if headers.get_content_type() == "text/html":
            forget(self.part)
            raise web_page(self.host)
        if total is not None and self.expected is not None and total != self.expected:
            forget(self.part)
            raise ModelError(
                f"the file at {self.address} is not the one that the registry knows",
                got=f"{total:,} bytes",
                expected=f"{self.expected:,}",
            )
        whole = total if total is not None else self.expected
        if whole is None:
            return
        if whole > LIMIT:
            raise ModelError(
                f"the file at {self.address} is too long", got=f"{whole:,} bytes", expected="less"
            )
        free = shutil.disk_usage(self.part.parent).free
        missing = whole - self._length()
        if missing > free:
            raise StorageError(
                f"the disk of {self.part.parent} is too full",
                got=f"{free >> 20} MB free",
                expected=f"{(missing >> 20) + 1} MB",
                remedy="free some space, or choose another folder with --cache",
            )

    def _receive(self, response: Any, offset: int, said: _Known) -> None:
        whole = said.total if said.total is not None else self.expected
        try:
            self.part.touch()
            opened = open(self.part, "r+b")  # noqa: SIM115 (its own errors, told apart below)
        except OSError as error:
            raise _unwritable(self.part, error) from None
        with opened as file:
            self._write(file, offset, said)
            position = offset
            self._tell(position, whole)
            while True:
                try:
                    data = response.read(_CHUNK)
                except socket.timeout:
                    raise _Again(f"{self.host} sent nothing for {self.timeout:g} s") from None
                except (OSError, http.client.HTTPException) as error:
                    raise _Again(f"the line was cut, {type(error).__name__}") from None
                if not data:
                    break
                position += len(data)
                if position > (whole if whole is not None else LIMIT):
                    file.close()
                    forget(self.part)
                    raise ModelError(
                        f"{self.host} sent more than it said",
                        got=f"over {position:,} bytes",
                        expected=f"{whole:,}" if whole is not None else f"at most {LIMIT:,}",
                    )
                try:
                    file.write(data)
                except OSError as error:
                    with contextlib.suppress(OSError):
                        file.close()
                    forget(self.part)
                    raise _unwritable(self.part, error) from None
                self.came += len(data)
                self._tell(position, whole)
            try:
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                forget(self.part)
                raise _unwritable(self.part, error) from None
        if whole is not None and position < whole:
            raise _Again(f"the line was cut after {position:,} of {whole:,} bytes")

    def _write(self, file: IO[bytes], offset: int, said: _Known) -> None:
        """Make the file ready for bytes from an offset on, and note what they are part of."""
        try:
            file.truncate(offset)
            file.seek(offset)
            _note_path(self.part).write_text(json.dumps(said._asdict()), encoding="utf-8")
        except OSError as error:
            forget(self.part)
            raise _unwritable(self.part, error) from None

    def _tell(self, position: int, whole: Optional[int]) -> None:
        if self.report is not None:
            self.report(self.came, position, whole)


def web_page(host: str) -> ModelError:
    """The error for a page of text where a model should be."""
    return ModelError(
        f"{host} gave a web page instead of a model",
        remedy="a proxy or a login page may stand in between: open the address in a browser",
    )


def _unsafe(address: str, target: Any) -> ModelError:
    expected = "https" if address.startswith("https:") else "http or https"
    return ModelError(f"{address} leads somewhere unsafe", got=target, expected=expected)


def _unwritable(part: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{part} cannot be written",
        got=error.strerror,
        remedy="free some space, or choose another folder with --cache",
    )


def _range(headers: Message, offset: int) -> Optional[int]:
    """The whole length of a file of which a part is sent; None where the part is another one."""
    unit, _, rest = (headers.get("Content-Range") or "").partition(" ")
    span, _, total = rest.partition("/")
    if unit != "bytes" or span.partition("-")[0] != str(offset) or not total.isdigit():
        return None
    return int(total)


def _whole(headers: Message) -> Optional[int]:
    length = headers.get("Content-Length") or ""
    return int(length) if length.isdigit() else None
