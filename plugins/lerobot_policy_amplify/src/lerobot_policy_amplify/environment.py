"""Our benchmarks as environments of LeRobot: ``--env.type=amplify --env.benchmark=metaworld --env.task=door-open``."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE

from amplify.errors import DataError, pick
from amplify.protocols import Benchmark, Env
from amplify.sim.benchmarks import BENCHMARKS
from amplify.sim.gl import ensure_gl
from amplify.types import Observation

GYM_ID = "amplify/Benchmark-v0"


@EnvConfig.register_subclass("amplify")
@dataclass
class AmplifyEnvConfig(EnvConfig):
    """A task of one of our benchmarks.

    Args:
        benchmark: One of `amplify.sim.benchmarks.BENCHMARKS`.
        task: Its task by name.
        episode_length: Decisions after which an episode has failed; the benchmark's own by default.
    """

    task: str | None = "drawer-open"
    benchmark: str = "metaworld"
    episode_length: int | None = None
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Looks at the task, for sizes and names.

        Raises:
            AmplifyError: There is no such benchmark or task.
        """
        seen = _seen(self.benchmark, str(self.task))
        height, width = seen.images.shape[2:4]
        assert seen.proprio is not None
        image = PolicyFeature(type=FeatureType.VISUAL, shape=(height, width, 3))
        self.features = {f"pixels/{camera}": image for camera in seen.cameras}
        self.features_map = {f"pixels/{camera}": f"{OBS_IMAGES}.{camera}" for camera in seen.cameras}
        self.features["agent_pos"] = PolicyFeature(type=FeatureType.STATE, shape=(seen.proprio.shape[1],))
        actions = _limits(self.benchmark, str(self.task))
        self.features[ACTION] = PolicyFeature(type=FeatureType.ACTION, shape=(len(actions),))
        self.features_map |= {"agent_pos": OBS_STATE, ACTION: ACTION}

    @property
    def gym_id(self) -> str:
        """Registered below."""
        return GYM_ID

    @property
    def package_name(self) -> str:
        """Whose import registers it."""
        return __name__

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """Arguments of `BenchmarkEnv`."""
        return {"benchmark": self.benchmark, "task": self.task, "episode_length": self.episode_length}


def _made(benchmark: str, task: str) -> tuple[Benchmark, Env]:
    ensure_gl()
    made: Benchmark = pick(benchmark, BENCHMARKS, kind="benchmark")()
    return made, made.make(task, 1)


@lru_cache(maxsize=8)
def _seen(benchmark: str, task: str) -> Observation:
    _, env = _made(benchmark, task)
    env.reset([0])
    seen = env.observe()
    env.close()
    return seen


@lru_cache(maxsize=8)
def _limits(benchmark: str, task: str) -> tuple[tuple[float, float], ...]:
    _, env = _made(benchmark, task)
    env.close()
    return tuple(zip(env.action_low.tolist(), env.action_high.tolist()))


class BenchmarkEnv(gymnasium.Env):
    """One copy of a task in Gymnasium's terms; a seed fixes the initial state completely.

    Args:
        benchmark: See `AmplifyEnvConfig`.
        task: See `AmplifyEnvConfig`.
        episode_length: See `AmplifyEnvConfig`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012  (as Gymnasium has it)
    render_mode = "rgb_array"

    def __init__(self, benchmark: str, task: str, episode_length: int | None = None):
        made, self._env = _made(benchmark, task)
        self.task, self.task_description = task, made.instruction(task)
        self._max_episode_steps = episode_length or self._env.max_steps
        self._decisions = 0
        seen = _seen(benchmark, task)
        assert seen.proprio is not None
        picture = gymnasium.spaces.Box(0, 255, seen.images.shape[2:], np.uint8)
        state = gymnasium.spaces.Box(-np.inf, np.inf, (seen.proprio.shape[1],), np.float32)
        pixels = gymnasium.spaces.Dict(dict.fromkeys(seen.cameras, picture))
        self.observation_space = gymnasium.spaces.Dict({"pixels": pixels, "agent_pos": state})
        self.action_space = gymnasium.spaces.Box(self._env.action_low, self._env.action_high, dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """The first observation; of a random initial state where there is no seed."""
        super().reset(seed=seed)
        self._env.reset([int(self.np_random.integers(2**31)) if seed is None else seed])
        self._decisions = 0
        return self._observed(), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Reward 1 and the end with success."""
        if not np.isfinite(action).all():
            raise DataError("an action that is not finite numbers", got=action.tolist())
        success = bool(self._env.step(torch.as_tensor(action, dtype=torch.float32)[None], active=[True])[0])
        self._decisions += 1
        ended = self._decisions >= self._max_episode_steps and not success
        return self._observed(), float(success), success, ended, {"is_success": success}

    def render(self) -> np.ndarray:
        """The first view."""
        return self._env.observe().images[0, 0].numpy()

    def close(self) -> None:
        """Frees the simulator."""
        self._env.close()

    def _observed(self) -> dict[str, Any]:
        seen = self._env.observe()
        assert seen.proprio is not None
        pixels = {camera: seen.images[0, number].numpy() for number, camera in enumerate(seen.cameras)}
        return {"pixels": pixels, "agent_pos": seen.proprio[0].numpy().astype(np.float32)}


# Without Gymnasium's wrappers, behind which LeRobot does not find the instruction.
gymnasium.register(GYM_ID, entry_point=f"{__name__}:BenchmarkEnv", order_enforce=False, disable_env_checker=True)
