"""A device's network, as NetworkManager and netplan keep it.

Formats: nm-settings-keyfile(5) and netplan(5).
"""

import ipaddress
import json
from typing import Any, Dict, NamedTuple, Optional, Sequence

from ..core import UsageError


class Network(NamedTuple):
    """How a device reaches its network.

    Attributes:
        address: `IP/BITS`, or None for DHCP.
        gateway: The way out, or None.
        dns: Name servers.
        wifi: The name of a wireless network, or None for a cable.
        password: Of the wireless network; None for an open one.
    """

    address: Optional[str] = None
    gateway: Optional[str] = None
    dns: Sequence[str] = ()
    wifi: Optional[str] = None
    password: Optional[str] = None


def check_network(network: Network) -> Network:
    """Make sure that a network can be one.

    Raises:
        UsageError: It cannot.
    """
    if network.address is None:
        if network.gateway is not None or network.dns:
            raise UsageError("gateway and DNS come by DHCP", remedy="give --address, too")
    else:
        here = _parsed(ipaddress.ip_interface, network.address, "an address such as 10.0.0.11/24")
        if "/" not in network.address:
            raise UsageError(
                "the address does not say its network",
                got=network.address,
                expected=f"{network.address}/24",
            )
        for text in (*([network.gateway] if network.gateway else []), *network.dns):
            other = _parsed(ipaddress.ip_address, text, "an address such as 10.0.0.1")
            if other.version != here.version:
                raise UsageError(f"{text} is of another kind than {network.address}")
        if network.gateway and ipaddress.ip_address(network.gateway) not in here.network:
            raise UsageError(
                f"the gateway {network.gateway} cannot be reached from {network.address}"
            )
    if network.wifi is not None:
        if not 1 <= len(network.wifi.encode("utf-8")) <= 32:
            raise UsageError("the name of the wireless network is wrong", expected="1–32 bytes")
        secret = network.password
        good = secret is None or all(32 <= ord(c) < 127 for c in secret)
        if not good or (secret is not None and not 8 <= len(secret) <= 63):
            raise UsageError(
                "the password of the wireless network is wrong", expected="8–63 ASCII characters"
            )
    return network


def _parsed(kind: Any, text: str, expected: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise UsageError("that is no address", got=repr(text), expected=expected) from None


def keyfile(network: Network) -> bytes:
    """A connection of NetworkManager; its file must be 0600, or it is ignored."""
    check_network(network)
    kind = "ethernet" if network.wifi is None else "wifi"
    lines = ["[connection]", "id=edgelane", f"type={kind}", "autoconnect=true",
             "autoconnect-priority=10"]  # fmt: skip
    if network.wifi is not None:
        # As bytes: a name may hold what means something else in this format.
        name = "".join(f"{byte};" for byte in network.wifi.encode("utf-8"))
        lines += ["", "[wifi]", "mode=infrastructure", f"ssid={name}"]
        if network.password is not None:
            secret = network.password.replace("\\", "\\\\")
            if secret.startswith(" "):
                secret = "\\s" + secret[1:]
            lines += ["", "[wifi-security]", "key-mgmt=wpa-psk", f"psk={secret}"]
    for family, version in (("ipv4", 4), ("ipv6", 6)):
        lines += ["", f"[{family}]"]
        own = network.address is not None and (
            ipaddress.ip_interface(network.address).version == version
        )
        if not own:
            lines += ["method=auto"]
            continue
        way = f",{network.gateway}" if network.gateway else ""
        lines += ["method=manual", f"address1={network.address}{way}"]
        if network.dns:
            lines += ["dns=" + "".join(f"{server};" for server in network.dns)]
    return ("\n".join(lines) + "\n").encode("utf-8")


def netplan(network: Network) -> bytes:
    """A file of netplan, as JSON, which YAML includes."""
    check_network(network)
    own: Dict[str, Any] = {"dhcp4": network.address is None}
    if network.address is not None:
        own["addresses"] = [network.address]
        if network.gateway:
            version = ipaddress.ip_address(network.gateway).version
            # `default` as a destination is only known since netplan 0.104.
            own["routes"] = [
                {"to": "0.0.0.0/0" if version == 4 else "::/0", "via": network.gateway}
            ]
        if network.dns:
            own["nameservers"] = {"addresses": list(network.dns)}
    kinds: Dict[str, Any] = {"version": 2}
    if network.wifi is None:
        kinds["ethernets"] = {"edgelane": {"match": {"name": "e*"}, **own}}
    else:
        point: Dict[str, Any] = {}
        if network.password is not None:
            point["password"] = network.password
        kinds["wifis"] = {"wlan0": {**own, "access-points": {network.wifi: point}}}
    text = json.dumps({"network": kinds}, indent=1, ensure_ascii=False)
    return text.encode("utf-8") + b"\n"
