"""Top-down grasps of an object, scored by how its collision geometry lies between the fingers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.arm import pointing_down
from amplify.sim.libero.oracle.geometry import UP, Boxes

# The Panda's hand in its own frame: closing axis, across, pointing direction; metres from the point between the tips.
OPENING_M = 0.078
FINGER_THICKNESS_M, FINGER_HALF_WIDTH_M = 0.026, 0.0105
TIP_M, PALM_M = 0.0095, -0.031
PAD_M, PAD_HALF_WIDTH_M = (-0.010, 0.005), 0.008
PALM_HALF_M = (0.102, 0.032)
PALM_TOP_M = -0.123
FLANGE_HALF_M, FLANGE_TOP_M = 0.058, -0.22
WIDEST_M = 0.074
NARROWEST_M = 0.001

YAWS = 12
MARGIN_M = 0.002
MOST_GRASPS, MOST_LOOKED_AT = 12, 400
POINT_SPACING_M = 0.004
DESCENT_M = 0.15
"""How far the hand comes down to a grasp, with room to spare."""

DEEPEST_M = 0.028
"""How far the highest part of an object may reach between the fingers above the pads' middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grasp:
    """Where the hand closes, and how promising that is."""

    position: Float[np.ndarray, "3"]
    yaw_rad: float
    width_m: float
    score: float

    @property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """The hand's rotation in the world."""
        return pointing_down(self.yaw_rad)


def top_down_grasps(
    target: Boxes,
    surroundings: Boxes,
    *,
    generator: np.random.Generator,
    centers: int = 32,
) -> list[Grasp]:
    """Grasps that fit, best first.

    Args:
        target: The object's geometry.
        surroundings: Everything else near it, without the robot.
        generator: Draws the places that are looked at.
        centers: Places that are looked at, for every yaw and height.
    """
    points = target.surface(POINT_SPACING_M)
    top, middle = points[:, 2].max(), (points.min(0) + points.max(0)) / 2.0
    picked = points[generator.choice(len(points), size=min(centers, len(points)), replace=False)]
    found: list[Grasp] = []
    for yaw in np.linspace(-np.pi / 2, np.pi / 2, YAWS, endpoint=False):
        rotation = pointing_down(yaw)
        local = points @ rotation
        for center in np.concatenate([picked, middle[None]]) @ rotation:
            for grasp in _closing(local, center, rotation, yaw, top):
                found.append(grasp)
    middle_xy = middle[:2]
    scored = sorted((_rated(grasp, middle_xy, top) for grasp in found), key=lambda grasp: -grasp.score)
    return _free(scored, target, surroundings, tight=False) or _free(scored, target, surroundings, tight=True)


def way_in(grasp: Grasp, target: Boxes, around: Boxes) -> Float[np.ndarray, "3"]:
    """From a grasp to where the hand can come down and slide in from; zeros if that is straight above, or nowhere.

    Args:
        grasp: One that fits.
        target: What is grasped.
        around: Everything else near it, without the robot.
    """
    hand = hand_boxes(grasp.position, grasp.rotation).grown(-MARGIN_M)

    def hits(moved: Boxes) -> bool:
        return bool(moved.overlap(around).any() or moved.overlap(target).any())

    if not hand.raised(DESCENT_M).overlap(around).any():
        return np.zeros(3)
    for distance in np.arange(0.02, 0.13, 0.02):
        for angle in np.arange(0.0, 2 * np.pi, np.pi / 4):
            for rise in (0.01, 0.02, 0.03, 0.04):
                way = np.array([distance * np.cos(angle), distance * np.sin(angle), rise])
                slid = [way * UP + share * way * (1 - UP) for share in (0.0, 0.25, 0.5, 0.75)]
                if not any(hits(hand.moved(part)) for part in slid) and not hits(hand.moved(way).raised(DESCENT_M)):
                    return way
    return np.zeros(3)


def _free(scored: list[Grasp], target: Boxes, surroundings: Boxes, *, tight: bool) -> list[Grasp]:
    """The best grasps that hit nothing and differ; if tight, with the fingers and the palm alone, and no margin."""
    chosen: list[Grasp] = []
    looked = 0
    for grasp in scored:
        if len(chosen) >= MOST_GRASPS or looked >= MOST_LOOKED_AT:
            break
        if any(_alike(grasp, other) for other in chosen):
            continue
        looked += 1
        hand = hand_boxes(grasp.position, grasp.rotation)
        hand = hand[np.arange(3)].grown(-MARGIN_M) if tight else hand.grown(MARGIN_M)
        if not hand.overlap(surroundings).any() and not hand.overlap(target).any():
            chosen.append(grasp)
    return chosen


def _closing(local: np.ndarray, center: np.ndarray, rotation: np.ndarray, yaw: float, top: float) -> list[Grasp]:
    """Grasps at a place, at several heights, centred between the surfaces that the pads will meet."""
    across = np.abs(local[:, 1] - center[1]) < PAD_HALF_WIDTH_M
    column = local[across & (np.abs(local[:, 0] - center[0]) < OPENING_M)]
    if len(column) < 4:
        return []
    found = []
    # Pointing down, the third axis grows downwards.
    upper = column[:, 2].min()
    for depth in (0.004, 0.010, 0.018, DEEPEST_M):
        height = upper + depth
        slab = column[(column[:, 2] > height + PAD_M[0]) & (column[:, 2] < height + PAD_M[1])]
        slab = slab[np.abs(slab[:, 0] - center[0]) < OPENING_M / 2]
        if len(slab) < 3:
            continue
        low, high = slab[:, 0].min(), slab[:, 0].max()
        if not NARROWEST_M < high - low < WIDEST_M:
            continue
        bins = np.clip(((slab[:, 1] - center[1]) / PAD_HALF_WIDTH_M * 1.5 + 1.5).astype(int), 0, 2)
        sides = [(slab[bins == b, 0].min(), slab[bins == b, 0].max()) for b in range(3) if (bins == b).any()]
        uneven = np.ptp(np.array(sides), axis=0).sum() if len(sides) > 1 else 0.01
        thick = np.ptp(slab[:, 2])
        position = np.array([(low + high) / 2.0, center[1], height])
        found.append(
            Grasp(
                position=rotation @ position,
                yaw_rad=float(yaw),
                width_m=float(high - low),
                score=-float(uneven) / 0.01 + min(float(thick), 0.012) / 0.012 + 0.3 * (len(sides) == 3),
            )
        )
    return found


def _rated(grasp: Grasp, middle: np.ndarray, top: float) -> Grasp:
    # A long lever turns the object in the fingers; a turned wrist comes near its limits.
    lever = float(np.linalg.norm(grasp.position[:2] - middle))
    score = (
        grasp.score
        - 8.0 * lever
        - 0.25 * abs(grasp.yaw_rad)
        - 6.0 * max(0.0, grasp.width_m - 0.055)
        - 8.0 * max(0.0, top - grasp.position[2] - DEEPEST_M)
    )
    return Grasp(position=grasp.position, yaw_rad=grasp.yaw_rad, width_m=grasp.width_m, score=score)


def _alike(one: Grasp, other: Grasp) -> bool:
    turn = abs((one.yaw_rad - other.yaw_rad + np.pi / 2) % np.pi - np.pi / 2)
    return bool(np.linalg.norm(one.position - other.position) < 0.012 and turn < 0.25)


def hand_boxes(
    position: Float[np.ndarray, "3"], rotation: Float[np.ndarray, "3 3"], opening: float = OPENING_M
) -> Boxes:
    """The fingers, the palm and the flange of a hand.

    Args:
        position: Of the point between the fingertips, in metres.
        rotation: Of the hand in the world.
        opening: Distance between the fingers, in metres.
    """
    finger = (opening + FINGER_THICKNESS_M) / 2.0, (TIP_M + PALM_M) / 2.0
    center = np.array(
        [
            (-finger[0], 0.0, finger[1]),
            (finger[0], 0.0, finger[1]),
            (0.0, 0.0, (PALM_TOP_M + PALM_M) / 2.0),
            (0.0, 0.0, (FLANGE_TOP_M + PALM_TOP_M) / 2.0),
        ]
    )
    long = (TIP_M - PALM_M) / 2.0
    half = np.array(
        [
            (FINGER_THICKNESS_M / 2.0, FINGER_HALF_WIDTH_M, long),
            (FINGER_THICKNESS_M / 2.0, FINGER_HALF_WIDTH_M, long),
            (*PALM_HALF_M, (PALM_M - PALM_TOP_M) / 2.0),
            (FLANGE_HALF_M, FLANGE_HALF_M, (PALM_TOP_M - FLANGE_TOP_M) / 2.0),
        ]
    )
    return Boxes(
        center=center @ rotation.T + position,
        rotation=np.repeat(rotation[None], len(half), axis=0),
        half=half,
        body=np.zeros(len(half), dtype=int),
    )
