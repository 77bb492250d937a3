"""The real openpi-client drives Meta-World through ``amplify serve``, with the same initial states as in process.

python3.11 -m venv openpi && openpi/bin/pip install openpi-client==0.1.2 typing_extensions
python benchmarks/serve_openpi.py BUNDLE --python openpi/bin/python --tasks drawer-open drawer-close --rollouts 10

In mode "chunk" the client's own broker uses ``--replan-every`` actions of each chunk, in mode "ensemble" the server
merges plans. Prints success of both, how many actions differ, and what a call costs beyond the policy's own time.
"""

import argparse
import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from amplify_client import PolicyClient

from amplify.evaluate.loading import Loader, kind_of
from amplify.evaluate.rollout import RolloutConfig, initial_state_seeds
from amplify.policy import Controller, ControllerConfig
from amplify.serve.wire import pack, unpack
from amplify.sim.benchmarks import BENCHMARKS
from amplify.sim.gl import ensure_gl


class Robot:
    """Acts through openpi-client, in a process of its own.

    Args:
        python: Interpreter of its environment.
        port: Of the server.
        horizon: Actions of a chunk that are used; 0 for single actions.
    """

    def __init__(self, python, port, horizon):
        script = Path(__file__).with_name("openpi_robot.py")
        self._process = subprocess.Popen(
            [python, script, str(port), str(horizon)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.took_ms, self.added_ms = [], []

    def reset(self):
        """Begins an episode."""
        self._ask({"new_episode": True})

    def act(self, seen):
        """The action for an observation, and whether it asked the server."""
        answer = self._ask(
            {
                **{f"observation/{name}": seen.images[0, i].numpy() for i, name in enumerate(seen.cameras)},
                "observation/state": seen.proprio[0].numpy(),
                "prompt": seen.instruction[0],
            }
        )
        if answer["took_ms"]:
            self.took_ms.append(answer["took_ms"])
            self.added_ms.append(answer["took_ms"] - answer["computed_ms"])
        return torch.from_numpy(answer["action"].copy())[None]

    def close(self):
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, message):
        packed = pack(message)
        self._process.stdin.write(struct.pack("<I", len(packed)) + packed)
        self._process.stdin.flush()
        header = self._process.stdout.read(4)
        if not header:
            raise SystemExit("the robot's process has ended; its message is above")
        return unpack(self._process.stdout.read(*struct.unpack("<I", header)))


def driven(env, seed, reset, act):
    """Success and the actions of one rollout."""
    env.reset([seed])
    reset()
    actions = []
    for _ in range(env.max_steps):
        action = act(env.observe())
        actions.append(action[0].numpy())
        if env.step(action, active=[True])[0]:
            return True, actions
    return False, actions


def free_port():
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def main():
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--python", required=True, help="interpreter of the environment with openpi-client")
    parser.add_argument("--tasks", nargs="+", default=["drawer-open"])
    parser.add_argument("--rollouts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=["chunk", "ensemble"], default="ensemble")
    parser.add_argument("--replan-every", type=int, default=2)
    options = parser.parse_args()
    ensure_gl()
    merged = options.mode == "ensemble"
    controller = ControllerConfig(replan_every=options.replan_every, ensemble=merged)
    port = free_port()
    command = [sys.executable, "-m", "amplify", "serve", str(options.bundle), "--port", str(port)]
    command += ["--mode", options.mode, "--controller.replan-every", str(options.replan_every), "--max-batch", "1"]
    server = subprocess.Popen(command)
    with PolicyClient(port=port, wait_s=120):
        pass
    robot = Robot(options.python, port, 0 if merged else options.replan_every)
    loader = Loader()
    local = Controller(loader.policy(options.bundle, kind_of(loader.bundle(options.bundle))), controller)
    config = RolloutConfig(tasks=tuple(options.tasks), rollouts=options.rollouts, seed=options.seed)
    pairs, differing, decisions = [], 0, 0
    started = time.monotonic()
    for task in options.tasks:
        env = BENCHMARKS["metaworld"]().make(task, 1)
        for seed in initial_state_seeds(config, task):
            near, said = driven(env, seed, lambda: local.reset(1), local.act)
            far, heard = driven(env, seed, robot.reset, robot.act)
            pairs.append((near, far))
            decisions += len(said)
            differing += abs(len(said) - len(heard)) + sum(
                not np.allclose(a, b, rtol=0, atol=1e-5) for a, b in zip(said, heard)
            )
        env.close()
    robot.close()
    server.terminate()
    found = {
        "bundle": str(options.bundle),
        "mode": options.mode,
        "replan_every": options.replan_every,
        "tasks": options.tasks,
        "rollouts": len(pairs),
        "success_in_process": float(np.mean([near for near, _ in pairs])),
        "success_through_openpi_client": float(np.mean([far for _, far in pairs])),
        "pairs_that_differ": sum(near != far for near, far in pairs),
        "decisions": decisions,
        "actions_that_differ_by_1e-5": differing,
        "calls": len(robot.took_ms),
        "call_ms": {str(q): float(np.percentile(robot.took_ms, q)) for q in (50, 95, 99)},
        "added_ms": {str(q): float(np.percentile(robot.added_ms, q)) for q in (50, 95, 99)},
        "seconds": round(time.monotonic() - started, 1),
        "server_exit": server.wait(),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
