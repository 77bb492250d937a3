import pytest

from amplify.bench.control import REFERENCE_STEPS
from amplify.bench.heads import sampling_error
from amplify.inverse import InverseConfig


@pytest.mark.parametrize("steps", [1, 10])
def test_few_steps_are_as_good_as_many_only_where_there_are_enough(steps):
    config = InverseConfig(head="flow", action_horizon=2, sampling_steps=steps)
    error = sampling_error(config, REFERENCE_STEPS["flow"], seed=0, steps=300)
    assert error["reference_steps"] < 0.5 * error["mean_of_answers"]
    assert (error["few_steps"] < 1.2 * error["reference_steps"]) == (steps == 10)
