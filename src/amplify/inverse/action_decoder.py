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
        context = self.context(vision, proprio, guide, present=present, blind=self._drop_images(vision, generator))
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
        tokens = (image, self.proprio(self.proprio_scaler.scale(proprio))[:, None], self.guide(guide))
        context = torch.cat(tokens, dim=1)
        return self.context_norm(context if self.positions is None else context + self.positions)

    def _require(self, what: str, given: Tensor) -> None:
        require_axes(what, given, **self._wanted[what])

    def _drop_images(self, vision: Tensor, generator: torch.Generator | None) -> Tensor:
        """Which samples lose their image: in training a random share, in evaluation all or none."""
        chance = self.config.image_dropout if self.training else float(self.config.image_dropout == 1)
        return torch.rand(len(vision), generator=generator, device=vision.device) < chance
