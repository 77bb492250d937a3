import os

import pytest
import torch

from amplify.errors import DataError
from amplify.jobs import cores, map_jobs


def square(x: int) -> int:
    return x * x


def square_or_refuse(x: int) -> int:
    if x == 2:
        raise DataError("two is broken", got=x, remedy="leave it out")
    return x * x


def bug(x: int) -> int:
    return [][x]


def process_and_threads(_: int) -> tuple[int, int]:
    return os.getpid(), torch.get_num_threads()


def outcomes(function, items, workers):
    return {
        done.item: (done.result, done.error and str(done.error)) for done in map_jobs(function, items, workers=workers)
    }


def test_parallel_equals_serial():
    items = list(range(6))
    assert outcomes(square_or_refuse, items, 2) == outcomes(square_or_refuse, items, 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failed_item_is_set_aside_and_the_rest_goes_on(workers):
    done = {d.item: d for d in map_jobs(square_or_refuse, [1, 2, 3], workers=workers)}
    assert isinstance(done[2].error, DataError)
    assert done[2].error.remedy == "leave it out"
    assert done[2].result is None
    assert (done[1].result, done[3].result) == (1, 9)
    assert done[1].error is None


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bug_ends_the_run(workers):
    with pytest.raises(IndexError):
        list(map_jobs(bug, [1, 2, 3], workers=workers))


def test_workers_are_other_processes_with_one_thread_each():
    for done in map_jobs(process_and_threads, [0, 1], workers=2):
        pid, threads = done.result
        assert pid != os.getpid()
        assert threads == 1


def test_zero_workers_stay_in_this_process():
    assert [d.result[0] for d in map_jobs(process_and_threads, [0, 1], workers=0)] == [os.getpid()] * 2


def test_nothing_to_do():
    assert list(map_jobs(square, [])) == []


def test_cores_is_at_least_one():
    assert cores() >= 1
