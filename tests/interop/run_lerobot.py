"""Runs one of lerobot's commands inside its environment: ``run_lerobot.py lerobot_train --policy.type=amplify …``."""

import importlib
import sys

import prepared  # noqa: F401  (first: what follows cannot be imported without it)

if __name__ == "__main__":
    del sys.argv[0]
    importlib.import_module(f"lerobot.scripts.{sys.argv[0]}").main()
