import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from amplify.errors import DataError
from amplify.jobs import Node, cores, map_jobs, run_graph


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


def _tracks_parent(folder):
    (folder / f"worker-{os.getpid()}").touch()
    time.sleep(60)


_ORPHANS = """
import sys
from pathlib import Path
from functools import partial
sys.path.insert(0, {tests!r})
from amplify.jobs import map_jobs
from test_jobs import _tracks_parent
if __name__ == "__main__":
    list(map_jobs(_tracks_parent, [Path({folder!r})] * 2, workers=2))
"""


def test_workers_end_with_a_main_process_that_is_killed(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(_ORPHANS.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    main = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    _wait_for(lambda: len(list(tmp_path.glob("worker-*"))) == 2)
    main.kill()
    main.wait()
    workers = [int(path.name.split("-")[1]) for path in tmp_path.glob("worker-*")]
    _wait_for(lambda: not any(psutil.pid_exists(pid) and _alive(pid) for pid in workers))


def _alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited for a minute")


def _double(x):
    return 2 * x


def _refuse():
    raise DataError("no")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_graph_runs_every_node_after_what_it_needs(workers):
    nodes = [
        Node("c", partial(_double, 3), ("a", "b")),
        Node("b", partial(_double, 2), ("a",)),
        Node("a", partial(_double, 1)),
    ]
    ended = list(run_graph(nodes, workers=workers))
    assert ended == [("a", 2), ("b", 4), ("c", 6)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failed_node_ends_the_graph(workers):
    nodes = [Node("bad", _refuse), Node("after", partial(_double, 1), ("bad",))]
    with pytest.raises(DataError, match="no"):
        list(run_graph(nodes, workers=workers))
    assert list(run_graph([Node("fine", partial(_double, 1))], workers=workers)) == [("fine", 2)]
