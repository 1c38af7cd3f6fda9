"""Mutated bundles: each must be refused, in one sentence, with nothing written anywhere.

    python -m edgelane.benchmarks.mutations --count 10000

Bits are flipped and bytes changed, in the bundle and in its signature; files are cut off and
lengthened; blocks and whole members are swapped, doubled and taken out; signatures are of another
bundle, an older version or a wrong key. Half of the changed bundles are signed again by the right
key, as by a thief of it, so that what stands behind the signature is tried as well: of those only
such are counted as wrongly taken that hold what they must not, for a bundle that was signed and
makes sense is a bundle.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..core import EdgelaneError
from ..deploy import change_trust, install, make_bundle, write_key
from ..deploy.archive import BLOCK, read_members, write_members
from ..deploy.bundle import SIGNATURE
from ..deploy.keys import SecretKey, digest_of, key_of_seed, sign


class Given(NamedTuple):
    """What is mutated.

    Attributes:
        bundle: A good bundle, newer than what runs.
        signature: Its signature.
        older: A good bundle that is older than what runs, with its signature.
        key: The key that signed them.
        stranger: A key that nobody trusts.
    """

    bundle: bytes
    signature: bytes
    older: Tuple[bytes, bytes]
    key: SecretKey
    stranger: SecretKey


class Mutant(NamedTuple):
    """A bundle that must be refused.

    Attributes:
        kind: What was done to it.
        bundle: Its bytes.
        signature: Of its signature.
    """

    kind: str
    bundle: bytes
    signature: bytes


Mutation = Callable[[Given, random.Random], Tuple[bytes, bytes]]


def _flip(data: bytes, chance: random.Random, start: int = 0) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 8])):
        changed[chance.randrange(start, len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _members(data: bytes) -> List[Tuple[str, bytes]]:
    import io

    found = read_members(io.BytesIO(data), len(data))
    return [(m.name, data[m.start : m.start + m.size]) for m in found]


def _pack(members: List[Tuple[str, bytes]]) -> bytes:
    import io

    out = io.BytesIO()
    write_members(out, members)
    return out.getvalue()


def _bits(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    return _flip(given.bundle, chance), given.signature


def _header(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    changed = bytearray(given.bundle)
    changed[chance.randrange(BLOCK)] ^= 1 << chance.randrange(8)
    return bytes(changed), given.signature


def _cut(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    return given.bundle[: chance.randrange(len(given.bundle))], given.signature


def _longer(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    more = bytes(chance.randrange(256) for _ in range(chance.choice([1, 3, BLOCK])))
    return given.bundle + more, given.signature


def _blocks(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    count = len(given.bundle) // BLOCK
    blocks = [given.bundle[i * BLOCK : (i + 1) * BLOCK] for i in range(count)]
    while b"".join(blocks) == given.bundle:
        one, two = chance.randrange(count), chance.randrange(count)
        blocks[one], blocks[two] = blocks[two], blocks[one]
    return b"".join(blocks), given.signature


def _swapped(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    members = _members(given.bundle)
    one, two = chance.sample(range(len(members)), 2)
    (a, x), (b, y) = members[one], members[two]
    members[one], members[two] = (a, y), (b, x)
    return _pack(members), given.signature


def _doubled(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    members = _members(given.bundle)
    members.insert(chance.randrange(1, len(members) + 1), chance.choice(members))
    return _pack(members), given.signature


def _fewer(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    members = _members(given.bundle)
    del members[chance.randrange(len(members))]
    return _pack(members), given.signature


def _outside(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    """A member's name in its header that leads elsewhere, with a checksum that is right."""
    name = chance.choice(["../../evil", "/tmp/evil", "a/../../evil", "~/evil", "..", ".complete"])
    return _renamed(given.bundle, name, chance), given.signature


def _linked(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    """A member that says it is a link, a device, a folder or sparse."""
    at = _headers(given.bundle, chance)
    block = bytearray(given.bundle[at : at + BLOCK])
    block[156] = ord(chance.choice("1234567xgLKS"))
    block[157 : 157 + 11] = b"/etc/passwd"
    return _with_header(given.bundle, at, block), given.signature


def _huge(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    at = _headers(given.bundle, chance)
    block = bytearray(given.bundle[at : at + BLOCK])
    block[124:136] = chance.choice([b"77777777777\0", b"\x80" + b"\xff" * 11, b"00000000000\0"])
    return _with_header(given.bundle, at, block), given.signature


def _other_version(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    """The manifest claims another version, device, expiry or hash."""
    members = _members(given.bundle)
    name, manifest = members[0]
    places = [i for i, byte in enumerate(manifest) if chr(byte).isdigit()]
    at = chance.choice(places)
    digit = chance.choice([d for d in b"0123456789" if d != manifest[at]])
    members[0] = (name, manifest[:at] + bytes([digit]) + manifest[at + 1 :])
    return _pack(members), given.signature


def _signature_bits(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    start = given.signature.index(b"\n") + 1  # the comment above is not signed, and not believed
    return given.bundle, _flip(given.signature, chance, start)


def _signature_cut(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    return given.bundle, given.signature[: chance.randrange(len(given.signature))]


def _signature_of_another(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    lines, others = given.signature.split(b"\n"), given.older[1].split(b"\n")
    taken = chance.choice([(1,), (2,), (3,), (1, 2, 3), (2, 3)])
    return given.bundle, b"\n".join(others[i] if i in taken else lines[i] for i in range(5))


def _wrong_key(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    stranger = key_of_seed(bytes(chance.randrange(256) for _ in range(32)), b"stranger")
    if chance.random() < 0.5:  # it says that it is the right one
        stranger = SecretKey(stranger.public._replace(id=given.key.public.id), stranger.seed)
    return given.bundle, _signed(given.bundle, stranger)


def _old(given: Given, chance: random.Random) -> Tuple[bytes, bytes]:
    return given.older


MUTATIONS: Dict[str, Mutation] = {
    "bits flipped": _bits,
    "bits of a header flipped": _header,
    "cut off": _cut,
    "lengthened": _longer,
    "blocks swapped": _blocks,
    "members swapped": _swapped,
    "a member twice": _doubled,
    "a member less": _fewer,
    "a name that leads outside": _outside,
    "a link or device": _linked,
    "a huge or negative size": _huge,
    "another manifest": _other_version,
    "bits of the signature flipped": _signature_bits,
    "signature cut off": _signature_cut,
    "signature of another bundle": _signature_of_another,
    "wrong key": _wrong_key,
    "old version": _old,
}

# With the right key over them these still make no bundle.
_SIGNED_AGAIN = (
    "cut off",
    "lengthened",
    "members swapped",
    "a member twice",
    "a member less",
    "a name that leads outside",
    "a link or device",
    "a huge or negative size",
)


def _signed(bundle: bytes, key: SecretKey) -> bytes:
    import io

    return sign(digest_of(io.BytesIO(bundle))[0], key, "edgelane shop version 3")


def _headers(data: bytes, chance: random.Random) -> int:
    import io

    return chance.choice([m.start - BLOCK for m in read_members(io.BytesIO(data), len(data))])


def _renamed(data: bytes, name: str, chance: random.Random) -> bytes:
    at = _headers(data, chance)
    block = bytearray(data[at : at + BLOCK])
    block[:100] = name.encode().ljust(100, b"\0")
    return _with_header(data, at, block)


def _with_header(data: bytes, at: int, block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + data[at + BLOCK :]


def mutants(given: Given, count: int, seed: int = 0) -> Iterator[Mutant]:
    """Bundles that must be refused, kind after kind.

    Args:
        given: What is mutated.
        count: How many.
        seed: Of the changes; the same seed gives the same mutants.
    """
    chance = random.Random(seed)
    kinds = list(MUTATIONS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        while True:
            bundle, signature = MUTATIONS[kind](given, chance)
            again = kind in _SIGNED_AGAIN and (number // len(kinds)) % 2 == 1
            if bundle != given.bundle or signature != given.signature:
                break
        if again:
            yield Mutant(f"{kind}, signed again", bundle, _signed(bundle, given.key))
        else:
            yield Mutant(kind, bundle, signature)


class Tried(NamedTuple):
    """What came of the mutants.

    Attributes:
        refused: How many of each kind were refused.
        taken: Kinds of those that were installed.
        crashed: Kinds and errors of those that were not refused in a sentence.
        written: Kinds of those after which something had changed on the device.
    """

    refused: "Counter[str]"
    taken: List[str]
    crashed: List[str]
    written: List[str]


def prepare(folder: Path, config: Path, **options) -> Tuple[Given, Path]:
    """A device that runs version 2 of a bundle, and what is mutated: version 3 and version 1.

    Args:
        folder: An empty folder.
        config: The config to bundle.
        options: For `make_bundle`.
    """
    key, stranger = key_of_seed(bytes(range(32)), b"trusted1"), key_of_seed(bytes(32), b"stranger")
    path, _ = write_key(folder / "shop.key", key)
    root = folder / "device"
    root.mkdir()
    change_trust(root, trust=[key.public])
    made = []
    for version in (1, 2, 3):
        bundle = make_bundle(config, folder / f"shop-{version}.edgelane", key=path, **options)
        made.append((bundle.path.read_bytes(), bundle.signature.read_bytes()))
    install(folder / "shop-2.edgelane", root)
    return Given(made[2][0], made[2][1], made[0], key, stranger), root


def try_all(folder: Path, root: Path, found: Iterator[Mutant]) -> Tried:
    """Try to install mutants.

    Args:
        folder: Where they are written; it holds the device and nothing that may change.
        root: The device.
        found: The mutants.
    """
    place = folder / "mutant"
    place.mkdir()
    path = place / "shop-3.edgelane"
    tried = Tried(Counter(), [], [], [])
    before = _state(folder, place)
    for mutant in found:
        path.write_bytes(mutant.bundle)
        path.with_name(path.name + SIGNATURE).write_bytes(mutant.signature)
        try:
            install(path, root)
            tried.taken.append(mutant.kind)
        except EdgelaneError:
            tried.refused[mutant.kind] += 1
        except Exception as error:  # what must never come
            tried.crashed.append(f"{mutant.kind}: {type(error).__name__}: {error}")
        now = _state(folder, place)
        if now != before:
            tried.written.append(mutant.kind)
            before = now
    return tried


def _state(folder: Path, place: Path) -> Dict[str, Tuple[int, int, int]]:
    """Everything below a folder, but for the mutant itself, and where it could be led to."""
    found = {}
    for path in [*folder.rglob("*"), Path("/tmp/evil"), folder.parent / "evil"]:
        if path == place or place in path.parents or path.name == "lock":
            continue
        with contextlib.suppress(OSError):
            status = path.lstat()
            if path.is_dir():  # what is in it is looked at by itself
                found[str(path)] = (status.st_mode, 0, 0)
            else:
                found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found


CONFIG = """\
pipeline: counting
model: small.onnx
reference_size: [640, 360]
lines:
  door: {from: [300, 60], to: [330, 340]}
"""


def _save_small(path: Path) -> None:
    """The smallest graph that there is: a bundle of few bytes has each of them mutated often."""
    import onnx
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "small", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))


def main(arguments: Optional[List[str]] = None) -> int:
    """Print how many mutants of each kind were refused; 1 where one was not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        folder.mkdir()
        config = folder / "shop.yaml"
        config.write_text(CONFIG, encoding="utf-8")
        _save_small(folder / "small.onnx")
        given, root = prepare(folder, config, frames=[])
        print(f"bundle of {len(given.bundle) / 1e3:.0f} kB, {options.count:,} mutants of it\n")
        begun = time.process_time()
        tried = try_all(folder, root, mutants(given, options.count, options.seed))
        seconds = time.process_time() - begun
    for kind, count in sorted(tried.refused.items()):
        print(f"{kind:42} {count:6,} refused")
    print()
    print(f"refused  {sum(tried.refused.values()):,}")
    print(f"taken    {len(tried.taken)} {sorted(set(tried.taken))}")
    print(f"crashed  {len(tried.crashed)} {sorted(set(tried.crashed))[:5]}")
    print(f"written  {len(tried.written)} {sorted(set(tried.written))}")
    print(f"CPU      {1000 * seconds / options.count:.1f} ms each", file=sys.stderr)
    return 1 if tried.taken or tried.crashed or tried.written else 0


if __name__ == "__main__":
    sys.exit(main())
