import pytest
from pydantic import ValidationError

from amplify.errors import UnknownNameError
from amplify.evaluate.rollout import RolloutResult
from amplify.evaluate.success import paired_difference
from amplify.experiments.quickstart.config import PRESETS
from amplify.experiments.quickstart.folders import Folders
from amplify.experiments.quickstart.report import _success, _verdict
from amplify.experiments.quickstart.run import configured, learning


def results(config, wins):
    """``wins``: label → number of the first initial states of each task that every training seed solves."""
    return [
        RolloutResult(label, variant, task, index, index, success=index < count, decisions=20)
        for label, count in wins.items()
        for variant in range(config.inverse_seeds)
        for task in config.tasks
        for index in range(config.rollouts)
    ]


def verdict(config, success, gap):
    tracks = {"moving": {"model": {"error_px": 4.0}, "no_motion": {"error_px": 15.0}}}
    report = {"success": success, "difference": {"mean": gap.mean, "ci95": [gap.low, gap.high]}, "tracks": tracks}
    return _verdict(config, report)


def test_the_better_budget_of_behaviour_cloning_counts():
    config = configured("full")
    episodes = results(config, {"amplify": 18, "behaviour_cloning_equal": 12, "behaviour_cloning_long": 14})
    success = _success(episodes)
    assert success["behaviour_cloning"]["mean"] == pytest.approx(0.7)
    assert success["behaviour_cloning"]["budget"] == "long"
    assert success["behaviour_cloning_budgets"] == pytest.approx({"equal": 0.6, "long": 0.7})
    assert success["amplify"]["rollouts"] == 20 * 3 * 6


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [(18, 10, "above zero"), (10, 10, "includes zero"), (5, 15, "Behaviour cloning is better")],
)
def test_the_verdict_follows_from_the_figures(ours, theirs, said):
    config = configured("full")
    episodes = results(config, {"amplify": ours, "behaviour_cloning_equal": theirs})
    gap = paired_difference(episodes, "amplify", "behaviour_cloning_equal", seed=config.seed)
    assert gap.mean == pytest.approx((ours - theirs) / 20)
    assert said in verdict(config, _success(episodes), gap)


def test_a_smoke_report_says_that_it_means_nothing():
    config = configured("smoke")
    episodes = results(config, {"amplify": 1, "behaviour_cloning_equal": 0})
    assert "no figure" in verdict(
        config, _success(episodes), paired_difference(episodes, "amplify", "behaviour_cloning_equal", seed=config.seed)
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_every_stage_can_be_reached(preset, tmp_path):
    nodes = learning(configured(preset), Folders(tmp_path, configured(preset)))
    names = {node.name for node in nodes}
    assert len(names) == len(nodes)
    assert all(set(node.needs) <= names for node in nodes)


def test_training_seeds_of_two_runs_differ():
    seeds = [configured("full", seed=s).training_seed(i) for s in (0, 1) for i in range(3)]
    assert len(set(seeds)) == 6


def test_wrong_settings():
    with pytest.raises(UnknownNameError, match="smoke"):
        configured("smok")
    with pytest.raises(ValidationError, match=r"tokenizer\.points must be 25"):
        configured("full", grid=5)
