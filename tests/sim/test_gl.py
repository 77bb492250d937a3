import os
import subprocess
import sys

import pytest

from amplify.errors import RenderingError
from amplify.sim import gl

DRAW_AND_LEAVE = """
import mujoco
from amplify.sim.renderer import CameraSettings, OffscreenRenderer
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><camera name="c"/><geom size="1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
print(OffscreenRenderer(model).render(model, data, CameraSettings(name="c")).shape)
keep = OffscreenRenderer(model)
"""


@pytest.fixture
def unset(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "egl")  # so that it is restored, whatever the test leaves
    monkeypatch.delenv("MUJOCO_GL")


def test_a_chosen_back_end_is_respected_without_trying_it(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "OSMesa")
    monkeypatch.setattr(gl, "_probe", lambda name: pytest.fail("probed"))
    assert gl.ensure_gl() == "osmesa"


def test_an_unknown_back_end_names_the_known_ones(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    with pytest.raises(RenderingError, match="'vulkan'") as caught:
        gl.ensure_gl()
    assert "osmesa" in str(caught.value.allowed)


def test_the_first_working_back_end_is_kept_for_child_processes(unset, monkeypatch):
    monkeypatch.setattr(gl, "_probe", lambda name: "no EGL here" if name == "egl" else None)
    assert gl.ensure_gl() == "osmesa"
    assert os.environ["MUJOCO_GL"] == "osmesa"


def test_without_any_back_end_the_error_says_what_to_install(unset, monkeypatch):
    monkeypatch.setattr(gl, "_probe", lambda name: f"{name} broke")
    with pytest.raises(RenderingError, match="apt-get install libegl1 libgl1 libosmesa6") as caught:
        gl.ensure_gl()
    assert "egl: egl broke; osmesa: osmesa broke" in str(caught.value)
    assert "MUJOCO_GL" not in os.environ


def test_the_probe_reports_the_last_line_of_a_failure(monkeypatch):
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "99")
    assert "99" in (gl._probe("egl") or "")


@pytest.mark.parametrize("back_end", gl.OFFSCREEN_BACKENDS)
def test_leaving_the_interpreter_prints_nothing(back_end):
    if gl._probe(back_end) is not None:
        pytest.skip(f"{back_end} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", DRAW_AND_LEAVE],
        env={**os.environ, "MUJOCO_GL": back_end, "PYOPENGL_PLATFORM": back_end},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "(128, 128, 3)", "")
