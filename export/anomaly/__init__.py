"""Learnt anomaly: from pictures of good parts to one ONNX that gives a score and a map.

Needs numpy, onnx and onnxruntime; torch only for the candidate that says so.
"""

from .learn import Learnt, learn
from .wrap import wrap

__all__ = ["Learnt", "learn", "wrap"]
