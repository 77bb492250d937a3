import pytest
import torch

from amplify.errors import DataError
from amplify.sim.metaworld.simulation import scene_model
from amplify.sim.objects import object_bodies, object_points
from amplify.tracks.queries import uniform_grid

from .scenes import clip_of, posed, sliding_box

HINGED = '<body name="door" pos="1 1 0.2"><joint type="hinge"/><geom type="box" size=".3 .3 .01"/></body>'
FIXED = '<body name="table" pos="-1 -1 0.2"><geom type="box" size=".3 .3 .01"/></body>'
ROBOT = '<body name="base" pos="-1 1 0.2"><body><joint type="hinge"/><geom type="box" size=".3 .3 .01"/></body></body>'


def test_what_joints_move_is_an_object_unless_it_hangs_on_a_robot():
    model = sliding_box(HINGED + FIXED + ROBOT)
    clip = clip_of(model, [posed(model, {"box": (0, 0, 0)})] * 2)
    points = torch.tensor([[0.55, -0.55], [-0.55, 0.55], [-0.55, -0.55], [0.0, 0.9]])
    assert object_points(clip, points, {"toy": lambda _: model}).tolist() == [[True, False, False, False]] * 2


def test_the_drawer_is_an_object_and_the_robot_is_none():
    model = scene_model("drawer-open")
    names = {model.body(int(number)).name for number in object_bodies(model)}
    assert "drawer_link" in names
    assert not names & {"hand", "right_l0", "leftclaw", "base", "world"}


def test_without_scene_states_nobody_knows():
    model = sliding_box()
    clip = clip_of(model, [posed(model, {})])
    with pytest.raises(DataError, match="behind"):
        object_points(type(clip)(frames=clip.frames, fps=1.0, camera="behind", scene=clip.scene), uniform_grid(2))
