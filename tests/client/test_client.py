import subprocess
import sys

import numpy as np
import pytest
from amplify_client import ChunkBroker, LatencyLog, PolicyClient, ServerError
from amplify_client.latency import percentile
from tests.serve.toy import Seen, sent, serving


class Chunks:
    """Chunk n is [10n, 10n + 1, 10n + 2]."""

    def __init__(self):
        self.asked, self.resets = [], 0

    def infer(self, observation):
        first = 10 * len(self.asked)
        self.asked.append(observation)
        return {"actions": np.arange(first, first + 3)[:, None], "server_timing": {"infer_ms": 1.0}}

    def reset(self):
        self.resets += 1


def test_a_chunk_is_used_up_before_the_next():
    chunks = Chunks()
    broker = ChunkBroker(chunks)
    assert [broker.infer(n)["actions"].item() for n in range(5)] == [0, 1, 2, 10, 11]
    assert chunks.asked == [0, 3]
    broker.reset()
    assert (broker.infer(9)["actions"].item(), chunks.resets) == (20, 1)


def test_a_horizon_uses_part_of_a_chunk():
    broker = ChunkBroker(Chunks(), horizon=2)
    answers = [broker.infer(n) for n in range(4)]
    assert [answer["actions"].item() for answer in answers] == [0, 1, 10, 11]
    assert answers[0]["server_timing"] == {"infer_ms": 1.0}
    with pytest.raises(ValueError, match="chunks have 3 actions"):
        ChunkBroker(Chunks(), horizon=4).infer(0)
    with pytest.raises(ValueError, match="1 or more"):
        ChunkBroker(Chunks(), horizon=0)


def test_latencies(tmp_path):
    log = LatencyLog(capacity=100)
    assert log.summary() == {"calls": 0}
    for n in range(1, 101):
        log.add(float(n), 0.5)
    found = log.summary()
    assert (found["p50_ms"], found["p95_ms"], found["p99_ms"], found["max_ms"]) == (50, 95, 99, 100)
    assert found["around_p50_ms"] == 49.5
    log.add(1.0, 0.5)
    assert len(log.rows) <= 100
    assert log.summary()["calls"] == 101
    log.save(tmp_path / "calls.csv")
    lines = (tmp_path / "calls.csv").read_text().splitlines()
    assert lines[0] == "total_ms,infer_ms"
    assert len(lines) == 1 + len(log.rows)
    assert percentile([3.0], 1) == 3.0


def test_latencies_are_those_of_calls():
    with serving(Seen(delay_s=0.05)) as server, PolicyClient(port=server.port) as client:
        client.infer(sent())
        ((total, infer),) = client.latency.rows
        assert 50 <= infer <= total


def test_a_server_that_does_not_answer():
    with serving(Seen(delay_s=1.0)) as server, PolicyClient(port=server.port, timeout_s=0.2) as client:
        with pytest.raises(ServerError, match=r"no answer .* within 0\.2 s"):
            client.infer(sent())
        with pytest.raises(ServerError, match="is closed"):
            client.infer(sent())


def test_an_address_may_be_given_whole():
    with serving() as server, PolicyClient(f"ws://127.0.0.1:{server.port}/any/path") as client:
        assert client.infer(sent())["actions"].shape[1] == 2


def test_it_needs_no_torch():
    code = "import sys, amplify_client; print(sorted({'torch', 'amplify', 'cv2', 'pydantic'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
