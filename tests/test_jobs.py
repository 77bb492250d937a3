import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from amplify.errors import DataError, UsageError, WorkerError
from amplify.jobs import Node, Once, cores, distributed, map_jobs, run_graph
from amplify.jobs.processes import _devices
from amplify.jobs.worker import Bench, Raised, Shipment


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
    with pytest.raises(IndexError) as caught:
        list(map_jobs(bug, [1, 2, 3], workers=workers))
    if workers:  # whose own traceback does not travel
        assert "test_jobs.py" in caught.value.__notes__[0]


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


def die_once(path: Path) -> str:
    """Kills its process the first time, as a system without memory would."""
    if path.name.startswith("bad") and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name


def die_always(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_worker_loses_nothing(tmp_path):
    items = [tmp_path / name for name in ("a", "bad", "b", "bad2", "c")]
    done = {d.item: d for d in map_jobs(die_once, items, workers=2)}
    assert {path: d.result for path, d in done.items()} == {path: path.name for path in items}


def test_an_item_that_no_worker_survives_is_set_aside():
    done = {d.item: d for d in map_jobs(die_always, [1, 2, 3, 4], workers=2)}
    assert {n: d.result for n, d in done.items()} == {1: 1, 2: None, 3: 3, 4: 4}
    assert isinstance(done[2].error, WorkerError)
    assert "3 times: killed by SIGKILL" in str(done[2].error)


def test_a_worker_that_died_idle_is_replaced():
    first = {d.result[0] for d in map_jobs(process_and_threads, [0, 1], workers=2)}
    for pid in first:
        os.kill(pid, signal.SIGKILL)
        _wait_for(lambda pid=pid: not _alive(pid))
    again = [d.result[0] for d in map_jobs(process_and_threads, [0, 1, 2], workers=2)]
    assert len(again) == 3
    assert not first & set(again)


class Costly:
    """Counts how often it is made."""

    def __init__(self, folder: Path):
        (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()


def use(costly: Once[Costly], _: int) -> int:
    costly()
    return os.getpid()


@pytest.mark.parametrize("workers", [0, 2])
def test_once_is_made_once_by_each_worker(workers, tmp_path):
    costly = Once(partial(Costly, tmp_path))
    pids = {d.result for d in map_jobs(partial(use, costly), list(range(8)), workers=workers)}
    made = [path.name.split("-")[0] for path in tmp_path.iterdir()]
    assert sorted(made) == sorted(str(pid) for pid in pids)


class Heavy:
    """Notes each time that it is sent."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __setstate__(self, state):
        self.__dict__.update(state)
        (self.folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()

    def __call__(self, x: int) -> int:
        return os.getpid()


def test_the_function_is_sent_to_each_worker_once_not_with_each_item(tmp_path):
    pids = {d.result for d in map_jobs(Heavy(tmp_path), list(range(9)), workers=2)}
    assert len(list(tmp_path.iterdir())) == len(pids)


class UnsendableError(Exception):
    def __init__(self, a, b):
        super().__init__(a + b)


def raise_unsendable() -> None:
    raise UnsendableError("a", "b")


def test_an_error_that_cannot_travel_is_told_in_words():
    shipment = Shipment.of(raise_unsendable)
    answer = pickle.loads(Bench().answer(shipment.name, shipment.content, (), None))
    assert isinstance(answer, Raised)
    assert "UnsendableError" in str(answer.error)


def test_gpus_are_shared_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert _devices(0.0) == []
    assert _devices(1.0) == ["0", "1", "2", "3"]
    assert _devices(2.0) == ["0,1", "2,3"]
    assert _devices(0.5) == ["0", "1", "2", "3"] * 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,6,4")
    assert _devices(2.0) == ["7,5", "6,4"]


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="--gpus-per-worker 1"), distributed(gpus_per_worker=1.0):
        pass


def seen_devices(_: int) -> str:
    time.sleep(0.2)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_each_worker_sees_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with distributed(gpus_per_worker=1.0):
        assert {d.result for d in map_jobs(seen_devices, list(range(6)), workers=8)} == {"0", "1"}


_INTERRUPTED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from amplify.jobs import map_jobs
from test_jobs import _tracks_parent
if __name__ == "__main__":
    try:
        list(map_jobs(_tracks_parent, [Path({folder!r})] * 2, workers=2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_ctrl_c_ends_all_workers_at_once(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(_INTERRUPTED.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    main = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL, start_new_session=True)
    _wait_for(lambda: len(list(tmp_path.glob("worker-*"))) == 2)
    os.killpg(main.pid, signal.SIGINT)  # as a terminal does
    assert main.wait(20) == 130
    workers = [int(path.name.split("-")[1]) for path in tmp_path.glob("worker-*")]
    assert not any(_alive(pid) for pid in workers)


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


def _die_once(path):
    die_once(path)
    return path.name


def test_a_node_whose_worker_is_killed_is_done_again(tmp_path):
    nodes = [Node("bad", partial(_die_once, tmp_path / "bad")), Node("after", partial(_double, 1), ("bad",))]
    assert list(run_graph(nodes, workers=2)) == [("bad", "bad"), ("after", 2)]


def test_a_node_that_no_worker_survives_ends_the_graph():
    with pytest.raises(WorkerError, match="3 times"):
        list(run_graph([Node("bad", partial(die_always, 2)), Node("fine", partial(_double, 1))], workers=2))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failed_node_ends_the_graph(workers):
    nodes = [Node("bad", _refuse), Node("after", partial(_double, 1), ("bad",))]
    with pytest.raises(DataError, match="no"):
        list(run_graph(nodes, workers=workers))
    assert list(run_graph([Node("fine", partial(_double, 1))], workers=workers)) == [("fine", 2)]


def _own_workers(_item):
    time.sleep(0.3)  # or one could do it all
    return os.getpid()


def _divided(items):
    pids = {done.result for done in map_jobs(_own_workers, range(items))}
    return os.getpid(), cores(), pids


def _share(_item=None):
    return os.getpid(), cores(), len({done.result for done in map_jobs(_own_workers, range(2))})


def test_a_node_that_divides_is_given_the_workers_that_would_be_idle():
    nodes = [Node("wide", partial(_divided, 4), divides=True), Node("after", _share, ("wide",))]
    results = dict(run_graph(nodes, workers=3))
    worker, share, pids = results["wide"]
    assert share == 3
    assert len(pids) == 3
    assert not pids & {worker, os.getpid()}
    assert not any(psutil.pid_exists(pid) for pid in pids)  # idle ones are not kept
    assert results["after"][1:] == (1, 1)


def test_nodes_that_are_ready_together_share_the_workers():
    nodes = [Node(name, _share, divides=True) for name in "ab"] + [Node("plain", _share)]
    results = dict(run_graph(nodes, workers=4))
    assert [results[name][1] for name in "ab"] == [1, 2]
    assert results["plain"][1] == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_nodes_of_one_worker_have_none_of_their_own(workers):
    nodes = [Node("wide", _share, divides=True), Node("plain", _share)]
    assert dict(run_graph(nodes, workers=workers)) == {name: (os.getpid(), 1, 1) for name in ("wide", "plain")}


def test_a_node_alone_may_use_all_workers_here():
    assert next(run_graph([Node("wide", _share, divides=True)], workers=2)) == ("wide", (os.getpid(), 2, 2))
    assert cores() == len(os.sched_getaffinity(0))
