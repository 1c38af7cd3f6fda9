"""This machine, as far as engines depend on it."""

import logging
import threading
from importlib import metadata
from typing import Any, Dict, List, Optional, Tuple

from ...core import MissingDependency, ModelError
from ...core.devices import Device, graphics_card
from ..cuda import compute_capability, device_name, driver_problem
from ..jetson import Machine, detect
from .passport import Here

_LOG = logging.getLogger("edgelane.tensorrt")

_LOGGERS: Dict[int, Tuple[Any, Any]] = {}
_LOCK = threading.Lock()


def load_tensorrt() -> Any:
    """The module `tensorrt`, once it is sure that a driver is there.

    Without one some releases end the process when they are touched.

    Raises:
        ModelError: There is no driver or no device.
        MissingDependency: TensorRT is not installed, or not for this Python.
    """
    problem = driver_problem()
    if problem:
        raise ModelError(
            "no engine can be built or run here",
            got=problem,
            remedy="do it on the device; elsewhere: edgelane build m.onnx --device NAME --dry-run",
        )
    try:
        import tensorrt
    except Exception as error:  # its libraries may fail in any way
        raise MissingDependency(
            "TensorRT cannot be used",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="run: edgelane doctor",
        ) from None
    return tensorrt


def here(trt: Any, root: str = "/") -> Here:
    """What engines depend on, on this machine.

    Args:
        trt: The module `tensorrt`.
        root: Where `proc` and `etc` lie; another folder in tests.

    Raises:
        ModelError: There is no driver or no device.
    """
    machine = detect(root)
    major, minor = compute_capability()
    return Here(
        tensorrt=str(trt.__version__),
        compute_capability=f"{major}.{minor}",
        l4t=machine.l4t if machine else None,
        gpu=device_name(),
        device=_base(machine.device) if machine and machine.device and machine.exact else None,
    )


def this_device(root: str = "/") -> Optional[Device]:
    """This machine as a device: a Jetson of the table, or its graphics card; None without one."""
    machine: Optional[Machine] = detect(root)
    if machine is not None and machine.device is not None:
        return machine.device
    if driver_problem():
        return None
    return graphics_card(device_name(), compute_capability())


def installed_tensorrt(root: str = "/") -> Optional[str]:
    """The release that is installed here, found without loading it; None where there is none."""
    try:
        return metadata.version("tensorrt")
    except metadata.PackageNotFoundError:
        machine = detect(root)
        return machine.packages.get("tensorrt") if machine else None


def _base(device: Device) -> str:
    """A Super mode changes clocks, and an engine does not mind."""
    return device.super_of or device.name


def tensorrt_logger(trt: Any) -> Any:
    """The one logger of this process: TensorRT keeps the first that it is given.

    Its `take_errors()` gives the errors since the last call. They are raised by who asked for the
    work, so that here they, as all else, only go to the log `edgelane.tensorrt` for debugging.
    """
    with _LOCK:
        known = _LOGGERS.get(id(trt))
        if known is None or known[0] is not trt:
            _LOGGERS[id(trt)] = known = (trt, _make_logger(trt))
        return known[1]


def _make_logger(trt: Any) -> Any:
    # By name, for these members are told apart by their place in some releases.
    severities = trt.ILogger.Severity if hasattr(trt.ILogger, "Severity") else trt.ILogger
    errors = (severities.INTERNAL_ERROR, severities.ERROR)

    class Collector(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: List[str] = []

        def log(self, severity: Any, msg: str) -> None:
            try:
                if severity in errors:
                    self.errors = [*self.errors[-19:], str(msg)]
                if severity != severities.VERBOSE:
                    _LOG.debug("%s", msg)
            except Exception:  # an exception that enters TensorRT ends the process
                return

        def take_errors(self) -> List[str]:
            found, self.errors = self.errors, []
            return found

    return Collector()
