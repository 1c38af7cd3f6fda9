"""How pictures are cut for a classifier."""

from dataclasses import dataclass
from typing import Any

from ...core import ConfigError
from ..picture_model import read_settings


@dataclass(frozen=True)
class Settings:
    """How pictures are cut for a classifier: `extra.classify` of a card.

    Attributes:
        crop: Share of the sides of a whole picture that is shown, from its middle. 0.875 is
            ImageNet's usual: 224 pixels of 256.
        padding: How much larger than a box the part is that is shown of it.
    """

    crop: float = 1.0
    padding: float = 1.0

    def __post_init__(self) -> None:
        for name, most in (("crop", 1.0), ("padding", 4.0)):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and 0.1 <= value <= most):
                raise ConfigError(
                    f"classify.{name} is out of range", got=repr(value), expected=f"0.1 to {most}"
                )

    @classmethod
    def read(cls, data: Any) -> "Settings":
        """From the object of a card; fields that it lacks are the usual ones.

        Raises:
            ConfigError: An unknown field or a value that makes no sense.
        """
        return read_settings(cls, data, "classify")
