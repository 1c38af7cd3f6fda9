"""Rendered scenes as sources: `synth://store?seed=1&people=12&fps=15&size=640x360`."""

from typing import Iterator

from ...core import Frame
from ..synth import open_scene
from .base import Query, Source, load_cv2


class SynthSource(Source):
    """A rendered scene, as fast as it is read.

    Args:
        location: Name of the scene.
        camera: Name that the frames carry.
        query: Parameters of the scene, see `edgelane.runtime.synth.open_scene`.

    Raises:
        UsageError: The scene or a parameter is unknown, or a value is impossible.
        MissingDependency: OpenCV is not installed.
    """

    def __init__(self, location: str, camera: str, query: Query) -> None:
        pairs = "&".join(f"{key}={value}" for key, value in query.items())
        self.uri = f"synth://{location}" + (f"?{pairs}" if pairs else "")
        self.camera = camera
        self.warnings = []
        self.scene = open_scene(location.strip("/"), **query)
        load_cv2()
        self.size, self.fps = self.scene.size, self.scene.fps
        self.frames, self.duration = self.scene.frames, self.scene.duration
        self._start = 0

    def seek(self, index: int) -> None:
        """Begin with the frame `index`; any frame can be rendered by itself."""
        self._start = max(int(index), 0)

    def __iter__(self) -> Iterator[Frame]:
        start, self._start = self._start, 0
        for index in range(start, self.scene.frames):
            yield self.scene.render(index, self.camera)[0]
