"""Pictures of parts judged by a recipe: lines of JSON and overlays."""

from pathlib import Path
from typing import Callable, Iterator, Optional, Union

import numpy as np

from ....core import DataError
from ....core.verdict import Reason, Verdict
from ..golden.verdicts import Inspected, overlay
from ..pictures import DrawnFolder, pictures_in, read_picture
from ..recipe.config import load_recipe
from .judge import Judge


def inspect_by_recipe(
    images: Union[str, Path],
    recipe: Union[str, Path],
    out: Optional[Union[str, Path]] = None,
    progress: Optional[Callable[[int, int], None]] = None,
) -> Iterator[Inspected]:
    """Judge pictures of parts by a taught recipe.

    Args:
        images: A picture or a folder of them.
        recipe: Path of the recipe.
        out: Folder for pictures with the verdict and the defects drawn in.
        progress: Called with how many of how many are done.

    Yields:
        One for each picture, in the order of their names. A picture that cannot be read is unsure.

    Raises:
        UsageError: A path does not exist, `out` is where the pictures lie, or the recipe is
            none or not taught.
        DataError: A file of the recipe is gone or another one.
        StorageError: `out` cannot be written.
    """
    paths = pictures_in(Path(images))
    drawn = None if out is None else DrawnFolder(out, paths)
    judge = Judge(load_recipe(recipe))
    try:
        for number, path in enumerate(paths, 1):
            image: Optional[np.ndarray] = None
            try:
                image = read_picture(path)
                judged = judge.single(image)
                result = Inspected(str(path), judged.verdict, judged.defects, judged.scores)
            except DataError as error:
                reason = Reason("readable", None, condition=True, text=str(error))
                none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
                result = Inspected(str(path), Verdict.of([reason]), *none)
            if drawn is not None and image is not None:
                drawn.write(path, overlay(image, result))
            if progress is not None:
                progress(number, len(paths))
            yield result
    finally:
        judge.close()
