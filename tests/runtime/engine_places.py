"""Machines with each release of TensorRT, for tests of what is built on them."""

import ctypes

import fakecuda
import faketrt
import recordings

from edgelane.runtime.engines import EngineCache

# A device on which each release runs, as recorded and as simulated.
PLACES = {
    "8.2": ("nano", "nano"),
    "8.5": ("xavier-nx", "xavier"),
    "10.3": ("agx-orin", "orin"),
    "10.16": ("agx-thor", "thor"),
    "11.4": ("orin-nano", "orin-nano"),
}


def places(tmp_path, monkeypatch):
    """Machines with a release of TensorRT: the module, and what `build_engine` is told."""

    def make(release, recording=None, device=None):
        recording, device = recording or PLACES[release][0], device or PLACES[release][1]
        root = tmp_path / "root"
        if not root.exists():
            recordings.unpack(recording, root)
        trt = faketrt.load(release, device)
        monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(trt._cuda))
        return trt, {"trt": trt, "root": str(root), "cache": EngineCache(tmp_path / "engines")}

    return make


def left(folder):
    """Names of files in a folder, hidden ones too."""
    return sorted(p.name for p in folder.iterdir() if p.is_file())
