"""Training that goes on from the weights of a bundle, on other data."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from amplify.config import Config
from amplify.errors import BundleError
from amplify.policy.bundle import Bundle, load_bundle

BUNDLE = "bundle"

MEANING = ("levels", "tokens_per", "window", "window_spacing", "window_reach_px", "frame_px", "head", "discrete")
"""Settings that change what weights of the same shape mean."""


class FineTuning(Config):
    """The weights that a stage begins with.

    Args:
        bundle: Whose model of the same stage it is; a bundle, or the run that wrote it.
        statistics: Whether the units of what the model sees and gives (speeds of points, scales of features, ranges of
            proprioception and actions) are "kept", so that its weights mean what they meant, or "refitted" to the new
            data, for another robot or other cameras.
    """

    bundle: Path
    statistics: Literal["kept", "refitted"] = "kept"


def bundle_of(run: Path) -> Path:
    """The bundle's folder, given it or the run that wrote it.

    Raises:
        BundleError: There is none.
    """
    for folder in (run / BUNDLE, run):
        if (folder / "config.json").is_file():
            return folder
    raise BundleError(f"no bundle in {run}", remedy="name a bundle, or the --out folder of a finished 'amplify train'")


def opened(init: FineTuning | None) -> Bundle | None:
    """The bundle to begin with."""
    return None if init is None else load_bundle(bundle_of(init.bundle))


def begin(module: nn.Module, name: str, bundle: Bundle | None) -> None:
    """Gives a model the weights and statistics that the bundle's has.

    Args:
        module: Just made, to the sizes of the data.
        name: Of the model in the bundle.
        bundle: Where it comes from; None leaves the module as it is.

    Raises:
        BundleError: The bundle holds no such model, or one of other sizes or settings that change its meaning.
    """
    if bundle is None:
        return
    theirs = bundle.module(name, type(module))
    differing = [
        f"{what} {ours} (bundle: {there})"
        for what, (ours, there) in _sizes(module, theirs).items()
        if _plain(ours) != _plain(there)
    ]
    if not differing:
        state, wanted = theirs.state_dict(), module.state_dict()
        differing = [
            f"{key} {tuple(wanted[key].shape) if key in wanted else 'absent'} "
            f"(bundle: {tuple(state[key].shape) if key in state else 'absent'})"
            for key in sorted(wanted.keys() | state.keys())
            if key not in wanted or key not in state or wanted[key].shape != state[key].shape
        ]
    if differing:
        more = f"; … ({len(differing)} in all)" if len(differing) > 4 else ""
        raise BundleError(
            f"the {name} model of {bundle.path} cannot be fine-tuned as it is asked for",
            got="; ".join(differing[:4]) + more,
            remedy="leave out --preset and --model options, which are the bundle's by default, and give data of the "
            "same views, grid, horizon, encoders and robot; or train from the start",
        )
    module.load_state_dict(theirs.state_dict())


def refits(init: FineTuning | None) -> bool:
    """Whether statistics are fitted to the data."""
    return init is None or init.statistics == "refitted"


def beginning(init: FineTuning | None, bundle: Bundle | None) -> dict[str, Any]:
    """What the result of a stage depends on through the weights that it begins with, for `identity_of`."""
    return {} if init is None or bundle is None else {"init": [bundle.hash, init.statistics]}


def beyond_range(scaled: torch.Tensor) -> float:
    """Share of scaled values that lie outside of the range that they were scaled to."""
    return float((scaled.abs() > 1 + 1e-3).float().mean())


def _sizes(ours: nn.Module, theirs: nn.Module) -> dict[str, tuple[Any, Any]]:
    here, there = ours.config, theirs.config  # type: ignore[union-attr]
    pairs = {name: (getattr(here, name), getattr(there, name)) for name in MEANING if hasattr(here, name)}
    sizes, known = ours.dimensions, theirs.dimensions  # type: ignore[union-attr]
    return pairs | {name: (sizes.get(name), known.get(name)) for name in sizes}  # type: ignore[union-attr]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
