"""The registry of action heads: how a configuration becomes one."""

from collections.abc import Callable

from amplify.errors import pick
from amplify.inverse.config import InverseConfig
from amplify.inverse.denoiser import Denoiser
from amplify.inverse.diffusion import DiffusionHead, squared_cosine_betas
from amplify.inverse.discrete import DiscreteHead, MixedHead, split
from amplify.inverse.flow import FlowHead
from amplify.inverse.gaussian import GaussianHead
from amplify.inverse.l1 import L1Head
from amplify.inverse.query_denoiser import QueryDenoiser
from amplify.inverse.trunk import QueryTrunk
from amplify.protocols import ActionHead


def make_head(config: InverseConfig, *, action_width: int, context_tokens: int) -> ActionHead:
    """The action head that a configuration asks for.

    Args:
        config: Its settings.
        action_width: Action dimensions.
        context_tokens: Tokens of the context that it will get.

    Raises:
        UnknownNameError: There is no such head.
        UsageError: The discrete dimensions do not fit the actions.
    """
    make = pick(config.head, HEADS, kind="action head")
    if not config.discrete:
        return make(config, action_width, context_tokens)
    discrete, others = split(config.discrete, action_width)
    continuous = make(config, len(others), context_tokens)
    classifier = DiscreteHead(_trunk(config), len(discrete), discount=config.discount)
    return MixedHead(classifier, continuous, (discrete, others))


def _trunk(config: InverseConfig) -> QueryTrunk:
    return QueryTrunk(config.width, config.layers, config.heads, config.dropout, horizon=config.action_horizon)


def _denoiser(config: InverseConfig, action_width: int, context_tokens: int) -> Denoiser | QueryDenoiser:
    if config.denoiser == "queries":
        sizes = (config.width, config.layers, config.heads, config.dropout)
        return QueryDenoiser(*sizes, action_width=action_width, horizon=config.action_horizon)
    return Denoiser(
        config.width,
        config.layers,
        config.heads,
        config.dropout,
        action_width=action_width,
        horizon=config.action_horizon,
        context_tokens=context_tokens,
        adaptive=config.denoiser == "adaptive",
        steps_attend=config.steps_attend,
    )


def _gaussian(config: InverseConfig, action_width: int, context_tokens: int) -> ActionHead:
    return GaussianHead(
        _trunk(config), action_width, discount=config.discount, std=config.std, std_kind=config.std_kind
    )


def _l1(config: InverseConfig, action_width: int, context_tokens: int) -> ActionHead:
    return L1Head(_trunk(config), action_width, discount=config.discount)


def _diffusion(config: InverseConfig, action_width: int, context_tokens: int) -> ActionHead:
    return DiffusionHead(
        _denoiser(config, action_width, context_tokens),
        config.betas or squared_cosine_betas(config.diffusion_steps),
        discount=config.discount,
        sampler=config.diffusion_sampler,
        sampling_steps=config.drawing_steps,
        foretells=config.foretells,
        noise_draws=config.noise_draws,
        mean_draws=config.mean_draws,
        clip_samples=config.clip_samples,
    )


def _flow(config: InverseConfig, action_width: int, context_tokens: int) -> ActionHead:
    return FlowHead(
        _denoiser(config, action_width, context_tokens),
        discount=config.discount,
        sampler=config.flow_sampler,
        sampling_steps=config.drawing_steps,
        foretells=config.foretells,
        noise_draws=config.noise_draws,
        mean_draws=config.mean_draws,
        clip_samples=config.clip_samples,
    )


HEADS: dict[str, Callable[[InverseConfig, int, int], ActionHead]] = {
    "gaussian": _gaussian,
    "l1": _l1,
    "diffusion": _diffusion,
    "flow": _flow,
}
"""How each head is made of settings, action dimensions and the number of context tokens."""
