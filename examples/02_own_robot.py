"""2. Your own robot over the wire: a class with five methods. Its computer needs NumPy, msgpack, websockets; no torch.

On the machine that computes:

    amplify serve runs/mine/run/bundle --host 0.0.0.0 --api-key-file key

On the robot's computer (pip install amplify-client):

    python examples/02_own_robot.py ws://10.0.0.5:8000 --dry-run     # nothing is sent; steps.jsonl says what would be
    python examples/02_own_robot.py ws://10.0.0.5:8000
    python examples/02_own_robot.py --smoke                          # no server: a script answers in its place

``--record FOLDER`` keeps what was seen and sent; ``amplify import robot FOLDER --out DATASET`` makes a dataset of it,
where the full package is. There, ``amplify run-robot ws://… --robot 02_own_robot:MyRobot`` is the same loop. Below, a
simulated arm stands where the motors and cameras of yours belong.
"""

import argparse
import json
import os
from functools import partial

import numpy as np
from amplify_client import PolicyClient
from amplify_client.realtime import (
    ArmExpert,
    EpisodeFolder,
    KinematicArm,
    LoopConfig,
    ReconnectingClient,
    StepLog,
    run_robot,
)


class MyRobot:
    """Replace what is marked with ←; the names of actions and states are those of your demonstrations."""

    action_names = ("shoulder_rad", "elbow_rad")
    state_names = ("shoulder_rad", "elbow_rad")

    # What no policy may ask for. "position": where a joint may go; "velocity": how fast, a second; "workspace_m": a box
    # for the tip, which `tip_m` foretells.
    limits = {
        "dimensions": {
            "shoulder_rad": {"kind": "position", "state": "shoulder_rad", "position": [-0.5, 3.0], "velocity": 1.5},
            "elbow_rad": {"kind": "position", "state": "elbow_rad", "position": [0.1, 2.8], "velocity": 1.5},
        },
        "workspace_m": [[-0.5, -0.1], [0.5, 0.56]],
    }

    def __init__(self):
        self.hardware = KinematicArm()  # ← your driver

    @property
    def success(self) -> bool:  # optional: ends an episode
        return self.hardware.success

    def reset(self, seed: int) -> None:
        self.hardware.reset(seed)  # ← go to the start pose; wait for a person who sets the scene up

    def observe(self) -> dict:
        seen = self.hardware.observe()  # ← the newest pictures that a camera thread has read, and the joints
        return {
            "observation/image": seen["observation/image"],  # uint8, RGB, (height, width, 3)
            "observation/state": seen["observation/state"],  # as in the demonstrations
        }

    def act(self, action: np.ndarray) -> None:
        self.hardware.act(action)  # ← new targets; returns at once

    def stop(self) -> np.ndarray:
        return self.hardware.stop()  # ← hold still; the action that this amounts to, for recordings, or None

    def tip_m(self, action: np.ndarray, state: np.ndarray) -> np.ndarray:  # optional: for "workspace_m"
        return self.hardware.tip_m(action, state)  # ← forward kinematics

    def close(self) -> None:
        self.hardware.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", nargs="?", help="ws://host:port")
    parser.add_argument("--text", default="reach the red disc")
    parser.add_argument("--rate", type=float, default=10.0, help="actions a second, as in the demonstrations")
    parser.add_argument("--episodes", type=int, default=1)
    parser.add_argument("--max-steps", type=int, default=200)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--log", default="steps.jsonl")
    parser.add_argument("--record", help="a folder of episodes; amplify import robot makes a dataset of it")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    if given.smoke:
        policy = ArmExpert()
    elif given.server:
        key = os.environ.get("AMPLIFY_API_KEY")
        policy = ReconnectingClient(partial(PolicyClient, given.server, api_key=key, timeout_s=2.0))
    else:
        parser.error("name a server, or try --smoke")

    robot, log = MyRobot(), StepLog(given.log)
    observers = [log]
    if given.record:
        names = {"action_names": robot.action_names, "state_names": robot.state_names}
        observers.append(EpisodeFolder(given.record, rate_hz=given.rate, **names))
    # A plan is asked for every four actions and computed while they are carried out. Without a plan younger than a
    # second the robot is stopped; after five seconds the episode ends.
    config = LoopConfig(rate_hz=given.rate, replan_every=4, max_steps=given.max_steps, dry_run=given.dry_run)
    try:
        figures = run_robot(robot, policy, given.text, config, seeds=range(given.episodes), observers=observers)
    finally:
        log.close()
        robot.close()
    print(json.dumps(figures.summary(), indent=2))


if __name__ == "__main__":
    main()
