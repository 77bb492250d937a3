"""What serving adds: a call beyond the policy's own time, throughput of clients together and one by one, memory.

python benchmarks/serve.py --preset paper --clients 8 --seconds 20
python benchmarks/serve.py --preset paper --clients 8 --seconds 20 --device cuda
python benchmarks/serve.py --preset tiny --clients 32 --seconds 600 --no-compare
"""

import argparse
import json
import multiprocessing
import socket
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import psutil
import torch
from amplify_client import PolicyClient

from amplify.bench.models import ACTIONS, PROPRIO, BenchModels, BenchSizes
from amplify.encoders.vision import PatchEncoder
from amplify.policy.amplify import AmplifyPolicy
from amplify.policy.controller import ControllerConfig
from amplify.policy.info import BundleInfo
from amplify.serve.app import PolicyServer, ServeConfig
from amplify.serve.batching import BatchingPolicy
from amplify.serve.mapping import ObservationMapping, Reader
from amplify.serve.metrics import Metrics
from amplify.serve.run import RunningServer, warmed_up


class OneSentence:
    """Ears that always hear the same."""

    name, tokens = "fixed", 1

    def __init__(self, width):
        self.width = width

    def encode(self, sentences):
        """One token of ones a sentence."""
        return torch.ones(len(sentences), 1, self.width)


def built(preset, device):
    """A policy of a preset's sizes with random weights, and its reader."""
    made = BenchModels.build(BenchSizes.named(preset), seed=0, device=torch.device(device))
    policy = AmplifyPolicy(
        forward=made.forward,
        tokenizer=made.tokenizer,
        inverse=made.inverse,
        vision=PatchEncoder(network=made.plain_encoder, device=device, graphed=True),
        text=OneSentence(made.sizes.text_width),
        cameras=("front", "wrist"),
    )
    info = BundleInfo(
        cameras=policy.cameras,
        frame_size_px=128,
        action_names=tuple(f"a{i}" for i in range(ACTIONS)),
        proprio_names=tuple(f"p{i}" for i in range(PROPRIO)),
    )
    return policy, Reader(ObservationMapping.of(info), info)


def started(policy, reader, max_batch):
    """A server on a port of its own, warmed up."""
    config, metrics = ServeConfig(max_batch=max_batch, max_rate=10_000), Metrics()
    warmed_up(policy, reader, max_batch)
    batching = BatchingPolicy(policy, metrics, max_batch=max_batch)
    server = RunningServer(PolicyServer(batching, reader, {}, config, ControllerConfig(), metrics))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    return server, thread, listening.getsockname()[1]


def observation(seed):
    """Two views of noise."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    state = draw.normal(size=PROPRIO).astype(np.float32)
    return {
        "observation/image": images[0],
        "observation/wrist_image": images[1],
        "observation/state": state,
        "prompt": "go",
    }


def drive(port, clients, seconds):
    """Milliseconds of each call, of which the policy's own, of clients that ask as fast as they get answers."""
    rows, errors = [], []

    def loop(number):
        try:
            with PolicyClient(port=port) as client:
                sent, ends = observation(number), time.monotonic() + seconds
                while time.monotonic() < ends:
                    client.infer(sent)
                rows.extend(client.latency.rows)
        except Exception as error:  # noqa: BLE001
            errors.append(repr(error))

    threads = [threading.Thread(target=loop, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.array(rows).reshape(-1, 2), errors


def driven(port, clients, seconds):
    """Calls a second of all clients together, percentiles of a call, errors, and the server's memory.

    Clients are in a process of their own, as they would be. The first tenth of the time, which fills caches, is no part
    of the growth of memory.
    """
    process, memory = psutil.Process(), []
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(int).result()  # it has started
        driving = pool.submit(drive, port, clients, seconds)
        for _ in range(10):
            time.sleep(seconds / 10)
            memory.append(process.memory_info().rss)
        rows, errors = driving.result()
    took, added = rows[:, 0], rows[:, 0] - rows[:, 1]
    return {
        "calls": len(rows),
        "calls_per_s": len(rows) / seconds,
        "call_ms": {str(q): float(np.percentile(took, q)) for q in (50, 95, 99)},
        "beyond_the_policy_ms": {str(q): float(np.percentile(added, q)) for q in (50, 95, 99)},
        "errors": errors,
        "memory_mb": [round(rss / 2**20) for rss in memory],
        "memory_growth": memory[-1] / memory[0] - 1,
    }


def main():
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compare", action=argparse.BooleanOptionalAction, default=True, help="one by one as well")
    options = parser.parse_args()
    policy, reader = built(options.preset, options.device)
    found = {"preset": options.preset, "clients": options.clients, "seconds": options.seconds}

    server, thread, port = started(policy, reader, options.clients)
    found["alone"] = driven(port, 1, min(options.seconds, 20))
    found["together"] = driven(port, options.clients, options.seconds)
    server.should_exit = True
    thread.join()
    if options.compare:
        server, thread, port = started(policy, reader, 1)
        found["one_by_one"] = driven(port, options.clients, options.seconds)
        server.should_exit = True
        thread.join()
        found["gain"] = found["together"]["calls_per_s"] / found["one_by_one"]["calls_per_s"]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
