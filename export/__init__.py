"""From a trained model to an ONNX that says by itself how it wants to be used.

Needs Python 3.10 or newer, and torch in the modules that say so.
"""

from .exporter import export_model
from .fp16 import HalfReport, HalfSettings, to_fp16

__all__ = ["HalfReport", "HalfSettings", "export_model", "to_fp16"]
