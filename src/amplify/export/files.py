"""Exported functions as files, each read back and compared with PyTorch before it is kept."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from amplify.errors import AmplifyError, MissingDependencyError
from amplify.export.functions import Functions
from amplify.export.graph import Exported, Tensors, deviation
from amplify.jobs import progress
from amplify.policy.bundle import Bundle

KIND = "amplify-export"
SEED_OF_TRACE, SEED_OF_CHECK = 3, 5

Write = Callable[[Exported, Path], Callable[[Tensors], Tensors]]
"""Writes a function into a folder; how to run what was written."""


def export_torch(bundle: Bundle, out: Path, *, batch: int, tolerance: float) -> dict[str, Any]:
    """The control step, and image encoders that the bundle holds, as ``torch.export`` programs (.pt2).

    Args:
        bundle: Holds the models.
        out: The folder to make.
        batch: Windows of a call.
        tolerance: Largest deviation from PyTorch that is kept, see `amplify.export.graph.deviation`.

    Raises:
        AmplifyError: A program deviates by more, or the folder is taken.
    """
    return _export(Functions(bundle, batch=batch).control(), _write_program, bundle, out, "torch", tolerance)


def export_onnx(bundle: Bundle, out: Path, *, batch: int, tolerance: float) -> dict[str, Any]:
    """Forward and inverse dynamics as ONNX files, run by onnxruntime.

    Args:
        bundle: Holds the models.
        out: The folder to make.
        batch: Windows of a call.
        tolerance: As in `export_torch`.

    Raises:
        AmplifyError: A file's results deviate by more, or the folder is taken.
        MissingDependencyError: ONNX is not installed.
    """
    functions = Functions(bundle, batch=batch)
    return _export([*functions.foreseeing(), *functions.acting()], _write_onnx, bundle, out, "onnx", tolerance)


def _export(
    functions: Sequence[Exported], write: Write, bundle: Bundle, out: Path, runtime: str, tolerance: float
) -> dict[str, Any]:
    if out.exists() and not (out / "export.json").is_file():
        raise AmplifyError(f"{out} exists and holds no export", remedy="choose another folder or remove it")
    aside = out.with_name(f".{out.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        entries = {}
        for function in progress(functions, total=len(functions), label=f"export {runtime}", unit="file"):
            entries[function.name] = _checked(function, write(function, aside), tolerance)
        summary = {
            "kind": KIND,
            "runtime": runtime,
            "version": version("amplify-robot"),
            "bundle": {"path": str(bundle.path), "hash": bundle.hash},
            "functions": entries,
        }
        (aside / "export.json").write_text(json.dumps(summary, indent=2) + "\n")
        if out.exists():
            shutil.rmtree(out)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    worst = max(entry["largest_deviation"] for entry in entries.values())
    return {"out": str(out), "largest_deviation": worst, "tolerance": tolerance, "functions": entries}


def _checked(function: Exported, run: Callable[[Tensors], Tensors], tolerance: float) -> dict[str, Any]:
    """What the file computes and how far it is off, on inputs other than those that it was made with."""
    inputs = function.examples(SEED_OF_CHECK)
    wanted, got = function.results(inputs), run(inputs)
    worst = max(deviation(got[name], wanted[name]) for name in wanted)
    if not worst <= tolerance:
        raise AmplifyError(
            f"{function.name} does not compute what PyTorch does",
            got=f"a deviation of {worst:.2g}",
            allowed=f"at most {tolerance:.2g}",
            remedy="nothing was written; a higher --tolerance accepts it",
        )
    return {
        "about": function.about,
        "inputs": {name: _described(tensor) for name, tensor in inputs.items()},
        "outputs": {name: _described(tensor) for name, tensor in wanted.items()},
        "largest_deviation": worst,
    }


def _described(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


@torch.no_grad()
def _program(function: Exported) -> torch.export.ExportedProgram:
    return torch.export.export(function.graph, tuple(function.examples(SEED_OF_TRACE).values()), strict=False)


def _write_program(function: Exported, folder: Path) -> Callable[[Tensors], Tensors]:
    path = folder / f"{function.name}.pt2"
    torch.export.save(_program(function), path)
    module = torch.export.load(path).module()
    names = list(function.results(function.examples(SEED_OF_TRACE)))

    def run(inputs: Mapping[str, torch.Tensor]) -> Tensors:
        with torch.no_grad():
            return dict(zip(names, module(*inputs.values())))

    return run


def _write_onnx(function: Exported, folder: Path) -> Callable[[Tensors], Tensors]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "ONNX is not installed", got=error.name, remedy="pip install 'amplify-robot[export]'"
        ) from None
    path = folder / f"{function.name}.onnx"
    examples = function.examples(SEED_OF_TRACE)
    names = list(function.results(examples))
    with _quiet():
        program = torch.onnx.export(
            _program(function), (), dynamo=True, input_names=list(examples), output_names=names, verbose=False
        )
    assert program is not None
    program.save(path, external_data=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(inputs: Mapping[str, torch.Tensor]) -> Tensors:
        # A tensor that plays no part (the last place of a window) is no input of the file.
        wanted = {node.name: inputs[node.name].numpy() for node in session.get_inputs()}
        return {name: torch.from_numpy(array) for name, array in zip(names, session.run(names, wanted))}

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings of operators that no model here has."""
    noisy = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(noisy, levels):
            logger.setLevel(level)
