"""Scenes that are rendered, with the whole truth about every frame.

    >>> from edgelane.runtime.synth import open_scene
    >>> scene = open_scene("store", seed=1, people=12, fps=15, size=(640, 360), seconds=60)
    >>> sorted(scene.layout.lines), sorted(scene.layout.zones)
    (['aisle', 'door'], ['checkout', 'shelf'])

Iterating gives `(Frame, Truth)`; `scene.render(index)` any one frame. The frames alone come from
the source `synth://store?seed=1&people=12&fps=15&size=640x360&seconds=60`.
"""

from .scene import Layout, Scene, open_scene, scenes
from .truth import Counts, TrueCrossing, TrueVisit, Truth, merged, settled, truth_counts
from .writers import render_to_file, write_coco, write_mot

__all__ = [
    "Counts",
    "Layout",
    "Scene",
    "TrueCrossing",
    "TrueVisit",
    "Truth",
    "merged",
    "open_scene",
    "render_to_file",
    "scenes",
    "settled",
    "truth_counts",
    "write_coco",
    "write_mot",
]
