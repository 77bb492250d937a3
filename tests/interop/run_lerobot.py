"""Runs a program in lerobot's environment: ``run_lerobot.py lerobot.scripts.lerobot_train --policy.type=amplify …``."""

import importlib
import sys

import prepared  # noqa: F401  (first: what follows cannot be imported without it)

if __name__ == "__main__":
    del sys.argv[0]
    importlib.import_module(sys.argv[0]).main()
