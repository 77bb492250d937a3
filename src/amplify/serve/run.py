"""From a bundle to a running server."""

import logging
import os
import signal
import socket as sockets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import uvicorn

from amplify.errors import AmplifyError, UsageError
from amplify.evaluate.loading import Loader, kind_of
from amplify.nn.device import computing_device
from amplify.policy.bundle import Bundle
from amplify.policy.controller import ControllerConfig
from amplify.policy.info import BundleInfo, info_of
from amplify.protocols import Policy
from amplify.serve.app import PolicyServer, ServeConfig
from amplify.serve.batching import BatchingPolicy, joined
from amplify.serve.mapping import ObservationMapping, Reader
from amplify.serve.metrics import Metrics
from amplify.types import Observation

logger = logging.getLogger(__name__)

API_KEY = "AMPLIFY_API_KEY"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def reader_of(info: BundleInfo, mapping: Path | None) -> Reader:
    """What reads observations for a bundle's policy.

    Args:
        info: Of the bundle.
        mapping: A JSON file; the bundle's own mapping or the usual names where None.

    Raises:
        UsageError: The file is no mapping, or is for other cameras than the policy's.
    """
    how = ObservationMapping.of(info) if mapping is None else ObservationMapping.read(mapping)
    needed = tuple(name for name in info.cameras if name in how.cameras or name not in info.optional_cameras)
    if info.cameras and tuple(how.cameras) != needed:
        optional = f"; it can do without {', '.join(info.optional_cameras)}" if info.optional_cameras else ""
        raise UsageError(
            "the mapping is of other cameras than the policy's",
            got=", ".join(how.cameras),
            allowed=f"{', '.join(info.cameras)}, in this order{optional}",
        )
    return Reader(how, info)


def blank(reader: Reader) -> Observation:
    """An observation of nothing, of the policy's sizes."""
    side = reader.mapping.size_px
    return Observation(
        images=torch.zeros(1, len(reader.mapping.cameras), side, side, 3, dtype=torch.uint8),
        cameras=tuple(reader.mapping.cameras),
        proprio=torch.zeros(1, len(reader.info.proprio_names)),
        instruction=("",),
    )


def warmed_up(policy: Policy, reader: Reader, max_batch: int) -> int:
    """Plans for blank observations, so that the first robot does not wait; actions of a plan.

    Raises:
        AmplifyError: The policy cannot act on such observations.
    """
    one, size = blank(reader), 1
    plan = policy.plan(one)
    while size < max_batch:
        size = min(2 * size, max_batch)  # a GPU records a graph for each power of two
        policy.plan(joined([one] * size))
    return plan.actions.actions.shape[1]


def metadata_of(bundle: Bundle, kind: str, reader: Reader, config: ServeConfig, horizon: int) -> dict[str, Any]:
    """What a client learns first."""
    info = reader.info
    return {
        "server": f"amplify-robot {version('amplify-robot')}",
        "policy": kind,
        "bundle": bundle.hash[:12],
        "mode": config.mode,
        "action_horizon": horizon if config.mode == "chunk" else 1,
        "action_names": list(info.action_names),
        "proprio_names": list(info.proprio_names),
        "cameras": {name: list(camera.keys) for name, camera in reader.mapping.cameras.items()},
        "image_size_px": reader.mapping.size_px,
        "fps": info.fps,
        "robot_type": info.robot_type,
        "instructions": list(info.instructions)[:100],
    }


def serve(
    path: Path,
    *,
    host: str,
    port: int,
    config: ServeConfig,
    controller: ControllerConfig,
    kind: str | None = None,
    precision: str = "float32",
    device: str = "cpu",
    compile: bool = False,
    mapping: Path | None = None,
    api_key: str | None = None,
) -> dict[str, Any]:
    """Serves a bundle's policy until it is told to stop; what was served.

    Args:
        path: The bundle's folder.
        host: Address to listen on.
        port: 0 takes a free one.
        config: Limits.
        controller: Of "ensemble".
        kind: Which of the bundle's policies; what it holds where None.
        precision: Of the weights.
        device: Where the policy computes.
        compile: See `amplify.policy.amplify.AmplifyPolicy`.
        mapping: A JSON file.
        api_key: Asked of clients.

    Raises:
        AmplifyError: The bundle holds no policy, or the address is taken.
    """
    loader = Loader(str(computing_device(device)), compile=compile)
    bundle = loader.bundle(path)
    kind = kind or kind_of(bundle)
    reader = reader_of(info_of(bundle), mapping)
    policy = loader.policy(path, kind, precision=precision)
    horizon = warmed_up(policy, reader, config.max_batch)
    if config.mode == "ensemble" and controller.replan_every > horizon:
        raise UsageError(
            "the controller replans more rarely than a plan lasts",
            got=controller.replan_every,
            allowed=f"1 to {horizon}",
        )
    if host not in LOOPBACK and api_key is None:
        logger.warning("%s is open to the network and asks for no key: set %s", host, API_KEY)
    listening = _bound(host, port)
    metrics = Metrics()
    batching = BatchingPolicy(policy, metrics, max_batch=config.max_batch, max_waiting=2 * config.max_clients)
    metadata = metadata_of(bundle, kind, reader, config, horizon)
    server = PolicyServer(batching, reader, metadata, config, controller, metrics, api_key=api_key)
    address = listening.getsockname()
    logger.info("serving %s of %s on ws://%s:%d", kind, path, address[0], address[1])
    RunningServer(server).run(sockets=[listening])
    return {"bundle": str(path), "address": f"{address[0]}:{address[1]}", "requests": dict(metrics.requests.values)}


def settings(server: PolicyServer, config: ServeConfig) -> uvicorn.Config:
    """Of uvicorn: messages are not compressed, and refused by their claimed size."""
    return uvicorn.Config(
        server.app,
        ws="websockets-sansio",
        ws_max_size=config.max_message_bytes,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=round(config.shutdown_s),
        log_level="warning",
        access_log=False,
        lifespan="on",
    )


def _bound(host: str, port: int) -> sockets.socket:
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    listening = sockets.socket(family)
    listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise AmplifyError(
            f"cannot listen on {host}:{port}",
            got=error.strerror if isinstance(error, OSError) else str(error),
            remedy="choose another --port or --host",
        ) from None
    return listening


class RunningServer(uvicorn.Server):
    """Stops on SIGINT and SIGTERM as one who was asked to: requests under way are answered first.

    Args:
        server: What is served.
    """

    def __init__(self, server: PolicyServer):
        super().__init__(settings(server, server.config))
        self.policy_server = server

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles signals, and does not raise them again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Waits for requests under way, then closes all connections."""
        await self.policy_server.drained()
        await super().shutdown(sockets)


def key_of(file: Path | None) -> str | None:
    """The API key in a file, or that of the environment.

    Raises:
        UsageError: The file cannot be read or is empty.
    """
    if file is None:
        return os.environ.get(API_KEY) or None
    try:
        key = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the API key {file}", got=str(error)) from None
    if not key:
        raise UsageError(f"the file of the API key is empty: {file}")
    return key
