"""What a user names as `module:attribute`: found beside the config, in the current folder or
installed."""

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Optional, Sequence

from ..core import MissingDependency, UsageError, did_you_mean


def load_object(name: str, what: str, folder: Optional[Path] = None) -> Any:
    """Import `module:attribute`, where a user extends edgelane by name.

    Modules beside the config (`folder`) and in the working directory are found, then and later:
    what is there may import others of them when it is called.

    Args:
        name: What the user wrote.
        what: What it is to be, for errors, e.g. `pipeline`.
        folder: That of the config.

    Raises:
        UsageError: The name is malformed, the module or attribute does not exist, or the module
            fails to import.
        MissingDependency: The module needs a library that is not installed.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise UsageError(f"{what} {name!r} is malformed", expected="module:name")
    for place in (folder, Path.cwd()):
        if place is not None and str(place) not in sys.path:
            sys.path.insert(0, str(place))
    module = _import(module_name, f"{what} {name!r}", "beside the config or on PYTHONPATH")
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise UsageError(
            f"{what} {name!r}: {module_name} has no {attribute!r}",
            remedy=did_you_mean(attribute, [n for n in vars(module) if not n.startswith("_")]),
        ) from None


def import_named(module_name: str, what: str) -> ModuleType:
    """Import a module; the current folder is looked at first, and only while importing.

    Args:
        module_name: Its name.
        what: What asks for it, for the error, e.g. "decoder 'shop:read'".

    Raises:
        UsageError: There is no such module, or it fails to import.
        MissingDependency: It needs a library that is not installed.
    """
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return _import(module_name, what, "into the current folder or install it")
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def _import(module_name: str, what: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = (error.name or module_name).split(".")[0]
        if missing != module_name.split(".")[0]:
            raise MissingDependency(
                f"{what} needs {missing}", remedy=f"pip install {missing}"
            ) from error
        raise UsageError(
            f"{what}: there is no module {error.name or module_name!r}",
            remedy=f"put {module_name}.py {where}",
        ) from error
    except Exception as error:  # a user's own code may fail in any way
        raise UsageError(
            f"{what}: its module fails to import", got=f"{_said(error)}{_place(error)}"
        ) from error


def _said(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _place(error: BaseException) -> str:
    """Where it was raised; a `SyntaxError` says that by itself."""
    if isinstance(error, SyntaxError):
        return ""
    frames: Sequence[Any] = traceback.extract_tb(error.__traceback__)
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
