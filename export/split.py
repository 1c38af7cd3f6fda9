"""Labelled pictures parted into those to calibrate with and those to judge by."""

import os
import shutil
from pathlib import Path
from typing import Tuple

import numpy as np

from ..calibration.accuracy import Dataset
from ..core import DataError


def split(dataset: Dataset, most: int) -> Tuple[Dataset, Dataset]:
    """Some pictures to calibrate with, and the others.

    Args:
        dataset: Labelled pictures.
        most: How many are taken to calibrate with, evenly spread; at most half.

    Raises:
        DataError: There are fewer than two pictures.
    """
    count = len(dataset)
    if count < 2:
        raise DataError(
            "one picture cannot both calibrate and judge",
            remedy="add labelled pictures, or a folder of others to calibrate with",
        )
    chosen = np.linspace(0, count - 1, min(most, count // 2) * 2 + 1).round().astype(int)[::2]
    chosen = np.unique(chosen)[: min(most, count // 2)]
    rest = np.setdiff1d(np.arange(count), chosen)
    return dataset.select(chosen.tolist()), dataset.select(rest.tolist())


def link_pictures(dataset: Dataset, folder: Path) -> Path:
    """A folder with just these pictures, by links where the system has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in dataset.pictures:
        target = folder / picture.path.name
        if target.exists():
            continue  # two folders with a picture of one name: one of them is enough
        try:
            os.symlink(picture.path.resolve(), target)
        except OSError:
            shutil.copy(picture.path, target)
    return folder
