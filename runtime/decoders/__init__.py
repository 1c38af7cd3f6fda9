"""Decoders: what a detector's output tensors mean, by family of models."""

from .base import Bound, DecodeFunction, Family, Request, Rows, Signature, Unfit
from .registry import FAMILIES, bind_decoder, find_family
from .signature import recognise

__all__ = [
    "FAMILIES",
    "Bound",
    "DecodeFunction",
    "Family",
    "Request",
    "Rows",
    "Signature",
    "Unfit",
    "bind_decoder",
    "find_family",
    "recognise",
]
