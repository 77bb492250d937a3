import cv2
import mujoco
import numpy as np
import pytest

from amplify.sim.libero import images, meshes
from amplify.sim.libero.mesh_texture import laid_on, reduced
from amplify.sim.libero.meshes import Mesh, light_mesh, simplified
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import find_task

pytestmark = pytest.mark.libero

ORANGE, BLUE = (230, 140, 40), (20, 40, 240)
RING = 0.40, 0.43
"""Between which radii a texture has a ring."""
GRID = np.array([(i, j, 8 - i - j) for i in range(9) for j in range(9 - i)]) / 8


def tube(around: int = 96, along: int = 12) -> Mesh:
    """A tube whose surface is a thin ring of its texture."""
    turn, height = np.meshgrid(np.linspace(0, 2 * np.pi, around + 1), np.linspace(0, 1, along + 1), indexing="ij")
    # Exactly closed, so that it has no seam.
    x, y = np.cos(turn), np.sin(turn)
    x[-1], y[-1] = x[0], y[0]
    radius = RING[0] + (RING[1] - RING[0]) * (0.2 + 0.6 * height)
    corners = np.stack([x, y, height], axis=-1)
    places = np.stack([0.5 + radius * x, 0.5 + radius * y], axis=-1)
    at = np.arange((around + 1) * (along + 1)).reshape(around + 1, along + 1)
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    faces = np.concatenate([np.stack(part, axis=-1).reshape(-1, 3) for part in ((a, b, c), (a, c, d))])
    vertices = corners.reshape(-1, 3).astype(np.float32)
    normals = (vertices * [1, 1, 0]).astype(np.float32)
    faces = faces.astype(np.int32)
    return Mesh(vertices, faces, normals, faces, places.reshape(-1, 2).astype(np.float32), faces)


def ring(colour: tuple[int, int, int] = ORANGE) -> np.ndarray:
    """A ring on black ground."""
    y, x = (np.mgrid[:512, :512] + 0.5) / 512 - 0.5
    on = (np.hypot(x, y) > RING[0]) & (np.hypot(x, y) < RING[1])
    return np.where(on[..., None], np.array(colour), 0).astype(np.uint8)


def colours(places: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """What is seen at points of every face (f s 3)."""
    height, width = picture.shape[:2]
    x, y = np.moveaxis(np.floor(GRID @ places * [width, height]).astype(int), -1, 0)
    return picture[y % height, x % width].astype(int)


def test_no_face_shows_the_ground_between_the_pieces_of_a_texture():
    light, plain = simplified(tube(), 20, ring()), simplified(tube(), 20)
    assert np.array_equal(light.faces, plain.faces)
    assert len(light.faces) <= 24
    shown, before = (colours(mesh.texture[mesh.face_texture], ring()) for mesh in (light, plain))
    assert (before.max(axis=-1) == 0).mean() > 0.1, "the nearest places alone would show it"
    assert (shown == ORANGE).all(axis=-1).mean() > 0.995


def test_a_texture_that_a_mesh_has_room_for_is_laid_on_as_it_was():
    n = 20
    x, y = np.meshgrid(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1), indexing="ij")
    at = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    faces = np.concatenate([np.stack(part, axis=-1).reshape(-1, 3) for part in ((a, b, c), (a, c, d))])
    corners = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
    places = np.stack([0.2 + 0.5 * y, 0.9 - 0.7 * x], axis=-1).reshape(-1, 2)
    picture = cv2.resize(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8), (256, 256))
    onto = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]]], dtype=float)
    laid = laid_on(corners[faces], places[faces], onto, picture)
    wanted = np.stack([0.2 + 0.5 * onto[..., 1], 0.9 - 0.7 * onto[..., 0]], axis=-1)
    assert np.allclose(laid, wanted, atol=0.01)


def test_a_face_over_many_small_pieces_looks_like_most_of_it():
    # Narrow orange strips, each a spot of the picture of its own, and a wide blue one, which is the largest piece.
    edges = np.concatenate([np.linspace(0, 0.365, 16), np.linspace(0.635, 1, 16)])
    low, high, n = edges[:-1], edges[1:], len(edges) - 1
    zero, one = np.zeros(n), np.ones(n)
    parts = (low, zero), (high, zero), (high, one), (low, one)
    quad = np.stack([np.stack([x, y, zero], axis=-1) for x, y in parts], axis=1)
    wide = np.arange(n) == n // 2
    centre = np.stack([np.where(wide, 0.2, 0.8), (np.arange(n) + 0.5) / n], axis=-1)
    spot = centre[:, None] + 0.004 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    triangles, places = (np.concatenate([part[:, [0, 1, 2]], part[:, [0, 2, 3]]]) for part in (quad, spot))
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[:, 60:100], picture[:, 300:340] = BLUE, ORANGE
    onto = np.array([[[0, 0, 0], [1, 0, 0], [0.5, 1, 0]]], dtype=float)
    assert (colours(laid_on(triangles, places, onto, picture), picture) == ORANGE).all()
    assert (colours(laid_on(triangles, places, onto), picture) == BLUE).all()


def scene(picture: np.ndarray, *, kind: str = "2d") -> mujoco.MjModel:
    mesh = tube()
    lines = [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in mesh.vertices]
    lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in mesh.texture]
    lines += ["f " + " ".join(f"{i}/{i}" for i in face + 1) for face in mesh.faces]
    png = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    xml = f"""
    <mujoco>
      <asset>
        <texture name="t" type="{kind}" file="t.png"/> <material name="plain"/> <material name="m" texture="t"/>
        <mesh name="tube" file="tube.obj" inertia="shell"/>
      </asset>
      <worldbody>
        <geom type="mesh" mesh="tube" material="plain"/> <geom type="mesh" mesh="tube" material="m"/>
      </worldbody>
    </mujoco>"""
    return mujoco.MjModel.from_xml_string(xml, {"t.png": png, "tube.obj": "\n".join(lines).encode()})


def test_meshes_are_kept_by_what_is_on_them(tmp_path, monkeypatch):
    monkeypatch.setattr(meshes, "MAX_FACES", 20)
    red, blue = ring((250, 10, 10)), ring((10, 10, 250))
    seen = []
    for picture in (red, blue, red):
        light = light_mesh(scene(picture), 0, tmp_path)
        seen.append((len(list(tmp_path.iterdir())), colours(light.texture[light.face_texture], picture)))
    assert [count for count, _ in seen] == [1, 2, 2]
    assert all((shown.max(axis=-1) > 0).mean() > 0.99 for _, shown in seen)
    assert len(light_mesh(scene(red, kind="cube"), 0, tmp_path).faces) <= 24


def test_pictures_are_compared_in_colour_and_not_too_large():
    grey = np.tile(np.arange(200, dtype=np.uint8)[:, None, None], (1, 1030, 1))
    assert reduced(grey).shape == (99, 512, 3)
    assert np.ptp(reduced(grey), axis=-1).max() == 0
    assert np.array_equal(reduced(np.dstack([ring(), ring()[..., :1]])), ring())


def test_simplified_meshes_look_like_whole_ones(tmp_path, monkeypatch):
    simulation = Simulation(find_task("goal", "turn_on_the_stove"))
    simulation.reset(0)
    for _ in range(25):
        # The hand comes down over the bowl.
        simulation.step(np.array([0.3, 0, -0.7, 0, 0, 0, -1]))
    looks = []
    for simplify in (lambda model: None, lambda model: meshes.simplify_meshes(model, tmp_path)):
        monkeypatch.setattr(images, "simplify_meshes", simplify)
        monkeypatch.setattr(images, "_made", {})
        looks.append(images.camera_images(simulation).astype(int))
        images.scene_renderer(simulation).close()
    agent, hand = np.abs(looks[1] - looks[0]).mean(axis=(1, 2, 3))
    assert 0.1 < agent < 2.5
    # 7.9 without a look at the picture, 6.5 if it were upside down.
    assert 0.1 < hand < 6.2
