"""Signed posts: the receiver can tell that a post is ours, and not an old one sent again.

The header `Edgelane-Signature` is `t=<Unix seconds>,v1=<hex>`, where `v1` is the HMAC-SHA256
(RFC 2104) of `<t>.<body>` under the shared secret.
"""

import hashlib
import hmac
import re
import time
from typing import Optional

HEADER = "Edgelane-Signature"
TOLERANCE_S = 300.0
_FORM = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})\Z")


def sign(body: bytes, secret: str, moment: float) -> str:
    """The header of a body.

    Args:
        body: What is posted.
        secret: That sender and receiver share.
        moment: Unix time in seconds.
    """
    stamp = str(int(moment))
    return f"t={stamp},v1={_digest(body, secret, stamp)}"


def verify(
    body: bytes,
    header: str,
    secret: str,
    *,
    tolerance_s: float = TOLERANCE_S,
    now: Optional[float] = None,
) -> bool:
    """Whether a post is ours and of late: for receivers.

    Args:
        body: As it was received, byte for byte.
        header: The value of `Edgelane-Signature`.
        secret: That sender and receiver share.
        tolerance_s: So far the clocks of sender and receiver may be apart.
        now: Unix time in seconds; that of the machine unless given.
    """
    match = _FORM.match(header or "")
    if match is None:
        return False
    stamp, told = match.groups()
    moment = time.time() if now is None else now
    right = hmac.compare_digest(told, _digest(body, secret, stamp))
    return right and abs(moment - int(stamp)) <= tolerance_s


def _digest(body: bytes, secret: str, stamp: str) -> str:
    text = stamp.encode("ascii") + b"." + body
    return hmac.new(secret.encode("utf-8"), text, hashlib.sha256).hexdigest()
