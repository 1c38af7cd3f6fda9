"""The bytes around a member, so that a bundle can be put together where it is needed."""

BLOCK = 512


def header(name: str, size: int) -> bytes:
    """The 512 bytes before a member's content (ustar, POSIX.1-1988); its name is not checked."""
    fields = (
        (name.encode("ascii"), 100),
        (b"0000644", 8),
        (b"0000000", 8),
        (b"0000000", 8),
        (b"%011o" % size, 12),
        (b"00000000000", 12),
        (b" " * 8, 8),
        (b"0", 1),
        (b"", 100),
        (b"ustar\x0000", 8),
        (b"root", 32),
        (b"root", 32),
        (b"0000000", 8),
        (b"0000000", 8),
        (b"", 167),
    )
    block = b"".join(value.ljust(length, b"\0") for value, length in fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def pad(size: int) -> bytes:
    """The zeros after a content of this many bytes."""
    return bytes(-size % BLOCK)
