"""What every action head promises, whatever it is made of."""

import pytest
import torch
from torch import nn

from amplify.inverse import InverseConfig, InverseDynamics
from amplify.inverse.heads import HEADS, make_head
from amplify.nn.precision import converted
from amplify.policy.bundle import load_bundle, save_bundle
from amplify.types import ActionChunk, Features

HORIZON, ACTIONS, TOKENS, WIDTH = 4, 3, 5, 32
KINDS: dict[str, dict] = {
    "gaussian": {"head": "gaussian"},
    "gaussian of learned width": {"head": "gaussian", "std_kind": "learned", "std": 0.3},
    "l1": {"head": "l1"},
    "diffusion": {"head": "diffusion"},
    "diffusion, level as token, DDPM": {
        "head": "diffusion", "denoiser": "token", "diffusion_sampler": "ddpm", "diffusion_steps": 20,
    },
    "flow": {"head": "flow"},
    "flow, steps apart, Euler": {"head": "flow", "steps_attend": False, "flow_sampler": "euler"},
    "flow, queries, foretelling actions": {"head": "flow", "denoiser": "queries", "foretells": "actions"},
    "diffusion, queries, foretelling actions, three draws": {
        "head": "diffusion", "denoiser": "queries", "foretells": "actions", "noise_draws": 3,
    },
    "gaussian and discrete": {"head": "gaussian", "discrete": (1,)},
    "flow and discrete": {"head": "flow", "discrete": (1,)},
}  # fmt: skip
every_head = pytest.mark.parametrize("kind", KINDS)


def config_of(kind: str, **changes) -> InverseConfig:
    small = {"width": WIDTH, "layers": 1, "heads": 2, "dropout": 0.0, "action_horizon": HORIZON, "discount": 0.9}
    return InverseConfig(**{**small, **KINDS[kind], **changes})


def head_of(kind: str, **changes):
    torch.manual_seed(0)
    return make_head(config_of(kind, **changes), action_width=ACTIONS, context_tokens=TOKENS)


def make_batch(batch: int = 4, seed: int = 1):
    """Contexts; straight paths whose second dimension is ±0.8; all valid."""
    g = torch.Generator().manual_seed(seed)
    context = torch.randn(batch, TOKENS, WIDTH, generator=g)
    slope = torch.rand(batch, 1, ACTIONS, generator=g) - 0.5
    target = 0.8 * slope * torch.linspace(-1, 1, HORIZON)[:, None] + torch.rand(batch, 1, ACTIONS, generator=g) - 0.5
    target[..., 1] = 0.8 * target[..., :1, 1].sign()
    return context, target, torch.ones(batch, HORIZON, dtype=torch.bool)


def fitted(kind: str, **changes):
    """A head that knows the values of its discrete dimensions."""
    head = head_of(kind, **changes)
    if "discrete" in KINDS[kind]:
        head.fit(make_batch(64)[1].flatten(0, 1))
    return head


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def train(head, batch, steps: int, lr: float = 3e-3) -> None:
    optimiser = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=0)
    generator = seeded()
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * (1 - step / steps)
        loss, _ = head.loss(*batch(step), generator=generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    head.eval()


def test_every_registered_head_is_here():
    assert {kind["head"] for kind in KINDS.values()} == set(HEADS)


@every_head
def test_shapes_and_range(kind):
    head, (context, target, valid) = fitted(kind), make_batch()
    loss, guess = head.loss(context, target, valid, generator=seeded())
    assert loss.shape == ()
    assert loss.isfinite()
    assert not guess.requires_grad
    assert guess.shape == target.shape
    for generator in (None, seeded()):
        sample = head.sample(context, generator=generator)
        assert sample.shape == target.shape
        assert sample.abs().max() <= 1


@every_head
def test_padded_steps_change_neither_loss_nor_gradient_nor_the_other_steps(kind):
    head, (context, target, valid) = fitted(kind), make_batch()
    valid[0, 2:], valid[1, 1:] = False, False
    results = []
    for padding in (0.0, 0.9):
        padded = torch.where(valid[..., None], target, padding)
        head.zero_grad()
        loss, guess = head.loss(context, padded, valid, generator=seeded())
        loss.backward()
        results.append((loss, guess[valid], torch.cat([p.grad.flatten() for p in head.parameters()])))
    for one, other in zip(*results):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    everything = head.loss(context, target, torch.ones_like(valid), generator=seeded())[0]
    assert not torch.isclose(results[0][0], everything)


@every_head
def test_a_chunk_without_a_valid_step_is_worth_nothing(kind):
    head, (context, target, valid) = fitted(kind), make_batch()
    loss, guess = head.loss(context, target, torch.zeros_like(valid), generator=seeded())
    assert loss == 0
    assert guess.isfinite().all()


@every_head
def test_seeds_reproduce(kind):
    head, (context, target, valid) = fitted(kind).eval(), make_batch()
    assert torch.equal(head.sample(context), head.sample(context))
    drawn = [head.sample(context, generator=seeded(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    if kind != "l1":  # it has no randomness
        assert not torch.equal(drawn[0], drawn[2])
    losses = [head.loss(context, target, valid, generator=seeded(seed))[0] for seed in (0, 0)]
    assert losses[0] == losses[1]


@every_head
def test_the_gradient_reaches_everything(kind):
    head, batch = fitted(kind), make_batch(16)
    head.loss(*batch, generator=seeded())[0].backward()
    # A learned deviation starts as the same everywhere; the gradient reaches it all the same.
    without = [name for name, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


@every_head
def test_permuting_the_batch_permutes_the_result(kind):
    head, (context, _, _) = fitted(kind).eval(), make_batch()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(head.sample(context[order]), head.sample(context)[order], rtol=1e-5, atol=1e-5)


@every_head
def test_the_context_matters(kind):
    head, (context, _, _) = fitted(kind).eval(), make_batch()
    assert not torch.allclose(head.sample(context), head.sample(context.roll(1, 0)), atol=1e-4)


@every_head
def test_overfits_four_samples(kind):
    head, batch = fitted(kind), make_batch()
    noisy = KINDS[kind]["head"] in ("diffusion", "flow")
    several = tuple(x.repeat(12, *[1] * (x.ndim - 1)) for x in batch) if noisy else batch
    train(head, lambda _: several, 130, lr=5e-3 if noisy else 3e-3)
    context, target, _ = batch
    for generator in (None,) if "gaussian" in kind else (None, seeded()):
        assert (head.sample(context, generator=generator) - target).abs().mean() < 0.12


def two_ways(step: int, batch: int = 48):
    """One context, two ways to act, 7 : 3; the second dimension follows the way, the third is always 0.2."""
    g = seeded(step)
    way = torch.where(torch.rand(batch, 1, generator=g) < 0.7, 1.0, -1.0).expand(-1, HORIZON)
    target = torch.stack((0.6 * way, way, torch.full_like(way, 0.2)), dim=-1)
    noise = 0.03 * torch.randn(target.shape, generator=g) * torch.tensor([1.0, 0.0, 1.0])
    return torch.ones(batch, TOKENS, WIDTH), target + noise, torch.ones(batch, HORIZON, dtype=torch.bool)


QUERIES = ["flow, queries, foretelling actions", "diffusion, queries, foretelling actions, three draws"]


@pytest.mark.parametrize("kind", ["diffusion", "diffusion, level as token, DDPM", "flow", *QUERIES])
def test_recovers_two_ways_to_act(kind):
    head = head_of(kind, discount=1.0)
    train(head, two_ways, 220)
    first, second, third = head.sample(torch.ones(300, TOKENS, WIDTH), generator=seeded()).unbind(-1)
    assert (first.abs() - 0.6).abs().mean() < 0.15
    assert (third - 0.2).abs().mean() < 0.12
    assert 0.55 < (first > 0).float().mean() < 0.85
    # One way a chunk, in all its steps and dimensions.
    assert ((first > 0) == (first[:, :1] > 0)).float().mean() > 0.95
    assert ((first > 0) == (second > 0)).float().mean() > 0.95


def test_a_discrete_part_recovers_how_often_each_value_is_taken():
    head = head_of("gaussian and discrete", discount=1.0)
    head.fit(two_ways(0)[1].flatten(0, 1))
    train(head, two_ways, 60)
    context = torch.ones(500, TOKENS, WIDTH)
    drawn = head.sample(context, generator=seeded())[..., 1]
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    assert 0.6 < (drawn > 0).float().mean() < 0.8
    assert (head.sample(context)[..., 1] == 1).all()


@pytest.mark.parametrize("kind", ["gaussian", "l1"])
def test_heads_of_one_mode_go_between(kind):
    """Known and accepted: a single mean for two ways lies between them, or takes one and forgets the other."""
    head = head_of(kind, discount=1.0, std=0.3)
    train(head, two_ways, 80, lr=1e-2)
    drawn = head.sample(torch.ones(500, TOKENS, WIDTH), generator=seeded())[..., 0]
    if kind == "gaussian":
        assert 0.05 < drawn.mean() < 0.4
        assert ((drawn.abs() - 0.6).abs() < 0.1).float().mean() < 0.5
    else:
        assert drawn.std(dim=0).max() < 1e-4
        assert (drawn > 0.4).all()  # the median is the more frequent way


@every_head
def test_weights_of_fewer_bits_act_nearly_the_same(kind):
    head, (context, _, _) = fitted(kind).eval(), make_batch()
    coarse = converted(head, "bfloat16").sample(context)
    assert coarse.dtype == torch.float32
    changed = (coarse - head.sample(context)).abs()
    assert 0 < changed.max() < 0.2


@pytest.mark.parametrize("kind", ["gaussian and discrete", "diffusion", "flow", *QUERIES])
def test_it_is_exported_for_batches_of_any_size(kind):
    class Sampling(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = fitted(kind).eval()

        def forward(self, context: torch.Tensor) -> torch.Tensor:
            return self.head.sample(context)

    sampling, batch = Sampling(), torch.export.Dim("batch", min=1, max=64)
    with torch.no_grad():
        exported = torch.export.export(sampling, (make_batch()[0],), dynamic_shapes=({0: batch},))
        context = make_batch(7)[0]
        torch.testing.assert_close(exported.module()(context), sampling(context))


@every_head
def test_saved_and_loaded_in_a_bundle_it_acts_the_same(kind, tmp_path):
    torch.manual_seed(0)
    sizes = {"vision_width": 6, "patches": 4, "views": 1, "proprio_width": 2, "action_width": ACTIONS}
    model = InverseDynamics(config_of(kind), code_width=4, tokens=3, **sizes).eval()
    target = make_batch(64)[1]
    model.fit_scalers(torch.randn(64, 2), 5 + 3 * target.flatten(0, 1))
    save_bundle(tmp_path / "bundle", {"inverse": model})
    loaded = load_bundle(tmp_path / "bundle").module("inverse", InverseDynamics)
    seen = Features(vision=torch.randn(2, 1, 4, 6), text=torch.zeros(2, 1, 1)), torch.randn(2, 2), torch.randn(2, 3, 4)
    acted = loaded.act(*seen, generator=seeded())
    assert isinstance(acted, ActionChunk)
    assert torch.equal(acted.actions, model.act(*seen, generator=seeded()).actions)
    assert torch.equal(loaded.act(*seen).actions, model.act(*seen).actions)
    for dimension in KINDS[kind].get("discrete", ()):
        values = 5 + 3 * target[..., dimension].unique()
        nearest = (acted.actions[..., dimension, None] - values).abs().amin(dim=-1)
        assert nearest.max() < 1e-5
