"""Parts that did not pass: each with its serial number, its reasons with their limits, its picture.

The latest are on the page; all of them are in the table of parts.
"""

from collections import deque
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Tuple

from ..core.verdict import Reason
from ..pipelines.inspection import deciding
from . import markup
from .png import data_uri
from .quality import Section, section

MOST_PICTURES = 24
"""Latest rejects whose pictures are shown."""

MOST_ROWS = 100
"""Latest rejects that are listed."""

FOLDER = "rejects"


@dataclass(frozen=True)
class Reject:
    """A part that did not pass.

    Attributes:
        serial: Its serial number.
        stamp: When it was seen, in the seconds of the run's clock.
        verdict: `fail` or `unsure`.
        reasons: Each in words, those that decided first.
        judged: By which recipe.
    """

    serial: str
    stamp: float
    verdict: str
    reasons: Tuple[str, ...]
    judged: str

    @property
    def picture(self) -> str:
        """Name of its picture in the run folder."""
        return picture_of(self.serial, self.verdict)


def picture_of(serial: str, verdict: str) -> str:
    """Name of a part's picture in the run folder."""
    return f"{FOLDER}/{serial}-{verdict}.jpg"


class Rejects:
    """The latest parts that did not pass."""

    def __init__(self) -> None:
        self.latest: Deque[Reject] = deque(maxlen=MOST_ROWS)
        self.count = 0

    def add(self, payload: Mapping[str, Any], judged: str) -> None:
        """Take in a verdict; one that passes is left out."""
        if payload["verdict"] == "pass":
            return
        self.count += 1
        names = deciding(payload)
        told = {str(r["name"]): words_of(r) for r in payload["reasons"] if r["outcome"] != "pass"}
        reasons = tuple(told.get(name, name) for name in names)
        self.latest.append(
            Reject(str(payload["serial"]), float(payload["seen"]), payload["verdict"], reasons,
                   judged)
        )  # fmt: skip


def words_of(reason: Mapping[str, Any]) -> str:
    """A reason as it is read: name, value, unit and limits; a sentence where nothing is measured.

    >>> words_of({"name": "bore", "value": 12.34567, "limits": [11.9, 12.1], "unit": "mm"})
    'bore 12.35 mm, expected 11.9 to 12.1'
    """
    low, high = reason["limits"]
    told = Reason(
        str(reason["name"]), reason["value"], low, high, float(reason.get("uncertainty") or 0.0),
        str(reason.get("unit") or ""), bool(reason.get("condition")), str(reason.get("text") or ""),
    )  # fmt: skip
    return told.sentence


def rejects_section(
    found: Rejects, when: Callable[[float], str], folder: Path
) -> Optional[Section]:
    """Pictures and a list of the latest parts that did not pass; None where all passed.

    Args:
        found: The parts.
        when: Words for a timestamp.
        folder: The run folder, with its pictures of rejects.
    """
    if not found.count:
        return None
    latest = list(reversed(found.latest))
    kept = sum(1 for _ in (folder / FOLDER).glob("*.jpg"))
    gallery, shown = _gallery(latest, folder)
    body = ""
    if gallery:
        note = f"The latest {shown} of {kept} pictures that are kept in the folder {FOLDER}."
        body += markup.block(
            "Pictures, latest first", f'<div class="rejects">{gallery}</div>' + markup.fine(note)
        )
    rows = [[r.serial, when(r.stamp), r.verdict, "; ".join(r.reasons)] for r in latest]
    table = markup.table(["Serial number", "When", "Verdict", "Why"], rows)
    if found.count > len(rows):
        table += markup.fine(f"The latest {len(rows)} of {found.count}; the tables have all.")
    body += markup.block("Which parts, and why", f'<div class="told">{table}</div>')
    return section("Parts that did not pass", body)


def _gallery(latest: List[Reject], folder: Path) -> Tuple[str, int]:
    shown: List[str] = []
    for part in latest:
        if len(shown) == MOST_PICTURES:
            break
        try:
            uri = data_uri("image/jpeg", (folder / part.picture).read_bytes())
        except OSError:  # none was kept, or the folder has made room
            continue
        why = escape("; ".join(part.reasons))
        shown.append(
            f'<figure class="reject {part.verdict}"><img loading="lazy" alt="part '
            f'{escape(part.serial)}, {part.verdict}: {why}" src="{uri}"/><figcaption>'
            f"<b>{escape(part.serial)}</b> <em>{part.verdict}</em><span>{why}</span>"
            "</figcaption></figure>"
        )
    return "".join(shown), len(shown)


def kept_picture(payload: Mapping[str, Any], folder: Path) -> Optional[str]:
    """Name of a part's picture in the run folder, if it is still kept."""
    if payload["verdict"] == "pass":
        return None
    name = picture_of(str(payload["serial"]), str(payload["verdict"]))
    return name if (folder / name).is_file() else None


def hashes_of(payload: Mapping[str, Any]) -> Dict[str, str]:
    """Models and engines that a verdict names, as text for a table: `name hash; …`."""
    return {
        kind: "; ".join(f"{name} {digest}" for name, digest in (payload.get(kind) or {}).items())
        for kind in ("models", "engines")
    }
