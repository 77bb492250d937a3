import pytest
import torch

from amplify.inverse.denoiser import Denoiser
from amplify.inverse.diffusion import DiffusionHead, squared_cosine_betas


class Oracle(Denoiser):
    """Knows the best guess of the noise where clean actions are normal with mean 0.3 and deviation 0.2."""

    mean, deviation = 0.3, 0.2

    def __init__(self, levels: int, foretells: str = "noise"):
        self.foretells = foretells
        super().__init__(4, 1, 1, 0.0, action_width=1, horizon=4, context_tokens=1)
        self.signal = (1 - torch.tensor(squared_cosine_betas(levels))).cumprod(0)
        self.asked = []

    def see(self, context):
        return []

    def forward(self, noisy, level, seen, valid=None):
        self.asked.append(level[0].item())
        signal = self.signal[level.long(), None, None]
        spread = signal * self.deviation**2 + 1 - signal
        noise = (1 - signal).sqrt() * (noisy - signal.sqrt() * self.mean) / spread
        return noise if self.foretells == "noise" else (noisy - (1 - signal).sqrt() * noise) / signal.sqrt()


def make_head(levels=50, **changes) -> DiffusionHead:
    settings = {"discount": 1.0, "sampler": "ddim", "sampling_steps": 10, "clip_samples": False, **changes}
    oracle = Oracle(levels, changes.get("foretells", "noise"))
    return DiffusionHead(oracle, squared_cosine_betas(levels), **settings)


CONTEXT = torch.zeros(3000, 1, 1)


# Few levels draw too near to the mean.
@pytest.mark.parametrize(("sampler", "steps", "off"), [("ddpm", 1, 0.04), ("ddim", 10, 0.06), ("ddim", 50, 0.02)])
def test_with_the_true_noise_samplers_draw_from_the_true_distribution(sampler, steps, off):
    drawn = make_head(sampler=sampler, sampling_steps=steps).sample(CONTEXT, generator=torch.Generator().manual_seed(0))
    assert abs(drawn.mean().item() - 0.3) < 0.01
    assert abs(drawn.std().item() - 0.2) < off


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_foretold_actions_lead_where_the_foretold_noise_does(sampler):
    drawn = [make_head(sampler=sampler, foretells=foretells).sample(CONTEXT[:9]) for foretells in ("noise", "actions")]
    torch.testing.assert_close(*drawn, rtol=0, atol=2e-3)  # the noisiest level has next to no signal to divide by


def test_the_error_of_foretold_actions_is_their_own():
    head, target = make_head(foretells="actions", noise_draws=2), torch.full((64, 4, 1), 0.5)
    head.denoiser.deviation = 1e-3  # the oracle is sure of 0.3
    valid = torch.ones(64, 4, dtype=torch.bool)
    loss, guess = head.loss(torch.zeros(64, 1, 1), target, valid, generator=torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(0.04, rel=0.02)
    assert guess.shape == target.shape
    assert (guess - 0.3).abs().max() < 0.02


def test_which_levels_are_visited():
    ddim, ddpm = make_head(sampling_steps=8), make_head(sampler="ddpm")
    ddim.sample(CONTEXT[:1])
    ddpm.sample(CONTEXT[:1])
    assert ddim.denoiser.asked == [49, 42, 35, 28, 21, 14, 7, 0]
    assert ddpm.denoiser.asked == list(range(49, -1, -1))


def test_clipping_keeps_draws_in_range():
    head = make_head(clip_samples=True)
    head.denoiser.mean = 3.0
    assert (head.sample(CONTEXT[:5]) == 1).all()
    head.clip = False
    assert (head.sample(CONTEXT[:5]) > 2).all()


def test_the_squared_cosine_schedule_goes_from_all_signal_to_none():
    signal = make_head(100).signal
    assert signal[0] > 0.999
    assert signal[-1] < 1e-4
    assert (signal.diff() < 0).all()
    middle = squared_cosine_betas(100)[49]
    torch.testing.assert_close(torch.tensor(middle), 1 - signal[49] / signal[48], rtol=1e-3, atol=0)


def test_noise_is_added_by_level():
    head, clean = make_head(), torch.full((2, 4, 1), 0.5)
    noisy = head.add_noise(clean, torch.ones(2, 4, 1), torch.tensor([0, 49]))
    assert (noisy[0] - 0.5).abs().max() < 0.05
    assert (noisy[1] - 1.0).abs().max() < 0.05


def test_the_loss_is_the_error_of_the_noise_and_the_guess_the_clean_actions():
    head, target = make_head(), torch.full((64, 4, 1), 0.3)
    head.denoiser.deviation = 1e-3  # the oracle is sure of the actions
    valid = torch.ones(64, 4, dtype=torch.bool)
    loss, guess = head.loss(torch.zeros(64, 1, 1), target, valid, generator=torch.Generator().manual_seed(0))
    assert loss < 0.01
    assert (guess - target).abs().max() < 0.02


def test_betas_can_be_given():
    head = DiffusionHead(Oracle(3), (0.1, 0.2, 0.5), discount=1.0, sampler="ddpm", sampling_steps=1)
    torch.testing.assert_close(head.signal, torch.tensor([0.9, 0.72, 0.36]))
