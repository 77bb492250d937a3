"""The numbered examples: two are run, the commands of the others are checked against the options that there are."""

import ast
import functools
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serve.toy import Seen, serving

from amplify.cli import COMMANDS, run
from amplify.policy.info import BundleInfo

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(name, *arguments, folder):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_each_is_numbered_documented_and_in_the_list():
    listed = (EXAMPLES / "README.md").read_text()
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert [path.name[:2] for path in scripts] == ["01", "02", "03", "04"]
    for path in scripts:
        said = ast.get_docstring(ast.parse(path.read_text()))
        assert said.startswith(f"{int(path.name[:2])}. ")
        assert f"({path.name})" in listed


def test_own_videos(tmp_path):
    done = start("01_own_videos", "--smoke", "--out", tmp_path / "mine", folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    for made in ("run/report.html", "run/bundle/weights.safetensors", "motion.png", "videos.html"):
        assert (tmp_path / "mine" / made).stat().st_size > 1000
    assert start("01_own_videos", folder=tmp_path).returncode == 2


def test_own_robot(tmp_path):
    done = start("02_own_robot", "--smoke", "--rate", 40, "--max-steps", 8, "--record", "kept", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"]["acted"] == 8
    assert run(["import", "robot", str(tmp_path / "kept"), "--out", str(tmp_path / "data")]) == 0
    info = BundleInfo(
        cameras=("image",), frame_size_px=16, action_names=("a", "b"), proprio_names=("shoulder_rad", "elbow_rad")
    )
    policy = Seen()
    plan = policy.plan

    def twelve_actions(observation, **options):
        return plan(observation, **options).map(lambda x: x.repeat_interleave(3, dim=1))

    policy.plan = twelve_actions
    with serving(policy, info=info) as server:
        arguments = [f"ws://127.0.0.1:{server.port}", "--rate", 40, "--max-steps", 20, "--log", "log.jsonl"]
        assert start("02_own_robot", *arguments, "--dry-run", folder=tmp_path).returncode == 0
        done = start("02_own_robot", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["steps"]["acted"] == 20
    assert found["plans"]["used"] >= 3
    # The toy's plans ask for an elbow at 100 rad: the class's own limits keep it where it may go, at its speed.
    assert {row["limit"] for row in found["limited"]} >= {"position", "velocity"}
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    joints = [line["action"] for line in lines if line.get("phase") == "acting"]
    assert max(shoulder for shoulder, _ in joints) <= 3.0
    assert start("02_own_robot", folder=tmp_path).returncode == 2


def test_the_robot_of_the_example_is_one_for_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(EXAMPLES)
    arguments = ["--robot", "02_own_robot:MyRobot", "--text", "reach", "--rate", "40", "--max-steps", "5", "--json"]
    assert run(["run-robot", "scripted", *arguments, "--record", str(tmp_path / "data")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["recorded"]["episodes"] == 1


def test_own_robot_needs_no_torch():
    code = "import runpy, sys; sys.argv = ['x', '--smoke', '--max-steps', '3', '--rate', '40', '--log', sys.argv[1]];"
    code += f"runpy.run_path({str(EXAMPLES / '02_own_robot.py')!r}, run_name='__main__');"
    code += "print(sorted({'torch', 'amplify'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, "/dev/null"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def options_exist(command, monkeypatch):
    """Reads a command's options without running it."""
    words = 1 if command[0] in COMMANDS else 2
    module = importlib.import_module(COMMANDS[" ".join(command[:words])][0])
    name = command[words - 1].replace("-", "_")
    function, called = getattr(module, name), []

    @functools.wraps(function)
    def noted(*_, **__):
        called.append(name)
        return {}

    monkeypatch.setattr(module, name, noted)
    code = run(command)
    monkeypatch.setattr(module, name, function)
    return code == 0 and called == [name]


@pytest.mark.parametrize("smoke", [True, False])
def test_the_commands_of_libero_exist(smoke, monkeypatch):
    commands = example("03_libero").commands(Path("out"), smoke=smoke)
    assert [command[:2] for command in commands][-4:-1] == [["train", s] for s in ("tokenizer", "forward", "inverse")]
    for command in commands:
        assert options_exist(command, monkeypatch), command
    assert not options_exist([*commands[0], "--no-such-option"], monkeypatch)


def test_the_commands_of_lerobot_exist(monkeypatch, tmp_path):
    commands = example("04_lerobot").commands("runs/quickstart", None, Path("out"), steps=10, episodes=2)
    ours = [command[1:] for command in commands if command[0] == "amplify"]
    assert len(ours) == 2
    for command in ours:
        assert options_exist(command, monkeypatch), command
    plugin = ROOT / "plugins" / "lerobot_policy_amplify" / "src" / "lerobot_policy_amplify"
    known = _fields(plugin / "configuration_amplify.py", "AmplifyConfig")
    # These are LeRobot's own, of every policy.
    known |= {"type", "path", "push_to_hub", "device"}
    used = {option.split(".")[1].split("=")[0] for command in commands for option in command if "--policy." in option}
    assert used <= known
    assert "motion_bundle" in used
    known = _fields(plugin / "environment.py", "AmplifyEnvConfig") | {"type"}
    assert {
        option.split(".")[1].split("=")[0] for command in commands for option in command if "--env." in option
    } <= known
    done = start("04_lerobot", "--dry-run", "--dataset", "mine", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.count("$ ") == 4
    assert "--dataset.root=mine" in done.stdout


def _fields(path, name):
    tree = ast.parse(path.read_text())
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return {node.target.id for node in found.body if isinstance(node, ast.AnnAssign)}


def test_the_citation_is_of_this_version_and_of_the_paper():
    import tomllib

    import yaml

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["version"] == project["version"]
    assert cited["license"] == project["license"]
    paper = cited["preferred-citation"]
    assert paper["identifiers"][0]["value"] == "arXiv:2506.14198"
    assert [author["family-names"] for author in paper["authors"]][::5] == ["Collins", "Garg"]
