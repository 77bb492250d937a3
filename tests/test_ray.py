"""The same work over a Ray cluster that runs on this machine."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from amplify.errors import DataError, MissingDependencyError, UsageError, WorkerError
from amplify.jobs import Node, Once, distributed, map_jobs, run_graph
from amplify.jobs.placement import _pools

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster():
    found = pytest.importorskip("ray")
    # Functions of this module must be importable where the actors run.
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    found.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    yield
    for pool in list(_pools.values()):
        pool.stop()
    _pools.clear()
    found.shutdown()


def square_or_refuse(x: int) -> int:
    if x == 2:
        raise DataError("two is broken", got=x, remedy="leave it out")
    return x * x


def die_once(path: Path) -> str:
    if path.name.startswith("bad") and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name


def die_always(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def bug(x: int) -> int:
    return [][x]


class Costly:
    def __init__(self, folder: Path):
        (folder / f"{os.getpid()}-{os.urandom(4).hex()}").touch()


def use(costly: Once[Costly], _: int) -> int:
    costly()
    return os.getpid()


def double(x: int) -> int:
    return 2 * x


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense", "127.0.0.1:99999"])
def test_no_cluster_at_the_address(address):
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match=r"no Ray cluster at(.|\n)*ray start --head"), distributed(ray=address):
        pass


def test_without_ray_there_is_a_line_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"amplify-robot\[ray\]"), distributed(ray="local"):
        pass


def test_the_same_as_in_this_process(cluster):
    here = {d.item: (d.result, str(d.error)) for d in map_jobs(square_or_refuse, list(range(5)), workers=0)}
    with distributed(ray="auto"):
        there = {d.item: (d.result, str(d.error)) for d in map_jobs(square_or_refuse, list(range(5)))}
    assert there == here


def test_a_killed_worker_loses_nothing_and_one_that_always_dies_is_set_aside(cluster, tmp_path):
    items = [tmp_path / name for name in ("a", "bad", "b")]
    with distributed(ray="auto"):
        assert {d.result for d in map_jobs(die_once, items)} == {"a", "bad", "b"}
        done = {d.item: d for d in map_jobs(die_always, [1, 2, 3])}
    assert {n: d.result for n, d in done.items()} == {1: 1, 2: None, 3: 3}
    assert isinstance(done[2].error, WorkerError)


def test_once_is_made_once_by_each_actor(cluster, tmp_path):
    with distributed(ray="auto"):
        pids = {d.result for d in map_jobs(partial(use, Once(partial(Costly, tmp_path))), list(range(6)))}
    assert os.getpid() not in pids
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == sorted(map(str, pids))


def test_a_graph(cluster):
    nodes = [Node("b", partial(double, 2), ("a",)), Node("a", partial(double, 1))]
    with distributed(ray="auto"):
        assert list(run_graph(nodes)) == [("a", 2), ("b", 4)]


def test_more_gpus_than_the_cluster_has(cluster):
    with pytest.raises(UsageError, match="more GPUs"), distributed(ray="auto", gpus_per_worker=64.0):
        pass


def test_a_bug_ends_the_run(cluster):
    # Last: it stops the cluster.
    with distributed(ray="auto"), pytest.raises(IndexError):
        list(map_jobs(bug, [1, 2, 3]))
