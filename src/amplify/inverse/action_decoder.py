"""What inverse dynamics and behaviour cloning share: context tokens → action chunk."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amplify.inverse.config import InverseConfig
from amplify.inverse.discrete import MixedHead
from amplify.inverse.heads import make_head
from amplify.inverse.scaler import Scaler
from amplify.nn.absent import without_absent
from amplify.nn.shapes import require_axes
from amplify.nn.standardise import feature_norm
from amplify.nn.transformer import embedding_table
from amplify.protocols import ActionHead
from amplify.types import ActionChunk


class PostureReading(nn.Module):
    """Guide tokens in the light of how the robot stands, to be added to what they mean by themselves.

    Args:
        guide_width: Channels of a guide token.
        proprio_width: Dimensions of proprioception.
        width: Channels of what is added.
    """

    def __init__(self, guide_width: int, proprio_width: int, width: int):
        super().__init__()
        self.posture = nn.Sequential(nn.Linear(3 * proprio_width, width), nn.GELU(), nn.Linear(width, width))
        self.together = nn.Sequential(nn.Linear(guide_width + width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(
        self, guide: Float[Tensor, "b g e"], proprio: Float[Tensor, "b q"], scaled: Float[Tensor, "b q"]
    ) -> Float[Tensor, "b g w"]:
        """What is to be added.

        Args:
            guide: What says what to do.
            proprio: Environment units; where these are radians, sines and cosines say where joints point.
            scaled: The same, scaled.
        """
        posture = self.posture(torch.cat([scaled, proprio.sin(), proprio.cos()], dim=-1))
        return self.together(torch.cat([guide, posture[:, None].expand(-1, guide.shape[1], -1)], dim=-1))


class ActionDecoder(nn.Module):
    """An action head that sees image, proprioception and guide tokens.

    The guide says what to do: motion codes for inverse dynamics, the instruction for behaviour cloning.

    Args:
        config: Sizes and loss.
        guide_width: Channels of a guide token.
        guides: Guide tokens.
        vision_width: Channels of an image patch.
        patches: Patches of a view.
        views: Cameras.
        proprio_width: Dimensions of proprioception.
        action_width: Action dimensions.
    """

    head: ActionHead

    def __init__(
        self,
        config: InverseConfig,
        *,
        guide_width: int,
        guides: int,
        vision_width: int,
        patches: int,
        views: int,
        proprio_width: int,
        action_width: int,
    ):
        super().__init__()
        self.config = config
        self._wanted = {
            "image features": {"views": views, "patches": patches, "channels": vision_width},
            "proprioceptions": {"dimensions": proprio_width},
            "guides": {"tokens": guides},
            "action chunks": {"steps": config.action_horizon, "dimensions": action_width},
        }
        width = config.width
        joined = config.view_fusion == "concat"
        token_width, image_tokens = (views * vision_width, patches) if joined else (vision_width, views * patches)
        context_tokens = image_tokens + 1 + guides
        self.proprio_scaler = Scaler(proprio_width)
        self.action_scaler = Scaler(action_width)
        self.vision = nn.Sequential(feature_norm(config.feature_norm, token_width), nn.Linear(token_width, width))
        self.proprio = nn.Linear(proprio_width, width)
        self.guide = nn.Linear(guide_width, width)
        self.reading = PostureReading(guide_width, proprio_width, width) if config.posture == "read" else None
        self.no_image = embedding_table(width)
        self.positions = embedding_table(context_tokens, width) if config.key_positions else None
        self.context_norm = nn.LayerNorm(width, bias=False) if config.context_norm else nn.Identity()
        self.head = make_head(config, action_width=action_width, context_tokens=context_tokens)

    def fit_scalers(self, proprio: Float[Tensor, "m p"], actions: Float[Tensor, "l a"]) -> None:
        """Fits both scalers, and the values of discrete actions, to training data in environment units."""
        self.proprio_scaler.fit(proprio, self.config.proprio_scaling)
        self.action_scaler.fit(actions)
        if isinstance(self.head, MixedHead):
            self.head.fit(self.action_scaler.scale(actions))

    def loss(
        self,
        vision: Float[Tensor, "b v p d"],
        proprio: Float[Tensor, "b q"],
        guide: Float[Tensor, "b g e"],
        actions: ActionChunk,
        *,
        present: Bool[Tensor, "b v"] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The head's loss on valid actions; arguments are those of `context`.

        Returns:
            A scalar, and figures to log: ``action_error`` (mean absolute error of the head's best guess, scaled units).

        Raises:
            DataError: Something is of another shape than the model was made for.
        """
        self._require("action chunks", actions.actions)
        blind = self._drop_images(vision, generator)
        context = self.context(vision, self._disturbed(proprio, generator), guide, present=present, blind=blind)
        target = self.action_scaler.scale(actions.actions).clamp(-1, 1)
        loss, guess = self.head.loss(context, target, actions.valid, generator=generator)
        error = (guess - target).abs().mean(dim=-1)
        return loss, {"action_error": (error * actions.valid).sum() / actions.valid.sum().clamp_min(1)}

    @torch.no_grad()
    def act(
        self,
        vision: Float[Tensor, "b v p d"],
        proprio: Float[Tensor, "b q"],
        guide: Float[Tensor, "b g e"],
        *,
        present: Bool[Tensor, "b v"] | None = None,
        generator: torch.Generator | None = None,
    ) -> ActionChunk:
        """An action chunk in environment units; without a generator the mode, or a draw that is always the same.

        Raises:
            DataError: Something is of another shape than the model was made for.
        """
        scaled = self.head.sample(self.context(vision, proprio, guide, present=present), generator=generator)
        actions = self.action_scaler.unscale(scaled)
        return ActionChunk(actions=actions, valid=torch.ones_like(actions[..., 0], dtype=torch.bool))

    def context(
        self,
        vision: Float[Tensor, "b v p d"],
        proprio: Float[Tensor, "b q"],
        guide: Float[Tensor, "b g e"],
        *,
        present: Bool[Tensor, "b v"] | None = None,
        blind: Bool[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b c w"]:
        """The tokens that the head sees: of the image, of proprioception (one), of the guide.

        Args:
            vision: Patch tokens of every view.
            proprio: Environment units.
            guide: What says what to do.
            present: False for views that a source lacks: as if those had been dropped; all are there by default.
            blind: Which samples lose their image; by default none, or all of a model that never sees one.

        Raises:
            DataError: One of them is of another shape than the model was made for.
        """
        for what, given in (("image features", vision), ("proprioceptions", proprio), ("guides", guide[..., 0])):
            self._require(what, given)
        if blind is None:
            blind = torch.full((vision.shape[0],), self.config.image_dropout == 1, device=vision.device)
        joined = self.config.view_fusion == "concat"
        vision = without_absent(vision, present)
        image = self.vision(vision.transpose(1, 2).flatten(2) if joined else vision.flatten(1, 2))
        unseen = blind[:, None]
        if present is not None:
            absent = ~present
            # Joined patches are those of all views, so they are lost with the last view only.
            absent = absent.all(dim=1)[:, None] if joined else absent.repeat_interleave(vision.shape[2], dim=1)
            unseen = unseen | absent
        image = torch.where(unseen[..., None], self.no_image, image)
        scaled = self.proprio_scaler.scale(proprio)
        guided = self.guide(guide)
        if self.reading is not None:
            guided = guided + self.reading(guide, proprio, scaled)
        context = torch.cat((image, self.proprio(scaled)[:, None], guided), dim=1)
        return self.context_norm(context if self.positions is None else context + self.positions)

    def _require(self, what: str, given: Tensor) -> None:
        require_axes(what, given, **self._wanted[what])

    def _disturbed(self, proprio: Tensor, generator: torch.Generator | None) -> Tensor:
        """In training, with noise; in environment units, as it was."""
        if not self.training or not self.config.proprio_noise:
            return proprio
        noise = torch.randn(proprio.shape, generator=generator, device=proprio.device, dtype=proprio.dtype)
        scaler = self.proprio_scaler
        return scaler.unscale(scaler.scale(proprio) + self.config.proprio_noise * noise)

    def _drop_images(self, vision: Tensor, generator: torch.Generator | None) -> Tensor:
        """Which samples lose their image: in training a random share, in evaluation all or none."""
        chance = self.config.image_dropout if self.training else float(self.config.image_dropout == 1)
        return torch.rand(len(vision), generator=generator, device=vision.device) < chance
