"""What every test may ask for."""

import contextlib
import os
from pathlib import Path

import pytest

with contextlib.suppress(ImportError):
    # The folder tests/packaging would stand in the way of the library of that name, which
    # matplotlib and onnxruntime.quantization import late.
    import packaging.version  # noqa: F401

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real videos, models and ground truth that tests measure on."""
    if not DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{DATA} is missing, and CI must measure on it")
        pytest.skip(f"{DATA} is missing: real data is measured only where it is at hand")
    return DATA
