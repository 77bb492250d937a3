import pytest
import torch

from amplify.inverse.denoiser import Denoiser
from amplify.inverse.flow import SAMPLERS, FlowHead


class Oracle(Denoiser):
    """Knows the best guess of the velocity where actions are normal with mean 0.3 and deviation 0.2."""

    mean, deviation = 0.3, 0.2

    def __init__(self, foretells="noise"):
        self.foretells = foretells
        super().__init__(4, 1, 1, 0.0, action_width=1, horizon=4, context_tokens=1)
        self.asked = []

    def see(self, context):
        return []

    def forward(self, way, time, seen, valid=None):
        self.asked.append(round(time[0].item(), 4))
        t = time[:, None, None]
        spread = (t * self.deviation) ** 2 + (1 - t) ** 2
        slope = (t * self.deviation**2 - (1 - t)) / spread
        velocity = self.mean + slope * (way - t * self.mean)
        return velocity if self.foretells == "noise" else way + (1 - t) * velocity


def make_head(**changes) -> FlowHead:
    return FlowHead(
        Oracle(changes.get("foretells", "noise")),
        **{"discount": 1.0, "sampler": "midpoint", "sampling_steps": 20, "clip_samples": False, **changes},
    )


CONTEXT = torch.zeros(3000, 1, 1)


@pytest.mark.parametrize("sampler", ["euler", "midpoint"])
def test_foretold_actions_lead_where_the_velocity_does(sampler):
    drawn = [make_head(sampler=sampler, foretells=foretells).sample(CONTEXT[:9]) for foretells in ("noise", "actions")]
    torch.testing.assert_close(*drawn, rtol=0, atol=1e-5)


def test_the_error_of_foretold_actions_is_their_own():
    head, target = make_head(foretells="actions"), torch.full((64, 4, 1), 0.5)
    head.denoiser.deviation = 0.0  # the oracle is sure of 0.3
    valid = torch.ones(64, 4, dtype=torch.bool)
    loss, guess = head.loss(torch.zeros(64, 1, 1), target, valid, generator=torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(0.04, rel=1e-4)
    torch.testing.assert_close(guess, torch.full_like(target, 0.3))


def test_several_draws_of_a_window_cost_one_look_at_its_context():
    head, target = make_head(noise_draws=3), torch.full((5, 4, 1), 0.3)
    looks, see = [], head.denoiser.see
    head.denoiser.see = lambda context: looks.append(len(context)) or see(context)
    valid = torch.ones(5, 4, dtype=torch.bool)
    _, guess = head.loss(torch.zeros(5, 1, 1), target, valid, generator=torch.Generator().manual_seed(0))
    assert guess.shape == target.shape
    assert looks == [5]

    def spread(draws: int) -> float:
        head, seeds = make_head(noise_draws=draws), range(20)
        inputs = (torch.zeros(5, 1, 1), target, valid)
        losses = [head.loss(*inputs, generator=torch.Generator().manual_seed(seed))[0] for seed in seeds]
        return torch.stack(losses).std().item()

    assert spread(32) < 0.5 * spread(1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_with_the_true_velocity_samplers_draw_from_the_true_distribution(sampler):
    drawn = make_head(sampler=sampler).sample(CONTEXT, generator=torch.Generator().manual_seed(0))
    assert abs(drawn.mean().item() - 0.3) < 0.01
    assert abs(drawn.std().item() - 0.2) < 0.03


def test_orders_of_the_samplers():
    def error(sampler: str, steps: int) -> float:
        x = torch.ones(1)
        for step in range(steps):
            x = SAMPLERS[sampler](lambda x, t: x * (1 + t), x, step / steps, 1 / steps)
        return abs(x.item() - torch.tensor(1.5).exp().item())

    assert 1.7 < error("euler", 16) / error("euler", 32) < 2.1
    assert 3.5 < error("midpoint", 8) / error("midpoint", 16) < 4.2
    assert 3.5 < error("heun", 8) / error("heun", 16) < 4.2


@pytest.mark.parametrize(
    ("sampler", "asked"), [("euler", [0, 0.5]), ("midpoint", [0, 0.25, 0.5, 0.75]), ("heun", [0, 0.5, 0.5, 1])]
)
def test_when_the_network_is_asked(sampler, asked):
    head = make_head(sampler=sampler, sampling_steps=2)
    head.sample(CONTEXT[:1])
    assert head.denoiser.asked == asked


def test_clipping_keeps_draws_in_range():
    head = make_head(clip_samples=True)
    head.denoiser.mean = 3.0
    assert (head.sample(CONTEXT[:5]) == 1).all()
    head.clip = False
    assert (head.sample(CONTEXT[:5]) > 2).all()


def test_the_loss_is_the_error_of_the_velocity_and_the_guess_where_it_leads():
    head, target = make_head(), torch.full((64, 4, 1), 0.3)
    head.denoiser.deviation = 0.0  # the oracle is sure of the actions
    valid = torch.ones(64, 4, dtype=torch.bool)
    loss, guess = head.loss(torch.zeros(64, 1, 1), target, valid, generator=torch.Generator().manual_seed(0))
    assert loss < 1e-6
    torch.testing.assert_close(guess, target)


def test_the_deterministic_draw_is_the_same_in_every_row_and_head():
    drawn = make_head().sample(CONTEXT[:3])
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn, make_head().sample(CONTEXT[:3]))
    assert drawn.std() > 0.01
