"""A model run over a folder of pictures for `check`: what it sees, how long it takes, where it is
drawn."""

import dataclasses
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

from ..core import DataError, StorageError, UsageError
from .files import write_whole
from .sources.base import load_cv2


def read_picture(path: Path) -> Optional[np.ndarray]:
    """A picture as `(h, w, 3)` uint8 BGR; None where it cannot be read."""
    cv2 = load_cv2()
    return cv2.imread(str(path), cv2.IMREAD_COLOR)


class CheckRun:
    """Iterates over what a model sees in pictures: path, picture and the model's answer.

    Pictures that cannot be read are left out and noted.

    Args:
        model: A model with `preprocess`, `infer` and `postprocess`.
        paths: The pictures, at least one.
        out: Folder for drawn pictures, made if missing; None where none are drawn.
        progress: Called with the number of pictures done and all.

    Attributes:
        out: As given.
        unreadable: Paths of pictures that cannot be read, as they were met.

    Raises:
        UsageError: The drawn pictures would take the place of the pictures.
        StorageError: `out` cannot be made.
    """

    def __init__(
        self,
        model: Any,
        paths: List[Path],
        out: Optional[Path] = None,
        progress: Optional[Callable[[int, int], None]] = None,
    ) -> None:
        self.out = out
        self.unreadable: List[str] = []
        self._model, self._paths, self._progress = model, paths, progress
        self._times: List[np.ndarray] = []
        if out is None:
            return
        if out.resolve() in {path.parent.resolve() for path in paths}:
            raise UsageError(
                f"the drawn pictures would overwrite those in {out}",
                remedy="choose another folder with --out",
            )
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{out} cannot be made", got=error.strerror) from None

    def __iter__(self) -> Iterator[Tuple[Path, np.ndarray, Any]]:
        for number, path in enumerate(self._paths, 1):
            image = read_picture(path)
            if image is None:
                self.unreadable.append(str(path))
            else:
                yield path, image, self._see(image)
            if self._progress is not None:
                self._progress(number, len(self._paths))
        if not self._times:
            raise DataError(
                f"no picture in {self._paths[0].parent} can be read",
                got=", ".join(path.name for path in self._paths[:3]),
                remedy="check that the files are whole",
            )

    def _see(self, image: np.ndarray) -> Any:
        clock = [time.perf_counter()]
        tensor, placed = self._model.preprocess(image)
        clock.append(time.perf_counter())
        outputs = self._model.infer(tensor)
        clock.append(time.perf_counter())
        seen = self._model.postprocess(outputs, placed)
        clock.append(time.perf_counter())
        self._times.append(np.diff(clock) * 1e3)
        return seen

    def save(self, path: Path, drawn: np.ndarray) -> None:
        """Write a drawn picture below `out`, under the name of its picture.

        Args:
            path: The picture; what is neither JPEG nor PNG gets `.png` at the end of its name.
            drawn: `(h, w, 3)` uint8 BGR.

        Raises:
            StorageError: It cannot be written.
        """
        assert self.out is not None, "nothing is drawn without a folder"
        name = path.name
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            name += ".png"
        good, data = load_cv2().imencode(Path(name).suffix, drawn)
        if not good:
            raise StorageError(f"{self.out / name} cannot be written", got="it cannot be encoded")
        write_whole(self.out / name, data.tobytes())

    def report(self, **found: Any) -> Dict[str, Any]:
        """What the checks of all tasks tell, around what one of them found."""
        card = self._model.card
        return {
            "model": self._model.where,
            "decoder": card.decoder,
            "input": dataclasses.asdict(card.input),
            "images": len(self._times),
            "unreadable": self.unreadable,
            **found,
            "timing_ms": dict(
                zip(("preprocess", "infer", "postprocess"), np.median(self._times, axis=0).tolist())
            ),
            "out": None if self.out is None else str(self.out),
        }

    def warnings(self) -> List[str]:
        """About the pictures."""
        if not self.unreadable:
            return []
        return [
            f"{len(self.unreadable)} of {len(self._paths)} pictures cannot be read: "
            + ", ".join(Path(path).name for path in self.unreadable[:3])
        ]
