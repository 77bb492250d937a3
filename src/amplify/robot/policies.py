"""What answers a robot: a bundle in process, a server, or the simulated arm's script."""

from functools import partial
from pathlib import Path

from amplify_client import Infers, PolicyClient, ServerError
from amplify_client.realtime import ArmExpert, ReconnectingClient

from amplify.errors import AmplifyError
from amplify.serve.local import LocalPolicy
from amplify.train.recipes import bundle_of

SCRIPTED = "scripted"
SCHEMES = ("ws://", "wss://")


def policy_of(
    name: str,
    *,
    kind: str | None = None,
    precision: str = "float32",
    mapping: Path | None = None,
    api_key: str | None = None,
    timeout_s: float = 2.0,
) -> Infers:
    """A policy by its name.

    Args:
        name: A bundle, a run, "ws://host:port", or "scripted".
        kind: Of a bundle.
        precision: Of a bundle.
        mapping: Of a bundle.
        api_key: Of a server.
        timeout_s: Of a server.

    Raises:
        AmplifyError: No bundle, or no server.
    """
    if name == SCRIPTED:
        return ArmExpert()
    if not name.startswith(SCHEMES):
        return LocalPolicy(bundle_of(Path(name)), kind=kind, precision=precision, mapping=mapping)
    try:
        return ReconnectingClient(partial(PolicyClient, name, api_key=api_key, timeout_s=timeout_s))
    except ServerError as error:
        raise AmplifyError("no policy", got=str(error), remedy="start one: amplify serve BUNDLE --port 8000") from None
