"""The physics of one task, without images: reset to an initial state, stepped by decisions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from amplify.errors import DataError, UsageError
from amplify.sim.libero import package
from amplify.sim.libero.bodies import embodied, hide_arm, robot_of
from amplify.sim.libero.config import DEFAULT_BODY, HZ, SETTLE_ACTION, LiberoConfig
from amplify.sim.libero.sampling import SamplingClock
from amplify.sim.libero.tasks import BODY_MARK, LiberoTask, find_task, initial_states
from amplify.sim.memory import give_back
from amplify.sim.renderer import place_camera

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
"""All that MuJoCo's next step depends on."""

FAR_M = 5.0
"""An object further than this from the scene's origin has been flung away."""

_BROKEN = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that decides the future of a simulation; from `Simulation.snapshot`."""

    physics: Float[np.ndarray, " n"]
    controller: dict[str, Any]
    gripper: np.ndarray
    fixtures: tuple[np.ndarray, np.ndarray]
    clock: SamplingClock
    seen: np.ndarray
    lamps: np.ndarray
    proprio: np.ndarray
    success: bool
    unstable: bool


class Simulation:
    """One copy of a task.

    Its states and successes are those of LIBERO's own environment, bit by bit, in less time: scenes are built once and
    then reset, and what robosuite computes several times a step is computed once.

    Args:
        task: From `find_task`.
        config: Cameras, body, settling.

    Raises:
        MissingDependencyError: No LIBERO package is installed.
        UnknownNameError: There is no such camera.
    """

    def __init__(self, task: LiberoTask, config: LiberoConfig | None = None):
        self.task, self.config = task, config or LiberoConfig()
        with package.quiet(), _own_random_numbers(0):
            self.env = make_environment(task, robot_of(self.config.body))
        self.robot = self.env.robots[0]
        self.model: mujoco.MjModel = self.env.sim.model._model
        self.data: mujoco.MjData = self.env.sim.data._data
        hide_arm(self.model, self.config.body)
        for camera in self.config.cameras:
            place_camera(self.model, camera)
        names = self.env.fixtures_dict.values()
        self._fixtures = np.array([self.model.body(fixture.root_body).id for fixture in names], dtype=int)
        self._built = self.model.body_pos[self._fixtures].copy(), self.model.body_quat[self._fixtures].copy()
        free = np.flatnonzero(self.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
        self._free = self.model.jnt_qposadr[free][:, None] + np.arange(3)
        self._clock = SamplingClock(self.model.opt.timestep)
        self._seen = self.data.qpos.copy()
        self._lamps = self.model.site_rgba[:, 3].copy()
        self._shown: mujoco.MjData | None = None
        self.success = False
        self.unstable = False
        self.proprio: Float[np.ndarray, " p"] = self._proprio()

    def reset(self, initial_state: int | Float[np.ndarray, " n"], *, seed: int | None = None) -> None:
        """Goes to an initial state, whatever happened before, and lets the objects come to rest.

        Args:
            initial_state: Number of an official one, or a row as `initial_states` gives them.
            seed: Of what a state does not say: where exactly fixtures stand. By default the state's number, or 0.

        Raises:
            UsageError: There is no such official state.
            DataError: The row does not fit the scene.
        """
        if isinstance(initial_state, int | np.integer):
            seed = int(initial_state) if seed is None else seed
            official = _official(self.task, int(initial_state))
            initial_state = embodied(official, self.config.body, self.model)
        with package.quiet(), _own_random_numbers(seed or 0):
            self._restart()
        self._place(np.asarray(initial_state, dtype=np.float64))
        for _ in range(self.config.settle):
            self.step(np.array(SETTLE_ACTION))
        self.success = False

    def _restart(self) -> None:
        from robosuite.utils.errors import RandomizationError

        # LIBERO's own reset starts from where the last one put the fixtures, which decides which places it tries.
        self.model.body_pos[self._fixtures], self.model.body_quat[self._fixtures] = self._built
        while True:
            try:
                self.env.reset()
                break
            except RandomizationError:
                continue
        self.robot.gripper.current_action = np.zeros(self.robot.gripper.dof)

    def _place(self, state: np.ndarray) -> None:
        positions, velocities = self.model.nq, self.model.nv
        if state.shape != (1 + positions + velocities,):
            raise DataError(
                f"the initial state does not fit {self.task.scene}",
                got=f"{state.shape[0]} numbers",
                allowed=f"{1 + positions + velocities} (time, {positions} positions, {velocities} velocities)",
            )
        self.data.time = state[0]
        self.data.qpos[:], self.data.qvel[:] = state[1 : 1 + positions], state[1 + positions :]
        mujoco.mj_forward(self.model, self.data)
        self.env._check_success()
        self.env._post_process()
        self._clock.restart()
        self._see(self.data.qpos)
        self.success = self.unstable = False

    def step(self, action: Float[np.ndarray, "7"]) -> bool:
        """One decision, a twentieth of a second; whether success has been reached so far.

        Args:
            action: Hand motion and gripper (see `amplify.sim.libero.config.ACTION_NAMES`), clipped to [−1, 1].
        """
        if self.unstable:
            return self.success
        command = np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0)
        sim, before = self.env.sim, self.data.qpos
        # The state that robosuite's control computes anew is the one that mj_step1 has just computed.
        sim.forward = _nothing
        for substep in range(round(1 / HZ / self.model.opt.timestep)):
            before = self.data.qpos.copy()
            mujoco.mj_step1(self.model, self.data)
            self._solve_ahead(2 if self.robot.controller.new_update else 1)
            self.robot.control(command, policy_step=substep == 0)
            mujoco.mj_step2(self.model, self.data)
            if self._clock.tick():
                self._see(before)
        del sim.forward
        self.unstable = self._blown_up()
        self.env._post_process()
        self.success = self.success or (not self.unstable and bool(self.env._check_success()))
        return self.success

    def _solve_ahead(self, times: int) -> None:
        # robosuite solves the step with the old torques first, which changes where the real solution starts from and
        # so its last bits. Positions, velocities and contacts are the same and need no second computation.
        mujoco.mj_fwdActuation(self.model, self.data)
        mujoco.mj_fwdAcceleration(self.model, self.data)
        for _ in range(times):
            mujoco.mj_fwdConstraint(self.model, self.data)

    def _blown_up(self) -> bool:
        if any(self.data.warning[kind].number for kind in _BROKEN):
            return True
        return bool((np.abs(self.data.qpos[self._free]) > FAR_M).any())

    def snapshot(self) -> Snapshot:
        """A copy of everything that decides the future."""
        physics = np.empty(mujoco.mj_stateSize(self.model, STATE))
        mujoco.mj_getState(self.model, self.data, physics, STATE)
        controller = {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in vars(self.robot.controller).items()
            if name != "sim"
        }
        return Snapshot(
            physics=physics,
            controller=controller,
            gripper=np.array(self.robot.gripper.current_action),
            fixtures=(self.model.body_pos[self._fixtures].copy(), self.model.body_quat[self._fixtures].copy()),
            clock=self._clock.copy(),
            seen=self._seen.copy(),
            lamps=self._lamps.copy(),
            proprio=self.proprio.copy(),
            success=self.success,
            unstable=self.unstable,
        )

    def restore(self, snapshot: Snapshot, *, derived: bool = True) -> None:
        """Goes back to a snapshot of this task: from there everything happens as it did after it was taken.

        Args:
            snapshot: From `snapshot`.
            derived: Whether poses, contacts and forces are computed too; the next step does so anyway.
        """
        self.model.body_pos[self._fixtures], self.model.body_quat[self._fixtures] = snapshot.fixtures
        mujoco.mj_setState(self.model, self.data, snapshot.physics, STATE)
        if derived:
            mujoco.mj_forward(self.model, self.data)
            mujoco.mj_setState(self.model, self.data, snapshot.physics, STATE)
        for kind in _BROKEN:
            self.data.warning[kind].number = 0
        for name, value in snapshot.controller.items():
            setattr(self.robot.controller, name, value.copy() if isinstance(value, np.ndarray) else value)
        self.robot.gripper.current_action = snapshot.gripper.copy()
        self._clock = snapshot.clock.copy()
        self._seen[:], self._lamps[:] = snapshot.seen, snapshot.lamps
        self.proprio = snapshot.proprio.copy()
        self.success, self.unstable = snapshot.success, snapshot.unstable
        self.env._post_process()

    def state(self) -> Float[np.ndarray, " n"]:
        """Time, positions and velocities, as the official files store them."""
        return np.concatenate([[self.data.time], self.data.qpos, self.data.qvel])

    def _see(self, positions: np.ndarray) -> None:
        self._seen[:], self._lamps[:] = positions, self.model.site_rgba[:, 3]
        self.proprio = self._proprio()

    @property
    def scene(self) -> str:
        """The name by which `scene_model` finds the scene with who acts in it ("libero_goal/turn_on_…@ur5e")."""
        body = self.config.body
        return self.task.scene if body == DEFAULT_BODY else f"{self.task.scene}{BODY_MARK}{body}"

    def shown(self) -> mujoco.MjData:
        """The scene as the cameras show it now: poses and lights only; the same object every time."""
        self._shown = data = self._shown or mujoco.MjData(self.model)
        data.qpos[:] = self._seen
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_comPos(self.model, data)
        mujoco.mj_camlight(self.model, data)
        return data

    @property
    def lamps(self) -> Float[np.ndarray, " sites"]:
        """The opacity of every site as LIBERO's cameras show it now: something that is switched on glows."""
        return self._lamps

    @property
    def seen(self) -> Float[np.ndarray, " q"]:
        """The positions that LIBERO's cameras show now: those of one physics step ago (see `SamplingClock`)."""
        return self._seen

    @property
    def hand_position(self) -> Float[np.ndarray, "3"]:
        """Between the fingertips, metres in the world."""
        return self.data.site_xpos[self.robot.eef_site_id].copy()

    @property
    def hand_rotation(self) -> Float[np.ndarray, "3 3"]:
        """Columns are the hand's axes in the world; z points out of the hand."""
        return self.data.site_xmat[self.robot.eef_site_id].reshape(3, 3).copy()

    def _proprio(self) -> np.ndarray:
        robot = self.robot
        which = [*robot._ref_joint_pos_indexes, *robot._ref_gripper_joint_pos_indexes]
        return self.data.qpos[which].astype(np.float32)


def make_environment(task: LiberoTask, robot: str) -> Any:
    """LIBERO's environment of a task on robosuite, without images; resets keep the compiled scene.

    Args:
        task: From `find_task`.
        robot: robosuite's name ("Panda").
    """
    give_back()
    wrapper = package.environments().ControlEnv(
        bddl_file_name=str(task.bddl_file),
        robots=[robot],
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        control_freq=HZ,
        hard_reset=False,
        ignore_done=True,
    )
    return wrapper.env


def simulation(suite: str, task: str | int, config: LiberoConfig | None = None) -> Simulation:
    """A copy of a task by names (see `find_task`)."""
    return Simulation(find_task(suite, task), config)


def _official(task: LiberoTask, number: int) -> np.ndarray:
    states = initial_states(task)
    if not 0 <= number < len(states):
        raise UsageError(f"{task.scene} has no such initial state", got=number, allowed=f"0…{len(states) - 1}")
    return states[number]


@contextmanager
def _own_random_numbers(seed: int) -> Iterator[None]:
    # LIBERO draws from NumPy's global stream, which belongs to the caller.
    kept = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(kept)


def _nothing() -> None:
    """In place of a computation that is already done."""
