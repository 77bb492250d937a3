import pytest
import torch

from amplify.bench.settings import BenchSettings, cpu_name
from amplify.bench.timing import Part, fastest, measure
from amplify.errors import UsageError


def test_parts_take_turns_and_are_compared(monkeypatch):
    turns, clock = [], [0.0]
    monkeypatch.setattr("amplify.bench.timing.time.perf_counter", lambda: clock[0])

    def lasts(name, seconds):
        def run():
            turns.append(name)
            clock[0] += seconds.pop(0)

        return run

    parts = [Part("slow", lasts("slow", [9, 0.4, 0.2, 0.3])), Part("fast", lasts("fast", [9, 0.1, 0.1, 0.5]), "slow")]
    timed = measure(parts, rounds=3, device=torch.device("cpu"))
    assert turns == ["slow", "fast"] * 4
    assert timed["slow"] == {"median_ms": pytest.approx(300), "ratio": None}
    assert timed["fast"] == {"median_ms": pytest.approx(100), "ratio": pytest.approx(3)}
    assert fastest(timed, ["slow", "fast"]) == "fast"


def test_devices_that_are_not_here_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="CUDA"):
        BenchSettings(device="cuda").prepare()
    with pytest.raises(UsageError, match="no such device"):
        BenchSettings(device="meta").prepare()


def test_threads_are_set():
    BenchSettings(threads=2).prepare()
    assert torch.get_num_threads() == 2
    device = BenchSettings().prepare()
    assert torch.get_num_threads() == 1
    assert BenchSettings().machine(device)["device"] == cpu_name()
