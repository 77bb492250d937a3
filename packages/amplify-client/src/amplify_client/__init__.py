"""The robot's side of a policy server: no torch, no models, three small dependencies."""

from amplify_client.chunks import ChunkBroker, Infers
from amplify_client.client import PolicyClient, ServerError
from amplify_client.latency import LatencyLog
from amplify_client.wire import WireError, pack, unpack

__all__ = ["ChunkBroker", "Infers", "LatencyLog", "PolicyClient", "ServerError", "WireError", "pack", "unpack"]
