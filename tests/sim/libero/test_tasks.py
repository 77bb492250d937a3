import sys

import numpy as np
import pytest

from amplify.cli import run
from amplify.errors import DataError, MissingDependencyError, UnknownNameError, UsageError, pick
from amplify.evaluate.rollout import RolloutConfig, benchmark_of, initial_state_seeds, task_names
from amplify.protocols import Benchmark
from amplify.sim.benchmarks import BENCHMARKS
from amplify.sim.libero import package
from amplify.sim.libero.config import LiberoConfig
from amplify.sim.libero.sampling import SamplingClock
from amplify.sim.libero.tasks import find_scene, find_task, initial_states, parse, suite_name, suite_tasks, suites

libero = pytest.mark.libero


def test_bddl_files_are_nested_lists():
    text = "(define (problem X) ; a comment\n (:language Turn ON it)\n (:goal (And (On a b) (Open c))))"
    assert parse(text)[2:] == [[":language", "turn", "on", "it"], [":goal", ["and", ["on", "a", "b"], ["open", "c"]]]]


@pytest.mark.parametrize("broken", ["(a", "a)", "", "(a) (b)"])
def test_broken_bddl_files_are_refused(broken):
    with pytest.raises(ValueError):
        parse(broken)


def test_observations_come_once_a_decision_up_to_two_physics_steps_before_its_end():
    clock = SamplingClock(0.002)
    clock.restart()
    taken = [[step for step in range(25) if clock.tick()] for _ in range(200)]
    assert all(len(steps) == 1 for steps in taken)
    assert taken[0] == [23]


def test_step_limits_are_those_of_the_suite_unless_one_is_given():
    known = {"libero_object": 280, "libero_goal_swap": 300, "libero_10": 520, "libero_90": 400, "libero_mine": 400}
    assert {suite: LiberoConfig().step_limit(suite) for suite in known} == known
    assert LiberoConfig(max_decisions=7).step_limit("libero_10") == 7


def test_without_the_package_one_line_says_how_to_install(monkeypatch, capsys):
    monkeypatch.setattr(package, "_spec", missing)
    package._imported.cache_clear()
    suites.cache_clear()
    listed = sys.modules["amplify.sim.libero.tasks"]._listed
    listed.cache_clear()
    try:
        with pytest.raises(MissingDependencyError, match=r"amplify-robot\[libero\]"):
            suite_name("object")
        assert list(BENCHMARKS) == ["metaworld"]
        with pytest.raises(UnknownNameError):
            pick("libera", BENCHMARKS, kind="benchmark")
    finally:
        for cached in (package._imported, suites, listed):
            cached.cache_clear()


def missing():
    raise MissingDependencyError("LIBERO is not installed", remedy=package.INSTALL)


@libero
def test_all_suites_are_there_by_their_friendly_names_too():
    expected = {"libero_spatial": 10, "libero_object": 10, "libero_goal": 10, "libero_10": 10, "libero_90": 90}
    assert {suite: len(suite_tasks(suite)) for suite in expected} == expected
    assert {f"libero_{kind}_{variant}" for kind in ("goal", "10") for variant in ("lan", "object", "swap", "task")} <= {
        *suites()
    }
    assert suite_name("object") == suite_name("libero/libero_object") == suite_name("LIBERO_Object") == "libero_object"


@libero
def test_tasks_are_found_by_name_number_and_scene():
    task = find_task("libero_goal", "turn_on_the_stove")
    assert find_task("goal", task.index) == find_task("goal", "turn on the stove") == task
    assert (task.instruction, task.goals) == ("turn on the stove", (("turnon", "flat_stove_1"),))
    assert find_scene("libero_goal/turn_on_the_stove@ur5e") == task
    assert initial_states(task).shape == (50, 79)
    assert find_task("goal_lan", "turn_on_the_stove").instruction == "switch on the stove"


@libero
def test_unknown_suites_and_tasks_name_the_nearest():
    with pytest.raises(UnknownNameError, match="libero_spatial"):
        suite_name("spatail")
    with pytest.raises(UnknownNameError, match="turn_on_the_stove"):
        find_task("goal", "turn_on_the_stov")
    with pytest.raises(UnknownNameError, match=r"0…9"):
        find_task("goal", 10)
    with pytest.raises(DataError, match="no initial states"):
        initial_states(find_task("object_with_trigger", 0))


@libero
def test_suites_are_benchmarks_with_numbered_initial_states():
    benchmark = pick("libero/object", BENCHMARKS, kind="benchmark")()
    assert isinstance(benchmark, Benchmark)
    assert benchmark.name == "libero/libero_object"
    name = benchmark.tasks()[1]
    assert benchmark.wrong_instruction(name) not in (benchmark.instruction(name), "")
    assert "libero/libero_goal" in list(BENCHMARKS)
    goal = pick("libero/goal", BENCHMARKS, kind="benchmark")()
    assert goal.paraphrases("turn_on_the_stove") == ("switch on the stove",)
    config = RolloutConfig(benchmark="libero/object", tasks=(name,), rollouts=4)
    assert initial_state_seeds(config, name) == [0, 1, 2, 3]
    chosen = config.model_copy(update={"initial_states": (20, 29)})
    assert (initial_state_seeds(chosen, name), chosen.episodes) == ([20, 29], 2)
    with pytest.raises(UsageError, match=r"0…49"):
        initial_state_seeds(config.model_copy(update={"initial_states": (50,)}), name)
    assert task_names(benchmark, ("1", name)) == (name,)
    assert task_names(benchmark, ()) == tuple(benchmark.tasks())
    seen = benchmark_of(config.model_copy(update={"size_px": 256, "quality": "full"})).config
    assert (seen.render.width_px, seen.render.height_px, seen.quality) == (256, 256, "full")


def test_meta_world_has_no_numbered_initial_states():
    config = RolloutConfig(tasks=("door-open",), initial_states=(1,))
    with pytest.raises(UsageError, match="no numbered initial states"):
        initial_state_seeds(config, "door-open")
    seen = benchmark_of(RolloutConfig(tasks=("door-open",), size_px=64, quality="full")).config.render
    assert (seen.width_px, seen.shadows, seen.multisamples) == (64, True, 4)


@libero
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--benchmark", "libero/libero_objct"], "did you mean"),
        (["--benchmark", "libero/object", "--tasks", "11"], "0…9"),
        (["--benchmark", "libero/object", "--initial-states", "5-3"], "no number or range"),
        (["--benchmark", "libero/object", "--initial-states", "1", "--rollouts", "2"], "exclude each other"),
    ],
)
def test_bad_evaluations_are_explained(options, said, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("amplify.train.recipes.bundle_of", lambda path: path)
    monkeypatch.setattr("amplify.policy.bundle.load_bundle", lambda path: None)
    assert run(["evaluate", "policy", str(tmp_path), "--kind", "amplify", *options]) == 2
    assert said in capsys.readouterr().err


def test_damaged_initial_states_are_refused(monkeypatch, tmp_path):
    tasks = sys.modules["amplify.sim.libero.tasks"]

    class Listed:
        name, problem_folder, init_states_file = "x", ".", "x.init"

    monkeypatch.setattr(tasks, "_listed", lambda: {"libero_x": [Listed]})
    monkeypatch.setattr(package, "folder", lambda kind: tmp_path)
    task = tasks.LiberoTask(suite="libero_x", index=0, name="x", instruction="", bddl_file=tmp_path, goals=())
    for content in (b"", b"not numbers", b"PK\x03\x04 cut"):
        (tmp_path / "x.init.npz").write_bytes(content)
        with pytest.raises(DataError, match="no initial states"):
            initial_states(task)
    np.savez(tmp_path / "x.init.npz", states=np.full((2, 3), np.nan))
    with pytest.raises(DataError, match="damaged"):
        initial_states(task)
