"""3. LIBERO: an oracle demonstrates, videos teach motion, a few demonstrations control; success in the simulator.

Needs the extra "libero" (pip install 'amplify-robot[libero]') and hours on two cores. With --smoke it takes a quarter
of an hour, and its figures mean nothing. It can be interrupted: the same command goes on.

    python examples/03_libero.py --out runs/libero
"""

import argparse
import sys
from pathlib import Path

from amplify.cli import run

SUITE = "libero_object"
TASKS = [
    "pick_up_the_alphabet_soup_and_place_it_in_the_basket",
    "pick_up_the_cream_cheese_and_place_it_in_the_basket",
    "pick_up_the_milk_and_place_it_in_the_basket",
]


def commands(out: Path, *, smoke: bool) -> list[list[str]]:
    """What is run, one after the other."""
    tasks, videos, demos, rollouts = (TASKS[:1], 2, 2, 2) if smoke else (TASKS, 40, 10, 10)
    steps = 20 if smoke else 3000
    record = ["record", "libero", SUITE, "--size", "128", "--tasks", *tasks]
    return [
        # Videos without any action begin in the states 0 … 29, demonstrations in the next ten: they share no scene.
        [*record, "--no-actions", "--episodes", f"{videos}", "--initial-states", "0-29", "--out", f"{out}/videos"],
        [*record, "--episodes", f"{demos}", "--initial-states", "30-39", "--out", f"{out}/demos"],
        # What the models learn from: points that are followed, and features of frozen eyes and ears.
        *(["track", f"{out}/{data}", "--tracker", "flow", "--grid", "10"] for data in ("videos", "demos")),
        *(["encode", f"{out}/{data}"] for data in ("videos", "demos")),
        # Motion from the videos alone, then control from the demonstrations.
        ["train", "tokenizer", f"{out}/videos", "--out", f"{out}/tokenizer", f"--train.steps={steps}"],
        ["train", "forward", f"{out}/videos", "--tokenizer", f"{out}/tokenizer", "--out", f"{out}/forward"]
        + [f"--train.steps={steps}"],
        ["train", "inverse", f"{out}/demos", "--forward", f"{out}/forward", "--out", f"{out}/inverse"]
        + [f"--train.loop.steps={steps}"],
        ["evaluate", "policy", f"{out}/inverse", "--benchmark", f"libero/{SUITE}", "--tasks", *tasks]
        + ["--rollouts", f"{rollouts}", "--films", f"{out}/films"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/libero"))
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    for command in commands(given.out, smoke=given.smoke):
        print("\n$ amplify", *command, flush=True)
        if code := run(command):
            sys.exit(code)


if __name__ == "__main__":
    main()
