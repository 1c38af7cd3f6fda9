"""A folder for the first boot of a card: copied onto it, it makes a device out of it.

NVIDIA's own tool writes the card or eMMC; what is prepared here is put on top of its root file
system. The device then installs the bundle by itself, with no desk and no network.
"""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ..core import DataError, StorageError, UsageError
from .bare.firstboot import UNIT
from .bundle import SIGNATURE, PathLike, open_bundle, open_file
from .far import program
from .keys import PublicKey
from .layout import Layout, sha256
from .network import Network, keyfile, netplan
from .preflight import check_values
from .staging import release_id
from .trust import Trust, write_trust

FOLDER = "opt/edgelane/firstboot"

_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_UNIT = """\
[Unit]
Description=edgelane: installs the bundle that lies on this card, once
Documentation=https://pypi.org/project/edgelane/
ConditionPathExists=/opt/edgelane/firstboot/settings.json
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target
StartLimitIntervalSec=0

[Service]
# Not `oneshot`: systemd before 244, as in JetPack 4 and 5, starts such a unit only once.
Type=simple
ExecStart=/usr/bin/python3 /opt/edgelane/firstboot/run.py
Restart=on-failure
RestartSec=60
UMask=0022

[Install]
WantedBy=multi-user.target
"""
_README = """\
What is in `root` goes onto the root file system of a card that NVIDIA's own tool has written,
e.g. mounted at /media/card:

    sudo cp -dR --preserve=mode root/. /media/card/

At its first boot the device installs {release} by itself.
What it says: journalctl -u {unit}
"""


class Image(NamedTuple):
    """A folder that was prepared.

    Attributes:
        folder: It.
        release: Id of the release that the device will run.
        files: What is put on the card, by path below its root.
        warnings: Sentences that a user should see.
    """

    folder: Path
    release: str
    files: List[str]
    warnings: List[str]


def prepare_image(
    bundle: PathLike,
    out: PathLike,
    *,
    trust: PublicKey,
    signature: Optional[PathLike] = None,
    values: Optional[Mapping[str, str]] = None,
    options: Sequence[str] = (),
    python: Optional[str] = None,
    hostname: Optional[str] = None,
    network: Optional[Network] = None,
    with_netplan: bool = False,
    login: Optional[PathLike] = None,
) -> Image:
    """Prepare a folder for the first boot of a card.

    Args:
        bundle: The bundle.
        out: The folder to make.
        trust: The key that signed the bundle; the device trusts it from its first boot on.
        signature: The bundle's `.minisig` file; beside it unless given.
        values: Secrets and other values by name.
        options: Further ones of `edgelane install`.
        python: Python on the device that has edgelane or is to run it; looked for unless given.
        hostname: The device's name; as the card has it unless given.
        network: Its network; as the card has it unless given.
        with_netplan: Describe the network for netplan instead of NetworkManager.
        login: A public key of ssh that may log in as root.

    Returns:
        What was prepared.

    Raises:
        ReleaseError: The bundle is not one of this key.
        UsageError: The folder is there already, or something cannot be asked so.
        StorageError: The folder cannot be written.
    """
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already", remedy="give a folder that is not")
    if hostname is not None and not _HOSTNAME.match(hostname):
        raise UsageError(
            "the name of the device is wrong", got=repr(hostname), expected="e.g. store-12-door"
        )
    given = check_values(dict(values or {}))
    key = _login_key(login) if login is not None else None
    with open_file(bundle) as file:
        opened = open_bundle(file, Trust({trust.id: trust.text}), signature, os.fspath(bundle))
    made, release, warnings = opened.manifest, release_id(opened), []
    if not made.wheels:
        warnings.append(
            "the bundle carries no wheels, so the card must have edgelane: give `bundle --wheel`"
        )
    if made.expires is not None:
        warnings.append(f"the bundle expires on {made.expires}: the device must boot by then")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".edgelane-image-", dir=str(target.parent)) as name:
            root = Path(name) / "image" / "root"
            root.mkdir(parents=True)
            write_trust(Layout(root), Trust({trust.id: trust.text}))
            place = root / FOLDER
            _put(place / f"{release}.edgelane", Path(bundle))
            beside = Path(os.fspath(bundle) + SIGNATURE) if signature is None else Path(signature)
            _put(place / f"{release}.edgelane{SIGNATURE}", beside)
            _put(place / "settings.json", _settings(opened, release, options, python))
            _put(place / "run.py", program(None, "firstboot", compressed=False))
            _put(root / "etc/systemd/system" / UNIT, _UNIT.encode("ascii"))
            wants = root / "etc/systemd/system/multi-user.target.wants"
            wants.mkdir(parents=True)
            (wants / UNIT).symlink_to(f"../{UNIT}")
            for secret, value in given.items():
                _put(Layout(root).secrets / secret, value.encode("utf-8") + b"\n", 0o600)
            if hostname is not None:
                _put(root / "etc/hostname", f"{hostname}\n".encode("ascii"))
            if network is not None:
                if with_netplan:
                    _put(root / "etc/netplan/60-edgelane.yaml", netplan(network), 0o600)
                else:
                    connections = root / "etc/NetworkManager/system-connections"
                    _put(connections / "edgelane.nmconnection", keyfile(network), 0o600)
            if key is not None:
                _put(root / "root/.ssh/authorized_keys", key, 0o600)
                (root / "root").chmod(0o700)
            for folder in (root / "root/.ssh", Layout(root).secrets):
                if folder.is_dir():
                    folder.chmod(0o700)
            text = _README.format(release=release, unit=UNIT)
            _put(root.parent / "README.txt", text.encode("ascii"))
            files = sorted(
                str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()
            )
            if target.exists():
                target.rmdir()
            os.replace(str(root.parent), str(target))
    except OSError as error:
        raise StorageError(f"{target} cannot be written", got=error.strerror) from None
    return Image(target, release, files, warnings)


def _settings(opened: Any, release: str, options: Sequence[str], python: Optional[str]) -> bytes:
    """What the first boot does, as JSON."""
    made = opened.manifest
    numbers = {file.path: number for number, file in enumerate(made.files)}
    digests = "\n".join(made.file(path).sha256 for path in made.wheels)
    settings: Dict[str, Any] = {
        "bundle": f"{release}.edgelane",
        "release": release,
        "options": list(options),
        "python": python,
        "wheels": made.wheels,
        "numbers": {path: numbers[path] for path in made.wheels},
        "mark": sha256(digests.encode())[:12],
    }
    return json.dumps(settings, indent=1).encode("utf-8") + b"\n"


def _put(path: Path, content: Any, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(str(path), flags, mode), "wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            with open(content, "rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
    path.chmod(mode)


def _login_key(path: PathLike) -> bytes:
    """A public key of ssh, as `authorized_keys` takes it.

    Raises:
        DataError: It is none.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read", got=str(error)) from None
    if not re.match(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?\Z", text):
        raise DataError(f"{path} is no public key of ssh", expected="e.g. ~/.ssh/id_ed25519.pub")
    return text.encode("utf-8") + b"\n"
