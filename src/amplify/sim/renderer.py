"""Images of a MuJoCo scene, fast on a CPU: no shadows, reflections, multisampling or goal markers unless asked for."""

import copy
from collections.abc import Sequence

import mujoco
import numpy as np
from jaxtyping import Bool, Float, UInt8
from pydantic import PositiveInt

from amplify.config import Config
from amplify.errors import RenderingError, pick
from amplify.sim.gl import close_at_exit, gl_context

VISIBLE_GEOM_GROUPS = (True, True, True, False, False, False)
"""MuJoCo geometry groups that are drawn; the others hold collision shapes."""

HIDDEN_GEOM_GROUP = len(VISIBLE_GEOM_GROUPS) - 1
"""The group for geometry that is neither drawn nor met by rays."""

SPHERE_MARGIN = 0.05
"""Bounding spheres are taken to be so much larger, and a centimetre, before they count as out of sight."""


class CameraSettings(Config):
    """A camera of the scene, optionally moved.

    Args:
        name: The camera's name in the scene; also the name of the view in datasets and observations.
        position_m: Replaces the camera's position (in its parent's frame).
        fovy_deg: Replaces the vertical field of view.
        turned: Turns the image by 180°, for cameras that were mounted upside down.
    """

    name: str
    position_m: tuple[float, float, float] | None = None
    fovy_deg: float | None = None
    turned: bool = False


def different(cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
    """The cameras, which make up the views of a configuration.

    Raises:
        ValueError: There is none, or one twice.
    """
    names = [camera.name for camera in cameras]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"cameras must be one or more different ones, got {names}")
    return cameras


class RenderSettings(Config):
    """Size and quality of images.

    Args:
        width_px: Image width.
        height_px: Image height.
        shadows: About ten times slower on a CPU.
        reflections: Draws reflecting surfaces twice.
        multisamples: Samples a pixel; 0 gives hard edges and is fastest.
        markers: Draws MuJoCo sites. A real video has no goal markers, and they would give the goal away.
    """

    width_px: PositiveInt = 128
    height_px: PositiveInt = 128
    shadows: bool = False
    reflections: bool = False
    multisamples: int = 0
    markers: bool = False


class OffscreenRenderer:
    """Draws any model compiled from the same XML: meshes and textures are uploaded once and shared by all copies.

    Args:
        model: Only read; models given to `render` must have the same meshes and textures.
        settings: Size and quality.
        groups: Which of MuJoCo's six groups of geometry are drawn.

    Raises:
        RenderingError: No OpenGL back end works.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        settings: RenderSettings | None = None,
        *,
        groups: Sequence[bool] = VISIBLE_GEOM_GROUPS,
    ):
        self.settings = settings = settings or RenderSettings()
        quality = copy.copy(model)
        quality.vis.quality.offsamples = settings.multisamples
        quality.vis.quality.shadowsize = model.vis.quality.shadowsize if settings.shadows else 0
        quality.vis.global_.offwidth = settings.width_px
        quality.vis.global_.offheight = settings.height_px
        self._gl = gl_context()
        self._gl.make_current()
        try:
            self._context = mujoco.MjrContext(quality, mujoco.mjtFontScale.mjFONTSCALE_50.value)
        except mujoco.FatalError as error:
            raise RenderingError(
                "OpenGL refused the frame buffer",
                got=f"{settings.width_px}×{settings.height_px} px: {error}",
                remedy="ask for smaller images, or check the set-up with: amplify doctor",
            ) from error
        self._scene = mujoco.MjvScene(quality, maxgeom=2000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = settings.shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = settings.reflections
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = groups
        if not settings.markers:
            self._options.sitegroup[:] = 0
        self._perturb = mujoco.MjvPerturb()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._viewport = mujoco.MjrRect(0, 0, settings.width_px, settings.height_px)
        close_at_exit(self)

    def render(self, model: mujoco.MjModel, data: mujoco.MjData, camera: CameraSettings) -> UInt8[np.ndarray, "h w 3"]:
        """One RGB image of the present state.

        Args:
            model: The scene, with its camera placed (see `place_camera`).
            data: Its state, forward kinematics done.
            camera: Which camera, and whether the image is turned.
        """
        pixels = self._draw(model, data, camera)
        # OpenGL's first row is the lowest: turning by 180° leaves only left and right to exchange.
        return np.ascontiguousarray(pixels[:, ::-1] if camera.turned else pixels[::-1])

    def segment(self, model: mujoco.MjModel, data: mujoco.MjData, camera: CameraSettings) -> np.ndarray:
        """The number of the geometry seen in every pixel, −1 where there is none; int32 of shape (h, w)."""
        flags = (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR)
        for flag in flags:
            self._scene.flags[flag] = True
        pixels = self._draw(model, data, camera).astype(np.int32)
        for flag in flags:
            self._scene.flags[flag] = False
        shown = pixels @ np.array([1, 256, 65536], dtype=np.int32)
        geometry = np.full(self._scene.ngeom + 1, -1, dtype=np.int32)
        for item in self._scene.geoms[: self._scene.ngeom]:
            if item.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                geometry[item.segid + 1] = item.objid
        numbers = geometry[shown]
        return np.ascontiguousarray(numbers[:, ::-1] if camera.turned else numbers[::-1])

    def depth(self, model: mujoco.MjModel, data: mujoco.MjData, camera: CameraSettings) -> Float[np.ndarray, "h w"]:
        """Distances from the camera along its axis in metres, float32; where nothing is seen, that of the far plane.

        Args:
            model: The scene, with its camera placed.
            data: Its state, forward kinematics done.
            camera: Which camera, and whether the image is turned.
        """
        self._draw(model, data, camera)
        nearness = np.empty((self.settings.height_px, self.settings.width_px), dtype=np.float32)
        mujoco.mjr_readPixels(None, nearness, self._viewport, self._context)
        near, far = (plane * model.stat.extent for plane in (model.vis.map.znear, model.vis.map.zfar))
        distances = near / (1.0 - nearness * (1.0 - near / far))
        return np.ascontiguousarray(distances[:, ::-1] if camera.turned else distances[::-1])

    def _draw(self, model: mujoco.MjModel, data: mujoco.MjData, camera: CameraSettings) -> np.ndarray:
        self._gl.make_current()
        # Other renderers of this process draw into buffers of their own.
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._camera.fixedcamid = camera_number(model, camera.name)
        self._update(model, data)
        pixels = np.empty((self.settings.height_px, self.settings.width_px, 3), dtype=np.uint8)
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, self._viewport, self._context)
        return pixels

    def _update(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Collects what is drawn: each piece costs as much outside the picture as within."""
        groups, everything = model.geom_group.copy(), mujoco.mjtCatBit.mjCAT_ALL.value
        if not (self.settings.shadows or self.settings.reflections):  # for which things count that are not in sight
            aspect = self.settings.width_px / self.settings.height_px
            model.geom_group[out_of_sight(model, data, self._camera.fixedcamid, aspect)] = HIDDEN_GEOM_GROUP
        try:
            mujoco.mjv_updateScene(model, data, self._options, self._perturb, self._camera, everything, self._scene)
        finally:
            model.geom_group[:] = groups

    def close(self) -> None:
        """Frees the graphics memory; closing twice does nothing."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._context = None

    def __del__(self) -> None:
        # In another OpenGL context the same numbers name another renderer's buffers: free them in the own one.
        if getattr(self, "_context", None) is not None:
            self.close()


def out_of_sight(model: mujoco.MjModel, data: mujoco.MjData, camera: int, aspect: float) -> Bool[np.ndarray, " n"]:
    """Which geometry surely is not in a camera's image: its bounding sphere is wholly beyond one of the four sides.

    Args:
        model: The scene.
        data: Its state, forward kinematics done.
        camera: MuJoCo's number of a camera with a field of view in degrees; of others everything counts as in sight.
        aspect: Width of the image by its height.
    """
    kinds = ("cam_orthographic", "cam_projection")  # the one became the other in later versions
    parallel = any(getattr(model, name)[camera] for name in kinds if hasattr(model, name))
    if parallel or model.cam_sensorsize[camera].any():
        return np.zeros(model.ngeom, dtype=bool)
    right, up, behind = ((data.geom_xpos - data.cam_xpos[camera]) @ data.cam_xmat[camera].reshape(3, 3)).T
    # Simplified meshes may stand out a little.
    radius = model.geom_rbound * (1 + SPHERE_MARGIN) + 0.01
    top = np.tan(np.deg2rad(model.cam_fovy[camera]) / 2)
    beyond = behind > radius
    for sideways, slope in ((up, top), (right, top * aspect)):
        beyond |= np.abs(sideways) + behind * slope > radius * np.hypot(1.0, slope)
    return beyond & (model.geom_rbound > 0)  # that of planes, which never end, is 0


def place_camera(model: mujoco.MjModel, camera: CameraSettings) -> None:
    """Moves the model's camera as the settings ask.

    Raises:
        UnknownNameError: The scene has no camera of that name.
    """
    number = camera_number(model, camera.name)
    if camera.position_m is not None:
        model.cam_pos[number] = camera.position_m
    if camera.fovy_deg is not None:
        model.cam_fovy[number] = camera.fovy_deg


def camera_number(model: mujoco.MjModel, name: str) -> int:
    """MuJoCo's number of a camera.

    Raises:
        UnknownNameError: The scene has no camera of that name.
    """
    number = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, name)
    return number if number >= 0 else pick(name, {model.cam(i).name: i for i in range(model.ncam)}, kind="camera")
