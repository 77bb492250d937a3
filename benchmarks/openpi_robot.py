"""A robot that acts through the real openpi-client: runs in an environment of its own, since that needs NumPy below 2.

Its input is a stream of messages, each a length of four bytes and msgpack; for each it answers one. ``serve_openpi.py``
starts it.
"""

import struct
import sys
import time

from openpi_client import msgpack_numpy
from openpi_client.action_chunk_broker import ActionChunkBroker
from openpi_client.websocket_client_policy import WebsocketClientPolicy


class Timed(WebsocketClientPolicy):
    """Remembers how long the last call took, in milliseconds, and how long of it the server computed."""

    took_ms, computed_ms = 0.0, 0.0

    def infer(self, obs):
        """As the client does."""
        started = time.perf_counter()
        answer = super().infer(obs)
        self.took_ms, self.computed_ms = 1000 * (time.perf_counter() - started), answer["server_timing"]["infer_ms"]
        return answer


def main(port, horizon):
    """Answers until the input ends.

    Args:
        port: Of the policy server.
        horizon: Actions of a chunk that are used; 0 for a server that answers with single actions.
    """
    packer, connection, policy = msgpack_numpy.Packer(), None, None
    while header := sys.stdin.buffer.read(4):
        message = msgpack_numpy.unpackb(sys.stdin.buffer.read(*struct.unpack("<I", header)))
        if message.get("new_episode"):
            # The server forgets an episode with its connection.
            connection = Timed("127.0.0.1", port)
            policy = ActionChunkBroker(connection, horizon) if horizon else connection
            answer = {"metadata": connection.get_server_metadata()["policy"]}
        else:
            connection.took_ms = 0.0
            actions = policy.infer(message)["actions"]
            action = actions if horizon else actions[0]
            answer = {"action": action, "took_ms": connection.took_ms, "computed_ms": connection.computed_ms}
        packed = packer.pack(answer)
        sys.stdout.buffer.write(struct.pack("<I", len(packed)) + packed)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
