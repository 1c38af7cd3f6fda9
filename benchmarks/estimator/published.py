"""Latencies that others published, each with its source.

A row is one figure of `published.csv`: what ran on what and how it was timed, where it stands, and
what it was used for: `fit`, `held-out` (near twins of fitted rows: between two sizes, or a device
of the same chip), `dla`, or `excluded` with the reason in its note.
"""

import csv
import hashlib
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from ...core import DataError
from ...core.devices import PRECISIONS, find_device

PATH = Path(__file__).with_name("published.csv")

TIMINGS = ("bare", "framework loop", "end to end", "mlperf")
"""How a figure was taken: the engine alone, as `trtexec` does; a loop in a framework around it;
with what comes before and after it; the harness of MLPerf."""

USES = ("fit", "held-out", "dla", "excluded")

FAMILIES = (
    "resnet", "vgg", "densenet", "squeezenet", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3",
    "mnasnet", "shufflenet", "inception", "yolov3", "yolov4", "yolov5", "yolov7", "yolov8",
    "yolov9", "yolov10", "yolo11", "yolox", "ssd", "alexnet",
)  # fmt: skip

CHIPS = {
    "nano-2gb": "nano", "orin-nano-super": "orin, 8 multiprocessors",
    "orin-nano": "orin, 8 multiprocessors", "orin-nx": "orin, 8 multiprocessors",
}  # fmt: skip
"""Devices with the same GPU at other clocks: left out together, for they are near twins."""


class Row(NamedTuple):
    """One published latency; `ms` is of one run of the whole batch."""

    device: str
    mode: str
    tensorrt: str
    network: str
    size: Tuple[int, int]
    batch: int
    precision: str
    ms: float
    timing: str
    publisher: str
    source: str
    used: str
    note: str

    @property
    def family(self) -> str:
        """Networks of one design."""
        return next((f for f in FAMILIES if self.network.startswith(f)), self.network)

    @property
    def chip(self) -> str:
        """Devices of one GPU."""
        return CHIPS.get(self.device, self.device)


def published(path: Path = PATH) -> List[Row]:
    """The rows of the table.

    Raises:
        DataError: A row is not what it should be; says which.
    """
    rows = []
    with open(path, newline="", encoding="utf-8") as file:
        for number, entry in enumerate(csv.DictReader(file), 2):
            try:
                rows.append(_row(entry))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path}, line {number} makes no sense", got=str(error)) from None
    return rows


def digest(path: Path = PATH) -> str:
    """Hash of the table, to tell what parameters were fitted on."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _row(entry: Dict[str, str]) -> Row:
    row = Row(
        device=find_device(entry["device"]).name,
        mode=entry["mode"],
        tensorrt=entry["tensorrt"],
        network=entry["network"],
        size=(int(entry["width"]), int(entry["height"])),
        batch=int(entry["batch"]),
        precision=entry["precision"],
        ms=float(entry["ms"]),
        timing=entry["timing"],
        publisher=entry["publisher"],
        source=entry["source"],
        used=entry["used"],
        note=entry["note"],
    )
    for value, known in ((row.precision, PRECISIONS), (row.timing, TIMINGS), (row.used, USES)):
        if value not in known:
            raise ValueError(f"{value!r}, none of {', '.join(known)}")
    if not row.ms > 0 or row.batch < 1 or not row.source:
        raise ValueError(f"{row.ms} ms at batch {row.batch} from {row.source!r}")
    return row
