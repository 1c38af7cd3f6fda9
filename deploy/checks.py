"""Whether a bundle may be installed: for which device it is, how old, and how long it may be."""

import time
from typing import Optional

from ..core import DEVICES, Device, ReleaseError
from .manifest import Manifest, last_moment

EARLIEST = 1_735_689_600.0
"""1 January 2025: a clock before this was never set."""
_BACK_S = 86400.0  # a clock may go back by a day, e.g. when it is set by the network


def check_device(made: Manifest, here: Optional[Device]) -> None:
    """Make sure that a bundle is for a device.

    Args:
        made: What the bundle holds.
        here: The device; None for what is no Jetson.

    Raises:
        ReleaseError: It is for others.
    """
    if not made.devices:
        return
    if here is None:
        raise ReleaseError(
            f"the bundle is for {', '.join(made.devices)}",
            got="a machine that is no Jetson",
            remedy="say what it is with --device, or make a bundle for any device",
        )
    # A Super mode is the same module with other clocks.
    names = {here.name, here.super_of}
    if not names & {n for d in made.devices for n in (d, _base(d)) if n}:
        raise ReleaseError(f"the bundle is for {', '.join(made.devices)}", got=here.name)


def _base(name: str) -> Optional[str]:
    return DEVICES[name].super_of if name in DEVICES else None


def check_expiry(
    made: Manifest, now: float, seen: float, ignore: bool, where: str = "this machine"
) -> None:
    """Make sure that a bundle's last day is not over.

    Args:
        made: What the bundle holds.
        now: Unix time on the device.
        seen: The latest time that the device's clock has shown.
        ignore: Take it whatever the clock says.
        where: What errors call the device.

    Raises:
        ReleaseError: It is over, or the clock cannot be right.
    """
    if made.expires is None or ignore:
        return
    if now < max(EARLIEST, seen - _BACK_S):
        raise ReleaseError(
            f"the bundle expires on {made.expires}, and {where}'s clock is wrong",
            got=day_of(now),
            expected=f"{day_of(max(EARLIEST, seen))} or later",
            remedy="set the clock (timedatectl), or give --ignore-expiry",
        )
    if now >= last_moment(made.expires):
        raise ReleaseError(
            f"the bundle has expired on {made.expires}",
            got=f"{day_of(now)} on {where}'s clock",
            remedy="make a new one, or give --ignore-expiry",
        )


def day_of(moment: float) -> str:
    """A Unix time as `YYYY-MM-DD` in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(max(moment, 0)))


def check_version(made: Manifest, version: int, downgrade: bool) -> None:
    """Make sure that a bundle is newer than another release that runs.

    Args:
        made: What the bundle holds.
        version: What runs, of other content.
        downgrade: Take an older one.

    Raises:
        ReleaseError: It is not.
    """
    if made.version > version or downgrade:
        return
    if made.version == version:
        raise ReleaseError(
            f"version {version} runs here already, with other content",
            remedy="give the new bundle a higher version",
        )
    raise ReleaseError(
        f"the bundle is older than what runs here, version {version}",
        got=f"version {made.version}",
        remedy="give --downgrade if that is meant, or use edgelane rollback",
    )
