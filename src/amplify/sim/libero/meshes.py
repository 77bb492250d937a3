"""Simplified meshes for fast images: at most so many triangles each, textures and creases kept."""

import hashlib
import logging
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import mujoco
import numpy as np
from jaxtyping import Float, Int, UInt8

from amplify.data.files import written_aside
from amplify.errors import MissingDependencyError
from amplify.sim.libero import package
from amplify.sim.libero.mesh_texture import laid_on, reduced, unit

logger = logging.getLogger(__name__)

MAX_FACES = 800
"""Triangles of a mesh: more do not show at the sizes that policies look at."""

MAX_ARM_FACES = 250
"""Triangles of one of the many meshes of an arm, which no camera comes near to."""

ARM = ("robot0_", "mount0_")
"""How the names of an arm's bodies begin; the gripper's begin otherwise."""

CREASE = np.cos(np.deg2rad(45.0))
"""Faces that meet at a sharper angle are not shaded as one surface."""

LEFT_OVER = 1.25
"""A mesh that keeps so many times the faces that are wanted is simplified in another way."""

SCRAPS = 5
"""Times as many faces as are wanted are kept of such a mesh, whose shape is lost with fewer."""

VERSION = 7
"""Of the method: part of a cached mesh's name."""

_FIELDS = ("vertices", "faces", "normals", "face_normals", "texture", "face_texture")


class Mesh(NamedTuple):
    """A triangle mesh as MuJoCo keeps it; faces name rows of three separate lists."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    normals: Float[np.ndarray, "n 3"]
    face_normals: Int[np.ndarray, "f 3"]
    texture: Float[np.ndarray, "u 2"]
    face_texture: Int[np.ndarray, "f 3"]


def simplify_meshes(model: mujoco.MjModel, cache: Path | None = None) -> None:
    """Makes every drawn mesh of a model light, in place; what it weighs and how it collides no longer fits its look.

    Args:
        model: To be drawn only.
        cache: Where simplified meshes are kept by their content; by default in the user's cache folder.

    Raises:
        MissingDependencyError: fast-simplification is not installed.
    """
    for number in range(model.nmesh):
        light = light_mesh(model, number, cache)
        if len(light.faces) < model.mesh_facenum[number]:
            _put(model, number, light)


def light_mesh(model: mujoco.MjModel, number: int, cache: Path | None = None) -> Mesh:
    """A mesh of a model, simplified where it has too many faces; in the frame in which MuJoCo keeps it.

    Args:
        model: Only read.
        number: MuJoCo's, of the mesh.
        cache: Where simplified meshes are kept by their content; by default in the user's cache folder.

    Raises:
        MissingDependencyError: fast-simplification is not installed.
    """
    mesh = _mesh(model, number)
    if not _textured(model, number):
        # Where a mesh would be cut open for a picture that it does not have, holes appear.
        mesh = mesh._replace(texture=mesh.texture[:0], face_texture=np.zeros_like(mesh.faces))
    max_faces = MAX_ARM_FACES if _of_arm(model, number) else MAX_FACES
    if len(mesh.faces) <= max_faces:
        return mesh
    picture = _picture(model, number) if len(mesh.texture) else None
    return _cached(mesh, picture, cache or package.cache() / "meshes", max_faces)


def _used_by(model: mujoco.MjModel, number: int) -> np.ndarray:
    return np.flatnonzero((model.geom_type == mujoco.mjtGeom.mjGEOM_MESH) & (model.geom_dataid == number))


def _of_arm(model: mujoco.MjModel, number: int) -> bool:
    owners = {model.body(int(body)).name for body in model.geom_bodyid[_used_by(model, number)]}
    return all(name.startswith(ARM) for name in owners)


def _textured(model: mujoco.MjModel, number: int) -> bool:
    materials = model.geom_matid[_used_by(model, number)]
    return bool((model.mat_texid[materials[materials >= 0]] >= 0).any())


def _picture(model: mujoco.MjModel, number: int) -> np.ndarray | None:
    """The picture on a mesh, as far as its look is compared; that of the first of its geoms that has one."""
    materials = model.geom_matid[_used_by(model, number)]
    textures = model.mat_texid[materials[materials >= 0], int(mujoco.mjtTextureRole.mjTEXROLE_RGB)]
    flat = textures[textures >= 0]
    flat = flat[model.tex_type[flat] == mujoco.mjtTexture.mjTEXTURE_2D]
    if not len(flat):
        return None
    start = model.tex_adr[flat[0]]
    shape = model.tex_height[flat[0]], model.tex_width[flat[0]], model.tex_nchannel[flat[0]]
    return reduced(model.tex_data[start : start + int(np.prod(shape))].reshape(shape))


def _cached(mesh: Mesh, picture: np.ndarray | None, cache: Path, max_faces: int) -> Mesh:
    shape = None if picture is None else picture.shape
    digest = hashlib.sha256(repr((VERSION, max_faces, shape)).encode())
    for part in mesh if picture is None else (*mesh, picture):
        digest.update(np.ascontiguousarray(part).tobytes())
    path = cache / f"{digest.hexdigest()[:32]}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return Mesh(*(file[name] for name in _FIELDS))
    except (OSError, EOFError, ValueError, KeyError, BadZipFile):
        made = simplified(mesh, max_faces, picture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside, aside.open("wb") as file:
            np.savez(file, **dict(zip(_FIELDS, made)))
    except OSError as error:
        logger.debug("simplified meshes are not kept: %s", error)
    return made


def simplified(mesh: Mesh, max_faces: int, picture: UInt8[np.ndarray, "h w 3"] | None = None) -> Mesh:
    """The mesh with about so many faces at most.

    Args:
        mesh: Any triangle mesh.
        max_faces: How many faces are wanted.
        picture: What is on the mesh; without it, every face gets the nearest places of the texture.

    Raises:
        MissingDependencyError: fast-simplification is not installed.
    """
    try:
        import fast_simplification
    except ImportError as error:
        raise MissingDependencyError("fast-simplification is not installed", remedy=package.INSTALL) from error
    # Sewn up where the texture has seams, so that nothing tears; the texture is laid on again afterwards.
    corners = mesh.vertices[mesh.faces].reshape(-1, 3).astype(np.float64)
    points, index = np.unique(corners, axis=0, return_inverse=True)
    faces = _whole(index)
    count = min(max_faces, len(faces))
    moved, kept = (np.asarray(part) for part in fast_simplification.simplify(points, faces, target_count=count))
    if len(kept) > LEFT_OVER * count:
        # Loose scraps have no edges in common that could be taken away: they are drawn into one.
        moved, kept = _drawn_together(points, faces, SCRAPS * count)
    vertices, index = np.unique(moved.astype(np.float64), axis=0, return_inverse=True)
    kept = index.reshape(-1)[kept.astype(np.int64)]
    texture, face_texture = _dressed(mesh, vertices, kept, picture)
    normals, face_normals = _shading(vertices, kept, len(mesh.normals))
    return Mesh(
        vertices.astype(np.float32),
        kept.astype(np.int32),
        normals.astype(np.float32),
        face_normals.astype(np.int32),
        texture.astype(np.float32),
        face_texture.astype(np.int32),
    )


def _dressed(
    mesh: Mesh, vertices: np.ndarray, faces: np.ndarray, picture: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Places in the texture for other faces of the same shape, and each face's rows in them."""
    if not len(mesh.texture):
        return np.zeros((0, 2)), np.zeros_like(faces)
    corners, places = mesh.vertices[mesh.faces].astype(np.float64), mesh.texture[mesh.face_texture].astype(np.float64)
    chosen = laid_on(corners, places, vertices[faces], picture)
    texture, rows = np.unique(chosen.reshape(-1, 2), axis=0, return_inverse=True)
    return texture, rows.reshape(-1, 3)


def _drawn_together(points: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """All points of a cell of a grid become one, in the finest grid that leaves so few faces."""
    low, extent = points.min(axis=0), float(np.ptp(points, axis=0).max())
    for cells in (128, 96, 64, 48, 32, 24, 16, 12, 8):
        cell, index = np.unique(np.round((points - low) / extent * cells), axis=0, return_inverse=True)
        index = index.reshape(-1)
        kept = np.unique(_whole(index[faces].reshape(-1)), axis=0).astype(np.int64)
        if len(kept) <= count:
            break
    sums = np.zeros((len(cell), 3))
    np.add.at(sums, index, points)
    return sums / np.bincount(index, minlength=len(cell))[:, None], kept


def _whole(index: np.ndarray) -> np.ndarray:
    faces = index.reshape(-1, 3).astype(np.int32)
    a, b, c = faces.T
    return np.ascontiguousarray(faces[(a != b) & (b != c) & (c != a)])


def _shading(vertices: np.ndarray, faces: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Normals and each face's rows in them: smooth, but for creases as long as there is room for them."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    areas = np.cross(b - a, c - a)
    units = areas / np.maximum(np.linalg.norm(areas, axis=-1, keepdims=True), 1e-30)
    smooth = np.zeros((len(vertices), 3))
    np.add.at(smooth, faces.reshape(-1), np.repeat(areas, 3, axis=0))
    corners = np.zeros((len(faces), 3, 3))
    order = np.argsort(faces.reshape(-1), kind="stable")
    owners = order // 3
    starts = np.searchsorted(faces.reshape(-1)[order], np.arange(len(vertices) + 1))
    for vertex in range(len(vertices)):
        around = owners[starts[vertex] : starts[vertex + 1]]
        alike = units[around] @ units[around].T >= CREASE
        corners.reshape(-1, 3)[order[starts[vertex] : starts[vertex + 1]]] = alike @ areas[around]
    normals, index = np.unique(unit(corners.reshape(-1, 3)).astype(np.float32), axis=0, return_inverse=True)
    if len(normals) <= most:
        return normals, index.reshape(-1, 3)
    return unit(smooth)[:most], np.minimum(faces, most - 1)


def _mesh(model: mujoco.MjModel, number: int) -> Mesh:
    def rows(array: np.ndarray, start: np.integer, count: np.integer) -> np.ndarray:
        return array[start : start + count].copy() if count else array[:0].copy()

    face, faces = model.mesh_faceadr[number], model.mesh_facenum[number]
    uv, uvs = model.mesh_texcoordadr[number], model.mesh_texcoordnum[number]
    return Mesh(
        rows(model.mesh_vert, model.mesh_vertadr[number], model.mesh_vertnum[number]),
        rows(model.mesh_face, face, faces),
        rows(model.mesh_normal, model.mesh_normaladr[number], model.mesh_normalnum[number]),
        rows(model.mesh_facenormal, face, faces),
        rows(model.mesh_texcoord, uv, uvs),
        rows(model.mesh_facetexcoord, face, faces),
    )


def _put(model: mujoco.MjModel, number: int, mesh: Mesh) -> None:
    def fill(array: np.ndarray, start: np.integer, values: np.ndarray) -> None:
        if len(values):
            array[start : start + len(values)] = values

    face = model.mesh_faceadr[number]
    fits = (
        len(mesh.faces) <= model.mesh_facenum[number]
        and len(mesh.vertices) <= model.mesh_vertnum[number]
        and len(mesh.normals) <= model.mesh_normalnum[number]
        and len(mesh.texture) <= model.mesh_texcoordnum[number]
    )
    if not fits:
        return
    fill(model.mesh_vert, model.mesh_vertadr[number], mesh.vertices)
    fill(model.mesh_face, face, mesh.faces)
    fill(model.mesh_normal, model.mesh_normaladr[number], mesh.normals)
    fill(model.mesh_facenormal, face, mesh.face_normals)
    fill(model.mesh_texcoord, model.mesh_texcoordadr[number], mesh.texture)
    fill(model.mesh_facetexcoord, face, mesh.face_texture)
    model.mesh_vertnum[number], model.mesh_facenum[number] = len(mesh.vertices), len(mesh.faces)
    if not len(mesh.texture):
        model.mesh_texcoordadr[number] = -1
    model.mesh_normalnum[number], model.mesh_texcoordnum[number] = len(mesh.normals), len(mesh.texture)
