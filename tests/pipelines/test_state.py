"""States travel as bytes and come back as they were, or not at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelane.core import DataError
from edgelane.pipelines.state import decode, encode

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), PLAIN))
def test_plain_types_come_back_equal(state):
    assert decode(encode(state)) == state


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (3,), (70000,), (2, 3, 4)])
def test_arrays_come_back_with_dtype_shape_and_values(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    back = decode(encode({"a": array}))["a"]
    assert back.dtype == array.dtype and back.shape == array.shape
    assert (back == array).all()


def test_arrays_keep_nan_and_infinity_and_can_be_written_to():
    back = decode(encode({"a": np.array([np.nan, np.inf, -np.inf])}))["a"]
    assert np.isnan(back[0]) and back[1] == np.inf and back[2] == -np.inf
    back[0] = 1.0
    assert back[0] == 1.0


def test_views_and_numpy_scalars_are_taken_as_values():
    grid = np.arange(12).reshape(3, 4)
    back = decode(encode({"column": grid[:, 1], "n": np.int64(3), "f": np.float32(0.5)}))
    assert back["column"].tolist() == [1, 5, 9]
    assert back["n"] == 3 and back["f"] == 0.5


def test_what_cannot_be_kept_is_refused():
    with pytest.raises(DataError, match="cannot be packed"):
        encode({"a": object()})
    with pytest.raises(DataError, match="cannot be packed"):
        encode({"a": np.array(["text"])})


@given(st.binary(max_size=200))
def test_garbage_is_refused(data):
    with pytest.raises(DataError):
        decode(data)


def test_any_damaged_byte_is_noticed():
    good = encode({"a": np.arange(5.0), "b": "text"})
    for i in range(len(good)):
        with pytest.raises(DataError):
            decode(good[:i] + bytes([good[i] ^ 0x55]) + good[i + 1 :])
        with pytest.raises(DataError):
            decode(good[:i])


def test_another_version_is_named():
    data = bytearray(encode({}))
    data[4] += 1
    with pytest.raises(DataError, match="another version"):
        decode(bytes(data))
