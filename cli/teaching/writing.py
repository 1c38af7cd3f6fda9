"""The next version of a recipe: a folder and a file that are whole or not there."""

import contextlib
import hashlib
import io
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ...core import StorageError
from ...runtime.files import write_whole
from ...runtime.inspect.recipe.config import LoadedRecipe, base_name, load_recipe
from ...runtime.sources.base import load_cv2


class NewVersion:
    """The next free version of a recipe, as a context: what is not kept at its end is removed.

    Args:
        loaded: The recipe that is taught; it stays as it is.

    Attributes:
        version: Its number, one above all that are there.
        folder: Where files of it are put meanwhile.
        final: Where they lie when it is kept.
        path: The recipe's file.
    """

    def __init__(self, loaded: LoadedRecipe) -> None:
        self.loaded = loaded
        self.source = Path(loaded.where)
        home = self.source.resolve().parent
        base = base_name(self.source.stem)
        taken = [0, loaded.settings.version]
        for path in home.glob(f"{base}.v*"):
            name = path.name[: -len(path.suffix)] if path.suffix in (".yaml", ".yml") else path.name
            number = name[len(base) + 2 :]
            if number.isdigit():
                taken.append(int(number))
        self.version = max(taken) + 1
        self.label = f"{base}.v{self.version}"
        self.final = home / self.label
        self.path = home / f"{self.label}.yaml"
        self.folder = home / f".{self.label}.{os.getpid()}.tmp"
        self._kept = False
        self._settings: Dict[str, Any] = {}

    def __enter__(self) -> "NewVersion":
        try:
            self.folder.mkdir()
        except OSError as error:
            raise StorageError(
                f"{self.folder.parent} cannot be written",
                got=error.strerror or str(error),
                remedy="teach a copy of the recipe in a folder of your own",
            ) from None
        return self

    def __exit__(self, *error: object) -> None:
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def name(self, file: str) -> str:
        """A file of the version as the recipe names it."""
        return f"{self.label}/{file}"

    def write_pictures(self, stem: str, images: Sequence[np.ndarray]) -> List[str]:
        """Write pictures, without loss; gives their names."""
        cv2 = load_cv2()
        names = []
        for number, image in enumerate(images, 1):
            file = f"{stem}-{number:02d}.png"
            write_whole(self.folder / file, cv2.imencode(".png", image)[1].tobytes())
            names.append(self.name(file))
        return names

    def drop(self, file: str) -> None:
        """Remove a file of the version, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / file).unlink()

    def write(
        self, part: Dict[str, Any], checks: Dict[str, Any], taught: Dict[str, Any],
        travel: Optional[str] = None,
    ) -> None:  # fmt: skip
        """Put the recipe together: the user's own file, with what was learnt in its place."""
        from ruamel.yaml import YAML

        yaml = YAML()
        data = yaml.load(self.source.read_text(encoding="utf-8"))
        at = data
        if data.get("cameras"):
            (name,) = data["cameras"]
            # Keys of the one camera and keys at the top mean the same: learnt ones stand on top.
            for key in ("part", "trigger", "checks", "taught", "artefacts"):
                if isinstance(data["cameras"][name], dict) and key in data["cameras"][name]:
                    at = data["cameras"][name]
        at["version"] = self.version
        if part:
            at["part"] = {**(at.get("part") or {}), **part}
        if travel is not None and not (at.get("trigger") or {}).get("travel"):
            at["trigger"] = {**(at.get("trigger") or {}), "travel": travel}
        at["checks"] = checks
        at["taught"] = taught
        names = sorted(p.name for p in self.folder.iterdir())
        at["artefacts"] = {
            self.name(name): hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
            for name in names
        }
        camera = (checks.get("gauges") or {}).get("camera")
        model = (checks.get("classifier") or {}).get("model")
        for name in (camera, model):
            if name is not None:
                content = self.loaded.path(str(name)).read_bytes()
                at["artefacts"][str(name)] = hashlib.sha256(content).hexdigest()
        for name, digest in (self.loaded.settings.artefacts or {}).items():
            # What the recipe was given and not taught stays its own.
            if not name.startswith(base_name(self.source.stem) + ".v"):
                at["artefacts"][name] = digest
        text = io.StringIO()
        yaml.dump(data, text)
        write_whole(self.folder / "recipe.yaml", text.getvalue().encode("utf-8"))

    def load(self) -> LoadedRecipe:
        """The version as it will be read, before it is kept."""
        import msgspec

        from ...runtime.config import load_config

        config = load_config(self.folder / "recipe.yaml")
        (camera,) = config.cameras.values()
        artefacts = camera.settings.pop("artefacts", {})
        loaded = load_recipe(config)
        there = msgspec.structs.replace(loaded.settings, artefacts=artefacts)
        return _Meanwhile(loaded.config, there, loaded.hash, self.label, self)

    def keep(self) -> None:
        """Put all in place; the recipe's own file last.

        Raises:
            StorageError: Somebody else wrote this version meanwhile, or the folder is full.
        """
        text = (self.folder / "recipe.yaml").read_bytes()
        os.unlink(self.folder / "recipe.yaml")
        try:
            os.rename(self.folder, self.final)
        except OSError as error:
            raise StorageError(
                f"{self.final} cannot be put in place", got=error.strerror or str(error),
                remedy="teach once more",
            ) from None  # fmt: skip
        self._kept = True
        try:
            write_whole(self.path, text)
        except BaseException:
            shutil.rmtree(self.final, ignore_errors=True)
            raise


class _Meanwhile(LoadedRecipe):
    """A recipe whose files still lie elsewhere."""

    def __init__(self, config, settings, digest, where, new: NewVersion) -> None:
        super().__init__(config, settings, digest, where)
        object.__setattr__(self, "_new", new)

    def path(self, name: str) -> Path:
        new: NewVersion = self._new  # type: ignore[attr-defined]
        if name.startswith(new.label + "/"):
            return new.folder / name[len(new.label) + 1 :]
        path = Path(name)
        return path if path.is_absolute() else new.source.resolve().parent / path
