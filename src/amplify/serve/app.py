"""One port: the websocket of robots, ``/healthz`` and ``/metrics``."""

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from amplify.config import Config
from amplify.errors import AmplifyError
from amplify.policy.controller import ControllerConfig
from amplify.serve.batching import BatchingPolicy, BusyError
from amplify.serve.mapping import Reader
from amplify.serve.metrics import Metrics
from amplify.serve.session import Mode, Session
from amplify.serve.wire import WireError, pack, unpack

logger = logging.getLogger(__name__)

INTERNAL_ERROR, TRY_LATER, POLICY_VIOLATION = 1011, 1013, 1008


class ServeConfig(Config):
    """How a server treats its clients.

    Args:
        mode: "chunk" answers with whole plans; "ensemble" with one action, merged by the controller.
        max_clients: Connections at a time; more are told to try later.
        max_batch: Observations of a forward pass.
        max_message_mb: Of a message; what is larger is refused before it is read.
        max_rate: Messages a second of one connection, with bursts of a second's worth; faster ones are slowed down.
        shutdown_s: How long requests under way may take when the server is to stop.
    """

    mode: Mode = "chunk"
    max_clients: int = Field(default=64, ge=1)
    max_batch: int = Field(default=16, ge=1)
    max_message_mb: float = Field(default=16.0, gt=0, le=1024)
    max_rate: float = Field(default=200.0, gt=0)
    shutdown_s: float = Field(default=5.0, ge=0)

    @property
    def max_message_bytes(self) -> int:
        """Of one message."""
        return round(self.max_message_mb * 2**20)


@dataclass(slots=True)
class _Bucket:
    """A token bucket: how long to wait so that a rate is kept."""

    rate: float
    filled: float
    at_s: float

    def wait_s(self) -> float:
        now = time.monotonic()
        self.filled = min(max(self.rate, 1.0), self.filled + (now - self.at_s) * self.rate) - 1
        self.at_s = now
        return max(0.0, -self.filled / self.rate)


class PolicyServer:
    """The application.

    Args:
        policy: Shared by all connections.
        reader: Reads observations.
        metadata: Sent first on every connection.
        config: Limits.
        controller: Of sessions that merge plans.
        metrics: Shared with the policy.
        api_key: Asked of websockets and ``/metrics``; None asks for nothing.
    """

    def __init__(
        self,
        policy: BatchingPolicy,
        reader: Reader,
        metadata: dict[str, Any],
        config: ServeConfig,
        controller: ControllerConfig,
        metrics: Metrics,
        *,
        api_key: str | None = None,
    ):
        self.policy, self.reader, self.config, self.controller = policy, reader, config, controller
        self.metrics, self._key = metrics, api_key
        self._greeting = pack(metadata)
        self._stopping = False
        self._under_way = 0
        self._threads = ThreadPoolExecutor(config.max_clients, thread_name_prefix="session")
        self.app = Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
                WebSocketRoute("/{path:path}", self._serve),
            ],
            lifespan=self._life,
        )

    async def drained(self) -> None:
        """Takes no more requests, and returns when those under way are answered or their time is up."""
        self._stopping = True
        ends_s = time.monotonic() + self.config.shutdown_s
        while self._under_way and time.monotonic() < ends_s:
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def _life(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self.policy.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _health(self, _: Request) -> Response:
        return PlainTextResponse("OK\n")

    async def _metrics(self, request: Request) -> Response:
        if not self._known(request.headers.get("authorization")):
            return PlainTextResponse("an API key is needed\n", status_code=401)
        return PlainTextResponse(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _known(self, authorization: str | None) -> bool:
        if self._key is None:
            return True
        expected = f"Api-Key {self._key}".encode()
        return hmac.compare_digest((authorization or "").encode("utf-8", "replace"), expected)

    async def _serve(self, socket: WebSocket) -> None:
        if not self._known(socket.headers.get("authorization")):
            self.metrics.refused.add("api key")
            await socket.close(POLICY_VIOLATION)  # before it is accepted: HTTP status 403
            return
        await socket.accept()
        if self._stopping:
            self.metrics.refused.add("stopping")
            await _end(socket, TRY_LATER, "the server stops")
            return
        if self.metrics.connections >= self.config.max_clients:
            self.metrics.refused.add("too many clients")
            await _end(socket, TRY_LATER, "too many clients: try again later")
            return
        self.metrics.connections += 1
        try:
            await socket.send_bytes(self._greeting)
            await self._converse(socket)
        except WebSocketDisconnect:
            pass
        finally:
            self.metrics.connections -= 1

    async def _converse(self, socket: WebSocket) -> None:
        session = Session(self.policy, self.reader, self.config.mode, self.controller)
        bucket = _Bucket(self.config.max_rate, self.config.max_rate, time.monotonic())
        while True:
            received = await socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            if self._stopping:
                await _end(socket, TRY_LATER, "the server stops")
                return
            started = time.perf_counter()
            if wait_s := bucket.wait_s():
                self.metrics.requests.add("slowed down")
                await asyncio.sleep(wait_s)
            data = received.get("bytes")
            if data is None:
                self.metrics.requests.add("malformed")
                await _end(socket, INTERNAL_ERROR, "a text frame: messages are binary msgpack")
                return
            self._under_way += 1
            try:
                ended = await self._exchanged(socket, session, data)
            finally:
                self._under_way -= 1
            if ended:
                return
            seconds = time.perf_counter() - started
            session.took(1000 * seconds)
            self.metrics.answered.observe(seconds)
            self.metrics.requests.add("answered")

    async def _exchanged(self, socket: WebSocket, session: Session, data: bytes) -> bool:
        """Answers one message; whether that was the end of the conversation."""
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._threads, self._answered, session, data)
        except (WireError, AmplifyError) as error:
            self.metrics.requests.add(_outcome(error))
            await _end(socket, TRY_LATER if isinstance(error, BusyError) else INTERNAL_ERROR, str(error))
            return True
        except Exception:
            # What went wrong inside is for the server's log, not for whoever sent this.
            logger.exception("a request failed")
            self.metrics.requests.add("failed")
            await _end(socket, INTERNAL_ERROR, "the server failed; its log says why")
            return True
        await (socket.send_text(answer) if isinstance(answer, str) else socket.send_bytes(answer))
        return False

    def _answered(self, session: Session, data: bytes) -> bytes | str:
        answer = session.answer(unpack(data, max_bytes=self.config.max_message_bytes))
        return answer if isinstance(answer, str) else pack(answer)


def _outcome(error: Exception) -> str:
    return "malformed" if isinstance(error, WireError) else "busy" if isinstance(error, BusyError) else "refused"


async def _end(socket: WebSocket, code: int, why: str) -> None:
    """Says why, then closes."""
    if socket.application_state is WebSocketState.CONNECTED and socket.client_state is WebSocketState.CONNECTED:
        await socket.send_text(why[:2000])
        await socket.close(code, why.splitlines()[0][:100])
