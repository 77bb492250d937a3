"""Talks to a policy server: observation out, actions back."""

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from amplify_client.latency import LatencyLog
from amplify_client.wire import MAX_BYTES, pack, unpack

logger = logging.getLogger(__name__)


class ServerError(RuntimeError):
    """The server cannot be reached, refuses this client, or could not use an observation."""


class PolicyClient:
    """A connection to one policy server, and its memory there: use one a robot.

    Args:
        host: Name or address, or a whole ``ws://`` or ``wss://`` address.
        port: Of the server.
        api_key: Where the server asks for one.
        wait_s: How long to wait for a server that is not there yet.
        timeout_s: How long to wait for an answer.
        max_bytes: Of an answer.

    Raises:
        ServerError: No server, or it refuses this client.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        api_key: str | None = None,
        wait_s: float = 0.0,
        timeout_s: float = 60.0,
        max_bytes: int = MAX_BYTES,
    ):
        self.address = host if host.startswith(("ws://", "wss://")) else f"ws://{host}:{port}"
        self.timeout_s, self.max_bytes = timeout_s, max_bytes
        self.latency = LatencyLog()
        self._key = api_key
        self._open = ExitStack()
        self._connection, self.metadata = self._connected(wait_s)

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The server's answer: ``actions`` (steps, dimensions), and ``server_timing``.

        Args:
            observation: Arrays and strings by name, as the server's ``metadata`` lists them.

        Raises:
            ServerError: It could not use the observation, or the connection is lost.
        """
        started = time.perf_counter()
        answer = self._exchange(pack(dict(observation)))
        if isinstance(answer, str):
            raise ServerError(answer)
        found = unpack(answer, max_bytes=self.max_bytes)
        if not isinstance(found, dict):
            raise ServerError(f"the answer holds no names: {type(found).__name__}")
        timing = found.get("server_timing") or {}
        self.latency.add(1000 * (time.perf_counter() - started), float(timing.get("infer_ms", 0.0)))
        return found

    def reset(self) -> None:
        """Begins a new episode: what the server remembers of this connection is forgotten.

        Raises:
            ServerError: The connection is lost.
        """
        self._exchange(pack({"endpoint": "reset"}))

    def close(self) -> None:
        """Ends the connection."""
        self._open.close()

    def __enter__(self) -> "PolicyClient":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _exchange(self, message: bytes) -> bytes | str:
        try:
            self._connection.send(message)
            return self._connection.recv(timeout=self.timeout_s)
        except TimeoutError:
            # A late answer would be taken for that of the next observation.
            self.close()
            raise ServerError(f"no answer of {self.address} within {self.timeout_s} s") from None
        except ConnectionClosed as error:
            raise ServerError(f"the connection to {self.address} is closed: {error}") from error

    def _connected(self, wait_s: float) -> tuple[ClientConnection, dict[str, Any]]:
        deadline = time.monotonic() + wait_s
        headers = {"Authorization": f"Api-Key {self._key}"} if self._key else None
        while True:
            try:
                made = connect(self.address, compression=None, max_size=self.max_bytes, additional_headers=headers)
                connection = self._open.enter_context(made)
                first = connection.recv(timeout=self.timeout_s)
                break
            except InvalidStatus as error:
                status = error.response.status_code
                why = "a wrong or missing API key" if status in (401, 403) else f"status {status}"
                raise ServerError(f"{self.address} refuses the connection: {why}") from error
            except (OSError, ConnectionClosed) as error:
                self.close()
                if time.monotonic() >= deadline:
                    raise ServerError(f"no policy server at {self.address}: {error}") from error
                logger.info("waiting for %s", self.address)
                time.sleep(0.5)
        if isinstance(first, str):
            self.close()
            raise ServerError(first)
        metadata = unpack(first, max_bytes=self.max_bytes)
        return connection, metadata if isinstance(metadata, dict) else {}
