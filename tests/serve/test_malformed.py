"""Whatever is sent: the server says what is wrong or closes, and serves the next one."""

import base64
import os
import socket
import struct

import numpy as np
import pytest
from amplify_client import PolicyClient, pack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.toy import HORIZON, sent, serving
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

EXAMPLES = int(os.environ.get("AMPLIFY_MALFORMED", "25"))
"""Of each test; ten thousand and more with AMPLIFY_MALFORMED=2500."""

GOOD = pack(sent())
many = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def server():
    with serving(max_message_mb=1.0) as running:
        yield running


def fine(server):
    with PolicyClient(port=server.port) as client:
        return client.infer(sent())["actions"].shape == (HORIZON, 2)


def told(server, message):
    """What comes back for a frame: a text, or an answer."""
    with connect(f"ws://127.0.0.1:{server.port}", compression=None) as client:
        client.recv()
        try:
            client.send(message)
            answer = client.recv(timeout=20)
        except ConnectionClosed:
            return ""
    assert isinstance(answer, bytes) or "Traceback" not in answer
    return answer


@many
@given(st.binary(max_size=300))
def test_any_frame(server, data):
    told(server, data)
    assert fine(server)


@many
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=6))
def test_good_frames_with_damage(server, place, damage):
    told(server, GOOD[:place] + damage + GOOD[place + len(damage) :])
    assert fine(server)


@many
@given(st.integers(0, len(GOOD) - 1))
def test_good_frames_cut_short(server, length):
    assert not isinstance(told(server, GOOD[:length]), bytes)
    assert fine(server)


numbers = st.booleans() | st.integers(-(2**63), 2**63) | st.floats()
plain = st.none() | numbers | st.text(max_size=20) | st.binary(max_size=20)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
shapes = st.lists(st.integers(0, 5), max_size=4)
arrays = st.builds(lambda shape, dtype: np.zeros(shape, dtype), shapes, st.sampled_from(["u1", "f4", "i8", "?"]))
names = st.sampled_from(["observation/image", "observation/wrist_image", "observation/state", "prompt", "endpoint"])


@many
@given(st.dictionaries(names, values | arrays))
def test_good_names_with_odd_values(server, changes):
    told(server, pack({**sent(), **changes}))
    assert fine(server)


@many
@given(st.binary(max_size=200))
def test_connections_that_are_no_websockets(server, data):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        raw.sendall(data + b"\r\n\r\n")
        raw.shutdown(socket.SHUT_WR)
        while True:
            try:
                if not raw.recv(65536):
                    break
            except ConnectionError:
                break
    assert fine(server)


def frame(opcode, length, *, masked=True, reserved=0):
    head = bytes([0x80 | reserved << 4 | opcode, (0x80 if masked else 0) | 127]) + struct.pack(">Q", length)
    return head + (bytes(4) if masked else b"")


@pytest.mark.parametrize(
    "data",
    [
        frame(2, 2**62),
        frame(2, 2**33),
        frame(2, 10, masked=False) + bytes(10),
        frame(3, 0),
        frame(2, 5, reserved=4) + bytes(5),
        frame(9, 200) + bytes(200),
        frame(1, 4) + b"\xff\xfe\xfd\xfc",
        b"\x02\x80" + bytes(4) + frame(2, 0),
    ],
)
def test_frames_that_break_the_protocol(server, data):
    """A claim of 2^62 bytes is refused by its header: nothing is allocated for it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        key = base64.b64encode(bytes(16)).decode()
        raw.sendall(
            f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        raw.recv(65536)
        raw.sendall(data)
        received = b""
        while block := raw.recv(65536):
            received += block
            if b"\x88" in received:
                break
    assert b"Traceback" not in received
    assert fine(server)
