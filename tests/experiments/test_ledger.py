import time
from functools import partial

import pytest

from amplify.config import Config
from amplify.errors import DataError, UsageError
from amplify.experiments.ledger import Ledger
from amplify.jobs import Node


class Settings(Config):
    seed: int = 0
    note: str = "a"


def _give(**values):
    return values


def _fail():
    raise DataError("broken")


def test_a_stage_runs_once(tmp_path):
    calls = []
    for _ in range(2):
        ledger = Ledger(tmp_path / "run", Settings())
        result = ledger.run("one", lambda: calls.append(1) or {"value": 3})
        assert result == {"value": 3}
    assert len(calls) == 1
    assert ledger.seconds["one"] >= 0


def _burn(**values):
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    return values


def test_processor_time_is_counted_where_it_was_spent(tmp_path):
    ledger = Ledger(tmp_path, Settings())
    with ledger.attempt():
        ledger.run("idle", lambda: time.sleep(0.2) or {})
        ledger.run_graph([Node("here", _burn)], workers=0)
        ledger.run_graph([Node("there", _burn)], workers=1)
    assert ledger.cpu_seconds["idle"] < 0.15 < ledger.cpu_seconds["here"]
    assert ledger.cpu_seconds["there"] > 0.15
    assert ledger.cpu_s > 0.35


def test_a_failed_stage_runs_again(tmp_path):
    with pytest.raises(DataError):
        Ledger(tmp_path, Settings()).run("one", _fail)
    assert Ledger(tmp_path, Settings()).run("one", partial(_give, value=1)) == {"value": 1}


def test_a_graph_leaves_out_what_is_finished(tmp_path):
    nodes = [Node("b", partial(_give, value=2), ("a",)), Node("a", partial(_give, value=1))]
    broken = [Node("b", _fail, ("a",)), nodes[1]]
    with pytest.raises(DataError):
        Ledger(tmp_path, Settings()).run_graph(broken, workers=0)
    ledger = Ledger(tmp_path, Settings())
    ledger.run_graph([nodes[0], Node("a", _fail)], workers=0)
    assert (ledger.result("a"), ledger.result("b")) == ({"value": 1}, {"value": 2})


def test_other_settings_are_refused_by_name(tmp_path):
    Ledger(tmp_path, Settings())
    with pytest.raises(UsageError, match=r"seed=7 \(there: 0\)"):
        Ledger(tmp_path, Settings(seed=7))


def test_time_and_memory_add_up_over_attempts(tmp_path):
    first = Ledger(tmp_path, Settings())
    with pytest.raises(DataError), first.attempt():
        first.run("one", _fail)
    second = Ledger(tmp_path, Settings())
    with second.attempt():
        second.run("one", partial(_give, value=1))
    assert second.wall_s > first.wall_s > 0
    assert second.peak_memory_gb > 0.01
