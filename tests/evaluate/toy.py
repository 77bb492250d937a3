"""A task of one dimension: go right until x > 1."""

import numpy as np
import torch

from amplify.types import ActionChunk, Observation, Plan


class Walk:
    action_low, action_high = np.array([-1.0]), np.array([1.0])

    def __init__(self, num_envs, max_steps=12):
        self.num_envs, self.max_steps, self.observed, self.closed = num_envs, max_steps, 0, False

    def reset(self, seeds):
        self.x = np.array([-(seed % 5) / 10 for seed in seeds])

    def observe(self):
        self.observed += 1
        images = torch.zeros(self.num_envs, 1, 16, 16, 3, dtype=torch.uint8)
        images[:, 0] = torch.from_numpy((self.x * 50 + 100).astype(np.uint8))[:, None, None, None]
        proprio = torch.from_numpy(self.x[:, None]).float()
        return Observation(images=images, cameras=("c",), proprio=proprio, instruction=("go right",) * self.num_envs)

    def step(self, actions, *, active):
        self.x = self.x + actions[:, 0].numpy() * np.array(active)
        return self.x > 1

    def close(self):
        self.closed = True


class Stride:
    """Plans steps of one length; those that start further left than -0.25 do not move."""

    def __init__(self, length):
        self.length = length

    def plan(self, observation, *, previous=None, generator=None):
        b = len(observation.instruction)
        moves = (observation.proprio >= -0.25).float()[:, None]
        actions = (moves * self.length).expand(b, 4, 1).contiguous()
        return Plan(actions=ActionChunk(actions=actions, valid=torch.ones(b, 4, dtype=torch.bool)), tokens=None)
