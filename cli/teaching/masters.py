"""Master parts: pictures of parts whose sizes are known, which take out what an edge hides."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Tuple, Union

import numpy as np

from ...core import DataError, UsageError
from ...pipelines.quality import tables
from ...runtime.inspect.gauges.teaching import Master
from ...runtime.inspect.pictures import read_picture


@dataclass(frozen=True)
class Masters:
    """Known parts.

    Attributes:
        images: `(h, w, 3)` uint8 BGR pictures, one part in each.
        known: For each picture the true values by name of the gauge.
    """

    images: Tuple[np.ndarray, ...]
    known: Tuple[Dict[str, float], ...]


def read_masters(path: Union[str, Path]) -> Masters:
    """Read a CSV of known parts, with pictures beside it: image, gauge and value.

    Raises:
        UsageError: There is no such file.
        DataError: It is no such table, or a picture cannot be read.
    """
    table = Path(path)
    if not table.is_file():
        what = "is a folder" if table.is_dir() else "does not exist"
        raise UsageError(f"the table of masters {table} {what}", expected="a CSV file")
    try:
        known = tables.read_masters(table.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise DataError(f"{table} is not UTF-8 text", remedy="save it as CSV UTF-8") from None
    except DataError as error:
        raise DataError(f"{table}: {error}") from None
    images = [read_picture(table.parent / name) for name in known]
    return Masters(tuple(images), tuple(known.values()))


def put_in(gauges: Dict[str, Dict[str, Any]], found: Dict[str, Master], own: bool) -> None:
    """Put offsets, their doubts and forms of edges into gauges.

    Args:
        gauges: By name; changed in place.
        found: As `master_gauges` gives it.
        own: Whether the limits of the gauges are the user's. Others were set around what the
            gauges showed without offsets, and move along.
    """
    for name, told in found.items():
        gauge = gauges[name]
        if not own and "nominal" in gauge:
            gauge["nominal"] = round(gauge["nominal"] + told.moved, 5)
        gauge.update(told)
