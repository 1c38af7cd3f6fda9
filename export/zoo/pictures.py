"""The training pictures: stores rendered once to disk, with boxes and whose every pixel is."""

import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from ...core import DataError, UsageError
from ...runtime.files import write_whole
from ...runtime.sources.base import load_cv2
from ...runtime.synth.store import Store

TRAINING_SEEDS = 1_000_000
"""Stores with this seed and above are for training; those below stay unseen."""

FRAMES = 12  # of each store
_SECONDS = 40.0
_SIZES = ((640, 360), (640, 360), (640, 360), (640, 480), (480, 360))


class Picture(NamedTuple):
    """A rendered picture.

    Attributes:
        image: `(h, w, 3)` uint8 BGR.
        labels: `(h, w)` uint8: 1 + the row of the person that is seen there, or 0.
        boxes: `(n, 4)` float32 pixels: the whole figures, cut at the picture.
        visibility: `(n,)` float32: the share of each figure that can be seen.
    """

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    visibility: np.ndarray


def render_pictures(folder: Path, stores: int, processes: int = 1) -> None:
    """Render the first `stores` training stores into a folder; those that are there stay.

    Args:
        folder: Made if it is not there.
        stores: How many; each gives `FRAMES` pictures.
        processes: How many render at a time.

    Raises:
        StorageError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(TRAINING_SEEDS, TRAINING_SEEDS + stores)
    wanted = [(folder, seed) for seed in seeds if not _table(folder, seed).exists()]
    if not wanted:
        return
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(max(processes, 1)) as pool:
        for done, _ in enumerate(pool.imap_unordered(_render, wanted), 1):
            if done % 20 == 0 or done == len(wanted):
                rate = done / (time.monotonic() - started)
                left = (len(wanted) - done) / rate
                line = f"rendered {done} of {len(wanted)} stores, {left:.0f} s left"
                print(line, file=sys.stderr, flush=True)


def _table(folder: Path, seed: int) -> Path:
    return folder / f"{seed}.npz"


def _render(job: Tuple[Path, int]) -> None:
    folder, seed = job
    cv2 = load_cv2()
    cv2.setNumThreads(1)
    rng = np.random.RandomState(seed % 2**32)
    size = _SIZES[rng.randint(len(_SIZES))]
    people = int(rng.choice([5, 8, 12, 12, 16, 22]))
    scene = Store(seed=seed, people=people, fps=10, size=size, seconds=_SECONDS)
    arrays: Dict[str, Any] = {}
    for k, index in enumerate(np.sort(rng.choice(scene.frames, FRAMES, replace=False)).tolist()):
        frame, truth = scene.render(index)
        jpeg = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, 93])[1]
        png = cv2.imencode(".png", scene.labels(index), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
        write_whole(folder / f"{seed}-{k:02d}.jpg", jpeg.tobytes())
        write_whole(folder / f"{seed}-{k:02d}.png", png.tobytes())
        arrays[f"boxes{k}"] = truth.xyxy.astype(np.float32)
        arrays[f"visibility{k}"] = truth.visibility.astype(np.float32)
    part = folder / f".{seed}.part.npz"
    np.savez(part, **arrays)
    part.replace(_table(folder, seed))


class Pictures:
    """Rendered pictures in a folder, by number.

    Args:
        folder: As `render_pictures` left it.
        stores: Take only the first so many stores.

    Raises:
        DataError: There is no picture in it.
    """

    def __init__(self, folder: Path, stores: int = 10**9) -> None:
        self._cv2: Any = load_cv2()
        self.paths: List[Path] = []
        self._truths: List[Tuple[np.ndarray, np.ndarray]] = []
        for table in sorted(folder.glob("[0-9]*.npz"))[:stores]:
            with np.load(table) as arrays:
                for k in range(sum(name.startswith("boxes") for name in arrays.files)):
                    self.paths.append(folder / f"{table.stem}-{k:02d}")
                    self._truths.append((arrays[f"boxes{k}"], arrays[f"visibility{k}"]))
        if not self.paths:
            raise DataError(f"{folder} holds no rendered pictures", remedy="render them first")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Picture:
        path = self.paths[number]
        image = self._cv2.imread(str(path.with_suffix(".jpg")))
        labels = self._cv2.imread(str(path.with_suffix(".png")), 0)
        if image is None or labels is None:
            raise DataError(f"{path}.jpg or .png cannot be read", remedy="render it again")
        return Picture(image, labels, *self._truths[number])


def unseen(seeds: Sequence[int]) -> Sequence[int]:
    """The seeds, if no training picture comes from any of them.

    Raises:
        UsageError: One is for training.
    """
    for seed in seeds:
        if seed >= TRAINING_SEEDS:
            raise UsageError(
                f"seed {seed} is for training", expected=f"seeds below {TRAINING_SEEDS}"
            )
    return seeds
