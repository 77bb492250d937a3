import pytest
import torch
from safetensors.torch import load_file
from tests.golden import ARRAYS, GOLDEN, outputs

from amplify.policy import load_bundle
from amplify.policy.info import info_of


@pytest.fixture(scope="module")
def arrays():
    return load_file(ARRAYS)


@pytest.fixture(scope="module")
def results(arrays):
    return outputs(load_bundle(GOLDEN), {k.removeprefix("in."): v for k, v in arrays.items() if k.startswith("in.")})


def test_a_bundle_of_an_earlier_version_computes_what_it_did(arrays, results):
    expected = {name.removeprefix("out."): value for name, value in arrays.items() if name.startswith("out.")}
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(results[name], value, rtol=1e-4, atol=1e-5, msg=name)
        else:
            assert torch.equal(results[name], value), name


def test_its_outputs_are_not_trivial(results):
    assert all(value.isfinite().all() for value in results.values())
    assert len(results["tokens"].unique()) > 3
    assert results["inverse_actions"].std() > 0.05
    assert results["cloned_actions"][..., 6].unique().numel() == 2


def test_what_surrounds_it_is_read():
    info = info_of(load_bundle(GOLDEN))
    assert (info.cameras, info.grid, info.horizon, info.fps) == (("front", "wrist"), 5, 7, 10)
