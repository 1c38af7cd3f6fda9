"""JetPack releases by their L4T: what software a Jetson came with.

Source: NVIDIA's JetPack archive and the release notes of each.
"""

from typing import NamedTuple, Optional, Tuple


class JetPack(NamedTuple):
    """A release of NVIDIA's software for Jetson.

    Attributes:
        name: E.g. `5.1.2`.
        l4t: Its L4T, e.g. `35.4.1`.
        ubuntu: E.g. `20.04`.
        python: The system's Python, e.g. `3.8`.
        cuda: E.g. `11.4`.
        tensorrt: E.g. `8.5.2`.
    """

    name: str
    l4t: str
    ubuntu: str
    python: str
    cuda: str
    tensorrt: str

    @property
    def major(self) -> int:
        """4, 5, 6, …"""
        return int(self.name.split(".")[0])


JETPACKS: Tuple[JetPack, ...] = (
    JetPack("4.3", "32.3.1", "18.04", "3.6", "10.0", "6.0.1"),
    JetPack("4.4", "32.4.2", "18.04", "3.6", "10.2", "7.1.0"),
    JetPack("4.4.1", "32.4.4", "18.04", "3.6", "10.2", "7.1.3"),
    JetPack("4.5", "32.5", "18.04", "3.6", "10.2", "7.1.3"),
    JetPack("4.5.1", "32.5.1", "18.04", "3.6", "10.2", "7.1.3"),
    JetPack("4.6", "32.6.1", "18.04", "3.6", "10.2", "8.0.1"),
    JetPack("4.6.1", "32.7.1", "18.04", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.2", "32.7.2", "18.04", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.3", "32.7.3", "18.04", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.4", "32.7.4", "18.04", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.5", "32.7.5", "18.04", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.6", "32.7.6", "18.04", "3.6", "10.2", "8.2.1"),
    JetPack("5.0", "34.1", "20.04", "3.8", "11.4", "8.4.0"),
    JetPack("5.0.2", "35.1", "20.04", "3.8", "11.4", "8.4.1"),
    JetPack("5.1", "35.2.1", "20.04", "3.8", "11.4", "8.5.2"),
    JetPack("5.1.1", "35.3.1", "20.04", "3.8", "11.4", "8.5.2"),
    JetPack("5.1.2", "35.4.1", "20.04", "3.8", "11.4", "8.5.2"),
    JetPack("5.1.3", "35.5", "20.04", "3.8", "11.4", "8.5.2"),
    JetPack("5.1.4", "35.6", "20.04", "3.8", "11.4", "8.5.2"),
    JetPack("5.1.5", "35.6.1", "20.04", "3.8", "11.4", "8.5.2"),
    JetPack("6.0 DP", "36.2", "22.04", "3.10", "12.2", "8.6.2"),
    JetPack("6.0", "36.3", "22.04", "3.10", "12.2", "8.6.2"),
    JetPack("6.1", "36.4", "22.04", "3.10", "12.6", "10.3.0"),
    JetPack("6.2", "36.4.3", "22.04", "3.10", "12.6", "10.3.0"),
    JetPack("6.2.1", "36.4.4", "22.04", "3.10", "12.6", "10.3.0"),
    JetPack("7.0", "38.2", "24.04", "3.12", "13.0", "10.13.3"),
    JetPack("7.1", "38.4", "24.04", "3.12", "13.0", "10.13.3"),
    JetPack("7.2", "39.2", "24.04", "3.12", "13.2", "10.16.1"),
)
"""Releases from the oldest to the newest."""


def jetpack_of(l4t: str) -> Optional[JetPack]:
    """The JetPack that an L4T belongs to.

    Args:
        l4t: E.g. `35.4.1`.

    Returns:
        The release of this L4T, or the last one before it of the same major L4T, as later
        updates keep the libraries; None where the major is not known.
    """
    wanted = _numbers(l4t)
    found = None
    for jetpack in JETPACKS:
        number = _numbers(jetpack.l4t)
        if number[0] == wanted[0] and (number <= wanted or found is None):
            found = jetpack
    return found


def _numbers(version: str) -> Tuple[int, int, int]:
    parts = [int(part) if part.isdigit() else 0 for part in version.split(".")[:3]]
    parts += [0] * (3 - len(parts))
    return parts[0], parts[1], parts[2]
