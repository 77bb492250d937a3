from contextlib import suppress
from pathlib import Path

import amplify_client.wire
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from amplify.serve import wire
from amplify.serve.wire import WireError, pack, unpack

DTYPES = ("|b1", "|u1", "|i1", "<i2", "<u4", "<i8", "<f2", "<f4", ">f4", "<f8")


def test_both_ends_speak_the_same_format():
    assert Path(wire.__file__).read_text() == Path(amplify_client.wire.__file__).read_text()


@given(st.data())
def test_arrays_return_as_they_were(data):
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    array = data.draw(arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
    found = unpack(pack({"a": array}))["a"]
    assert found.dtype == dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_plain_values_return_as_they_were(value):
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("scalar", [np.float32(1.5), np.int64(-3), np.bool_(True), np.uint8(255)])
def test_scalars_keep_their_type(scalar):
    found = unpack(pack({"a": scalar}))["a"]
    assert found == scalar
    assert found.dtype == scalar.dtype


def test_arrays_that_are_not_contiguous():
    array = np.arange(12).reshape(3, 4)
    assert (unpack(pack(array.T)) == array.T).all()


def test_the_format_is_that_of_openpi():
    """Written out, so that neither end can drift."""
    described = {b"__ndarray__": True, b"data": b"\x01\x02", b"dtype": "|u1", b"shape": [2]}
    assert msgpack.unpackb(pack(np.array([1, 2], np.uint8)), raw=False, strict_map_key=False) == described
    assert (unpack(msgpack.packb(described)) == [1, 2]).all()
    tuples = {**described, b"shape": (2, 1)}
    assert unpack(msgpack.packb(tuples)).shape == (2, 1)


@pytest.mark.parametrize(
    "value",
    [
        np.array([None]),
        np.array(["text"]),
        np.array([1j]),
        np.array(["2020"], "M8[Y]"),
        np.zeros(2, "V4"),
        {1, 2},
        1j,
    ],
)
def test_what_has_no_place_is_not_sent(value):
    with pytest.raises(WireError):
        pack({"a": value})


def described(**changes):
    return {b"__ndarray__": True, b"data": bytes(4), b"dtype": "<f4", b"shape": [1]} | {
        k.encode(): v for k, v in changes.items()
    }


@pytest.mark.parametrize(
    "entry",
    [
        described(dtype="|O"),
        described(dtype="O"),
        described(dtype="object"),
        described(dtype="V4"),
        described(dtype="<U1"),
        described(dtype="<f4,<f4"),
        described(dtype="f4()"),
        described(dtype=["<f4"]),
        described(dtype=None),
        described(shape=[2]),
        described(shape=[-1]),
        described(shape=[2**31, 2**31]),
        described(shape=[1.0]),
        described(shape=[True]),
        described(shape=[1] * 9),
        described(shape=1),
        described(data="text"),
        described(data=bytes(5)),
        {b"__ndarray__": True},
        {b"__npgeneric__": True, b"data": "1", b"dtype": "<f4"},
        {b"__npgeneric__": True, b"data": 2**70 // 2**7, b"dtype": "|u1"},
        {b"__npgeneric__": True, b"data": 1, b"dtype": "|O"},
    ],
)
def test_arrays_that_are_none_are_refused(entry):
    with pytest.raises(WireError):
        unpack(msgpack.packb({"a": entry}))


def test_claims_are_not_believed():
    with pytest.raises(WireError, match="allowed are 10"):
        unpack(bytes(11), max_bytes=10)
    for claim in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"):
        with pytest.raises(WireError):
            unpack(claim)
    with pytest.raises(WireError):
        unpack(b"\x91" * 5000 + b"\xc0")  # lists in lists
    with pytest.raises(WireError):
        unpack(msgpack.packb(msgpack.ExtType(1, b"x")))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(data):
    with suppress(WireError):
        unpack(data)
