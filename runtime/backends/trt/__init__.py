"""TensorRT: an engine file in, the same contract as every other backend out."""

from .backend import TensorrtBackend

__all__ = ["TensorrtBackend"]
