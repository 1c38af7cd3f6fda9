"""Recorded machines: the files that tell what a Jetson is, one folder of them a device."""

import json
from pathlib import Path
from typing import Any, Dict

FOLDER = Path(__file__).resolve().parent / "machines"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> Dict[str, Any]:
    """A recording: `device`, `source`, `expect`, `files` by path, lines of `tegrastats`."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def unpack(name: str, root: Path) -> Dict[str, Any]:
    """Lay the files of a recording below a root, and give the recording."""
    recording = load(name)
    for path, text in recording["files"].items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return recording
