"""Plans are computed while the robot acts: one request at a time, in a thread of its own."""

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from amplify_client.chunks import Infers
from amplify_client.client import PolicyClient, ServerError
from amplify_client.realtime.clock import Clock, WallClock


@dataclass(frozen=True)
class Answer:
    """What came of one request.

    Args:
        found: The policy's answer; None where there is none.
        error: Why there is none.
        made_at: See `Schedule.add`.
        seen_s: See `Schedule.add`.
        answered_s: When the answer came.
    """

    found: dict[str, Any] | None
    error: Exception | None
    made_at: int
    seen_s: float
    answered_s: float


@runtime_checkable
class Asker(Protocol):
    """Asks a policy without waiting for it."""

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        ...

    def ask(self, observation: Mapping[str, Any], *, made_at: int, seen_s: float) -> None:
        """Sends an observation; only where nothing is under way."""
        ...

    def poll(self) -> Answer | None:
        """The answer, once; None where it has not come."""
        ...

    def reset(self) -> None:
        """A new episode: what was asked before is forgotten, by the policy too."""
        ...

    def close(self) -> None:
        """No more requests."""
        ...


class ThreadAsker:
    """An `Asker` with a thread.

    Args:
        policy: In process, or a client; called from the thread alone.
        clock: Says when answers come.
    """

    def __init__(self, policy: Infers, clock: Clock | None = None):
        self.policy = policy
        self._clock = clock or WallClock()
        self._episode, self._asked, self._polled = 0, 0, 0
        self._requests: queue.SimpleQueue[tuple[int, Mapping[str, Any] | None, int, float] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[int, Answer]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="asking-the-policy", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a request of this episode is under way."""
        return self._asked > self._polled

    def ask(self, observation: Mapping[str, Any], *, made_at: int, seen_s: float) -> None:
        """Sends an observation.

        Raises:
            RuntimeError: A request is under way.
        """
        if self.busy:
            raise RuntimeError("a request is under way")
        self._asked += 1
        self._requests.put((self._episode, observation, made_at, seen_s))

    def poll(self) -> Answer | None:
        """The answer, once; None where it has not come."""
        while True:
            try:
                episode, answer = self._answers.get_nowait()
            except queue.Empty:
                return None
            if episode == self._episode:
                self._polled += 1
                return answer

    def reset(self) -> None:
        """A new episode; an answer of the one before is dropped when it comes."""
        self._episode += 1
        self._asked = self._polled = 0
        self._requests.put((self._episode, None, 0, 0.0))

    def close(self) -> None:
        """Ends the thread when its request is done; waits a second for that at most."""
        self._requests.put(None)
        self._thread.join(timeout=1.0)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            episode, observation, made_at, seen_s = request
            found, error = None, None
            try:
                if observation is not None:
                    found = self.policy.infer(observation)
                else:
                    self.policy.reset()
            except Exception as caught:  # noqa: BLE001  (the loop decides what it means; this thread must go on)
                error = caught
            # A policy that cannot be reset cannot be asked either, and says so then.
            if observation is not None:
                self._answers.put((episode, Answer(found, error, made_at, seen_s, self._clock.now_s())))


class ReconnectingClient:
    """A client that connects anew after a connection was lost.

    Args:
        connect: Makes a connection.

    Raises:
        ServerError: There is no server at first.
    """

    def __init__(self, connect: Callable[[], PolicyClient]):
        self._connect = connect
        self._client: PolicyClient | None = connect()
        self.metadata = self._client.metadata
        self.reconnections = 0

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The server's answer.

        Raises:
            ServerError: There is none; the next call tries again.
        """
        return self._with_client(lambda client: client.infer(observation))

    def reset(self) -> None:
        """Begins a new episode; raises as `infer` does."""
        self._with_client(lambda client: client.reset())

    def close(self) -> None:
        """Ends the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _with_client(self, call: Callable[[PolicyClient], Any]) -> Any:
        if self._client is None:
            self._client = self._connect()
            self.reconnections += 1
        try:
            return call(self._client)
        except ServerError:
            self.close()
            raise
