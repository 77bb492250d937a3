import pytest
from pydantic import ValidationError

from amplify.sim.metaworld.config import CAMERAS, MetaWorldConfig


def test_frames_a_second_follow_the_action_repeat():
    assert [MetaWorldConfig(action_repeat=n).fps for n in (1, 3, 4)] == [80, 27, 20]


@pytest.mark.parametrize("cameras", [(), (CAMERAS["corner2"], CAMERAS["corner2"])])
def test_cameras_must_be_some_and_different(cameras):
    with pytest.raises(ValidationError, match="one or more different"):
        MetaWorldConfig(cameras=cameras)
