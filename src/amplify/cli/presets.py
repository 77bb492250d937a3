"""``--preset``: sizes and budgets by name, ``--init``: those of a bundle; what is given beside them still counts."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from amplify.forward.config import ForwardConfig
from amplify.inverse.config import InverseConfig
from amplify.policy.bundle import load_bundle
from amplify.tokens.config import TokenizerConfig
from amplify.train.fine_tuning import bundle_of
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining

Preset = Literal["quickstart", "tiny", "small", "paper"]

_BUDGETS: dict[str, dict[str, Any]] = {
    "tiny": {"steps": 200, "batch_size": 16, "learning_rate": 3e-3, "warmup_steps": 20},
    "small": {"steps": 10_000, "batch_size": 128, "learning_rate": 3e-4, "warmup_steps": 500},
    # The paper counts epochs, 100 and for actions 250; these are so many steps of about 500 demonstrations.
    "paper": {"steps": 50_000, "batch_size": 256, "learning_rate": 1e-4, "weight_decay": 0.0, "warmup_steps": 1000},
}

Defaults = Callable[[], Mapping[str, Any]]


def _made(config: Any, name: str, quickstart: TrainConfig) -> Mapping[str, Any]:
    train = TrainConfig(**_BUDGETS[name]) if name in _BUDGETS else quickstart
    if config is InverseConfig and name == "paper":
        train = train.model_copy(update={"steps": 125_000})
    return {"model": getattr(config, name)(), "train": train}


def presets(config: Any, quickstart: TrainConfig) -> dict[str, Defaults]:
    """Defaults of ``model`` and ``train`` by preset.

    Args:
        config: The model's configuration, which has a class method for each preset.
        quickstart: The budget of the smallest useful model.
    """
    return {name: functools.partial(_made, config, name, quickstart) for name in get_args(Preset)}


def _deeper(made: Defaults) -> Mapping[str, Any]:
    defaults = made()
    return {**defaults, "train": InverseTraining(loop=defaults["train"])}


TOKENIZER = presets(TokenizerConfig, TrainConfig(steps=900, learning_rate=3e-3))
FORWARD = presets(ForwardConfig, TrainConfig(steps=1000, learning_rate=3e-3))
CLONING = presets(InverseConfig, TrainConfig(steps=500))
INVERSE: dict[str, Defaults] = {name: functools.partial(_deeper, made) for name, made in CLONING.items()}
"""As for behaviour cloning; the budget lies one level deeper, beside the choice of tokens."""


def init_model(init: Path | None, name: str) -> Any:
    """The configuration of the model that a stage begins with; None where it begins anew, or there is no such model.

    Args:
        init: A bundle, or the run that wrote it.
        name: Of the model.

    Raises:
        BundleError: There is no bundle, or it is damaged.
    """
    if init is None:
        return None
    model = load_bundle(bundle_of(init)).models.get(name)
    return None if model is None else model.config


def with_presets(table: Mapping[str, Defaults]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Marks a command whose ``preset`` changes the defaults of other arguments.

    Args:
        table: By preset, the new defaults.
    """

    def mark(command: Callable[..., Any]) -> Callable[..., Any]:
        command.presets = table  # type: ignore[attr-defined]
        return command

    return mark


def applied(command: Callable[..., Any], arguments: Sequence[str]) -> Callable[..., Any]:
    """The command with other defaults: those of the preset that the arguments name, or of the bundle to begin with.

    Args:
        command: Perhaps marked by `with_presets`.
        arguments: Of the command line; a preset that does not exist is left for the parser to refuse.

    Raises:
        BundleError: The bundle to begin with is none, or damaged.
    """
    table: Mapping[str, Defaults] = getattr(command, "presets", {})
    preset, init = _value_of("--preset", arguments), _value_of("--init", arguments)
    defaults: dict[str, Any] = dict(table[preset]()) if preset is not None and preset in table else {}
    if table and init is not None and preset is None:
        model = init_model(Path(init), command.__name__)
        defaults = {} if model is None else {"model": model}
    if not defaults:
        return command

    @functools.wraps(command)
    def changed(*args: Any, **kwargs: Any) -> Any:
        return command(*args, **kwargs)

    signature = inspect.signature(command)
    parameters = [p.replace(default=defaults.get(name, p.default)) for name, p in signature.parameters.items()]
    changed.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return changed


def _value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """What the last such flag is given, None where there is none."""
    given = [after for here, after in zip(arguments, [*arguments[1:], ""]) if here == flag]
    given += [argument.removeprefix(f"{flag}=") for argument in arguments if argument.startswith(f"{flag}=")]
    return given[-1] if given else None
