"""A challenge set: known parts, judged, and held against what they are."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from ...core import UsageError
from ...pipelines.quality import ChallengeResult, challenge
from ...runtime.inspect.judging.judge import Judge
from ...runtime.inspect.pictures import known_pictures, read_picture
from ...runtime.inspect.recipe.config import LoadedRecipe, load_recipe


def run_challenge(
    recipe: Union[str, Path, LoadedRecipe], place: Optional[Union[str, Path]] = None
) -> ChallengeResult:
    """Judge known parts by a recipe.

    Args:
        recipe: A taught recipe.
        place: Folder with folders `pass` and `fail`, and `unsure` if wanted, of pictures; the
            recipe's own unless given.

    Raises:
        UsageError: There is no such set.
        DataError: It is empty, or holds no part that must fail; a picture cannot be read.
    """
    loaded = recipe if isinstance(recipe, LoadedRecipe) else load_recipe(recipe)
    own = loaded.settings.challenge
    if place is None and own is None:
        raise UsageError(
            "the recipe names no challenge set", remedy="add `challenge: {set: DIR}`, or give --set"
        )
    folder = Path(place) if place is not None else loaded.path(own.set if own else "")
    known = known_pictures(folder)
    expected = {name: verdict for verdict, name, _ in known}
    obtained: Dict[str, str] = {}
    reasons: Dict[str, List[str]] = {}
    judge: Any = Judge(loaded)
    try:
        for _, name, path in known:
            verdict = judge.single(read_picture(path)).verdict
            obtained[name] = verdict.verdict
            reasons[name] = [r.name for r in verdict.told]
    finally:
        judge.close()
    return challenge(expected, obtained, obtained_reasons=reasons)
