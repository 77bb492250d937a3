"""Settings of inverse dynamics, and of the baselines that share its action decoder."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from amplify.config import GrownConfig

FAST_DENOISING = {"denoiser": "queries", "foretells": "actions", "mean_draws": 16}
"""Settings with which diffusion and flow learn about as fast as direct regression, and act more surely; see
``docs/models.md``."""


class InverseConfig(GrownConfig):
    """Sizes, loss and action head of inverse dynamics, and of behaviour cloning.

    Args:
        width: Channels.
        layers: Transformer layers of the head: of the query trunk (Gaussian, L1, discrete part) or of the denoiser
            (diffusion, flow).
        heads: Attention heads.
        dropout: Residual dropout.
        action_horizon: Actions of a chunk.
        head: "gaussian", "l1", "diffusion" or "flow".
        discrete: Numbers of the action dimensions that take few values (a gripper); they are classified among the
            values in the training data, and the head has the others.
        discount: Loss weight of action t is discount^t.
        std: Standard deviation of the Gaussian head in scaled units; where it is learned, the one it starts from.
        std_kind: Whether that deviation is "fixed" or "learned", one for each action of each sample.
        denoiser: How the network of diffusion and flow knows the noise level: "adaptive" scales and shifts its norms
            with it, "token" adds it to the context as one more token, and reads the context through an MLP. "queries"
            adds it, and the noisy chunk, to the learned queries from which the Gaussian and L1 heads start.
        steps_attend: Whether the actions of a noisy chunk attend to each other; with "queries" they always do.
        diffusion_steps: Noise levels of diffusion.
        betas: Share of the signal's power that each level takes away; the squared-cosine schedule by default.
        diffusion_sampler: "ddim" visits ``sampling_steps`` levels, "ddpm" all, adding fresh noise after each.
        flow_sampler: "euler" asks the network once a step, "midpoint" and "heun" twice.
        sampling_steps: Steps from noise to actions; 8 by default, 6 where each asks the network twice. On chunks with
            two right answers (two seeds), a draw was off the nearer one by 0.015 after 6 midpoint steps, 0.020 after
            4, 0.015 after 8 Euler steps and 0.015 after 100 midpoint steps. With an exact network, 8 Euler steps keep
            72 % of the targets' spread, 8 of DDIM 67 %, 4 midpoint steps 97 %. Heun needs more steps.
        foretells: What the network of diffusion and flow is asked for: "noise" (the noise in the chunk, as in DDPM; for
            flow the velocity, actions − noise) or "actions" (the clean chunk, from which the other follows). Either
            gives the same draws where the network is exact.
        noise_draws: Noise levels at which each training chunk is seen in one step; the context is read once for all.
        mean_draws: Where the likeliest actions are asked for, diffusion and flow give the mean of so many draws, whose
            starts are always the same; 1 gives a single one, which keeps to one of several ways to act. The mean of 16
            succeeded in 0.81 of 80 closed-loop rollouts, a single one in 0.68 (flow, one training seed).
        clip_samples: Whether diffusion and flow keep what they draw in the range of the training data.
        view_fusion: Whether every image patch of every view is a token of its own ("tokens"), or patches at the same
            place of all views are joined to one ("concat").
        feature_norm: "patch" brings every image token to mean 0 and variance 1 over its channels, "none" takes it as
            it is.
        key_positions: Whether context tokens carry learned positions. Without them the order of codes is invisible,
            except to the "token" denoiser, which has positions of its own.
        context_norm: Whether context tokens are normalised.
        image_dropout: Probability that a training sample loses its image; 1 makes a model that never sees one.
        motion: How inverse dynamics sees motion tokens: "codes" (FSQ vectors, as in the paper) or "steps" (the
            tokenizer's decoder states, in which similar motions are close). "none" hides them: the control that has to
            act on image and proprioception alone.
        proprio_scaling: "range" (minimum and maximum to ±1) or "standard" (mean 0, standard deviation 1).
        posture: Whether proprioception is a "token" of its own, as in the paper, or is also "read" together with every
            motion token: what a camera on the hand sees means a direction only with how the hand is turned.
        proprio_noise: Standard deviation of noise on scaled proprioception in training, so that where the robot is does
            not tell by itself what it does next.
    """

    later: ClassVar[tuple[str, ...]] = ("posture", "proprio_noise")

    width: int = Field(default=768, ge=1)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=8, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    action_horizon: int = Field(default=16, ge=1)
    head: str = "gaussian"
    discrete: tuple[int, ...] = ()
    discount: float = Field(default=0.99, gt=0, le=1)
    std: float = Field(default=0.1, gt=0)
    std_kind: Literal["fixed", "learned"] = "fixed"
    denoiser: Literal["adaptive", "token", "queries"] = "adaptive"
    steps_attend: bool = True
    diffusion_steps: int = Field(default=100, ge=2)
    betas: tuple[float, ...] = ()
    diffusion_sampler: Literal["ddim", "ddpm"] = "ddim"
    flow_sampler: Literal["euler", "midpoint", "heun"] = "midpoint"
    sampling_steps: int | None = Field(default=None, ge=1)
    foretells: Literal["noise", "actions"] = "noise"
    noise_draws: int = Field(default=1, ge=1)
    mean_draws: int = Field(default=1, ge=1)
    clip_samples: bool = True
    view_fusion: Literal["tokens", "concat"] = "tokens"
    feature_norm: Literal["patch", "none"] = "patch"
    key_positions: bool = True
    context_norm: bool = True
    image_dropout: float = Field(default=0.0, ge=0, le=1)
    motion: Literal["codes", "steps", "none"] = "codes"
    proprio_scaling: Literal["range", "standard"] = "range"
    posture: Literal["token", "read"] = "token"
    proprio_noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fits_together(self) -> "InverseConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        if self.width < 4 or self.width % 2:
            raise ValueError(f"width {self.width} must be even, and 4 or more, to hold sines and cosines")
        if len(set(self.discrete)) < len(self.discrete) or min(self.discrete, default=0) < 0:
            raise ValueError(f"discrete {self.discrete} must name different action dimensions, counted from 0")
        if self.betas and len(self.betas) != self.diffusion_steps:
            raise ValueError(f"{len(self.betas)} betas for {self.diffusion_steps} diffusion_steps")
        if any(not 0 < beta < 1 for beta in self.betas):
            raise ValueError("betas must lie between 0 and 1")
        if self.denoiser == "queries" and not self.steps_attend:
            raise ValueError("steps_attend: queries always attend to each other")
        if self.head == "flow" and self.flow_sampler == "heun" and self.foretells == "actions":
            raise ValueError("heun asks at the end of the way, where foretold actions leave the velocity open")
        if self.head == "diffusion" and self.diffusion_sampler == "ddim" and self.drawing_steps > self.diffusion_steps:
            raise ValueError(f"{self.drawing_steps} sampling_steps for {self.diffusion_steps} diffusion_steps")
        return self

    @property
    def drawing_steps(self) -> int:
        """``sampling_steps``, or what it is by default."""
        twice = self.head == "flow" and self.flow_sampler != "euler"
        return self.sampling_steps or (6 if twice else 8)

    @classmethod
    def paper(cls, **changes: Any) -> "InverseConfig":
        """The paper's size: 4 layers, width 768; 57 million parameters."""
        return cls(**changes)

    @classmethod
    def small(cls, **changes: Any) -> "InverseConfig":
        """The paper's model at half its width and layers; 7 million parameters."""
        return cls(**{"width": 384, "layers": 2, "heads": 6, **changes})

    @classmethod
    def tiny(cls, **changes: Any) -> "InverseConfig":
        """The paper's model for tests and demonstrations: 1 layer, width 64."""
        return cls(**{"width": 64, "layers": 1, "heads": 4, **changes})

    @classmethod
    def quickstart(cls, **changes: Any) -> "InverseConfig":
        """About a million parameters: 2 layers, width 128.

        Decoder states in place of codes raised success from 0.71 to 0.81 in one trial: 5 demonstrations a task, 6
        Meta-World tasks, 3 training seeds × 20 rollouts a task, flow tracks.
        """
        return cls(**{"width": 128, "layers": 2, "heads": 4, "motion": "steps", **FAST_DENOISING, **changes})
