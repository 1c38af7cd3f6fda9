"""Digital inputs and outputs: the seam to the machine, and what is told through it.

`open_output` and `open_input` give lines of a GPIO chip (Linux's character device, which
libgpiod uses too) or of sysfs; `edgelane.runtime.testing` has fakes of both.
"""

from .base import DigitalInput, DigitalOutput, open_input, open_output
from .reject import Rejecter

__all__ = ["DigitalInput", "DigitalOutput", "Rejecter", "open_input", "open_output"]
