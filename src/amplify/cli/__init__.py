"""The command line: ``amplify COMMAND …``. One file a command; this one only finds it and shows what went wrong.

A command is a function whose typed keyword arguments are its options (tyro reads them) and whose returned mapping is
its summary: printed as lines (its ``brief`` form, where it has one), or as one JSON line at the end with ``--json``.
Exit codes: 0 done, 1 failed (also where the summary says ``passed: False``), 2 bad usage, 130 interrupted.
"""

import importlib
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from amplify.errors import AmplifyError, UsageError, pick

COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": ("amplify.cli.quickstart", "video → tracks → tokens → dynamics → a robot that moves, with a report"),
    "record metaworld": ("amplify.cli.record", "record scripted experts or play as a LeRobot dataset"),
    "record libero": ("amplify.cli.record", "record a scripted oracle in LIBERO's tasks, also in LIBERO's own layout"),
    "record render": ("amplify.cli.record", "show recorded LIBERO episodes to other cameras, or larger"),
    "inspect": ("amplify.cli.inspect", "what is in a dataset, what is wrong with it, how its points move"),
    "track": ("amplify.cli.track", "follow a grid of points from every frame of a dataset"),
    "encode": ("amplify.cli.encode", "compute frozen image and text features once"),
    "train tokenizer": ("amplify.cli.train", "tracks → motion tokens"),
    "train forward": ("amplify.cli.train", "image + instruction → motion tokens"),
    "train inverse": ("amplify.cli.train", "image + proprioception + motion tokens → actions"),
    "train behaviour-cloning": ("amplify.cli.train", "the baseline: image + proprioception + instruction → actions"),
    "evaluate policy": ("amplify.cli.evaluate", "success rates in a simulator"),
    "evaluate tracks": ("amplify.cli.evaluate", "track metrics on held-out episodes"),
    "evaluate actions": ("amplify.cli.evaluate", "actions against demonstrations: does foresight or control fail?"),
    "predict": ("amplify.cli.predict", "draw the motion that is foreseen from any image and sentence"),
    "experiment": (
        "amplify.cli.experiment",
        "zero-shot, few-shot, embodiment, tracks, ablation: studies with controls",
    ),
    "import videos": ("amplify.cli.import_", "videos of anything → a dataset without actions"),
    "import libero": ("amplify.cli.import_", "LIBERO's HDF5 demonstrations → a dataset"),
    "import robomimic": ("amplify.cli.import_", "demonstrations in robomimic's HDF5 layout → a dataset"),
    "import reference-tracks": ("amplify.cli.import_", "LIBERO's demonstrations with the reference's tracks"),
    "import lerobot": ("amplify.cli.import_", "LeRobot datasets of versions 2 and 3, whole or in part"),
    "import robot": ("amplify.cli.robot", "episodes that amplify-client kept on a robot's computer → a dataset"),
    "import reference": ("amplify.cli.import_", "checkpoints of the reference implementation → a bundle"),
    "parity": ("amplify.cli.parity", "compare ours with arrays that the reference implementation computed"),
    "serve": ("amplify.cli.serve", "a policy for robots: openpi's websocket protocol"),
    "run-robot": ("amplify.cli.robot", "a policy acts on a robot in real time: limits, watchdog, dry run, recording"),
    "push": ("amplify.cli.push", "bundles, datasets and sidecars to a model hub, with cards"),
    "pull": ("amplify.cli.pull", "bundles, datasets and sidecars from a model hub: data only, checked"),
    "export torch": ("amplify.cli.export", "the control step as a torch.export program"),
    "export onnx": ("amplify.cli.export", "forward and inverse dynamics as ONNX files"),
    "export rrd": ("amplify.cli.export", "episodes, tracks, foreseen motion and actions for the Rerun viewer"),
    "bench trackers": ("amplify.cli.bench", "quality and speed of trackers against the truth"),
    "bench act": ("amplify.cli.bench", "speed of a control step, beside a plain formulation of it"),
    "bench predict": ("amplify.cli.bench", "speed of foreseeing tracks, beside a plain formulation of it"),
    "bench train": ("amplify.cli.bench", "speed of a training step of each stage"),
    "bench import-videos": ("amplify.cli.bench", "speed of turning videos into a dataset"),
    "bench data": ("amplify.cli.bench", "cost of data: windows/s, memory, scaling, an estimate for 1,000 hours"),
    "bench track": ("amplify.cli.bench", "speed of following points through video"),
    "bench libero": ("amplify.cli.bench_libero", "speed of evaluation in LIBERO beside its own loop, and of images"),
    "bench oracle": ("amplify.cli.bench_libero", "how often LIBERO's scripted oracle succeeds, by task"),
    "doctor": ("amplify.cli.doctor", "check that rendering and the offline encoders work"),
}
"""``command: (module, one line)``; the function is the last word of the command with ``_`` for ``-``."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command and exits with its code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Runs a command; the exit code."""
    arguments = list(argv)
    as_json = "--json" in arguments
    arguments = [a for a in arguments if a != "--json"]
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("OpenGL", "matplotlib", "httpx", "httpx2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(_overview())
            return 0
        if arguments[0] == "--version":
            from importlib.metadata import version

            print(version("amplify-robot"))
            return 0
        summary = _call(arguments)
    except AmplifyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except ValidationError as error:
        print(f"error: {_first_problem(error)}", file=sys.stderr)
        return UsageError.exit_code
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _stop_printing()
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    try:
        if as_json:
            print(json.dumps(summary, default=str))
        else:
            _show(getattr(summary, "brief", summary))
        sys.stdout.flush()
    except BrokenPipeError:
        _stop_printing()
    return 0 if summary.get("passed", True) else 1


def _stop_printing() -> None:
    """The reader has seen enough (``| head``); the interpreter must not try to flush the rest at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _call(arguments: list[str]) -> Mapping[str, Any]:
    import tyro

    if arguments[0] == "record" and len(arguments) > 1 and "/" in arguments[1]:
        # "record libero/libero_object", as benchmarks are called elsewhere.
        arguments = ["record", *arguments[1].split("/", 1), *arguments[2:]]
    words = 1 if arguments[0] in COMMANDS else 2
    name = " ".join(arguments[:words])
    groups = {c.split()[0] for c in COMMANDS if " " in c}
    if arguments[0] in groups and (len(arguments) < words or arguments[1].startswith("-")):
        raise UsageError(f"'amplify {arguments[0]}' needs one more word", allowed=_choices(arguments[0]))
    if name not in COMMANDS:
        pick(
            name if arguments[0] in groups else arguments[0],
            dict.fromkeys(COMMANDS | dict.fromkeys(groups)),
            kind="command",
        )
    function = getattr(importlib.import_module(COMMANDS[name][0]), name.split()[-1].replace("-", "_"))
    given = arguments[words:]
    if hasattr(function, "presets"):
        from amplify.cli.presets import applied

        function = applied(function, given)
    if name not in ("push", "pull") and any("hub:" in argument for argument in given):
        from amplify.hub.resolve import resolved

        given = [resolved(argument) for argument in given]
    return tyro.cli(function, args=given, prog=f"amplify {name}") or {}


def _first_problem(error: ValidationError) -> UsageError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the settings"
    return UsageError(f"{where}: {first['msg']}", got=first["input"], remedy="see --help")


def _choices(group: str) -> str:
    return ", ".join(c for c in COMMANDS if c.split()[0] == group)


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = ["usage: amplify COMMAND [--help] [--json] …", "", "commands:"]
    lines += [f"  {name:<{width}}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(lines)


def _show(summary: Mapping[str, Any], indent: str = "") -> None:
    for key, value in summary.items():
        if isinstance(value, Mapping):
            print(f"{indent}{key}:")
            _show(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            print(f"{indent}{key}: {', '.join(value[0])}")
            for row in value:
                print(f"{indent}  {'  '.join(map(_text, row.values()))}")
        else:
            print(f"{indent}{key}: {_text(value)}")


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value)
