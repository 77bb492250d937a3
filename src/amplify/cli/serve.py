"""``amplify serve``: a bundle's policy for robots, over the network."""

from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from amplify.errors import MissingDependencyError
from amplify.policy.controller import ControllerConfig


def serve(
    bundle: Positional[Path],
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    mode: Literal["chunk", "ensemble"] = "chunk",
    controller: ControllerConfig = ControllerConfig(),
    kind: str | None = None,
    precision: Literal["float32", "bfloat16", "int8"] = "float32",
    device: str = "cpu",
    compile: bool = False,
    mapping: Path | None = None,
    check: Path | None = None,
    api_key_file: Path | None = None,
    max_clients: int = 64,
    max_batch: int = 16,
    max_message_mb: float = 16.0,
    max_rate: float = 200.0,
    shutdown_s: float = 5.0,
) -> dict[str, Any]:
    """Answers observations with actions: openpi's websocket protocol, /healthz and /metrics on one port.

    Clients of openpi work as they are; amplify-client is a small one. Stops on Ctrl-C or SIGTERM, when the requests
    under way are answered. The API key is that of --api-key-file or AMPLIFY_API_KEY.

    Args:
        bundle: A bundle, or the run that wrote it.
        host: Address to listen on; 0.0.0.0 is open to the network, and should ask for a key.
        port: 0 takes a free one.
        mode: "chunk" answers with a whole plan, "ensemble" with one action, merged of all plans that reach the present.
        controller: Replanning and merging of "ensemble".
        kind: "amplify", "behaviour-cloning" or "atm"; by default what the bundle holds.
        precision: Of the weights.
        device: Where the policy computes: "cpu", "cuda", "cuda:1".
        compile: Fuse a GPU's kernels: half a minute more for each batch size at the start, and faster plans.
        mapping: JSON that says how observations are read; by default the bundle's own, or the usual names.
        check: Do not serve: read this sample observation (.msgpack, .npz) and say what fits and what does not.
        api_key_file: A file with the key that clients must send.
        max_clients: Connections at a time.
        max_batch: Observations of a forward pass.
        max_message_mb: Of a message.
        max_rate: Messages a second of one connection; faster ones are slowed down.
        shutdown_s: Time for requests under way when the server is to stop.
    """
    try:
        from amplify.serve.app import ServeConfig
        from amplify.serve.run import key_of, reader_of
        from amplify.serve.run import serve as run
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the package {error.name!r} is missing", remedy="pip install 'amplify-robot[serve]'"
        ) from None
    from amplify.train.recipes import bundle_of

    folder = bundle_of(bundle)
    if check is not None:
        from amplify.evaluate.loading import Loader, kind_of
        from amplify.nn.device import computing_device
        from amplify.policy.info import info_of
        from amplify.serve.sample import check as checked
        from amplify.serve.sample import read_sample

        loader = Loader(str(computing_device(device)))
        loaded = loader.bundle(folder)
        policy = loader.policy(folder, kind or kind_of(loaded), precision=precision)
        return {"bundle": str(folder), **checked(reader_of(info_of(loaded), mapping), policy, read_sample(check))}
    return run(
        folder,
        host=host,
        port=port,
        config=ServeConfig(
            mode=mode,
            max_clients=max_clients,
            max_batch=max_batch,
            max_message_mb=max_message_mb,
            max_rate=max_rate,
            shutdown_s=shutdown_s,
        ),
        controller=controller,
        kind=kind,
        precision=precision,
        device=device,
        compile=compile,
        mapping=mapping,
        api_key=key_of(api_key_file),
    )
