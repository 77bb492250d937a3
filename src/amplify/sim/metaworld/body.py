"""Whose hand is seen: the robot's, or another body's that is drawn in its place.

Only what is seen changes. The robot still does all the work, so that a seed's actions, physics and success are the same
whichever body is seen.
"""

from collections.abc import Callable

import mujoco

from amplify.errors import pick
from amplify.sim.renderer import HIDDEN_GEOM_GROUP

ROBOT = "sawyer"
"""The body that Meta-World's scenes come with."""

ROBOT_BASE = "base"
"""The part of every scene that the whole robot with its pedestal hangs on."""

DRAWN_GROUP = 1
"""Meta-World's scenes weigh only shapes of groups 4 and 5 (``inertiagrouprange``), so that one of this group is drawn
and has no mass."""

Colour = tuple[float, float, float, float]
Point = tuple[float, float, float]

SKIN: Colour = (0.93, 0.69, 0.53, 1.0)
NAIL: Colour = (0.98, 0.85, 0.78, 1.0)
CUFF: Colour = (0.95, 0.95, 0.93, 1.0)
SLEEVE: tuple[Colour, Colour] = ((0.13, 0.33, 0.62, 1.0), (0.36, 0.58, 0.82, 1.0))
"""The colours of its stripes: on plain cloth optical flow could not see the arm move along itself."""


def compile_scene(xml_path: str, body: str) -> mujoco.MjModel:
    """The scene as it looks with a body in the robot's place; it moves exactly as the plain scene does.

    Links, joints, masses and contacts are the plain scene's, and their numbers too; geometry has other numbers.

    Args:
        xml_path: A Meta-World scene.
        body: A name in `BODIES`.

    Raises:
        UnknownNameError: There is no such body.
    """
    draw = pick(body, BODIES, kind="body")
    spec = mujoco.MjSpec.from_file(xml_path)
    drawing = Drawing(spec)
    draw(drawing)
    model = spec.compile()
    if drawing.names:
        _hide_robot(model, drawing.names)
    return model


class Drawing:
    """Adds shapes to links of a scene: seen, but without mass or contacts.

    Args:
        spec: The scene, which is changed.
    """

    def __init__(self, spec: mujoco.MjSpec):
        self._spec = spec
        self.names: set[str] = set()

    def capsule(self, link: str, start: Point, end: Point, radius_m: float, colour: Colour = SKIN) -> None:
        """A rod with round ends, in metres of the link's frame."""
        self._add(link, mujoco.mjtGeom.mjGEOM_CAPSULE, colour, fromto=[*start, *end], size=[radius_m, 0.0, 0.0])

    def cylinder(self, link: str, start: Point, end: Point, radius_m: float, colour: Colour = SKIN) -> None:
        """A rod with flat ends, in metres of the link's frame."""
        self._add(link, mujoco.mjtGeom.mjGEOM_CYLINDER, colour, fromto=[*start, *end], size=[radius_m, 0.0, 0.0])

    def ellipsoid(self, link: str, centre: Point, radii_m: Point, colour: Colour = SKIN) -> None:
        """An ellipsoid along the axes of the link, in metres of its frame."""
        self._add(link, mujoco.mjtGeom.mjGEOM_ELLIPSOID, colour, pos=[*centre], size=[*radii_m])

    def _add(self, link: str, kind: mujoco.mjtGeom, colour: Colour, **shape: list[float]) -> None:
        name = f"drawn {len(self.names)}"
        self._spec.body(link).add_geom(
            name=name, type=kind, rgba=[*colour], group=DRAWN_GROUP, contype=0, conaffinity=0, mass=0, **shape
        )
        self.names.add(name)


def _hide_robot(model: mujoco.MjModel, shown: set[str]) -> None:
    # In the compiled scene, because groups decide at compilation whose mass counts.
    base = model.body(ROBOT_BASE).id
    for number in range(model.ngeom):
        of_robot = model.body_rootid[model.geom_bodyid[number]] == base
        if of_robot and model.geom(number).name not in shown:
            model.geom_group[number] = HIDDEN_GEOM_GROUP


def draw_robot(drawing: Drawing) -> None:
    """Nothing: the robot is there already."""


def draw_hand(drawing: Drawing) -> None:
    """A human-like hand that points down, in a sleeve; four fingers and the thumb open and close with the gripper.

    The palm goes with the gripper's base, the fingers with its left claw and the thumb with its right one: their inner
    sides lie where the claws' pads are. In these links' frames x is down, y goes from thumb to fingers.
    """
    for stripe in range(6):
        end, colour = -0.18 - 0.04 * stripe, SLEEVE[stripe % 2]
        drawing.cylinder("hand", (end - 0.04, 0.0, 0.0), (end, 0.0, 0.0), 0.037 + 0.0025 * stripe, colour)
    drawing.cylinder("hand", (-0.18, 0.0, 0.0), (-0.165, 0.0, 0.0), 0.034, CUFF)
    drawing.capsule("hand", (-0.17, 0.0, 0.0), (-0.125, 0.0, 0.0), 0.024)
    drawing.ellipsoid("hand", (-0.085, 0.012, 0.0), (0.048, 0.024, 0.045))
    drawing.capsule("hand", (-0.11, -0.005, 0.0), (-0.06, -0.03, 0.0), 0.018)
    for z, tip in ((-0.03, 0.034), (-0.01, 0.043), (0.01, 0.046), (0.03, 0.04)):
        drawing.capsule("hand", (-0.125, 0.004, 0.4 * z), (-0.055, 0.03, z), 0.014)
        drawing.capsule("leftclaw", (-0.055, -0.002, z), (-0.008, 0.014, z), 0.0105)
        drawing.capsule("leftclaw", (-0.008, 0.014, z), (tip - 0.0095, 0.004, z), 0.0095)
        drawing.ellipsoid("leftclaw", (tip - 0.008, 0.010, z), (0.008, 0.004, 0.006), NAIL)
    drawing.capsule("rightclaw", (-0.06, 0.015, 0.0), (-0.015, -0.012, 0.0), 0.0125)
    drawing.capsule("rightclaw", (-0.015, -0.012, 0.0), (0.03, -0.005, 0.0), 0.011)
    drawing.ellipsoid("rightclaw", (0.032, -0.0125, 0.0), (0.009, 0.004, 0.007), NAIL)


BODIES: dict[str, Callable[[Drawing], None]] = {ROBOT: draw_robot, "hand": draw_hand}
"""Who can be seen, and who draws it."""
