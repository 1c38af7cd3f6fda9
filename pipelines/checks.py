"""Checks of settings that a type alone does not make."""

import math
from typing import Any, Mapping, Optional

from ..core import ConfigError


def check_numbers(settings: Any, path: str, least: Optional[Mapping[str, float]] = None) -> None:
    """Refuse numbers that make no sense: negative, infinite or NaN ones.

    Args:
        settings: A struct whose fields are numbers.
        path: Where it stands in a config, e.g. `visit`.
        least: By field, what it must at least be, where that is not 0.

    Raises:
        ConfigError: With the path of the field.
    """
    for name in settings.__struct_fields__:
        value, low = getattr(settings, name), (least or {}).get(name, 0)
        if not low <= value < math.inf:
            raise ConfigError(f"{path}.{name} is wrong", got=value, expected=f"{low} or more")
