"""What few sampling steps cost in action error: a small head, trained here on actions whose truth is known."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from amplify import rng
from amplify.inverse import InverseConfig
from amplify.inverse.heads import make_head
from amplify.jobs import progress

TOKENS, ACTIONS = 4, 3
BATCH, JUDGED = 64, 512
LEARNING_RATE = 3e-3


def sampling_error(config: InverseConfig, reference: dict[str, Any], *, seed: int, steps: int) -> dict[str, float]:
    """Mean distance from drawn actions to the nearer of two right answers, with few steps and with the reference's.

    The two answers to a context are opposite to each other, and equally right, so a mean of them is wrong everywhere.

    Args:
        config: Head and samplers; a small width and one layer take the place of its own.
        reference: Settings of the reference implementation's sampler.
        seed: Of data and weights.
        steps: Of training.

    Returns:
        ``few_steps``, ``reference_steps``, and ``mean_of_answers``: what an average of the two answers would miss.
    """
    small = InverseConfig.model_validate(config.model_dump() | {"width": 64, "layers": 1, "heads": 4, "dropout": 0.0})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.derive(seed, "bench", "head"))
        head: Any = make_head(small, action_width=ACTIONS, context_tokens=TOKENS)
        embed = torch.nn.Linear(2, TOKENS * small.width).requires_grad_(False)
    phase = 0.2 * torch.arange(small.action_horizon)[:, None] + torch.arange(ACTIONS)
    generator = rng.torch_generator(seed, "bench", "head")

    def drawn(count: int) -> tuple[Float[Tensor, "b c w"], Float[Tensor, "b s a"]]:
        asked = torch.rand(count, 2, generator=generator) * 2 - 1
        answer = 0.8 * torch.sin(phase + 1.5 * asked[:, :1, None])
        return 3 * embed(asked).unflatten(1, (TOKENS, -1)), answer

    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    valid = torch.ones(BATCH, small.action_horizon, dtype=torch.bool)
    for _ in progress(range(steps), total=steps, label=f"{small.head} head", unit="step"):
        context, answer = drawn(BATCH)
        side = torch.randint(2, (BATCH, 1, 1), generator=generator) * 2 - 1
        loss, _ = head.loss(context, side * answer, valid, generator=generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    context, answer = drawn(JUDGED)
    many = make_head(
        InverseConfig.model_validate(small.model_dump() | reference), action_width=ACTIONS, context_tokens=TOKENS
    )
    many.load_state_dict(head.state_dict())  # type: ignore[attr-defined]

    def error(sampler: Any) -> float:
        actions = sampler.eval().sample(context, generator=generator)
        sides = torch.stack([(actions - sign * answer).abs().mean(dim=(1, 2)) for sign in (1, -1)])
        return float(sides.amin(dim=0).mean())

    return {
        "few_steps": error(head),
        "reference_steps": error(many),
        "mean_of_answers": float(answer.abs().mean()),
    }
