"""Whose bundles a device takes: keys that are trusted, and keys that never will be again."""

from typing import Dict, List, Optional, Sequence

import msgspec

from ..core import ReleaseError, UsageError
from .files import Files, make_folder, put, storage
from .keys import PublicKey, parse_public
from .layout import Layout, PathLike


class Trust(msgspec.Struct, forbid_unknown_fields=True):
    """What a device trusts.

    Attributes:
        keys: Public keys by id, as minisign's `-P` takes them.
        revoked: Ids that are refused for ever, also when a bundle brings them again.
    """

    keys: Dict[str, str] = {}
    revoked: List[str] = []

    def key(self, key_id: str, where: str) -> PublicKey:
        """The trusted key of this id.

        Raises:
            ReleaseError: There is none, or it was revoked.
        """
        if key_id in self.revoked:
            raise ReleaseError(
                f"{where} is signed by key {key_id}, which was revoked",
                remedy="sign it with a key that is trusted",
            )
        if key_id not in self.keys:
            trusted = ", ".join(sorted(self.keys)) or "no key"
            raise ReleaseError(
                f"{where} is signed by key {key_id}, which this device does not trust",
                expected=trusted,
                remedy="if it should: edgelane keys trust FILE.pub",
            )
        return parse_public(self.keys[key_id])

    def changed(self, trust: Sequence[PublicKey], revoke: Sequence[str]) -> "Trust":
        """This with keys added and revoked; a revoked key never comes back.

        Raises:
            ReleaseError: No trusted key would be left.
        """
        keys = {**self.keys, **{key.id: key.text for key in trust}}
        revoked = sorted({*self.revoked, *revoke})
        keys = {name: text for name, text in sorted(keys.items()) if name not in revoked}
        if revoke and self.keys and not keys:
            raise ReleaseError(
                "no trusted key would be left", remedy="trust a new key first, then revoke the old"
            )
        return Trust(keys, revoked)


def read_trust(root: PathLike = "/") -> Trust:
    """What a device trusts.

    Raises:
        ReleaseError: Its file is damaged.
    """
    path = Layout(root).trust
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Trust()
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read", got=error.strerror) from None
    try:
        return msgspec.json.decode(data, type=Trust)
    except msgspec.DecodeError as error:
        raise ReleaseError(
            f"{path} is damaged",
            got=str(error),
            remedy="remove it, and trust the keys again: edgelane keys trust FILE.pub",
        ) from None


def write_trust(layout: Layout, trust: Trust) -> None:
    """Put what is trusted in place, in one step."""
    files: Files = layout.files
    text = msgspec.json.format(msgspec.json.encode(trust), indent=1) + b"\n"
    with storage("the list of trusted keys"):
        make_folder(files, layout.etc)
        put(files, layout.trust, text)


def change_trust(
    root: PathLike = "/",
    *,
    trust: Sequence[PublicKey] = (),
    revoke: Sequence[str] = (),
    files: Optional[Files] = None,
) -> Trust:
    """Trust keys, or revoke them, on a device.

    Args:
        root: The device's root.
        trust: Keys to trust.
        revoke: Ids of keys that are refused from now on, for ever.
        files: What changes the disk.

    Raises:
        UsageError: A key to trust was revoked.
        ReleaseError: No trusted key would be left, or an installation is at work.
        StorageError: The folder cannot be written.
    """
    layout = Layout(root, files)
    with layout.locked():
        before = read_trust(root)
        for key in trust:
            if key.id in before.revoked:
                raise UsageError(f"key {key.id} was revoked here", remedy="make a new key")
        after = before.changed(trust, [key.upper() for key in revoke])
        if after != before:
            write_trust(layout, after)
    return after
