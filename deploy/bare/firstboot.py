"""The first boot of a card that was prepared at a desk: its bundle is installed, once."""

import json
import os
import sys
from typing import Any, Dict, List

from .container import BLOCK
from .facts import Places
from .receive import PYTHON, Incoming, remove
from .serve import Device, Refused
from .wheels import WheelError

UNIT = "edgelane-firstboot.service"
OLDEST = [3, 8]


class Console:
    """Stands where a desk would: what is said goes to the journal."""

    def say(self, **answer: Any) -> None:
        """Pass a line on."""
        print(answer.get("says", answer))
        sys.stdout.flush()


def main(root: str) -> int:
    """Install, and do not come again; after a failure or a power cut it is tried anew."""
    folder = os.path.join(Places(root).base, "firstboot")
    try:
        with open(os.path.join(folder, "settings.json"), "rb") as file:
            settings: Dict[str, Any] = json.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        return 0  # it was done, and power failed while it was tidied up
    bundle = os.path.join(folder, settings["bundle"])
    console: Any = Console()
    device = Device(root, console)
    try:
        device.lock()
        device.incoming = Incoming(device.places, settings["release"], _manifest(bundle))
        device.incoming.path = bundle
        command = _command(device, settings)
        call = [*command, "install", bundle, "--root", root, "--json", *settings["options"]]
        done = device.install(call)
        if done["code"] != 0:
            return 1
        print(done["out"].strip())
        device.sweep()
    except (Refused, WheelError) as error:
        print(f"Error: {error}.")
        return 1
    wants = os.path.join(root, "etc/systemd/system/multi-user.target.wants", UNIT)
    remove(wants)
    # The settings last: as long as they are there, the next boot does all of it again.
    for name in sorted(os.listdir(folder), key=lambda name: name == "settings.json"):
        remove(os.path.join(folder, name))
    os.sync()
    return 0


def _manifest(bundle: str) -> bytes:
    with open(bundle, "rb") as file:
        size = int(file.read(BLOCK)[124:135], 8)
        return file.read(size)


def _command(device: Device, settings: Dict[str, Any], may_bring: bool = True) -> List[str]:
    """What runs edgelane here: an interpreter that has it, or one with the bundle's wheels."""
    found = device.python(settings.get("python"))["pythons"]
    if found and found[0].get("script"):
        return found[0]["command"]
    good = [one for one in found if one["python"] >= OLDEST]
    for one in good:
        if one["edgelane"]:
            return [*one["command"], "-m", "edgelane"]
    assert device.incoming is not None
    carried = any(name.startswith(PYTHON + "/") for name in device.incoming.names)
    if not good and may_bring and carried:
        device.bring()
        return _command(device, dict(settings, python=None), False)
    files: List[str] = settings["wheels"]
    for one in good:
        chosen = device.choose(files, one["python"], one["machine"])["wheels"]
        if not any(os.path.basename(path).startswith("edgelane-") for path in chosen):
            continue
        numbers = [str(settings["numbers"][path]) for path in chosen]
        return device.bootstrap(one["command"], numbers, settings["mark"])["command"]
    versions = ", ".join("{}.{}".format(*one["python"]) for one in found)
    raise Refused(
        f"there is no edgelane here, and the bundle brings none for Python {versions or 'none'}"
    )
