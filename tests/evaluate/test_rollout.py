import numpy as np
import pytest
from pydantic import ValidationError

import amplify.evaluate.rollout as module
from amplify.errors import DataError, UnknownNameError
from amplify.evaluate.acting import rollout
from amplify.evaluate.film import Film
from amplify.evaluate.rollout import (
    PolicySpec,
    RolloutConfig,
    RolloutResult,
    evaluate_policies,
    initial_state_seeds,
)
from amplify.policy.controller import ControllerConfig
from amplify.tracks.queries import uniform_grid
from amplify.video import read_video
from evaluate.toy import Stride, Walk


def test_success_and_decisions():
    env = Walk(3)
    success, decisions = rollout(env, Stride(0.5), [0, 1, 3], ControllerConfig(replan_every=1))
    assert success.tolist() == [True, True, False]
    assert decisions.tolist() == [3, 3, 12]


def test_a_step_limit_of_ones_own():
    env = Walk(1, max_steps=12)
    _, decisions = rollout(env, Stride(0.01), [0], ControllerConfig(), max_decisions=5)
    assert decisions.tolist() == [5]


def test_images_are_rendered_for_plans_only():
    env = Walk(1, max_steps=8)
    rollout(env, Stride(0.01), [0], ControllerConfig(replan_every=4))
    assert env.observed == 2


def test_a_film_of_every_copy_asked_for(tmp_path):
    film = Film(2, None, uniform_grid(2))
    success, _ = rollout(Walk(3), Stride(0.5), [0, 4, 0], ControllerConfig(replan_every=1), film=film)
    film.write(lambda index, won: tmp_path / f"{index}-{won}.mp4", success)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-True.mp4", "1-False.mp4"]
    assert len(read_video(tmp_path / "0-True.mp4")) < len(read_video(tmp_path / "1-False.mp4"))


def test_initial_states_differ_by_seed_task_and_number():
    one = RolloutConfig(tasks=("a", "b"), rollouts=5, seed=0)
    two = one.model_copy(update={"seed": 1})
    seeds = [*initial_state_seeds(one, "a"), *initial_state_seeds(one, "b"), *initial_state_seeds(two, "a")]
    assert len(set(seeds)) == 15
    assert initial_state_seeds(one, "a")[:3] == initial_state_seeds(one.model_copy(update={"rollouts": 3}), "a")


def test_unknown_benchmark_and_task(tmp_path):
    spec = PolicySpec(label="x", bundle=tmp_path)
    with pytest.raises(UnknownNameError, match="metaworld"):
        evaluate_policies([spec], RolloutConfig(benchmark="metawold", tasks=("door-open",)))
    with pytest.raises(UnknownNameError, match="door-open"):
        evaluate_policies([spec], RolloutConfig(tasks=("dor-open",)))


def test_the_first_failure_counts_as_failure_whatever_happens_to_others():
    success, _ = rollout(Walk(2, max_steps=2), Stride(0.5), [0, 0], ControllerConfig(replan_every=1))
    assert not success.any()
    assert isinstance(success, np.ndarray)


class Listener(Stride):
    def plan(self, observation, *, previous=None, generator=None):
        self.heard = observation.instruction
        return super().plan(observation)


def test_a_policy_can_be_told_something_else():
    policy = Listener(0.5)
    rollout(Walk(2), policy, [0, 0], ControllerConfig())
    assert policy.heard == ("go right",) * 2
    rollout(Walk(2), policy, [0, 0], ControllerConfig(), instructions=["go left", "do not move"])
    assert policy.heard == ("go left", "do not move")


def test_several_sentences_of_a_task_are_taken_in_turn(monkeypatch, tmp_path):
    heard = []

    class Somewhere:
        name = "somewhere"

        def tasks(self):
            return ("a", "b")

        def instruction(self, task):
            return "go right"

        def paraphrases(self, task):
            return ()

        def wrong_instruction(self, task):
            return "go left"

        def make(self, task, copies):
            return Walk(copies, max_steps=1)

    class Anyone:
        def __init__(self, device, *, compile):
            assert (device, compile) == ("cpu", False)

        def policy(self, path, kind, precision):
            policy = Listener(0.5)
            plan = policy.plan

            def listen(observation, **options):
                heard.append(observation.instruction)
                return plan(observation, **options)

            policy.plan = listen
            return policy

    monkeypatch.setattr("amplify.evaluate.rollout.BENCHMARKS", {"somewhere": Somewhere})
    monkeypatch.setattr("amplify.evaluate.rollout.Loader", Anyone)
    config = RolloutConfig(benchmark="somewhere", tasks=("a", "b"), rollouts=5, copies=3)
    told = config.model_copy(update={"instructions": (("a", "x"), ("b", "y"), ("a", "z"))})
    spec = PolicySpec(label="x", bundle=tmp_path)
    evaluate_policies([spec], told, workers=0)
    assert heard == [("x", "z", "x"), ("z", "x"), ("y",) * 3, ("y",) * 2]
    heard.clear()
    evaluate_policies([spec], config, workers=0)
    assert set(heard) == {("go right",) * 3, ("go right",) * 2}


@pytest.mark.parametrize("wrong", [{"rollouts": 0}, {"copies": 0}])
def test_an_evaluation_of_nothing_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        RolloutConfig(tasks=("drawer-open",), **wrong)


def test_finished_rollouts_are_not_done_again(tmp_path, monkeypatch):
    done = []

    def run(_, job):
        done.append((job.task, job.indices))
        return [RolloutResult("x", 0, job.task, i, 7, i == 0, 3) for i in job.indices]

    class Loaded:
        hash = "one"

    monkeypatch.setattr(module, "_run", run)
    monkeypatch.setattr(module, "load_bundle", lambda path: Loaded)
    config = RolloutConfig(tasks=("door-open", "drawer-open"), rollouts=4, copies=2)
    spec = PolicySpec(label="x", bundle=tmp_path)

    def evaluate(config=config):
        done.clear()
        return evaluate_policies([spec], config, workers=0, finished=tmp_path / "finished")

    first = evaluate()
    assert len(done) == 4
    next(iter((tmp_path / "finished").iterdir())).unlink()
    assert evaluate() == first
    assert len(done) == 1
    assert len(evaluate(config.model_copy(update={"rollouts": 6}))) == 12
    assert [indices for _, indices in done] == [(4, 5), (4, 5)]
    evaluate(config.model_copy(update={"seed": 1}))
    assert len(done) == 4
    Loaded.hash = "retrained"
    evaluate()
    assert len(done) == 4
    for path in (tmp_path / "finished").iterdir():
        path.write_text("[")
    with pytest.raises(DataError, match="damaged results"):
        evaluate()
