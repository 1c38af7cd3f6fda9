"""`import tensorrt` in a process whose PYTHONPATH has this folder's parent."""

import os
import sys

if not os.environ.get("EDGELANE_FAKE_TENSORRT"):
    raise ImportError("EDGELANE_FAKE_TENSORRT names no release")

import faketrt  # noqa: E402

sys.modules[__name__] = faketrt.of_environment()
