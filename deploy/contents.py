"""What belongs to a config: itself, models with their weights and caches, modules, wheels."""

import json
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

from ..core import ConfigError, DataError, UsageError
from ..runtime.config import load_config, resolve_path
from ..runtime.engines import read_graph
from ..runtime.registry import resolve_model
from .bare.receive import PYTHON
from .manifest import CONFIG
from .pictured import task_of
from .secrecy import refuse_passwords
from .wheels import short_name

PathLike = Union[str, "os.PathLike[str]"]

_MODULE = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*(\?|\Z)")
_EXTENDED = ("pipeline", "decoder", "rules", "subscribe")


class Contents:
    """The files of a bundle to be.

    Attributes:
        files: Where each comes from, by its path in the bundle.
        models: Fields of `manifest.Model`.
        wheels: Paths in the bundle.
    """

    def __init__(self) -> None:
        self.files: Dict[str, Union[bytes, Path]] = {}
        self.models: List[Dict[str, Any]] = []
        self.wheels: List[str] = []

    def write(self, folder: Path) -> None:
        """Put all of them below a folder."""
        for place, content in list(self.files.items()):
            if isinstance(content, bytes):
                self.add_bytes(folder, place, content)
            else:
                self.add_file(folder, place, content)

    def add_bytes(self, folder: Path, place: str, content: bytes) -> None:
        """A file more, from its content."""
        self.files[place] = content
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def add_text(self, folder: Path, place: str, text: str) -> None:
        """A file more, from its text."""
        self.add_bytes(folder, place, text.encode("utf-8"))

    def add_file(self, folder: Path, place: str, source: Path) -> None:
        """A file more, copied.

        Raises:
            DataError: It cannot be read.
        """
        self.files[place] = source
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(str(source), str(path))
        except OSError as error:
            raise DataError(f"{source} cannot be read", got=error.strerror) from None


def gather(
    config: PathLike,
    model: Optional[PathLike],
    variants: Sequence[PathLike],
    calibration: Optional[PathLike],
    wheels: Sequence[PathLike],
    python: Optional[PathLike] = None,
) -> Contents:
    """Find what a bundle has to hold; arguments as in `make_bundle`.

    The config in the bundle is written anew, with its models where the bundle has them.

    Raises:
        ConfigError: The config is wrong, holds a password, or names what cannot be packed.
        EdgelaneError: A file is missing or is not what it should be.
    """
    from ruamel.yaml import YAML

    checked = load_config(config)
    text = Path(config).read_text(encoding="utf-8")
    data = YAML(typ="safe", pure=True).load(text)
    refuse_passwords(data, text)
    contents = Contents()
    if task_of(checked) == "inspect":
        if model is not None or calibration is not None:
            raise UsageError(
                "a recipe names its models itself",
                remedy="leave --model and --calibration out, and name them in the recipe",
            )
        from .recipes import add_recipe

        data = add_recipe(contents, data, Path(config))
    else:
        if model is None and checked.model is None:
            raise ConfigError("the config names no model", remedy="add `model: …`, or give --model")
        main = (
            resolve_model(os.fspath(model))
            if model is not None
            else resolve_model(str(checked.model), checked.folder)
        )
        data["model"] = add_model(contents, "detector", "models/detector", Path(main), calibration)
    if checked.second is not None:
        second = Path(resolve_model(checked.second, checked.folder))
        data["second"] = add_model(contents, "second", "models/second", second, None)
    for number, variant in enumerate(variants):
        add_model(contents, "variant", f"models/variant-{number}", Path(variant), None)
    _add_modules(contents, data, checked.folder)
    data = _with_files(contents, data, checked.folder)
    for path in _wheels(wheels):
        if path.suffix != ".whl":
            raise UsageError(f"{path} is no wheel", expected="a .whl file")
        contents.wheels.append(f"wheels/{short_name(path.name)}")
        contents.files[contents.wheels[-1]] = path
    if python is not None:
        _add_python(contents, Path(python))
    contents.files[CONFIG] = _config_text(data)
    return contents


def _add_python(contents: Contents, folder: Path) -> None:
    """Add the packages of a Python for devices whose own is too old."""
    found = sorted(folder.glob("*.deb"))
    if not any(re.match(r"python3\.\d+_", path.name) for path in found):
        raise UsageError(
            f"there is no Python in {folder}",
            expected="Debian packages, python3.8_….deb among them",
            remedy="make them on one JetPack 4: deploy/jetpack4/build.sh",
        )
    for path in found:
        contents.files[f"{PYTHON}/{plain(path.name)}"] = path


def _wheels(given: Sequence[PathLike]) -> Iterator[Path]:
    """Wheels, and those of folders."""
    for wheel in given:
        path = Path(wheel)
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.glob("*.whl"))
        if not found:
            raise UsageError(f"there is no wheel in {path}", remedy="fetch them: edgelane wheels")
        yield from found


def _config_text(data: Dict[str, Any]) -> bytes:
    """The config as JSON, which YAML 1.2 includes, so that its bytes depend on nothing else."""
    try:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError("the config holds what is neither text nor number", got=error) from None
    return text.encode("utf-8") + b"\n"


def add_model(
    contents: Contents,
    role: str,
    folder: str,
    path: Path,
    calibration: Optional[PathLike],
) -> str:
    """Add a model with its external weights and its calibration cache; its path in the bundle."""
    facts, home = read_graph(path), PurePosixPath(folder)
    place = str(home / plain(path.name))
    contents.files[place] = path
    for name in facts.external:
        contents.files[str(home / name)] = path.parent / name
    cache = Path(calibration) if calibration is not None else path.with_suffix(".calib")
    kept = None
    if calibration is not None or cache.is_file():
        kept = str(home / plain(cache.name))
        contents.files[kept] = cache
    precision = "int8" if facts.quantized else "fp16" if facts.half else "fp32"
    contents.models.append(
        {"path": place, "role": role, "precision": precision, "calibration": kept}
    )
    return place


def plain(name: str) -> str:
    """A file's name as a bundle may hold it."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name).lstrip(".+-")[-60:] or "model.onnx"


def _add_modules(contents: Contents, data: Any, folder: Path, key: str = "") -> None:
    """Add the user's own modules, `module:name`, that a config extends edgelane by."""
    if isinstance(data, dict):
        for name, value in data.items():
            _add_modules(contents, value, folder, str(name))
    elif isinstance(data, list):
        for value in data:
            _add_modules(contents, value, folder, key)
    elif isinstance(data, str):
        match = _MODULE.match(data)
        if match and match.group(1) != "secret":
            _add_module(contents, match.group(1), folder, key in _EXTENDED)


def _add_module(contents: Contents, name: str, folder: Path, needed: bool) -> None:
    """Add a module that lies beside the config."""
    top = name.split(".")[0]
    file = Path(resolve_path(f"{top}.py", folder))
    package = Path(resolve_path(top, folder))
    if file.is_file():
        contents.files[f"{top}.py"] = file
    elif (package / "__init__.py").is_file():
        for path in sorted(package.rglob("*.py")):
            contents.files[f"{top}/{path.relative_to(package).as_posix()}"] = path
    elif needed:
        raise ConfigError(
            f"the module {name!r} cannot be packed",
            expected=f"{top}.py beside the config",
            remedy="copy it there",
        )


def _with_files(contents: Contents, data: Any, folder: Path, key: str = "") -> Any:
    """The config with the files beside it that it names in the bundle, where they lie there.

    Sources are not among them: a camera's file is the device's own.
    """
    if isinstance(data, dict):
        return {k: _with_files(contents, v, folder, str(k)) for k, v in data.items()}
    if isinstance(data, list):
        return [_with_files(contents, value, folder, key) for value in data]
    if not isinstance(data, str) or key == "source" or data in contents.files:
        return data
    if not re.search(r"[./]", data) or len(data) > 255 or not (folder / data).is_file():
        return data
    place = f"files/{len(contents.files)}/{plain(Path(data).name)}"
    contents.files[place] = folder / data
    return place


def pictures(folder: PathLike) -> List[Path]:
    """The pictures of a folder, in the order of their names; of the folders in it if it has none.

    Raises:
        DataError: It is no folder, or holds none.
    """
    from ..runtime.sources.file import IMAGES, natural

    place = Path(folder)
    try:
        inside = list(place.iterdir())
        found = [p for p in inside if p.suffix.lower() in IMAGES and p.is_file()]
        if not found:
            within = [p for one in inside if one.is_dir() for p in one.iterdir()]
            found = [p for p in within if p.suffix.lower() in IMAGES and p.is_file()]
    except OSError as error:
        raise DataError(f"{place} cannot be read as a folder", got=error.strerror) from None
    if not found:
        raise DataError(f"there are no pictures in {place}", expected=", ".join(IMAGES))
    return sorted(found, key=lambda path: (path.parent, natural(path.name)))
