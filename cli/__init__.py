"""The commands: thin callers of public Python functions."""

import sys
from typing import List, Optional

__all__ = ["main"]


def main(arguments: Optional[List[str]] = None) -> None:
    """Entry of the command `edgelane`; ends the process with 0, 1 (failed) or 2 (misused)."""
    from .app import run_cli

    sys.exit(run_cli(arguments))
