"""A policy whose plans say what it saw, and a server of it on a port of its own."""

import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import torch

from amplify.errors import DataError
from amplify.policy.controller import ControllerConfig
from amplify.policy.info import BundleInfo
from amplify.serve.app import PolicyServer, ServeConfig
from amplify.serve.batching import BatchingPolicy
from amplify.serve.mapping import ObservationMapping, Reader
from amplify.serve.metrics import Metrics
from amplify.serve.run import RunningServer
from amplify.types import ActionChunk, MotionTokens, Plan

HORIZON = 4
INFO = BundleInfo(
    cameras=("front", "wrist"),
    frame_size_px=16,
    action_names=("x", "y"),
    proprio_names=("a", "b", "c"),
    instructions=("open the drawer",),
    fps=10,
)


class Seen:
    """Action s of a plan is (mean level of the first view, sum of proprioception + s); remembers the batches."""

    def __init__(self, delay_s=0.0):
        self.delay_s, self.batches, self.previous = delay_s, [], []

    def plan(self, observation, *, previous=None, generator=None):
        self.batches.append(len(observation.instruction))
        self.previous.append(previous)
        time.sleep(self.delay_s)
        if "break" in observation.instruction:
            raise RuntimeError("secret of the house")
        if "refuse" in observation.instruction:
            raise DataError("not that", allowed="anything else")
        level = observation.images[:, 0].float().mean(dim=(1, 2, 3))
        steps = torch.arange(float(HORIZON))
        second = observation.proprio.sum(1)[:, None] + steps
        actions = torch.stack((level[:, None].expand(-1, HORIZON), second), dim=-1)
        b = len(observation.instruction)
        tokens = MotionTokens(indices=torch.full((b, 3), b))
        return Plan(actions=ActionChunk(actions=actions, valid=torch.ones(b, HORIZON, dtype=torch.bool)), tokens=tokens)


def sent(level=100, state=(1.0, 2.0, 3.0), prompt="open the drawer", **more):
    return {
        "observation/image": np.full((16, 16, 3), level, np.uint8),
        "observation/wrist_image": np.full((16, 16, 3), 7, np.uint8),
        "observation/state": np.array(state, np.float32),
        "prompt": prompt,
        **more,
    }


@contextmanager
def serving(policy=None, *, api_key=None, controller=ControllerConfig(), info=INFO, max_waiting=64, **config):  # noqa: B008
    """A running server: its port, its metrics, and the server itself."""
    config = ServeConfig(**config)
    metrics = Metrics()
    batching = BatchingPolicy(policy or Seen(), metrics, max_batch=config.max_batch, max_waiting=max_waiting)
    reader = Reader(ObservationMapping.of(info), info)
    served = PolicyServer(batching, reader, {"mode": config.mode}, config, controller, metrics, api_key=api_key)
    running = RunningServer(served)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    running.port, running.metrics, running.thread = port, metrics, thread
    try:
        yield running
    finally:
        running.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()
