"""What people look at: the report of a run. Reads run folders, never touches a camera."""

from .report import write_report

__all__ = ["write_report"]
