"""Releases: what was made at a desk becomes a bundle, and a bundle a release on a device.

In comes a config with its models; out comes a device that runs them, whole and proved, or goes on
with what it ran before. Nothing here counts or sees: the golden clip is replayed by `runtime` and
`pipelines`.
"""

from .bundle import Bundled, Recording, make_bundle, read_bundle
from .contents import pictures
from .firstboot import Image, prepare_image
from .flash import Flashed, flash
from .fleet import Rolled, flash_all
from .install import CAMERAS_S, Installed, install
from .inventory import Host, read_inventory
from .keys import new_key, read_key, read_public, write_key
from .layout import Layout, Release
from .network import Network
from .probation import Limits, Probation, Sample, Verdict, probation
from .proving import Known, Proof, Wanted, prove
from .releases import RolledBack, mark_good, rollback, running
from .service import Service, Systemd, this_service
from .starting import Start, prepare_start
from .trust import Trust, change_trust, read_trust
from .watching import watch_release
from .wheels import TARGETS, fetch_wheels, find_target

__all__ = [
    "CAMERAS_S",
    "Bundled",
    "Flashed",
    "Host",
    "Image",
    "Installed",
    "Known",
    "Layout",
    "Limits",
    "Network",
    "Probation",
    "Proof",
    "Recording",
    "Release",
    "Rolled",
    "RolledBack",
    "Sample",
    "Service",
    "Start",
    "Systemd",
    "TARGETS",
    "Trust",
    "Verdict",
    "Wanted",
    "change_trust",
    "fetch_wheels",
    "find_target",
    "flash",
    "flash_all",
    "install",
    "make_bundle",
    "mark_good",
    "new_key",
    "pictures",
    "prepare_start",
    "prepare_image",
    "probation",
    "prove",
    "read_bundle",
    "read_inventory",
    "read_key",
    "read_public",
    "read_trust",
    "rollback",
    "running",
    "this_service",
    "watch_release",
    "write_key",
]
