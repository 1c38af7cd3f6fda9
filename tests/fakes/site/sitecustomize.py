"""Makes every Python with this folder on PYTHONPATH believe in a device and its TensorRT.

`EDGELANE_FAKE_TENSORRT` names the release (`8.2`, `8.5`, `10.3`, `10.16`, `11.4`; none without it),
`EDGELANE_FAKE_DEVICE` the device (`xavier`; `none` for a machine without a driver).
"""

import ctypes
import os
import sys
from pathlib import Path

if os.environ.get("EDGELANE_FAKE_TENSORRT"):
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    _real = ctypes.CDLL
    _made = {}

    def _load(name, *args, **options):
        # Loaded only when CUDA is asked for, so that start-up stays as it is.
        if not str(name).rpartition("/")[2].startswith(("libcuda.so", "libcudart.so")):
            return _real(name, *args, **options)
        if "loader" not in _made:
            import fakecuda
            import faketrt

            _made["loader"] = fakecuda.loader(faketrt.of_environment()._cuda)
        return _made["loader"](name, *args, **options)

    ctypes.CDLL = _load
