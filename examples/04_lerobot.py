"""4. LeRobot: its trainer learns actions on the motion that a bundle foresees, and what it learned acts here.

Needs lerobot 0.4.4 or later and the plugin, in one environment (docs/lerobot-plugin.md):

    pip install lerobot amplify-robot ./plugins/lerobot_policy_amplify
    python examples/04_lerobot.py --bundle runs/quickstart --out runs/lerobot

The bundle is one of Meta-World's drawer ("make demo" leaves it in runs/quickstart); with data and a bundle of your own,
name another --dataset.
"""

import argparse
import subprocess
import sys
from pathlib import Path

TASKS = ["drawer-open", "drawer-close"]


def commands(bundle: str, dataset: Path | None, out: Path, *, steps: int, episodes: int) -> list[list[str]]:
    """What is run, one after the other."""
    demos = dataset or out / "demos"
    record = ["amplify", "record", "metaworld", "--tasks", *TASKS, "--episodes", f"{episodes}", "--seed", "3"]
    train = ["lerobot-train", "--policy.type=amplify", f"--policy.motion_bundle={bundle}", "--policy.push_to_hub=false"]
    train += ["--dataset.repo_id=local/demos", f"--dataset.root={demos}", f"--output_dir={out}/train"]
    train += ["--batch_size=32", f"--steps={steps}", "--policy.device=cpu"]
    policy = f"{out}/train/checkpoints/last/pretrained_model"
    return [
        # A LeRobot dataset with actions: recorded here, or yours.
        *([] if dataset else [[*record, "--out", f"{demos}"]]),
        # Tokenizer and forward dynamics of the bundle are frozen; inverse dynamics is learned. No tracks are needed.
        train,
        # LeRobot's own evaluation, in a task of ours.
        ["lerobot-eval", f"--policy.path={policy}", "--policy.device=cpu", "--env.type=amplify"]
        + [f"--env.task={TASKS[0]}", "--eval.n_episodes=10", "--eval.batch_size=5"],
        # The same policy as a bundle: for amplify evaluate, serve, run-robot, push.
        ["amplify-lerobot", "to-bundle", f"{out}/train", "--out", f"{out}/bundle"],
        ["amplify", "evaluate", "policy", f"{out}/bundle", "--tasks", *TASKS, "--rollouts", "10"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="runs/quickstart", help="with tokenizer and forward dynamics; hub:… works")
    parser.add_argument("--dataset", type=Path, help="a LeRobot dataset of your own")
    parser.add_argument("--out", type=Path, default=Path("runs/lerobot"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--episodes", type=int, default=5, help="demonstrations a task")
    parser.add_argument("--dry-run", action="store_true", help="print the commands")
    given = parser.parse_args()
    steps = commands(given.bundle, given.dataset, given.out, steps=given.steps, episodes=given.episodes)
    for command in steps:
        print("$", *command, flush=True)
        if not given.dry_run and (code := subprocess.run(command, check=False).returncode):
            sys.exit(code)


if __name__ == "__main__":
    main()
