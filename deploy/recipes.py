"""What belongs to a recipe: the files it has learnt, and its challenge set.

They keep their names, so that the recipe's hash is the same on the desk and on the device.
"""

from pathlib import Path, PurePosixPath
from typing import Any, Dict, List

from ..core import ConfigError, ReleaseError
from ..runtime.inspect.pictures import known_pictures
from ..runtime.inspect.recipe.config import load_recipe
from .archive import check_name
from .contents import Contents, add_model, plain
from .manifest import CONFIG, NAME

TAKEN = ("golden", "models", "wheels", "files", "challenge", "python", CONFIG, NAME)
"""What else a bundle has at its top."""


def add_recipe(contents: Contents, data: Dict[str, Any], path: Path) -> Dict[str, Any]:
    """Add the files that a recipe names, and its challenge set.

    Args:
        contents: The bundle to be.
        data: What the recipe's file holds.
        path: That file.

    Returns:
        The recipe as the bundle shall hold it.

    Raises:
        EdgelaneError: The recipe is wrong, or a file of it is gone or another one.
    """
    loaded = load_recipe(path)
    if not loaded.settings.version:
        raise ConfigError(f"{path} is not taught yet", remedy=f"edgelane teach {path} --good DIR")
    places: Dict[str, str] = {}
    for name in dict.fromkeys(_names(data)):
        file = loaded.path(name)
        if len(name) > 255 or not _is_file(file):
            continue
        place = _place(name, f"files/{len(contents.files)}/{plain(file.name)}")
        if file.suffix == ".onnx":
            folder = str(PurePosixPath(place).parent)
            places[name] = add_model(contents, "check", folder, file, None)
        else:
            places[name] = place
            contents.files[place] = file
    own = loaded.settings.challenge
    if own is not None:
        home = _place(own.set, "challenge")
        places[own.set] = home
        for verdict, _, picture in known_pictures(loaded.path(own.set)):
            contents.files[f"{home}/{verdict}/{picture.name}"] = picture
    return {"name": loaded.name, **_renamed(data, places)}


def _names(data: Any, key: str = "") -> List[str]:
    """Every text of a recipe that may name a file, keys themselves among them."""
    if isinstance(data, dict):
        own = [k for k in data if isinstance(k, str)] if key == "artefacts" else []
        return own + [n for k, v in data.items() for n in _names(v, str(k))]
    if isinstance(data, list):
        return [n for value in data for n in _names(value, key)]
    ok = isinstance(data, str) and key != "source" and ("." in data or "/" in data)
    return [data] if ok else []


def _renamed(data: Any, places: Dict[str, str], key: str = "") -> Any:
    """The recipe with its files where the bundle has them."""
    if isinstance(data, dict):
        own = places if key == "artefacts" else {}
        return {own.get(k, k): _renamed(v, places, str(k)) for k, v in data.items()}
    if isinstance(data, list):
        return [_renamed(value, places, key) for value in data]
    return places.get(data, data) if isinstance(data, str) and key != "source" else data


def _place(name: str, otherwise: str) -> str:
    """Where a file of the recipe lies in the bundle: where it does beside the recipe, if it can."""
    place = PurePosixPath(name)
    if place.is_absolute() or not place.parts or place.parts[0] in TAKEN:
        return otherwise
    try:
        return check_name(str(place))
    except ReleaseError:
        return otherwise


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
