"""LIBERO's own environment as its users run it, in a process of its own: python -m tests.sim.libero.stock IN OUT."""

import subprocess
import sys
from pathlib import Path

import numpy as np


def run(folder: Path, *, suite: str, task: int, state: np.ndarray, seed: int, actions: np.ndarray) -> dict:
    """States, success and images after a reset to a state, ten steps of standing still, and each action."""
    given, found = folder / "given.npz", folder / "found.npz"
    np.savez(given, suite=suite, task=task, state=state, seed=seed, actions=actions)
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim.libero.stock", str(given), str(found)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(np.load(found))


def main(given: str, found: str) -> None:
    from libero.libero import benchmark, get_libero_path
    from libero.libero.envs import OffScreenRenderEnv

    asked = np.load(given)
    suite = benchmark.get_benchmark_dict()[str(asked["suite"])]()
    task = suite.get_task(int(asked["task"]))
    bddl = Path(get_libero_path("bddl_files")) / task.problem_folder / task.bddl_file
    env = OffScreenRenderEnv(bddl_file_name=str(bddl), camera_heights=128, camera_widths=128)
    env.seed(int(asked["seed"]))
    env.reset()
    seen = env.set_init_state(asked["state"])
    for _ in range(10):
        seen, *_ = env.step([0.0] * 6 + [-1.0])
    rows = [(env.get_sim_state(), False, *_seen(seen))]
    for action in asked["actions"]:
        seen, _, done, _ = env.step(action)
        rows.append((env.get_sim_state(), done, *_seen(seen)))
    states, success, images, proprio = map(np.stack, zip(*rows))
    np.savez(found, states=states, success=success, images=images, proprio=proprio)
    env.close()


def _seen(observation: dict) -> tuple[np.ndarray, np.ndarray]:
    images = [observation[f"{camera}_image"][::-1] for camera in ("agentview", "robot0_eye_in_hand")]
    felt = [observation["robot0_joint_pos"], observation["robot0_gripper_qpos"]]
    return np.stack(images), np.concatenate(felt).astype(np.float32)


if __name__ == "__main__":
    main(*sys.argv[1:])
