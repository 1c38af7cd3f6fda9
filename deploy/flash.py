"""A bundle from a desk to a device: over the system's own ssh, and only what the device lacks.

>>> from edgelane.deploy import flash                              # doctest: +SKIP
>>> flash("edge@10.0.0.11", "store-12.edgelane").state             # doctest: +SKIP
'installed'
"""

import os
import time
from pathlib import Path
from typing import Mapping, Optional, Sequence

from ..core import find_device
from .bundle import SIGNATURE, open_file
from .far import Cut, Far, Torn
from .flashing import Flashed, Flashing, PathLike, Tell
from .keys import PublicKey
from .preflight import Facts, check_values, read_facts


def flash(
    host: str,
    bundle: PathLike,
    *,
    signature: Optional[PathLike] = None,
    root: str = "/",
    ssh: Sequence[str] = ("ssh",),
    python: Optional[str] = None,
    password: Optional[str] = None,
    trust: Optional[PublicKey] = None,
    downgrade: bool = False,
    ignore_expiry: bool = False,
    device: Optional[str] = None,
    values: Optional[Mapping[str, str]] = None,
    options: Sequence[str] = (),
    dry_run: bool = False,
    retries: int = 2,
    tell: Tell = lambda what, done, of: None,
) -> Flashed:
    """Bring a bundle to a device, and let it run there once it has proved itself.

    Args:
        host: `user@host`, or a name of the user's ssh configuration.
        bundle: The bundle.
        signature: Its `.minisig` file; beside it unless given.
        root: The device's root; another folder in tests.
        ssh: The command that reaches the host, with its options.
        python: Python there that has edgelane or is to run it; looked for unless given.
        password: Of sudo there, where it asks for one.
        trust: The key that a device which trusts nobody yet trusts from now on.
        downgrade: Take an older version than the one that runs.
        ignore_expiry: Take it whatever the device's clock says.
        device: What the device is, where it cannot tell.
        values: Secrets and other values by name, set there before the installation.
        options: Further ones of `edgelane install`.
        dry_run: Change nothing, and tell what would be done.
        retries: How often to go on by itself after a connection was cut.
        tell: Is told how far it is.

    Returns:
        What came of it.

    Raises:
        ReleaseError: The device refuses the bundle, the bundle fails there, or another flash is at
            work. What ran before still runs.
        StorageError: The device's disk is full.
        EdgelaneError: The device cannot be reached.
    """
    begun = time.monotonic()
    if device is not None:
        find_device(device)  # a name that is wrong is told before anybody is asked
    work = Flashing(
        host, root, tuple(ssh), python, password, trust, downgrade, ignore_expiry, device,
        check_values(dict(values or {})), tuple(options), dry_run, tell,
    )  # fmt: skip
    with open_file(bundle) as file:
        text = _signature(bundle, signature)
        for left in range(max(retries, 0), -1, -1):
            try:
                flashed = work.once(file, bundle, signature, text)
                break
            except (Cut, Torn):
                if not left:
                    raise
                tell("the connection was cut; going on", 0, None)
                work.again = True
                time.sleep(2.0)
    return flashed._replace(seconds=time.monotonic() - begun, sent=work.sent)


def look(host: str, root: str = "/", ssh: Sequence[str] = ("ssh",)) -> Facts:
    """What a device is and what runs on it; nothing is changed.

    Raises:
        EdgelaneError: It cannot be reached.
    """
    with Far(host, root, ssh=ssh) as far:
        return read_facts(host, far.ask("facts"))


def _signature(bundle: PathLike, signature: Optional[PathLike]) -> str:
    path = Path(signature) if signature is not None else Path(os.fspath(bundle) + SIGNATURE)
    try:
        return path.read_bytes()[: 1 << 16].decode("utf-8", "replace")
    except OSError:
        return ""  # told when the bundle is verified
