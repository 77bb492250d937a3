import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from amplify_client import ChunkBroker, PolicyClient, ServerError, pack, unpack
from tests.serve.toy import HORIZON, INFO, Seen, sent, serving
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from amplify.policy.controller import Controller, ControllerConfig
from amplify.serve.mapping import ObservationMapping, Reader


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture
def client(server):
    with PolicyClient(port=server.port) as connected:
        yield connected


def get(server, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, answer.read().decode()


def test_metadata_comes_first_and_chunks_after(client):
    assert client.metadata == {"mode": "chunk"}
    answer = client.infer(sent(level=40, state=(1, 2, 3)))
    assert answer["actions"].tolist() == [[40.0, 6.0 + s] for s in range(HORIZON)]
    assert answer["server_timing"]["infer_ms"] > 0
    assert "prev_total_ms" not in answer["server_timing"]
    assert client.infer(sent())["server_timing"]["prev_total_ms"] > 0


def test_a_raw_client_of_the_protocol(server):
    """As openpi's client does it, byte by byte."""
    with connect(f"ws://127.0.0.1:{server.port}", compression=None, max_size=None) as socket:
        assert isinstance(socket.recv(), bytes)
        socket.send(pack({"endpoint": "infer", **sent()}))
        assert set(unpack(socket.recv())) == {"actions", "server_timing"}
        socket.send(pack({"endpoint": "reset"}))
        assert socket.recv() == "reset successful"
        socket.send(pack({"observation/state": np.zeros(3)}))
        said = socket.recv()
        assert isinstance(said, str)
        assert "no image of the camera 'front'" in said
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
        assert closed.value.rcvd.code == 1011


def test_chunks_are_used_up_before_a_new_one_is_asked_for(client):
    broker = ChunkBroker(client, horizon=3)
    before = client.latency.calls
    actions = [broker.infer(sent(state=(n, 0, 0)))["actions"].tolist() for n in range(4)]
    assert actions == [[100, 0], [100, 1], [100, 2], [100, 3]]
    assert client.latency.calls == before + 2
    broker.reset()
    assert broker.infer(sent(state=(9, 0, 0)))["actions"].tolist() == [100, 9]


def test_ensembling_is_that_of_the_controller():
    config = ControllerConfig(replan_every=1, decay=0.3)
    controller = Controller(Seen(), config)
    reader = Reader(ObservationMapping.of(INFO), INFO)
    with serving(mode="ensemble", controller=config) as server, PolicyClient(port=server.port) as client:
        for episode in range(2):
            controller.reset(1)
            for step in range(6):
                observation = sent(state=(step**2, episode, 0))
                ours = client.infer(observation)["actions"]
                assert ours.shape == (1, 2)
                assert np.allclose(ours, controller.act(reader.read(observation)).numpy(), atol=1e-5)
            client.reset()


def test_connections_remember_for_themselves():
    with (
        serving(mode="ensemble") as server,
        PolicyClient(port=server.port) as one,
        PolicyClient(port=server.port) as other,
    ):
        one.infer(sent(state=(100, 0, 0)))
        assert other.infer(sent(state=(0, 0, 0)))["actions"].tolist() == [[100, 0]]


def test_concurrent_clients_share_passes_and_get_their_own():
    policy = Seen(delay_s=0.02)
    with serving(policy) as server:
        wrong = []

        def drive(number):
            with PolicyClient(port=server.port) as client:
                for step in range(10):
                    actions = client.infer(sent(level=number, state=(step, 0, 0)))["actions"]
                    if actions[0].tolist() != [number, step]:
                        wrong.append((number, step))

        threads = [threading.Thread(target=drive, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert sum(policy.batches) == 80
        assert len(policy.batches) < 60
        assert server.metrics.requests.values["answered"] == 80


def test_health_and_metrics(server, client):
    client.infer(sent())
    assert get(server, "/healthz") == (200, "OK\n")
    status, text = get(server, "/metrics")
    assert status == 200
    rows = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert int(rows["amplify_connections"]) >= 1
    assert int(rows['amplify_requests_total{outcome="answered"}']) >= 1
    assert int(rows['amplify_batch_size_bucket{le="+Inf"}']) == int(rows["amplify_batch_size_count"])
    assert float(rows["amplify_inference_seconds_sum"]) > 0
    assert text.count("# TYPE") == 7


def test_the_api_key_is_asked_for():
    with serving(api_key="sesame") as server:
        for key in (None, "wrong", "sésame"):
            with pytest.raises(ServerError, match="API key"):
                PolicyClient(port=server.port, api_key=key.encode().decode("latin-1") if key else None)
        with PolicyClient(port=server.port, api_key="sesame") as client:
            assert client.infer(sent())["actions"].shape == (HORIZON, 2)
        assert get(server, "/healthz")[0] == 200
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(server, "/metrics")
        assert get(server, "/metrics", Authorization="Api-Key sesame")[0] == 200
        assert server.metrics.refused.values["api key"] == 3


def test_too_many_clients_are_told_to_come_later():
    with (
        serving(max_clients=1) as server,
        PolicyClient(port=server.port),
        pytest.raises(ServerError, match="too many clients"),
    ):
        PolicyClient(port=server.port)


def test_fast_clients_are_slowed_down():
    with serving(max_rate=4.0) as server, PolicyClient(port=server.port) as client:
        started = time.perf_counter()
        for _ in range(9):
            client.infer(sent())
        assert time.perf_counter() - started > 1.1  # 4 at once, then 5 at 4 a second, however slow the machine
        assert server.metrics.requests.values["slowed down"] >= 1


def test_large_messages_are_refused(server):
    with serving(max_message_mb=0.1) as small, connect(f"ws://127.0.0.1:{small.port}", max_size=None) as socket:
        socket.recv()
        socket.send(bytes(200_000))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
        assert closed.value.rcvd.code == 1009
    assert get(server, "/healthz")[0] == 200


def test_what_went_wrong_inside_stays_inside(server, caplog):
    with PolicyClient(port=server.port) as client, pytest.raises(ServerError) as caught:
        client.infer(sent(prompt="break"))
    assert "secret" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert "secret of the house" in caplog.text
    with PolicyClient(port=server.port) as client:
        assert client.infer(sent())["actions"].shape == (HORIZON, 2)


def test_requests_under_way_are_answered_before_the_end():
    policy = Seen(delay_s=0.5)
    answers = []
    with serving(policy) as server:
        client = PolicyClient(port=server.port)
        thread = threading.Thread(target=lambda: answers.append(client.infer(sent())))
        thread.start()
        time.sleep(0.2)
        server.should_exit = True
        thread.join()
    assert answers[0]["actions"].shape == (HORIZON, 2)
    with pytest.raises(ServerError):
        client.infer(sent())
    with pytest.raises(ServerError, match="no policy server"):
        PolicyClient(port=server.port)


def test_text_frames_are_no_messages(server):
    with connect(f"ws://127.0.0.1:{server.port}") as socket:
        socket.recv()
        socket.send("hello")
        assert "binary msgpack" in socket.recv()
