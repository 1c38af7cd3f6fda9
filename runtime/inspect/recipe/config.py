"""A recipe: the config of an inspection, with what was learnt lying beside it."""

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Union

import msgspec

from ....core import ConfigError, DataError, ModelError
from ...config import TOP_KEYS, Config, decode, load_config
from .keys import (
    AnomalyCheck,
    Checks,
    ClassifierCheck,
    GoldenCheck,
    PartSettings,
    Recipe,
    TriggerSettings,
)

__all__ = [
    "AnomalyCheck",
    "Checks",
    "ClassifierCheck",
    "GoldenCheck",
    "LoadedRecipe",
    "PartSettings",
    "Recipe",
    "TriggerSettings",
    "base_name",
    "load_recipe",
]


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe that was read and checked.

    Attributes:
        config: The whole config.
        settings: The inspection's own keys.
        hash: 16 hexadecimal digits of all that decides: the settings and the files beside it.
    """

    config: Config
    settings: Recipe
    hash: str
    where: str = field(default="", compare=False)

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.config.folder

    @property
    def name(self) -> str:
        """Without version and ending."""
        return self.settings.name or base_name(self.config.name)

    def path(self, name: str) -> Path:
        """A file of the recipe."""
        path = Path(name)
        return path if path.is_absolute() else self.config.folder / path

    def identity(self) -> Dict[str, Any]:
        """What a verdict must name: recipe, version, hashes of it, its models and engines."""
        models = {
            name: digest[:16]
            for name, digest in self.settings.artefacts.items()
            if name.endswith((".onnx", ".engine"))
        }
        told: Dict[str, Any] = {
            "recipe": self.name, "version": self.settings.version, "recipe_hash": self.hash,
        }  # fmt: skip
        engines = {name: found for name in models for found in [self._engine(name)] if found}
        return {
            **told,
            **({"models": models} if models else {}),
            **({"engines": engines} if engines else {}),
        }

    def _engine(self, name: str) -> str:
        """16 hexadecimal digits of the engine that was built of a model; empty without one."""
        from ...backends.serve import find_engine
        from ...engines import read_passport

        engine = find_engine(str(self.path(name)))
        try:
            return "" if engine is None else read_passport(engine).engine_sha256[:16]
        except ModelError:
            return ""


def base_name(name: str) -> str:
    """`washer` of `washer.v3`."""
    stem, _, last = name.rpartition(".v")
    return stem if stem and last.isdigit() else name


def refuse_endless(content: Any, path: str = "") -> None:
    """Refuse limits that nothing can break, or nothing can keep.

    Raises:
        ConfigError: A number is not one, or has no end.
    """
    if isinstance(content, float) and not math.isfinite(content):
        raise ConfigError(f"{path} is no number", got=content, expected="a finite number")
    if isinstance(content, Mapping):
        for key, value in content.items():
            refuse_endless(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, (list, tuple)):
        for k, value in enumerate(content):
            refuse_endless(value, f"{path}[{k}]")


def load_recipe(recipe: Union[str, Path, Mapping[str, Any], Config]) -> LoadedRecipe:
    """Read a recipe, and see that the files which belong to it are those it was taught with.

    Args:
        recipe: Path of a YAML file, what it would hold, or a config.

    Raises:
        ConfigError: It is no recipe, or a field is wrong or unknown.
        DataError: A file that belongs to it is gone or another one.
    """
    config = load_config(recipe)
    where = str(recipe) if isinstance(recipe, (str, Path)) else config.name
    if where == config.name and (config.folder / f"{where}.yaml").is_file():
        where = str(config.folder / f"{where}.yaml")
    if config.pipeline != "inspection":
        raise ConfigError(
            f"{where} is no recipe",
            got=f"pipeline: {config.pipeline}",
            expected="pipeline: inspection",
        )
    if len(config.cameras) != 1:
        raise ConfigError(
            f"{where}: a recipe is of one camera",
            got=f"{len(config.cameras)} cameras",
            remedy="write one recipe for each",
        )
    (camera,) = config.cameras.values()
    refuse_endless(camera.settings, camera.path)
    settings = decode(Recipe, camera.settings, camera.path, TOP_KEYS if not camera.path else ())
    if settings.checks.gauges is not None:
        from ..gauges.settings import read_settings

        at = f"{camera.path}.checks.gauges" if camera.path else "checks.gauges"
        read_settings({k: v for k, v in settings.checks.gauges.items() if k != "camera"}, at)
    for name, digest in settings.artefacts.items():
        path = Path(name) if Path(name).is_absolute() else config.folder / name
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(
                f"{where}: {name}, which belongs to it, cannot be read",
                got=error.strerror,
                remedy="copy the recipe with its folder, or teach it anew",
            ) from None
        if found != digest:
            raise DataError(
                f"{where}: {name} is not the file it was taught with",
                got=found[:12],
                expected=digest[:12],
                remedy="teach it anew: edgelane teach",
            )
    told = msgspec.to_builtins(settings)
    told.pop("name", None)  # it decides nothing
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), default=str)
    return LoadedRecipe(config, settings, hashlib.sha256(text.encode()).hexdigest()[:16], where)
