"""Signatures that minisign verifies too, and the keys that make them.

Format: https://jedisct1.github.io/minisign/. A signature is Ed25519 over the BLAKE2b-512 of the
file; a second one covers the first and the trusted comment. Both are deterministic (RFC 8032), and
the comment carries no time, so the same file and key give the same bytes.
"""

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Tuple, Union

from ..core import DataError, MissingDependency, ReleaseError, StorageError, UsageError

PathLike = Union[str, "os.PathLike[str]"]

_UNTRUSTED = "untrusted comment: "
_TRUSTED = "trusted comment: "
_LIMIT = 4096  # no key or signature is longer
_SECRET = 2 + 2 + 2 + 32 + 8 + 8 + 8 + 64 + 32


class PublicKey(NamedTuple):
    """A key that verifies.

    Attributes:
        id: 16 hexadecimal digits, as minisign writes them.
        data: The 32 bytes of the key.
    """

    id: str
    data: bytes

    @property
    def text(self) -> str:
        """As minisign's `-P` takes it."""
        return base64.b64encode(b"Ed" + _id_bytes(self.id) + self.data).decode()

    @property
    def file(self) -> str:
        """As a `.pub` file holds it."""
        return f"{_UNTRUSTED}minisign public key {self.id}\n{self.text}\n"


class SecretKey(NamedTuple):
    """A key that signs.

    Attributes:
        public: What verifies its signatures.
        seed: Its 32 secret bytes.
    """

    public: PublicKey
    seed: bytes


def _nacl() -> Any:
    try:
        from nacl import exceptions, signing
    except ImportError:
        raise MissingDependency(
            "signatures need PyNaCl", remedy="pip install 'edgelane[deploy]'"
        ) from None
    return signing, exceptions


def _id_bytes(key_id: str) -> bytes:
    return bytes.fromhex(key_id)[::-1]  # minisign prints it as a little-endian number


def _base64(text: str, length: int) -> bytes:
    data = base64.b64decode(text, validate=True)
    # Several texts decode to the same bytes; only the one that would be written is taken.
    if len(data) != length or base64.b64encode(data).decode() != text:
        raise ValueError
    return data


def parse_public(text: str, where: str = "the key") -> PublicKey:
    """A public key from the text of a `.pub` file, or its second line alone.

    Raises:
        DataError: It is none.
    """
    lines = text.strip().splitlines()
    try:
        data = _base64(lines[-1].strip(), 42)
        if data[:2] != b"Ed" or len(lines) > 2:
            raise ValueError
    except (ValueError, IndexError, binascii.Error):
        raise DataError(
            f"{where} is no public key",
            expected="a .pub file of edgelane keys new or of minisign",
        ) from None
    return PublicKey(data[2:10][::-1].hex().upper(), data[10:])


def read_public(path: PathLike) -> PublicKey:
    """The public key of a `.pub` file.

    Raises:
        DataError: It is missing or none.
    """
    return parse_public(_read(path).decode("utf-8", "replace"), os.fspath(path))


def new_key() -> SecretKey:
    """A new key from the system's randomness."""
    return key_of_seed(os.urandom(32), os.urandom(8))


def key_of_seed(seed: bytes, number: bytes) -> SecretKey:
    """The key of 32 secret bytes and the 8 that name it."""
    signing, _ = _nacl()
    public = bytes(signing.SigningKey(seed).verify_key)
    return SecretKey(PublicKey(number[::-1].hex().upper(), public), seed)


def write_key(path: PathLike, key: SecretKey) -> Tuple[Path, Path]:
    """Write a key as minisign keeps one without a password; only its owner may read it.

    Args:
        path: The secret key; the public one stands beside it with the ending `.pub`.
        key: The key.

    Returns:
        Both paths.

    Raises:
        UsageError: A file is there already: a key is never overwritten.
        StorageError: The folder cannot be written.
    """
    secret, public = Path(path), Path(path).with_suffix(".pub")
    number, pair = _id_bytes(key.public.id), key.seed + key.public.data
    checksum = hashlib.blake2b(b"Ed" + number + pair, digest_size=32).digest()
    data = b"Ed" + b"\0\0" + b"B2" + bytes(32 + 8 + 8) + number + pair + checksum
    text = f"{_UNTRUSTED}minisign secret key {key.public.id}, without a password\n"
    text += base64.b64encode(data).decode() + "\n"
    for file, content, mode in ((secret, text, 0o600), (public, key.public.file, 0o644)):
        try:
            handle = os.open(str(file), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "w", encoding="ascii") as out:
                out.write(content)
        except FileExistsError:
            raise UsageError(
                f"{file} exists", remedy="choose another name: a key is never overwritten"
            ) from None
        except OSError as error:
            raise StorageError(f"{file} cannot be written", got=error.strerror) from None
    return secret, public


def read_key(path: PathLike) -> SecretKey:
    """A secret key of `write_key`, or of `minisign -G -W`.

    Raises:
        DataError: It is missing, none, or kept under a password.
    """
    name = os.fspath(path)
    try:
        lines = _read(path).decode("ascii").splitlines()
        data = _base64(lines[1], _SECRET)
    except (ValueError, IndexError, binascii.Error):
        raise DataError(
            f"{name} is no secret key", expected="one of edgelane keys new, or of minisign -G -W"
        ) from None
    if data[2:4] != b"\0\0":
        raise DataError(
            f"the key {name} is kept under a password",
            remedy=f"take it away with: minisign -C -W -s {name}",
        )
    number, pair, checksum = data[54:62], data[62:126], data[126:]
    wanted = hashlib.blake2b(b"Ed" + number + pair, digest_size=32).digest()
    key = key_of_seed(pair[:32], number)
    # minisign leaves the checksum of a key without a password empty.
    if checksum not in (wanted, bytes(32)) or key.public.data != pair[32:]:
        raise DataError(f"the key {name} is damaged")
    return key


def _read(path: PathLike) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT)
    except OSError as error:
        raise DataError(f"{os.fspath(path)} cannot be read", got=error.strerror) from None


def digest_of(file: BinaryIO, head: int = 0) -> Tuple[bytes, bytes, int]:
    """BLAKE2b-512 of what is left of a file, its first `head` bytes, and its length."""
    digest, first, size = hashlib.blake2b(), b"", 0
    while True:
        block = file.read(1 << 20)
        if not block:
            return digest.digest(), first, size
        if len(first) < head:
            first += block[: head - len(first)]
        digest.update(block)
        size += len(block)


def sign(digest: bytes, key: SecretKey, comment: str) -> bytes:
    """The content of a `.minisig` file.

    Args:
        digest: BLAKE2b-512 of the file.
        key: The key.
        comment: The trusted comment, one line.
    """
    signing, _ = _nacl()
    signer = signing.SigningKey(key.seed)
    signature = signer.sign(digest).signature
    both = signer.sign(signature + comment.encode("utf-8")).signature
    first = base64.b64encode(b"ED" + _id_bytes(key.public.id) + signature).decode()
    lines = [
        f"{_UNTRUSTED}signature of edgelane bundle, key {key.public.id}",
        first,
        _TRUSTED + comment,
        base64.b64encode(both).decode(),
    ]
    return "".join(line + "\n" for line in lines).encode("utf-8")


class Signature(NamedTuple):
    """A `.minisig` file.

    Attributes:
        key: Id of the key that made it.
        signature: 64 bytes over the digest.
        comment: The trusted comment; to be trusted once `verify` has passed.
        both: 64 bytes over signature and comment.
    """

    key: str
    signature: bytes
    comment: str
    both: bytes


def parse_signature(data: bytes, where: str) -> Signature:
    """Read a `.minisig` file.

    Raises:
        ReleaseError: It is none, or one of the old kind without BLAKE2b.
    """
    try:
        lines = data.decode("utf-8").split("\n")
        if len(data) >= _LIMIT or len(lines) != 5 or lines[4]:
            raise ValueError
        if not lines[0].startswith(_UNTRUSTED) or not lines[2].startswith(_TRUSTED):
            raise ValueError
        first, both = _base64(lines[1], 74), _base64(lines[3], 64)
    except (ValueError, binascii.Error):
        raise ReleaseError(
            f"{where} is no signature", expected="a .minisig file as minisign writes it"
        ) from None
    if first[:2] != b"ED":
        raise ReleaseError(
            f"{where} is a signature of a kind that is not taken",
            got=repr(first[:2]),
            expected="Ed25519 over BLAKE2b-512, as minisign makes them since 0.9",
        )
    number = first[2:10][::-1].hex().upper()
    return Signature(number, first[10:], lines[2][len(_TRUSTED) :], both)


def verify(digest: bytes, signature: Signature, key: PublicKey, where: str) -> None:
    """Make sure that a key signed a digest.

    Raises:
        ReleaseError: It did not.
    """
    signing, exceptions = _nacl()
    verifier = signing.VerifyKey(key.data)
    try:
        verifier.verify(digest, signature.signature)
        verifier.verify(signature.signature + signature.comment.encode("utf-8"), signature.both)
    except (exceptions.BadSignatureError, ValueError):
        raise ReleaseError(
            f"{where} is not what key {signature.key} signed",
            remedy="it was changed on the way: copy or make it again",
        ) from None
