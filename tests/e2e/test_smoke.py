"""The installed wheel, not the source tree, runs the whole loop."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("wheel")
SEED = 3


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # building in place would leave build/ behind
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(source)], check=True)
    wheel = next(folder.glob("amplify_robot-*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def amplify(site, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.Popen(
        [sys.executable, "-m", "amplify", *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_the_wheel_is_what_runs(site, tmp_path):
    code = "import amplify; print(amplify.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert out.stdout.startswith(str(site))


def test_quickstart_interrupted_and_resumed(site, tmp_path):
    command = ("quickstart", "--preset", "smoke", "--out", "run", "--seed", str(SEED), "--json")
    first = amplify(site, *command, cwd=tmp_path, start_new_session=True)
    for _ in range(3000):
        if (tmp_path / "run" / "data" / "videos" / "meta" / "info.json").exists() or first.poll() is not None:
            break
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGINT)
    _, err = first.communicate(timeout=120)
    assert first.returncode == 130, err
    assert "same command again" in err
    assert "Traceback" not in err

    second = amplify(site, *command, cwd=tmp_path)
    out, err = second.communicate(timeout=900)
    assert second.returncode == 0, err
    assert "Traceback" not in err
    summary = json.loads(out.splitlines()[-1])
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    for content in (summary, report):
        assert content["seed"] == SEED
        assert {"record", "track", "encode", "tokenizer", "forward", "inverse", "baseline", "rollouts", "total"} <= set(
            content["seconds"]
        )
        for kind in ("moving", "all"):
            for row in ("model", "no_motion", "constant_velocity"):
                figures = {"mse", "pixel_accuracy", "delta_auc", "error_px", "pck", "delta_avg"}
                assert figures <= set(content["tracks"][kind][row])
            assert 0 < content["tracker"][kind]["delta_avg"] <= 1
        assert content["tracker"]["name"] == "flow"
        assert {"size", "used", "perplexity"} <= set(content["codebook"])
        for method in ("amplify", "behaviour_cloning"):
            assert {"mean", "ci95", "rollouts", "tasks"} <= set(content["success"][method])
        assert content["versions"]["torch"]
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    assert list((tmp_path / "run" / "films").glob("amplify-*.mp4"))

    video_info = json.loads((tmp_path / "run" / "data" / "videos" / "meta" / "info.json").read_text())
    assert not {"action", "observation.state"} & set(video_info["features"])

    again = amplify(site, *command, cwd=tmp_path)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["success"] == summary["success"]

    policy = amplify(
        site, "evaluate", "policy", "run/bundle", "--tasks", "drawer-close", "--rollouts", "2", "--json", cwd=tmp_path
    )
    out, err = policy.communicate(timeout=300)
    assert policy.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["success"]["amplify"]["rollouts"] == 2

    tracks = amplify(site, "evaluate", "tracks", "run/bundle", "run/data/held-out", "--json", cwd=tmp_path)
    out, err = tracks.communicate(timeout=300)
    assert tracks.returncode == 0, err
    again_scored = json.loads(out.splitlines()[-1])["tracks"]["moving"]["model"]["error_px"]
    assert again_scored == pytest.approx(report["tracks"]["moving"]["model"]["error_px"], rel=1e-3)

    other = amplify(site, "quickstart", "--preset", "smoke", "--out", "run", "--seed", "4", cwd=tmp_path)
    _, err = other.communicate(timeout=120)
    assert other.returncode == 2
    assert "seed=4 (there: 3)" in err
