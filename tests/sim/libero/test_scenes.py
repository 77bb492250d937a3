import numpy as np
import pytest
import torch

from amplify.bench.libero import LiberoBench, RandomPlans
from amplify.cli import run
from amplify.errors import UnknownNameError
from amplify.evaluate.acting import rollout
from amplify.policy.controller import ControllerConfig
from amplify.rng import numpy_generator
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.sim.libero import meshes
from amplify.sim.libero.config import view_name
from amplify.sim.libero.env import LiberoEnv
from amplify.sim.libero.images import DRAWN_GROUPS
from amplify.sim.libero.record_performance import Shown, scene_states
from amplify.sim.libero.scenes import light_lamps, scene_model
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import find_task
from amplify.sim.objects import object_bodies
from amplify.sim.renderer import OffscreenRenderer, RenderSettings
from amplify.tracks.queries import uniform_grid
from amplify.types import Clip

pytestmark = pytest.mark.libero

FRAMES, HORIZON, SIZE = 12, 6, 128


@pytest.fixture(scope="module")
def simulation():
    return Simulation(find_task("goal", "turn_on_the_stove"))


@pytest.fixture(scope="module")
def shown(simulation):
    """The arm moves, and the drawers of the cabinet slide open."""
    simulation.reset(0)
    model, data = simulation.model, simulation.data
    states, seen = [], []
    for action in np.repeat(numpy_generator(0, "x").uniform(-1, 1, size=(3, 7)), FRAMES // 3, axis=0):
        for joint in range(model.njnt):
            if "cabinet" in model.joint(joint).name:
                data.qvel[model.jnt_dofadr[joint]] = -0.3
        states.append(simulation.state())
        seen.append(simulation.seen.copy())
        simulation.step(action)
    placement = np.concatenate([model.body_pos, model.body_quat], axis=1)
    return Shown(states=np.stack(states), seen=np.stack(seen), placement=placement)


@pytest.mark.parametrize("camera", [0, 1])
def test_visible_points_lie_on_the_body_that_they_are_fixed_to(simulation, shown, camera):
    chosen = simulation.config.cameras[camera]
    scene = scene_states(simulation, shown)
    frames = np.zeros((FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    clip = Clip(frames=frames, fps=20.0, camera=view_name(chosen), scene=scene)
    windows = GroundTruthTracker().track(clip, uniform_grid(20), horizon=HORIZON)
    renderer = OffscreenRenderer(simulation.model, RenderSettings(), groups=DRAWN_GROUPS)
    drawn = [renderer.segment(model, data, chosen) for model, data in shown.data(simulation.model)]
    body = np.where(np.stack(drawn) < 0, 0, simulation.model.geom_bodyid[np.stack(drawn)])
    pixels = np.clip(((windows.points[:, 0].numpy() + 1) / 2 * SIZE).astype(int), 0, SIZE - 1)
    sure = (windows.visible & windows.valid[..., None])[:, 0].numpy()
    right, seen, moved = 0, 0, set()
    for start in range(FRAMES):
        x, y = pixels[start, 0].T
        owner = body[start, y, x]
        for age in range(min(HORIZON, FRAMES - start)):
            x, y = pixels[start, age].T
            near = [
                body[start + age, np.clip(y + dy, 0, SIZE - 1), np.clip(x + dx, 0, SIZE - 1)] == owner
                for dx in (-1, 0, 1)
                for dy in (-1, 0, 1)
            ]
            right += (np.any(near, axis=0) & sure[start, age]).sum()
            seen += sure[start, age].sum()
        far = np.abs(pixels[start, min(HORIZON, FRAMES - start) - 1] - pixels[start, 0]).max(axis=-1) > 2
        moved |= set(owner[far & sure[start, 0]])
    assert right / seen > 0.995
    names = {simulation.model.body(int(number)).name for number in moved}
    assert any("cabinet_" in name for name in names), "drawers move with their own points"


def test_scenes_of_tracks_have_the_same_bodies_and_no_pictures(simulation):
    light, whole = scene_model(simulation.scene), simulation.model
    assert [light.body(i).name for i in range(light.nbody)] == [whole.body(i).name for i in range(whole.nbody)]
    assert light.ntex == 0
    assert light.nmeshface < whole.nmeshface / 4
    objects = {whole.body(int(number)).name for number in object_bodies(light)}
    assert {"akita_black_bowl_1_main", "wooden_cabinet_1_cabinet_top"} <= objects
    assert not any(name.startswith(("robot", "gripper", "mount")) for name in objects)
    with pytest.raises(UnknownNameError, match="body"):
        scene_model(f"{simulation.scene}@nobody")


def test_the_burner_glows_while_the_stove_is_on(simulation):
    model = simulation.model
    burner = next(site for site in range(model.nsite) if model.site(site).name.endswith("burner"))
    knob = next(joint for joint in range(model.njnt) if "stove" in model.joint(joint).name)
    positions, before = simulation.data.qpos.copy(), model.site_rgba.copy()
    glow = []
    for angle in (0.0, 1.0, 0.2):
        positions[model.jnt_qposadr[knob]] = angle
        light_lamps(model, positions)
        glow.append(model.site_rgba[burner, 3])
    model.site_rgba[:] = before
    assert glow == [0.0, 1.0, 0.0]


def test_simplified_meshes_keep_their_shape_and_are_made_once(simulation, tmp_path, monkeypatch):
    model = simulation.model
    number = int(np.argmax(model.mesh_facenum))
    light = meshes.light_mesh(model, number, tmp_path)
    whole = model.mesh_vert[model.mesh_vertadr[number] :][: model.mesh_vertnum[number]]
    assert 100 < len(light.faces) <= meshes.MAX_FACES
    assert np.allclose(light.vertices.min(axis=0), whole.min(axis=0), atol=0.002)
    assert np.allclose(light.vertices.max(axis=0), whole.max(axis=0), atol=0.002)
    assert np.allclose(np.linalg.norm(light.normals, axis=-1), 1, atol=1e-5)
    assert (light.face_texture.max() < len(light.texture)) == (len(light.texture) > 0)
    made = meshes.simplified
    monkeypatch.setattr(meshes, "simplified", lambda *_: pytest.fail("it was kept"))
    again = meshes.light_mesh(model, number, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(light, again))
    next(tmp_path.iterdir()).write_bytes(b"PK\x03\x04 cut")
    monkeypatch.setattr(meshes, "simplified", made)
    assert np.array_equal(meshes.light_mesh(model, number, tmp_path).faces, light.faces)


def test_a_mesh_does_not_tear_where_its_picture_has_seams():
    # A sphere of two halves with a picture each: left of the middle of the texture, and right of it.
    n, m = 40, 80
    height, turn = np.meshgrid(np.linspace(0, np.pi, n), np.linspace(0, 2 * np.pi, m), indexing="ij")
    grid = np.stack([np.sin(height) * np.cos(turn), np.sin(height) * np.sin(turn), np.cos(height)], axis=-1)
    vertices, index = np.unique(np.round(grid, 9).reshape(-1, 3), axis=0, return_inverse=True)
    at = index.reshape(n, m)
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    faces = np.concatenate([np.stack(parts, axis=-1).reshape(-1, 3) for parts in ((a, b, c), (a, c, d))])
    faces = faces[[len(set(face)) == 3 for face in faces]].astype(np.int32)
    north = vertices[faces].mean(axis=1)[:, 2] > 0
    places = np.where(north[:, None], 0.1, 0.7)[..., None] + 0.2 * (vertices[faces][..., :2] + 1) / 2
    texture = places.reshape(-1, 2).astype(np.float32)
    rows = np.arange(len(texture), dtype=np.int32).reshape(-1, 3)
    normals = vertices.astype(np.float32)
    light = meshes.simplified(meshes.Mesh(vertices.astype(np.float32), faces, normals, faces, texture, rows), 300)

    assert len(light.faces) <= 300
    edges = np.sort(np.concatenate([light.faces[:, [0, 1]], light.faces[:, [1, 2]], light.faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    seen = light.texture[light.face_texture]
    middle = light.vertices[light.faces].mean(axis=1)[:, 2]
    clear = np.abs(middle) > 0.2
    assert ((seen[clear, :, 0] < 0.5) == (middle[clear] > 0)[:, None]).all()


def test_a_policy_is_rolled_out_and_rendered_only_for_new_plans(simulation, monkeypatch):
    env = LiberoEnv(simulation.task, 2, LiberoBench(decisions=6, size_px=64).simulator())
    looks = []
    observe = env.observe
    monkeypatch.setattr(env, "observe", lambda: looks.append(1) or observe())
    policy = RandomPlans(numpy_generator(0, "plans"))
    success, decisions = rollout(env, policy, [0, 1], ControllerConfig(replan_every=3, ensemble=False))
    assert (success.tolist(), decisions.tolist(), len(looks)) == ([False, False], [6, 6], 2)
    assert observe().images.shape == torch.Size([2, 2, 64, 64, 3])


def test_the_bench_refuses_nothing_to_measure(capsys):
    assert run(["bench", "libero", "--episodes", "0"]) == 2
    assert "below 1" in capsys.readouterr().err
