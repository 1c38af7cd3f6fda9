"""A container holds plain files with plain names, and nothing else."""

import io
import tarfile

import pytest

from edgelane.core import ReleaseError
from edgelane.deploy.archive import BLOCK, check_name, header, read_members, write_members


def container(*members) -> bytes:
    out = io.BytesIO()
    write_members(out, members)
    return out.getvalue()


def names(data: bytes):
    return [m.name for m in read_members(io.BytesIO(data), len(data))]


def test_tar_reads_it():
    data = container(("m.json", b"{}"), ("a/b.txt", b"x" * 700), ("a/c", b""))
    assert names(data) == ["m.json", "a/b.txt", "a/c"]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["m.json", "a/b.txt", "a/c"]
        assert archive.extractfile("a/b.txt").read() == b"x" * 700


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", ".complete", "a\\b", "a b", "é"]
    + ["a\n", "a\0b", "-rf", "x" * 101],
)
def test_odd_names_are_refused(name):
    with pytest.raises(ReleaseError, match="cannot hold a file called"):
        check_name(name)


def hostile(**fields) -> bytes:
    """A container by Python's own tarfile, with one member changed."""
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=fields.pop("format", tarfile.USTAR_FORMAT)
    ) as t:
        info = tarfile.TarInfo(fields.pop("name", "x"))
        for key, value in fields.items():
            setattr(info, key, value)
        t.addfile(info, io.BytesIO(b"x" * info.size))
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        hostile(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        hostile(type=tarfile.LNKTYPE, linkname="../../x"),
        hostile(type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        hostile(type=tarfile.BLKTYPE),
        hostile(type=tarfile.FIFOTYPE),
        hostile(type=tarfile.DIRTYPE, name="folder"),
        hostile(name="../x"),
        hostile(name="/x"),
        hostile(mode=0o4755),
        hostile(name="x" * 150, format=tarfile.GNU_FORMAT),
        hostile(name="é" * 60, format=tarfile.PAX_FORMAT),
        hostile(type=tarfile.GNUTYPE_SPARSE),
        b"\x1f\x8b" + bytes(600),
        b"PK\x03\x04" + bytes(600),
        b"",
        bytes(BLOCK),
    ],
)
def test_links_devices_folders_and_other_formats_are_refused(data):
    with pytest.raises(ReleaseError):
        names(data)


def test_duplicates_order_and_what_follows_the_end_are_refused():
    member = header("a", 3) + b"abc".ljust(BLOCK, b"\0")
    end = bytes(2 * BLOCK)
    first = header("m", 0)
    assert names(first + member + end) == ["m", "a"]
    for wrong in (
        first + member + member + end,
        first + header("b", 0) + header("a", 0) + end,
        first + member + end + b"more",
        first + member + end[:-1],
        first + member,
        first + header("a", 1 << 30) + end,
        first + header("a", 3) + b"abc",
    ):
        with pytest.raises(ReleaseError):
            names(wrong)
