"""What a user names as `module:attribute`: its module, from the current folder or installed."""

import importlib
import os
import sys
from types import ModuleType

from ..core import UsageError


def import_named(module_name: str, what: str) -> ModuleType:
    """Import a module; the current folder is looked at first, and only while importing.

    Args:
        module_name: Its name.
        what: What asks for it, for the error, e.g. "decoder 'shop:read'".

    Raises:
        UsageError: There is no such module, or it fails to import.
    """
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{what}: there is no module {error.name!r}",
            remedy=f"put {module_name}.py into the current folder or install it",
        ) from None
    except Exception as error:
        text = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise UsageError(
            f"{what}: its module fails to import", got=f"{type(error).__name__}: {text}"
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
