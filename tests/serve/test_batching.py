import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.serve.toy import INFO, Seen, sent

from amplify.errors import DataError, UsageError
from amplify.policy.controller import Controller, ControllerConfig
from amplify.serve.batching import BatchingPolicy, BusyError
from amplify.serve.mapping import ObservationMapping, Reader
from amplify.serve.metrics import Metrics

READER = Reader(ObservationMapping.of(INFO), INFO)


def observation(number, prompt="open the drawer"):
    return READER.read(sent(level=number, state=(number, 0, 0), prompt=prompt))


@pytest.fixture
def slow():
    policy = Seen(delay_s=0.05)
    batching = BatchingPolicy(policy, Metrics(), max_batch=8)
    yield batching
    batching.close()


def test_who_waits_goes_together_and_gets_what_is_theirs(slow):
    with ThreadPoolExecutor(16) as pool:
        plans = list(pool.map(lambda n: slow.plan(observation(n)), range(16)))
    assert [plan.actions.actions[0, 0].tolist() for plan in plans] == [[n, n] for n in range(16)]
    assert sum(slow.policy.batches) == 16
    assert len(slow.policy.batches) <= 5
    assert max(slow.policy.batches) <= 8
    assert slow.metrics.batch.sum == 16


def test_one_at_fault_does_not_harm_the_others(slow):
    def ask(n):
        return slow.plan(observation(n, "refuse" if n == 3 else "open the drawer"))

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(ask, n) for n in range(8)]
    for n, future in enumerate(futures):
        if n == 3:
            with pytest.raises(DataError, match="not that"):
                future.result()
        else:
            assert future.result().actions.actions[0, 0, 1] == n


def test_more_than_can_wait_is_refused():
    policy = Seen(delay_s=0.2)
    batching = BatchingPolicy(policy, Metrics(), max_batch=1, max_waiting=1)
    try:
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(batching.plan, observation(n)) for n in range(4)]
        refused = [f for f in futures if isinstance(f.exception(), BusyError)]
        assert 1 <= len(refused) <= 3
        assert all(f.result() for f in futures if f not in refused)
    finally:
        batching.close()


def test_the_end_tells_who_waits():
    batching = BatchingPolicy(Seen(delay_s=0.2), Metrics(), max_batch=1)
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(batching.plan, observation(n)) for n in range(3)]
        time.sleep(0.1)
        batching.close()
    ends = [future.exception() for future in futures]
    assert all(end is None or isinstance(end, BusyError) for end in ends)
    assert None in ends


def test_previous_plans_travel_with_their_sessions(slow):
    """Two controllers on one policy act as each would alone, also where one of them has just begun."""
    config = ControllerConfig(replan_every=2)

    def acts(numbers, policy):
        controller = Controller(policy, config)
        controller.reset(1)
        return torch.cat([controller.act(observation(n)) for n in numbers])

    together: dict[int, torch.Tensor] = {}
    barrier = threading.Barrier(2)

    def run(key, numbers):
        barrier.wait()
        together[key] = acts(numbers, slow)

    threads = [threading.Thread(target=run, args=(i, range(i, i + 5))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        assert torch.equal(together[i], acts(range(i, i + 5), Seen()))
    known = [p for p in slow.policy.previous if p is not None]
    assert known
    assert all(p.tokens.indices.shape[1] == 3 for p in known)


@pytest.mark.parametrize("sizes", [{"max_batch": 0}, {"max_waiting": 0}])
def test_sizes_count_from_one(sizes):
    with pytest.raises(UsageError):
        BatchingPolicy(Seen(), Metrics(), **sizes)


def test_sessions_in_a_loop_come_to_go_together():
    policy = Seen(delay_s=0.1)
    batching = BatchingPolicy(policy, Metrics(), max_batch=16)

    def loop(number):
        time.sleep(0.005 * number)
        for _ in range(6):
            batching.plan(observation(number))
            time.sleep(0.001 * number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(loop, range(4)))
    batching.close()
    assert max(policy.batches) == 4
    assert len(policy.batches) <= 10, "six passes of four, where each for itself would be 24"


def test_who_is_alone_does_not_wait_for_others():
    policy = Seen(delay_s=0.2)
    metrics = Metrics()
    batching = BatchingPolicy(policy, metrics, max_batch=16)
    for number in range(4):
        batching.plan(observation(number))
    batching.close()
    assert policy.batches == [1, 1, 1, 1]
    assert metrics.waited.sum < 0.05
