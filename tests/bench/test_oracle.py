import json

import pytest

from amplify.bench import oracle as module
from amplify.bench.oracle import OracleBench, bench_oracle, table
from amplify.cli import run
from amplify.errors import DataError
from amplify.sim.libero.oracle import OracleConfig
from amplify.sim.libero.tasks import LiberoTask


def task(index: int, tmp_path) -> LiberoTask:
    return LiberoTask(
        suite="libero_test", index=index, name=f"task_{index}", instruction="", bddl_file=tmp_path / "x", goals=()
    )


@pytest.fixture
def tried(monkeypatch):
    """Trials that were really made; even states succeed at once, odd ones never."""
    trials = []

    def attempt(trial):
        trials.append(trial)
        success = trial.state % 2 == 0
        return {
            "success": success,
            "attempts": 1 if success else trial.oracle.attempts,
            "decisions": 100 + trial.state,
            "decisions_simulated": 100,
            "cpu_s": 1.0,
            "failures": [] if success else ["it slipped"] * trial.oracle.attempts,
        }

    monkeypatch.setattr(module, "attempt", attempt)
    return trials


def test_counts_by_task_and_in_all(tmp_path, tried):
    config = OracleBench(states=(10, 11, 12), oracle=OracleConfig(attempts=3))
    summary = bench_oracle([task(0, tmp_path), task(1, tmp_path)], config, workers=0)
    row = summary["tasks"]["libero_test/task_0"]
    assert (row["successes"], row["trials"], row["first_attempt"]) == (2, 3, 2)
    assert row["failures"] == ["it slipped"]
    assert row["decisions"] == 111.0
    assert summary["all"]["rate"] == pytest.approx(4 / 6)
    assert "| all | 4/6 |" in table(summary)


def test_it_goes_on_where_it_stopped_but_not_with_other_settings(tmp_path, tried):
    tasks = [task(0, tmp_path)]
    bench_oracle(tasks, OracleBench(states=(1, 2)), out=tmp_path / "out", workers=0)
    again = bench_oracle(tasks, OracleBench(states=(1, 2, 3)), out=tmp_path / "out", workers=0)
    assert [trial.state for trial in tried] == [1, 2, 3]
    assert again["all"]["trials"] == 3
    bench_oracle(tasks, OracleBench(states=(1,), seed=1), out=tmp_path / "out", workers=0)
    bench_oracle(tasks, OracleBench(states=(1,), oracle=OracleConfig(noise=0.0)), out=tmp_path / "out", workers=0)
    assert len(tried) == 5


def test_another_body_is_tried_on_its_own(tmp_path, tried):
    tasks, out = [task(0, tmp_path)], tmp_path / "out"
    bench_oracle(tasks, OracleBench(states=(2,)), out=out, workers=0)
    summary = bench_oracle(tasks, OracleBench(states=(2,), body="iiwa"), out=out, workers=0)
    assert [trial.body for trial in tried] == ["panda", "iiwa"]
    assert summary["body"] == "iiwa"
    assert bench_oracle(tasks, OracleBench(states=(2,)), out=out, workers=0)["body"] == "panda"
    assert len(tried) == 2


def test_a_damaged_result_is_named(tmp_path, tried):
    bench_oracle([task(0, tmp_path)], OracleBench(states=(1,)), out=tmp_path, workers=0)
    next(tmp_path.glob("libero_test-*.json")).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        bench_oracle([task(0, tmp_path)], OracleBench(states=(1,)), out=tmp_path, workers=0)


@pytest.mark.libero
def test_the_command(tmp_path, tried, capsys):
    assert run(["bench", "oracle", "object", "--tasks", "0-1", "--initial-states", "3-4", "--out", str(tmp_path),
                "--workers", "0", "--attempts", "2", "--noise", "0.1", "--seed", "5", "--json"]) == 0  # fmt: skip
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["all"]["trials"] == 4
    assert {(t.seed, t.oracle.attempts, t.oracle.noise) for t in tried} == {(5, 2, 0.1)}
    assert (tmp_path / "results.md").read_text().startswith("| task |")
    arguments = ["bench", "oracle", "object", "--tasks", "0", "--initial-states", "3", "--workers", "0"]
    assert run(arguments) == 0
    assert run([*arguments, "--strict"]) == 1
    assert "without any success" in capsys.readouterr().err


@pytest.mark.libero
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["libero_objekt"], "libero_object"),
        (["object", "--tasks", "77"], "0…9"),
        (["object", "--initial-states", "60"], "0…49"),
        (["object", "--initial-states", "x"], "no number"),
        (["object", "--attempts", "0"], "attempts"),
        (["object", "--body", "sawyer"], "ur5e"),
    ],
)
def test_bad_input_is_refused(arguments, said, capsys):
    assert run(["bench", "oracle", *arguments]) == 2
    assert said in capsys.readouterr().err
