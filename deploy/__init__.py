"""Releases: what was made at a desk becomes a bundle, and a bundle a release on a device.

In comes a config with its models; out comes a device that runs them, whole and proved, or goes on
with what it ran before. Nothing here counts or sees: the golden clip is replayed by `runtime` and
`pipelines`.
"""

from .bundle import Bundled, Recording, make_bundle, read_bundle
from .contents import pictures
from .flash import Flashed, flash
from .fleet import Host, Rolled, flash_all, read_inventory
from .install import Installed, install
from .keys import new_key, read_key, read_public, write_key
from .layout import Layout, Release
from .probation import Limits, Probation, Sample, Verdict, probation
from .releases import RolledBack, mark_good, rollback, running
from .trust import Trust, change_trust, read_trust
from .wheels import TARGETS, fetch_wheels, find_target

__all__ = [
    "Bundled",
    "Flashed",
    "Host",
    "Installed",
    "Layout",
    "Limits",
    "Probation",
    "Recording",
    "Release",
    "Rolled",
    "RolledBack",
    "Sample",
    "TARGETS",
    "Trust",
    "Verdict",
    "change_trust",
    "flash",
    "flash_all",
    "fetch_wheels",
    "find_target",
    "install",
    "make_bundle",
    "mark_good",
    "new_key",
    "pictures",
    "probation",
    "read_bundle",
    "read_inventory",
    "read_key",
    "read_public",
    "read_trust",
    "rollback",
    "running",
    "write_key",
]
