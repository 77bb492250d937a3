import numpy as np
import pytest

from amplify.sim.libero.oracle.arm import Style
from amplify.sim.libero.oracle.config import OracleConfig
from amplify.sim.libero.oracle.geometry import UP, Boxes
from amplify.sim.libero.oracle.grasps import Grasp, hand_boxes, top_down_grasps, way_in
from amplify.sim.libero.oracle.pick_place import varied


def thing(half, center=(0.0, 0.0, 0.0)) -> Boxes:
    return Boxes(
        center=np.array([center], dtype=float),
        rotation=np.eye(3)[None],
        half=np.array([half], dtype=float),
        body=np.ones(1, dtype=int),
    )


FLOOR = thing((1.0, 1.0, 0.5), (0.0, 0.0, -0.55))


def test_a_long_block_is_taken_across():
    grasps = top_down_grasps(thing((0.08, 0.02, 0.05)), FLOOR, generator=np.random.default_rng(0))
    assert grasps
    best = grasps[0]
    assert abs(best.yaw_rad) < 0.3  # the hand that is not turned closes along y, where the block is 4 cm wide
    assert abs(best.width_m - 0.04) < 0.006
    assert abs(best.position[1]) < 0.005
    assert [g.score for g in grasps] == sorted((g.score for g in grasps), reverse=True)


def test_what_is_wider_than_the_hand_is_not_taken():
    assert top_down_grasps(thing((0.08, 0.08, 0.05)), FLOOR, generator=np.random.default_rng(0)) == []


def test_a_wall_beside_it_turns_the_grasp():
    block = thing((0.02, 0.02, 0.05))
    wall = thing((0.3, 0.005, 0.3), (0.0, 0.03, 0.0))
    grasps = top_down_grasps(block, wall, generator=np.random.default_rng(0))
    assert grasps
    for grasp in grasps:
        assert not hand_boxes(grasp.position, grasp.rotation).grown(-0.003)[np.arange(3)].overlap(wall).any()
        assert abs(abs(grasp.yaw_rad) - np.pi / 2) < 0.5


def test_grasps_vary_as_much_as_asked_for():
    grasp = Grasp(position=np.zeros(3), yaw_rad=0.1, width_m=0.02, score=1.0)

    def spread(**settings) -> tuple[float, float]:
        config, generator = OracleConfig(**settings), np.random.default_rng(0)
        found = [varied(grasp, config, generator) for _ in range(50)]
        return float(np.std([g.position for g in found])), float(np.std([g.yaw_rad for g in found]))

    assert spread(grasp_jitter_m=0.0, grasp_jitter_deg=0.0) == pytest.approx((0.0, 0.0))
    assert spread(grasp_jitter_deg=0.0)[0] > 0.0005
    assert spread(grasp_jitter_m=0.0)[1] > 0.02


def test_styles_keep_to_their_limits():
    config = OracleConfig(speed_m_s=(0.1, 0.2), approach_m=(0.05, 0.06), noise=0.1, detour_m=0.02)
    styles = [Style.drawn(config, np.random.default_rng(seed)) for seed in range(20)]
    assert all(0.1 <= s.speed_m_s <= 0.2 and 0.05 <= s.approach_m <= 0.06 for s in styles)
    assert all(0 < s.noise <= 0.1 and 0 <= s.detour_m <= 0.02 for s in styles)
    assert len({s.speed_m_s for s in styles}) == 20


def together(*boxes: Boxes) -> Boxes:
    return Boxes(**{n: np.concatenate([getattr(b, n) for b in boxes]) for n in ("center", "rotation", "half", "body")})


BLOCK = thing((0.02, 0.02, 0.02))
GRASP = Grasp(position=np.array([0.0, 0.0, 0.01]), yaw_rad=0.0, width_m=0.04, score=1.0)
TABLE = thing((1.0, 1.0, 0.5), (0.0, 0.0, -0.52))


def test_the_hand_comes_straight_down_where_nothing_hangs_over():
    assert not way_in(GRASP, BLOCK, TABLE).any()


def test_under_an_open_drawer_the_hand_comes_in_from_beside():
    # Above the palm of a hand that holds the block, and in the way of one that comes down.
    drawer = thing((0.1, 0.05, 0.02), (0.0, -0.12, 0.18))
    around = together(TABLE, drawer)
    way = way_in(GRASP, BLOCK, around)
    hand = hand_boxes(GRASP.position, GRASP.rotation)
    assert way[1] > 0.02  # away from the drawer
    assert way[2] > 0
    assert not hand.moved(way).raised(0.15).overlap(around).any()
    assert not hand.moved(way * UP).overlap(together(around, BLOCK)).any()


def test_a_block_in_a_narrow_hole_has_no_way_in():
    ceiling = thing((1.0, 1.0, 0.1), (0.0, 0.0, 0.4))
    assert hand_boxes(GRASP.position, GRASP.rotation).raised(0.15).overlap(ceiling).any()  # straight down is barred too
    assert not way_in(GRASP, BLOCK, together(TABLE, ceiling)).any()
