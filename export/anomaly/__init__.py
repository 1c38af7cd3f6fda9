"""Learnt anomaly: from pictures of good parts to one ONNX that gives a score and a map.

Needs numpy, onnx and onnxruntime; torch only for the candidates that say so.
"""

from .learn import Learnt, learn

__all__ = ["Learnt", "learn"]
