"""What a config says beyond counting: the keys `timezone`, `health`, `log`, `webhooks`, `clips`."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from .clips.settings import ClipSettings, plain_clips
from .health.settings import HealthSettings, LogSettings, plain_health, plain_log
from .webhooks.settings import WebhookSettings

KEYS = ("timezone", "health", "log", "webhooks", "clips")


@dataclass(frozen=True)
class Service:
    """How a run is watched and whom it tells.

    Attributes:
        timezone: Name of the time zone that hours and days are told in, e.g. `Europe/Berlin`;
            None: that of the machine.
        health: The health endpoint, or None for none.
        log: How the log is written, or None for the usual way.
        webhooks: Who is called with events.
        clips: Which events get a clip, or None for none.
    """

    timezone: Optional[str] = None
    health: Optional[HealthSettings] = None
    log: Optional[LogSettings] = None
    webhooks: Tuple[WebhookSettings, ...] = ()
    clips: Optional[ClipSettings] = None


def service_of(data: Mapping[str, Any], decode: Callable[..., Any]) -> Service:
    """The service part of a config.

    Args:
        data: The whole config.
        decode: As `config.decode`, which says where something is wrong.

    Raises:
        ConfigError: Something is.
    """
    from .timezones import check_zone

    def one(key: str, kind: Any, plain: Callable[[Any], Any]) -> Any:
        value = plain(data.get(key))
        return None if value is None else decode(kind, value, key)

    hooks = data.get("webhooks") or ()
    found = decode(Tuple[Dict[str, Any], ...], hooks, "webhooks")
    zone = decode(Optional[str], data.get("timezone"), "timezone")
    if zone is not None:
        check_zone(zone)
    return Service(
        timezone=zone,
        health=one("health", HealthSettings, plain_health),
        log=one("log", LogSettings, plain_log),
        webhooks=tuple(
            decode(WebhookSettings, hook, f"webhooks[{at}]") for at, hook in enumerate(found)
        ),
        clips=one("clips", ClipSettings, plain_clips),
    )
