"""Suites and tasks of the installed LIBERO package, with their sentences, goals and official initial states."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float

from amplify.errors import DataError, UnknownNameError, pick
from amplify.sim.libero import package

PREFIX = "libero_"

LANGUAGE = "_lan"
"""How the names of LIBERO-PRO's suites end whose tasks are asked for in other words."""

BODY_MARK = "@"
"""Between the name of a scene and who acts in it, where that is not the Panda."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiberoTask:
    """One task.

    Args:
        suite: Its suite ("libero_object").
        index: Its number in the suite, from 0, in LIBERO's own order.
        name: LIBERO's name, which is also that of its files.
        instruction: The sentence that asks for it, in lower case as in the official demonstrations.
        bddl_file: What says which objects there are, where they start and what the goal is.
        goals: Predicates that must all hold (("in", "butter_1", "basket_1_contain_region"),).
    """

    suite: str
    index: int
    name: str
    instruction: str
    bddl_file: Path
    goals: tuple[tuple[str, ...], ...]

    @property
    def scene(self) -> str:
        """The name by which its scene is found again ("libero_object/pick_up_the_butter_…")."""
        return f"{self.suite}/{self.name}"


@functools.cache
def suites() -> tuple[str, ...]:
    """Names of the suites whose files are installed, LIBERO-PRO's variants included.

    Raises:
        MissingDependencyError: No LIBERO package is installed.
    """
    return tuple(name for name, tasks in _listed().items() if all(_bddl(task).is_file() for task in tasks))


def suite_name(suite: str) -> str:
    """The full name of a suite ("libero_object" for "object" or "libero/libero_object").

    Raises:
        UnknownNameError: No such suite is installed; the nearest are named.
    """
    short = suite.strip().lower().removeprefix("libero/")
    known = dict.fromkeys(suites())
    full = short if short.startswith(PREFIX) else f"{PREFIX}{short}"
    if full not in known:
        pick(full, known, kind="LIBERO suite")
    return full


@functools.cache
def suite_tasks(suite: str) -> tuple[LiberoTask, ...]:
    """The tasks of a suite in LIBERO's own order.

    Raises:
        UnknownNameError: There is no such suite.
        DataError: A task's file cannot be read.
    """
    name = suite_name(suite)
    return tuple(_task(name, index, listed) for index, listed in enumerate(_listed()[name]))


def find_task(suite: str, task: str | int) -> LiberoTask:
    """A task by its name or number.

    Args:
        suite: As `suite_name` takes it.
        task: LIBERO's name of the task, its sentence, or its number from 0.

    Raises:
        UnknownNameError: There is no such suite or task; the nearest are named.
    """
    tasks = suite_tasks(suite)
    text = str(task).strip()
    if text.isdecimal():
        if int(text) >= len(tasks):
            raise UnknownNameError("unknown task number", got=text, allowed=f"0…{len(tasks) - 1}, or a task's name")
        return tasks[int(text)]
    spelled = text.removesuffix(".bddl").removesuffix("_demo").replace(" ", "_")
    return pick(spelled, {task.name: task for task in tasks}, kind=f"task of {tasks[0].suite}")


def find_scene(scene: str) -> LiberoTask:
    """The task that a scene's name names (see `LiberoTask.scene`), whoever acts in it.

    Raises:
        UnknownNameError: There is none.
    """
    suite, _, name = scene.partition(BODY_MARK)[0].partition("/")
    return find_task(suite, name)


def initial_states(task: LiberoTask) -> Float[np.ndarray, "k n"]:
    """The task's official initial states: rows of time, positions and velocities.

    Raises:
        DataError: The package has none for the task, or they are damaged.
    """
    return _states(task.suite, task.index).copy()


def paraphrases(task: LiberoTask) -> tuple[str, ...]:
    """Other sentences that ask for the same, which LIBERO-PRO's language variant of the suite has; maybe none."""
    variant = f"{task.suite}{LANGUAGE}"
    if variant not in suites():
        return ()
    same = [other.instruction for other in suite_tasks(variant) if other.name == task.name]
    return tuple(sentence for sentence in same if sentence != task.instruction)


def wrong_instruction(task: LiberoTask) -> str:
    """The sentence of the next task of the suite that asks for something else, in the same scene where there is one."""
    tasks = suite_tasks(task.suite)
    others = [other for other in (*tasks[task.index + 1 :], *tasks[: task.index]) if other.goals != task.goals]
    near = [other for other in others if _setting(other) == _setting(task)]
    chosen = (near or others or tasks)[0]
    return chosen.instruction


def _setting(task: LiberoTask) -> str:
    named = re.match(r"[A-Z_]*SCENE\d+_", task.name)
    return named[0] if named else ""


@functools.lru_cache(maxsize=128)
def _states(suite: str, index: int) -> np.ndarray:
    listed = _listed()[suite][index]
    path = package.folder("init_states") / listed.problem_folder / listed.init_states_file
    numeric = path.with_name(f"{path.name}.npz")
    try:
        states = _numeric(numeric) if numeric.is_file() else _pickled(path)
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, BadZipFile) as error:
        raise DataError(
            f"no initial states of {suite}/{listed.name}", got=error, remedy="choose a task that has some"
        ) from error
    if states.ndim != 2 or states.dtype.kind != "f" or not np.isfinite(states).all():
        raise DataError(f"damaged initial states: {path}", got=f"{states.dtype} {states.shape}")
    return states


def _numeric(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file["states"]


def _pickled(path: Path) -> np.ndarray:
    import pickle

    import torch

    # The original keeps arrays in torch's format: only what an array is made of may be built.
    allowed: list[Any] = [np.ndarray, np.dtype, np.dtypes.Float64DType, np._core.multiarray._reconstruct]  # type: ignore[attr-defined]
    try:
        with torch.serialization.safe_globals(allowed):
            return np.asarray(torch.load(path, weights_only=True))
    except pickle.UnpicklingError as error:
        raise ValueError(str(error).splitlines()[0]) from error


@functools.cache
def _listed() -> dict[str, list[Any]]:
    """Of each suite the package's own records of its tasks."""
    module = package.benchmark()
    listed = {}
    for name, make in module.get_benchmark_dict().items():
        if name in module.task_maps:
            with package.quiet():
                listed[name] = list(make().tasks)
    return {name: tasks for name, tasks in listed.items() if tasks}


def _bddl(listed: Any) -> Path:
    return package.folder("bddl_files") / listed.problem_folder / listed.bddl_file


def _task(suite: str, index: int, listed: Any) -> LiberoTask:
    path = _bddl(listed)
    try:
        problem = parse(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read", got=error, remedy=package.INSTALL) from error
    parts = {part[0]: part[1:] for part in problem if isinstance(part, list) and part}
    goal = parts.get(":goal", [[]])[0]
    goals = goal[1:] if goal and goal[0] == "and" else [goal]
    return LiberoTask(
        suite=suite,
        index=index,
        name=listed.name,
        instruction=" ".join(parts.get(":language", [listed.language])),
        bddl_file=path,
        goals=tuple(tuple(predicate) for predicate in goals),
    )


def parse(text: str) -> list[Any]:
    """The nested lists of lower-case words that the text of a BDDL file spells.

    Raises:
        ValueError: Brackets do not match.
    """
    found: list[Any] = []
    open_lists = [found]
    for token in re.findall(r"[()]|[^\s()]+", re.sub(r";.*", "", text).lower()):
        if token == "(":
            inner: list[Any] = []
            open_lists[-1].append(inner)
            open_lists.append(inner)
        elif token == ")" and len(open_lists) > 1:
            open_lists.pop()
        elif token == ")":
            raise ValueError("a closing bracket too many")
        else:
            open_lists[-1].append(token)
    if len(open_lists) > 1 or len(found) != 1:
        raise ValueError("not one bracketed expression")
    return found[0]
