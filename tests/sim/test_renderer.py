import mujoco
import numpy as np
import pytest
from tests.sim.scenes import posed, sliding_box

from amplify.errors import UnknownNameError
from amplify.sim import renderer
from amplify.sim.renderer import CameraSettings, OffscreenRenderer, RenderSettings, out_of_sight, place_camera

ABOVE = CameraSettings(name="above")


def drawn(model, data, camera=ABOVE, **settings) -> np.ndarray:
    drawing = OffscreenRenderer(model, RenderSettings(width_px=64, height_px=48, **settings))
    image = drawing.render(model, data, camera)
    drawing.close()
    drawing.close()
    return image


def is_red(image) -> np.ndarray:
    return image[..., 0].astype(int) > 60 + image[..., 1]


def test_image_has_the_asked_size_and_shows_the_box_where_it_is():
    model = sliding_box()
    image = drawn(model, posed(model, {"box": (1.0, 1.0, 0.0)}))
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    rows, columns = np.nonzero(is_red(image))
    # 90° over 48 rows at 1.9 m: 12.6 px a metre; world x to the right, world y upwards.
    assert columns.mean() == pytest.approx(31.5 + 12.63, abs=0.6)
    assert rows.mean() == pytest.approx(23.5 - 12.63, abs=0.6)


def test_turned_image_is_the_image_turned_by_half_a_circle():
    model = sliding_box()
    data = posed(model, {"box": (0.5, 0.3, 0.0)})
    turned = drawn(model, data, CameraSettings(name="above", turned=True))
    np.testing.assert_array_equal(turned, drawn(model, data)[::-1, ::-1])


def test_goal_markers_are_hidden_unless_asked_for():
    model = sliding_box()
    data = posed(model, {"box": (5.0, 0.0, 0.0)})
    assert drawn(model, data).max() == 0
    assert drawn(model, data, markers=True)[..., 1].max() > 60


def test_every_quality_option_changes_the_image():
    floor = '<geom type="plane" size="3 3 .1" material="floor"/>'
    asset = '<asset><material name="floor" reflectance=".6" rgba=".7 .7 .7 1"/></asset>'
    from tests.sim.scenes import SLIDING_BOX

    xml = SLIDING_BOX.format(extra=floor).replace("<worldbody>", asset + "<worldbody>")
    model = mujoco.MjModel.from_xml_string(xml.replace('pos="0 0 3" dir="0 0 -1"', 'pos="2 0 3" dir="-.6 0 -1"'))
    data = posed(model, {"box": (0.3, 0.0, 0.6)})
    camera = CameraSettings(name="above", fovy_deg=70)
    place_camera(model, camera)
    plain = drawn(model, data, camera)
    for option in ({"shadows": True}, {"reflections": True}, {"multisamples": 4}):
        assert (drawn(model, data, camera, **option) != plain).any(), option


def test_camera_is_moved_and_zoomed():
    model = sliding_box()
    data = posed(model, {})
    before = is_red(drawn(model, data)).sum()
    camera = CameraSettings(name="above", position_m=(0.0, 0.0, 1.0), fovy_deg=45.0)
    place_camera(model, camera)
    after = is_red(drawn(model, posed(model, {}), camera)).sum()
    assert after > 3 * before


def test_unknown_camera_is_suggested():
    model = sliding_box()
    with pytest.raises(UnknownNameError, match="did you mean 'above'"):
        place_camera(model, CameraSettings(name="abov"))


def test_segmentation_gives_the_geometry_of_each_pixel():
    model = sliding_box()
    renderer = OffscreenRenderer(model, RenderSettings(width_px=64, height_px=64))
    data = posed(model, {"box": (0.4, 0.0, 0.0), "roof": (-0.4, 0.0, 0.5)})
    numbers = renderer.segment(model, data, ABOVE)
    assert numbers[32, 32 + 7] == 0
    assert numbers[32, 32 - 8] == 1
    assert numbers[2, 2] == -1
    np.testing.assert_array_equal(
        renderer.segment(model, data, CameraSettings(name="above", turned=True)), numbers[::-1, ::-1]
    )
    assert is_red(renderer.render(model, data, ABOVE)).any(), "colours must come back after a segmentation"


def test_one_renderer_serves_several_copies_of_a_model():
    first, second = sliding_box(), sliding_box()
    renderer = OffscreenRenderer(first, RenderSettings(width_px=32, height_px=32))
    data = posed(second, {"box": (0.5, 0.0, 0.0)})
    np.testing.assert_array_equal(
        renderer.render(second, data, ABOVE),
        OffscreenRenderer(second, RenderSettings(width_px=32, height_px=32)).render(second, data, ABOVE),
    )


def crowd(seed=0, camera='<camera name="eye" mode="fixed" pos="0 0 0" fovy="50"/>'):
    """Two hundred bodies of all kinds all around a camera."""
    draw, kinds = np.random.default_rng(seed), ("sphere", "box", "capsule", "cylinder", "ellipsoid")
    pieces = [
        f'<geom type="{kinds[number % 5]}" size="{" ".join(f"{s:.3f}" for s in draw.uniform(0.02, 0.5, 3))}" '
        f'pos="{" ".join(f"{p:.3f}" for p in draw.uniform(-3, 3, 3))}" euler="{number * 20} {number * 7} 0" '
        f'rgba="{" ".join(f"{c:.2f}" for c in draw.uniform(0.2, 1, 3))} 1"/>'
        for number in range(200)
    ]
    floor = '<geom type="plane" size="9 9 1" pos="0 0 -3"/>'
    return mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{camera}{floor}{''.join(pieces)}</worldbody></mujoco>")


@pytest.mark.parametrize("turn", range(6))
def test_what_is_out_of_sight_is_not_drawn_and_changes_nothing(turn, monkeypatch):
    model = crowd()
    model.cam_quat[0] = np.random.default_rng(turn).normal(size=4)
    model.cam_quat[0] /= np.linalg.norm(model.cam_quat[0])
    data, groups = posed(model, {}), model.geom_group.copy()
    some = drawn(model, data, CameraSettings(name="eye"))
    assert 20 < out_of_sight(model, data, 0, 64 / 48).sum() < 200
    assert (model.geom_group == groups).all()
    monkeypatch.setattr(renderer, "out_of_sight", lambda model, *_: np.zeros(model.ngeom, dtype=bool))
    np.testing.assert_array_equal(some, drawn(model, data, CameraSettings(name="eye")))


@pytest.mark.parametrize(
    "camera",
    [
        '<camera name="eye" orthographic="true" fovy="2"/>',
        '<camera name="eye" sensorsize="0.01 0.01" resolution="64 48" focal="0.02 0.02"/>',
    ],
)
def test_of_cameras_without_an_angle_all_is_drawn(camera):
    model = crowd(camera=camera)
    assert not out_of_sight(model, posed(model, {}), 0, 1.0).any()
