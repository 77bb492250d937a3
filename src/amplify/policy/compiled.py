"""Plans as CUDA graphs: a plan of a small batch takes a GPU less time than it takes a CPU to launch its kernels."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from amplify.forward import ForwardDynamics
from amplify.forward.generation import improved
from amplify.forward.reading import Reading
from amplify.nn.attention import LayerCache
from amplify.nn.cuda_graph import padded, recorded
from amplify.types import Features, MotionTokens, Plan

Act = Callable[[MotionTokens, Features, Tensor], Plan]


class CompiledPlanner:
    """Likeliest plans as CUDA graphs, recorded at the first call of each batch size (the next power of two).

    A forward model that foresees token by token is run as Jacobi decoding: every pass scores the whole string, which
    takes a GPU as long as scoring one token, and replaces all guesses. The tokens are those of
    `amplify.forward.dynamics.ForwardDynamics.plan`, unless two are almost equally likely (a difference of rounding).

    Args:
        forward: On a CUDA device, in evaluation mode.
        act: Tokens, features and proprioception → plan, without randomness.
        fused: Let ``torch.compile`` fuse kernels before they are recorded: half a minute at the first call.
        record: See `amplify.nn.cuda_graph.recorded`.
    """

    def __init__(
        self, forward: ForwardDynamics, act: Act, *, fused: bool = False, record: Callable[..., Any] = recorded
    ):
        self.forward, self.act, self.record, self.passes = forward, act, record, 0
        self._recordings: dict[Any, _Recording] = {}
        fuse: Any = (lambda f: torch.compile(f, dynamic=False)) if fused else lambda f: f
        self.begin, self.advance, self.finish = fuse(self._begin), fuse(self._advance), fuse(self._finish)
        self.whole = fuse(self._whole)

    @torch.no_grad()
    def __call__(self, features: Features, proprio: Float[Tensor, "b p"], draft: MotionTokens | None = None) -> Plan:
        """The plan, see `amplify.policy.amplify.AmplifyPolicy.plan_from_features`; ``passes`` says what it took.

        Args:
            features: Frozen features, on the planner's device.
            proprio: Environment units.
            draft: A guess at the tokens, −1 where there is none.
        """
        count = len(proprio)
        strings = torch.full((count, self.forward.tokens), -1) if draft is None else draft.indices
        given = [padded(x) for x in (*_tensors(features), proprio, strings.to(proprio.device))]
        key = (len(given[0]), features.goal is None, features.inverse_vision is None, features.present is None)
        if key not in self._recordings:
            self._recordings[key] = _Recording(self, features, given)
        plan, self.passes = self._recordings[key].run(given)
        return plan.map(lambda x: x[:count].clone())

    def _begin(self, features: Features, draft: Int[Tensor, "b k"]) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Keys and values of the conditioning with room for a string; guesses after one pass; how many are sure."""
        reading = self.forward.reading(features)
        string, sure = draft.clamp_min(0), torch.zeros_like(draft[:, :1])
        string, sure = _improved(reading, string, sure)
        return tuple(cache.store for cache in reading.caches), string, sure

    def _advance(self, stores: tuple[Tensor, ...], string: Tensor, sure: Tensor) -> tuple[Tensor, Tensor]:
        prefix = stores[0].shape[3] - self.forward.tokens
        caches = [LayerCache.of(store, prefix) for store in stores]
        return _improved(Reading(self.forward, caches, prefix=prefix), string, sure)

    def _finish(self, features: Features, proprio: Tensor, string: Int[Tensor, "b k"]) -> Plan:
        return self.act(MotionTokens(indices=string), features, proprio)

    def _whole(self, features: Features, proprio: Tensor) -> Plan:
        return self._finish(features, proprio, self.forward.plan(features).indices)


class _Recording:
    """The graphs of one batch size.

    Args:
        planner: What is recorded.
        features: Says which tensors there are.
        given: Tensors of the features, proprioception and draft, of the size of the batch.
    """

    def __init__(self, planner: CompiledPlanner, features: Features, given: list[Tensor]):
        self.inputs = [x.clone() for x in given]
        tensors = iter(self.inputs)
        features, proprio, draft = features.map(lambda _: next(tensors)), self.inputs[-2], self.inputs[-1]
        self.tokens, self.graphs = planner.forward.tokens, []
        if planner.forward.config.at_once:
            whole, self.plan = planner.record(lambda: planner.whole(features, proprio))
            self.graphs = [whole]
            return
        begin, (self.seen, self.string, self.sure) = planner.record(lambda: planner.begin(features, draft))

        def advance() -> None:
            string, sure = planner.advance(self.seen, self.string, self.sure)
            self.string.copy_(string)
            self.sure.copy_(sure)

        advanced, _ = planner.record(advance)
        finish, self.plan = planner.record(lambda: planner.finish(features, proprio, self.string))
        self.graphs = [begin, advanced, finish]

    def run(self, given: list[Tensor]) -> tuple[Plan, int]:
        """The plan, overwritten by the next run, and how many passes its tokens took."""
        torch._foreach_copy_(self.inputs, given)
        self.graphs[0].replay()
        if len(self.graphs) == 1:
            return self.plan, 1
        passes = 1
        while int(self.sure.min()) < self.tokens:
            self.graphs[1].replay()
            passes += 1
        self.graphs[2].replay()
        return self.plan, passes


def _improved(reading: Reading, string: Tensor, sure: Tensor) -> tuple[Tensor, Tensor]:
    before = torch.cat((string[:, :1], string[:, :-1]), dim=1)
    return improved(reading.scores(before, 0), string, sure, 0)


def _tensors(features: Features) -> list[Tensor]:
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    features.map(keep)
    return found
