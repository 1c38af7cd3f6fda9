"""Energy and heat while something runs, from what sensors the machine has."""

import threading
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Union

from ...runtime.jetson import read_power, read_temperatures, total_power

PERIOD_S = 0.1


class Sample(NamedTuple):
    """One look at the sensors: seconds of the monotonic clock, watts, degrees Celsius."""

    at: float
    watts: Optional[float]
    celsius: Optional[float]


class Rapl:
    """Energy counters of Intel's and AMD's processors (`/sys/class/powercap`).

    Only whole packages are counted: their parts are inside them, and `psys` holds them again.
    Source: the kernel's documentation of the power capping framework.

    Args:
        root: Where `/sys` lies; another folder in tests.
    """

    def __init__(self, root: Union[str, Path] = "/") -> None:
        self._folders: List[Path] = []
        try:
            zones = sorted((Path(root) / "sys/class/powercap").glob("*rapl:*"))
        except OSError:
            zones = []
        for zone in zones:
            name = _text(zone / "name") or ""
            if name.startswith("package") and _number(zone / "energy_uj") is not None:
                self._folders.append(zone)
        self._last: Dict[Path, float] = {}

    def joules(self) -> Optional[float]:
        """Energy since the last call; None at the first one and without counters."""
        total, known = 0.0, bool(self._folders)
        for folder in self._folders:
            now = _number(folder / "energy_uj")
            if now is None:
                return None
            before = self._last.get(folder)
            self._last[folder] = now
            if before is None:
                known = False
                continue
            spent = now - before
            if spent < 0:  # the counter has wrapped
                spent += _number(folder / "max_energy_range_uj") or 0.0
            total += spent / 1e6
        return total if known else None


class Sensors:
    """Looks at the sensors ten times a second, as a context, beside the process that is measured.

    Args:
        root: Where `/sys` lies; another folder in tests.
    """

    def __init__(self, root: Union[str, Path] = "/") -> None:
        self._root = root
        self._rapl = Rapl(root)
        self._stop = threading.Event()
        self._samples: List[Sample] = []
        self._thread = threading.Thread(target=self._work, name="sensors", daemon=True)

    def __enter__(self) -> "Sensors":
        if self._look(time.monotonic(), None) or self._rapl._folders:
            self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def between(self, begin: float, end: float) -> Dict[str, float]:
        """Mean `watts` and highest `temperature_c` in a time of the monotonic clock, in seconds;
        what no sensor tells is left out."""
        inside = [s for s in self._samples if begin <= s.at <= end + PERIOD_S]
        found: Dict[str, float] = {}
        watts = [s.watts for s in inside if s.watts is not None]
        if watts:
            found["watts"] = round(sum(watts) / len(watts), 3)
        heat = [s.celsius for s in inside if s.celsius is not None]
        if heat:
            found["temperature_c"] = round(max(heat), 1)
        return found

    def _work(self) -> None:
        self._rapl.joules()
        before = time.monotonic()
        while not self._stop.wait(PERIOD_S):
            now = time.monotonic()
            joules = self._rapl.joules()
            watts = None if joules is None else joules / max(now - before, 1e-9)
            before = now
            self._look(now, watts)

    def _look(self, now: float, watts: Optional[float]) -> bool:
        rails = total_power(read_power(self._root))
        heat = read_temperatures(self._root)
        sample = Sample(now, watts if rails is None else rails, max(heat.values(), default=None))
        if sample.watts is None and sample.celsius is None:
            return False
        self._samples.append(sample)
        return True


def _text(path: Path) -> Optional[str]:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None


def _number(path: Path) -> Optional[float]:
    try:
        return float(_text(path) or "")
    except ValueError:
        return None
