"""The real lerobot, in an environment of its own, trains and evaluates our policy, and bundles go in and come out."""

import json
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from amplify.cli import run
from amplify.data.dataset import DatasetSpec, DatasetWriter, Episode
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.evaluate.loading import Loader, kind_of
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.policy import Controller, ControllerConfig, load_bundle, save_bundle
from amplify.policy.info import BundleInfo, EncoderInfo, info_of
from amplify.sim.metaworld.config import ACTION_NAMES, PROPRIO_NAMES
from amplify.sim.metaworld.env import MetaWorldEnv
from amplify.tokens import MotionTokenizer, TokenizerConfig
from amplify.types import Observation
from interop.given import CAMERA, SENTENCES, SIDE, observation

pytestmark = pytest.mark.interop
ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv-lerobot" / "bin"
SEED, FRAMES, EPISODES = 5, 12, 3


def call(home: Path, *arguments: object) -> str:
    """What a program of lerobot's environment says."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "huggingface"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([BIN / "python", *map(str, arguments)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def lerobot(home: Path, module: str, *arguments: object) -> str:
    return call(home, ROOT / "tests/interop/run_lerobot.py", module, *arguments)


def between(home: Path, *arguments: object) -> str:
    return lerobot(home, "lerobot_policy_amplify.command", *arguments)


def motion_bundle(path: Path) -> Path:
    """Tokenizer and forward dynamics with random weights, for the published encoders."""
    torch.manual_seed(0)
    vision, text = VISION_ENCODERS["efficientnet-lite0"](), TEXT_ENCODERS["minilm"]()
    tokenizer = MotionTokenizer(TokenizerConfig.tiny(views=1, points=4, steps=3, levels=(5, 4)))
    forward = ForwardDynamics(
        ForwardConfig.tiny(at_once=0.5),
        levels=(5, 4),
        tokens=tokenizer.tokens,
        views=1,
        patches=vision.patches,
        vision_width=vision.width,
        text_width=text.width,
        text_tokens=text.tokens,
    )
    info = BundleInfo(
        vision_encoder=EncoderInfo(name=vision.name, settings=dict(vision.settings)),
        text_encoder=EncoderInfo(name=text.name, settings=dict(text.settings)),
        cameras=(CAMERA,),
        frame_size_px=SIDE,
        grid=2,
        horizon=4,
        fps=27,
    )
    save_bundle(path, {"tokenizer": tokenizer, "forward": forward}, info.meta)
    return path


def demonstrations(root: Path) -> Path:
    """Actions that follow from proprioception."""
    spec = DatasetSpec(
        fps=27,
        cameras=(CAMERA,),
        width=SIDE,
        height=SIDE,
        robot_type="sawyer",
        proprio_names=PROPRIO_NAMES,
        action_names=ACTION_NAMES,
    )
    writer, names = DatasetWriter(root, spec), [f"ep-{number}" for number in range(EPISODES)]
    for number, name in enumerate(names):
        proprio = np.random.default_rng(number).uniform(-1, 1, (FRAMES, 4)).astype(np.float32)
        frames = np.full((FRAMES, SIDE, SIDE, 3), 60 * number, np.uint8)
        episode = Episode(
            instruction=SENTENCES[number % 2],
            frames={CAMERA: frames},
            proprio=proprio,
            actions=(proprio * np.float32([0.5, -0.5, 0.2, 0.1])).astype(np.float32),
        )
        writer.write_episode(name, episode)
    writer.finalize(names)
    return root


def losses(said: str) -> list[float]:
    return [float(loss) for loss in re.findall(r"loss:([0-9.]+)", said)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> SimpleNamespace:
    """A policy that lerobot-train made, and was asked for ten more steps from the middle."""
    home = tmp_path_factory.mktemp("plugin")
    bundle, dataset, out = motion_bundle(home / "motion"), demonstrations(home / "demos"), home / "run"
    said = lerobot(
        home,
        "lerobot.scripts.lerobot_train",
        "--policy.type=amplify",
        f"--policy.motion_bundle={bundle}",
        "--policy.size=tiny",
        "--policy.inverse={head: l1, dropout: 0.0}",
        "--policy.chunk_size=4",
        "--policy.optimizer_lr=0.003",
        "--policy.push_to_hub=false",
        "--policy.device=cpu",
        "--dataset.repo_id=local/demos",
        f"--dataset.root={dataset}",
        f"--output_dir={out}",
        "--batch_size=8",
        "--num_workers=0",
        "--steps=40",
        "--log_freq=5",
        "--save_freq=20",
    )
    config = out / "checkpoints/000020/pretrained_model/train_config.json"
    weights = [load_file(out / f"checkpoints/0000{step}/pretrained_model/model.safetensors") for step in (20, 40)]
    resumed = lerobot(
        home, "lerobot.scripts.lerobot_train", f"--config_path={config}", "--resume=true", "--steps=24", "--log_freq=2"
    )
    policy = out / "checkpoints/000040/pretrained_model"
    between(home, "to-bundle", policy, "--out", home / "exported")
    return SimpleNamespace(
        home=home,
        motion=bundle,
        out=out,
        policy=policy,
        weights=weights,
        losses=losses(said),
        resumed=losses(resumed),
        bundle=home / "exported",
    )


@pytest.fixture(scope="module")
def answers(trained) -> dict:
    said = call(trained.home, ROOT / "tests/interop/with_plugin.py", trained.policy, trained.motion, SEED)
    return json.loads(next(line for line in said.splitlines() if line.startswith('{"acted"')))


def test_lerobot_train_learns_actions_on_foreseen_motion(trained):
    assert len(trained.losses) == 8
    assert trained.losses[-1] < 0.7 * trained.losses[0]


def test_what_foresees_motion_stays_as_it_is(trained):
    motion = load_file(trained.motion / "weights.safetensors")
    for weights in trained.weights:
        for name, value in motion.items():
            model, _, rest = name.partition(".")
            torch.testing.assert_close(weights[f"models.{model}_model.{rest}"], value, rtol=0, atol=0)
    changed = {name for name in trained.weights[0] if not torch.equal(*(w[name] for w in trained.weights))}
    assert changed
    assert all(name.startswith("models.inverse_model.decoder.") for name in changed)


def test_a_checkpoint_resumes_without_the_bundle(trained):
    step = json.loads((trained.out / "checkpoints/last/training_state/training_step.json").read_text())
    assert step["step"] == 24
    assert max(trained.resumed) < trained.losses[0]
    config = json.loads((trained.policy / "config.json").read_text())
    assert config["motion_bundle"] is None
    assert config["architecture"]["parents"] == {str(trained.motion): load_bundle(trained.motion).hash}


def test_scalers_are_those_of_the_dataset(trained):
    weights = load_bundle(trained.bundle).models["inverse"].state_dict()
    proprio = np.concatenate([np.random.default_rng(n).uniform(-1, 1, (FRAMES, 4)) for n in range(EPISODES)])
    low, high = proprio.min(axis=0), proprio.max(axis=0)
    np.testing.assert_allclose(weights["decoder.proprio_scaler.centre"], (low + high) / 2, atol=1e-6)
    np.testing.assert_allclose(weights["decoder.proprio_scaler.half_range"], (high - low) / 2, atol=1e-6)


def test_the_exported_bundle_knows_what_it_learned_from(trained):
    info = info_of(load_bundle(trained.bundle))
    assert (info.cameras, info.fps, info.robot_type) == ((CAMERA,), 27, "sawyer")
    assert (info.action_names, info.proprio_names) == (ACTION_NAMES, PROPRIO_NAMES)
    assert info.instructions == tuple(sorted(SENTENCES))
    assert load_bundle(trained.bundle).parents == {str(trained.motion): load_bundle(trained.motion).hash}


def ours(trained, config: ControllerConfig) -> Controller:
    loader = Loader()
    return Controller(loader.policy(trained.bundle, kind_of(loader.bundle(trained.bundle))), config)


def seen(number: int) -> Observation:
    pictures, proprio = observation(number)
    return Observation(
        images=torch.from_numpy(pictures)[:, None],
        cameras=(CAMERA,),
        proprio=torch.from_numpy(proprio),
        instruction=SENTENCES,
    )


def test_actions_in_lerobot_are_those_of_our_policy(trained, answers):
    controller = ours(trained, ControllerConfig(replan_every=2))
    controller.reset(2)
    expected = [controller.act(seen(number)) for number in range(len(answers["acted"]["actions"]))]
    np.testing.assert_array_equal(np.float32(answers["acted"]["actions"]), torch.stack(expected).numpy())
    chunk = controller.policy.plan(seen(0)).actions.actions
    np.testing.assert_array_equal(np.float32(answers["acted"]["chunk"]), chunk.numpy())
    assert answers["acted"]["again"]
    assert answers["acted"]["other_size"] == [2, 4]


def test_a_rollout_in_lerobot_is_one_of_ours(trained, answers):
    controller, env = ours(trained, ControllerConfig()), MetaWorldEnv("drawer-open", 1)
    env.reset([SEED])
    for action in answers["rolled_out"]:
        expected = controller.act(env.observe())
        np.testing.assert_array_equal(np.float32(action), expected[0].numpy())
        env.step(expected, active=[True])
    env.close()


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("no bundle", ["no motion to learn from", "--policy.motion_bundle=BUNDLE"]),
        ("missing", ["no bundle in /nowhere"]),
        ("no inverse", ["holds no inverse model", "--policy.motion_bundle learns"]),
        ("untrained", ["needs a dataset", "lerobot-train"]),
        ("two", ["begins with one bundle"]),
        ("cameras", ["'corner2'", "observation.images.top", "--policy.views"]),
        ("view", ["unknown view", "did you mean 'corner2'"]),
        ("actions", ["'action'", "7 dimensions", "4 dimensions"]),
        ("size", ["'smal'", "did you mean 'small'"]),
        ("settings", ["widht"]),
        ("horizon", ["n_action_steps 5", "1 to 4"]),
        ("normalised", ["IDENTITY"]),
        ("task", ["drawer-oben", "drawer-open"]),
    ],
)
def test_mistakes_are_explained(answers, mistake, words):
    for word in words:
        assert word in answers["refused"][mistake]


def test_bundles_go_into_lerobots_format_and_act(trained):
    """A bundle becomes a policy for --policy.path, which lerobot-eval runs, and comes out as it went in."""
    folder = trained.home / "theirs"
    between(trained.home, "from-bundle", trained.bundle, "--out", folder)
    lerobot(
        trained.home,
        "lerobot.scripts.lerobot_eval",
        f"--policy.path={folder}",
        "--policy.device=cpu",
        "--env.type=amplify",
        "--env.task=drawer-open",
        "--env.episode_length=3",
        "--eval.n_episodes=2",
        "--eval.batch_size=2",
        f"--output_dir={trained.home / 'evaluated'}",
    )
    found = json.loads((trained.home / "evaluated/eval_info.json").read_text())
    assert found["overall"]["n_episodes"] == 2
    theirs, weights = load_file(folder / "model.safetensors"), load_file(trained.bundle / "weights.safetensors")
    theirs = {name.removeprefix("models.").replace("_model.", ".", 1): value for name, value in theirs.items()}
    torch.testing.assert_close(theirs, weights, rtol=0, atol=0)


def test_the_exported_bundle_is_evaluated_by_amplify(trained, capsys):
    options = ["--tasks", "drawer-open", "--rollouts", "1", "--workers", "0", "--controller.replan-every", "4"]
    assert run(["evaluate", "policy", str(trained.bundle), *options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["success"]
