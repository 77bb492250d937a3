"""A server without a network: the same answers to the same observations, in process."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amplify.evaluate.loading import Loader, kind_of
from amplify.policy.controller import ControllerConfig
from amplify.policy.info import info_of
from amplify.serve.app import ServeConfig
from amplify.serve.run import metadata_of, reader_of, warmed_up
from amplify.serve.session import Session


class LocalPolicy:
    """A bundle's policy with a client's methods.

    Args:
        path: The bundle's folder.
        kind: Which of its policies; what it holds where None.
        precision: Of the weights.
        mapping: JSON that says how observations are read; the bundle's own or the usual names where None.

    Raises:
        AmplifyError: The bundle holds no policy, or the file is no mapping.
    """

    def __init__(self, path: Path, *, kind: str | None = None, precision: str = "float32", mapping: Path | None = None):
        loader = Loader()
        bundle = loader.bundle(path)
        kind = kind or kind_of(bundle)
        reader = reader_of(info_of(bundle), mapping)
        policy = loader.policy(path, kind, precision=precision)
        horizon = warmed_up(policy, reader, 1)
        self.metadata = metadata_of(bundle, kind, reader, ServeConfig(), horizon)
        self._session = Session(policy, reader, "chunk", ControllerConfig())
        self._answering = threading.Lock()

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """``actions`` (steps, dimensions) and ``server_timing``, as a server would answer.

        Args:
            observation: Arrays and strings by name.

        Raises:
            AmplifyError: The observation cannot be used.
        """
        with self._answering:
            answer = self._session.answer(observation)
        assert isinstance(answer, dict), "only a reset is answered with a text"
        return answer

    def reset(self) -> None:
        """Begins a new episode; plans need no memory."""
