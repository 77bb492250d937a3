"""A texture laid on a simplified mesh: each of its triangles gets the place of the picture that looks most like it."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

PICTURE_PX = 512
"""Pictures are compared at most so wide."""

LOOKED_AT_PX = 64
"""So wide is a mesh in an image in which its texture should look right; what is smaller is blurred."""

SURFACE_POINTS = 60_000
"""Points of a mesh as it came whose places in the texture are known."""

SAMPLES = 4
"""Steps of the grid of points in a triangle at which it is compared."""

FACING = 0.05
"""A face turned the other way is as unlike as one that is twice this share of the mesh's size away."""

_APART = 100.0
"""How far one piece of a texture is from the next where nearest points of the same piece are looked for."""


class Surface(NamedTuple):
    """Points of a mesh and how they face, with their triangles, and each triangle's piece of the texture."""

    triangles: Float[np.ndarray, "f 3 3"]
    places: Float[np.ndarray, "f 3 2"]
    piece: Int[np.ndarray, " f"]
    points: Float[np.ndarray, "n 6"]
    owner: Int[np.ndarray, " n"]
    scale: float


def laid_on(
    triangles: Float[np.ndarray, "f 3 3"],
    places: Float[np.ndarray, "f 3 2"],
    onto: Float[np.ndarray, "t 3 3"],
    picture: UInt8[np.ndarray, "h w 3"] | None = None,
) -> Float[np.ndarray, "t 3 2"]:
    """Places in the texture for the corners of other triangles of about the same shape.

    Args:
        triangles: Of the mesh as it came.
        places: In the texture, of their corners; (0, 0) is the picture's first pixel, (1, 1) its last.
        onto: Triangles to be dressed.
        picture: The texture; without it every triangle gets the nearest places of one piece of the texture.
    """
    surface = _surface(triangles, places)
    grid = _grid(SAMPLES)
    seen = grid @ onto
    owner, true = _nearest(surface, seen, onto)
    piece = _most_frequent(surface.piece[owner])
    within = _nearest_in_piece(surface, onto, piece)
    if picture is None:
        return within
    fitted = _fitted(grid, true, surface.piece[owner] == piece[:, None])
    extended = [_extended(surface, onto, one) for one in owner[:, ::3].T]
    pyramid, pixel = _pyramid(picture), surface.scale / LOOKED_AT_PX
    wanted = _colours(pyramid, true, _footprint(surface.triangles, surface.places, pixel)[owner])
    constant = _constant(surface, pyramid, wanted.mean(axis=1))
    tried = np.stack([within, fitted, constant, *extended])
    errors = [
        np.abs(_colours(pyramid, grid @ one, _footprint(onto, one, pixel)[:, None]) - wanted).mean(axis=(1, 2))
        for one in tried
    ]
    return tried[np.argmin(errors, axis=0), np.arange(len(onto))]


def reduced(picture: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "small_h small_w 3"]:
    """The picture as far as it matters here: in colour and at most `PICTURE_PX` wide and high."""
    factor = max(1.0, max(picture.shape[:2]) / PICTURE_PX)
    height, width = (max(1, round(side / factor)) for side in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    return np.ascontiguousarray(small[..., :3] if small.shape[-1] >= 3 else np.repeat(small[..., :1], 3, axis=-1))


def _surface(triangles: np.ndarray, places: np.ndarray) -> Surface:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    both = np.concatenate([triangles, places], axis=-1).reshape(-1, 5)
    _, index = np.unique(both, axis=0, return_inverse=True)
    a, b, c = index.reshape(-1, 3).T
    count = int(index.max()) + 1
    edges = np.concatenate([a, b]), np.concatenate([b, c])
    graph = coo_array((np.ones(len(edges[0])), edges), shape=(count, count))
    piece = connected_components(graph, directed=False)[1][a]
    scale = max(float(np.ptp(triangles.reshape(-1, 3), axis=0).max()), 1e-9)
    crosses = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    reach = np.cumsum(np.linalg.norm(crosses, axis=-1))
    steps = (np.arange(SURFACE_POINTS) + 0.5) / SURFACE_POINTS * reach[-1]
    owner = np.minimum(np.searchsorted(reach, steps), len(triangles) - 1)
    spread = np.arange(SURFACE_POINTS)[:, None] * np.array([0.7548776662, 0.5698402910]) % 1
    spread = np.where(spread.sum(axis=1, keepdims=True) > 1, 1 - spread, spread)
    weights = np.column_stack([1 - spread.sum(axis=1), spread])
    points = np.einsum("nc,ncd->nd", weights, triangles[owner])
    return Surface(triangles, places, piece, np.hstack([points / scale, FACING * unit(crosses)[owner]]), owner, scale)


def _facing(points: np.ndarray, triangles: np.ndarray, scale: float) -> np.ndarray:
    """Where points (t s 3) of triangles (t 3 3) are and where they face; the distance tells how alike they are."""
    normals = unit(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]))
    return np.concatenate([points / scale, np.broadcast_to(FACING * normals[:, None], points.shape)], axis=-1)


def _nearest(surface: Surface, points: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For points (t s 3) of triangles (t 3 3): the nearest triangles of the surface (t s) and places there (t s 2)."""
    from scipy.spatial import KDTree

    tree = KDTree(surface.points, balanced_tree=False, compact_nodes=False)
    owner = surface.owner[tree.query(_facing(points, of, surface.scale))[1]]
    return owner, _places(surface, points, owner)


def _nearest_in_piece(surface: Surface, onto: np.ndarray, piece: np.ndarray) -> np.ndarray:
    from scipy.spatial import KDTree

    known = np.column_stack([surface.points, _APART * surface.piece[surface.owner]])
    wanted = np.concatenate(
        [_facing(onto, onto, surface.scale), np.broadcast_to(_APART * piece[:, None, None], (len(onto), 3, 1))], axis=-1
    )
    found = KDTree(known, balanced_tree=False, compact_nodes=False).query(wanted)[1]
    return _places(surface, onto, surface.owner[found])


def _places(surface: Surface, points: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Places (t s 2) of points (t s 3) in the texture, held within their triangles (t s)."""
    weights = np.clip(_weights(surface.triangles[owner], points), 0, None)
    weights /= np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12)
    return np.einsum("tsc,tscd->tsd", weights, surface.places[owner])


def _weights(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Barycentric weights (... 3) of points (... 3) in the planes of triangles (... 3 3)."""
    a, b = triangles[..., 1, :] - triangles[..., 0, :], triangles[..., 2, :] - triangles[..., 0, :]
    p = points - triangles[..., 0, :]
    aa, ab, bb = (a * a).sum(-1), (a * b).sum(-1), (b * b).sum(-1)
    pa, pb = (p * a).sum(-1), (p * b).sum(-1)
    area = aa * bb - ab * ab
    flat = area <= 1e-9 * np.maximum(aa, bb) ** 2
    area = np.where(flat, 1.0, area)
    second = np.where(flat, 1 / 3, (bb * pa - ab * pb) / area)
    third = np.where(flat, 1 / 3, (aa * pb - ab * pa) / area)
    return np.stack([1 - second - third, second, third], axis=-1)


def _most_frequent(numbers: np.ndarray) -> np.ndarray:
    """Of each row."""
    votes = (numbers[:, :, None] == numbers[:, None, :]).sum(axis=-1)
    return numbers[np.arange(len(numbers)), votes.argmax(axis=-1)]


def _fitted(grid: np.ndarray, places: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Places of corners that fit the places (t s 2) of chosen points (t s) best, as even as few points demand."""
    weights = chosen.astype(np.float64)
    mean = np.einsum("ts,tsd->td", weights, places) / np.maximum(weights.sum(axis=1), 1)[:, None]
    left = np.einsum("ts,si,sj->tij", weights, grid, grid) + 1e-3 * np.eye(3)
    right = np.einsum("ts,si,tsd->tid", weights, grid, places) + 1e-3 * mean[:, None]
    return np.linalg.solve(left, right)


def _extended(surface: Surface, onto: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Places as if a triangle of the surface (t) went on over the whole of each triangle."""
    weights = _weights(surface.triangles[owner][:, None], onto)
    return np.clip(weights @ surface.places[owner], surface.places.min() - 1, surface.places.max() + 1)


def _constant(surface: Surface, pyramid: list[np.ndarray], wanted: np.ndarray) -> np.ndarray:
    """The same place for all corners: one whose surroundings have the wanted colour (t 3), too."""
    from scipy.spatial import KDTree

    places = surface.places.mean(axis=1)
    around = [_bilinear(level, places) for level in pyramid[:3]]
    found = KDTree(np.hstack(around)).query(np.tile(wanted, len(around)))[1]
    return np.repeat(places[found][:, None], 3, axis=1)


def _grid(steps: int) -> np.ndarray:
    """Points in a triangle as weights of its corners (s 3)."""
    a, b = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    inside = a + b <= steps
    a, b = a[inside] / steps, b[inside] / steps
    return 0.88 * np.stack([a, b, 1 - a - b], axis=-1) + 0.04


def _pyramid(picture: np.ndarray) -> list[np.ndarray]:
    """The picture, and each time half as wide and high, as graphics cards keep it."""
    levels = [picture.astype(np.float32)]
    while min(levels[-1].shape[:2]) > 1:
        height, width = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(half.astype(np.float32))
    return levels


def _footprint(triangles: np.ndarray, places: np.ndarray, pixel: float) -> np.ndarray:
    """How much of the texture's width or height (t) an image's pixel of some size (m) on triangles covers at most."""
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    along = unit(a)
    across = np.linalg.norm(b - (b * along).sum(-1, keepdims=True) * along, axis=-1)
    first = (places[:, 1] - places[:, 0]) / np.maximum(np.linalg.norm(a, axis=-1), 1e-9)[:, None]
    second = (places[:, 2] - places[:, 0]) - first * (b * along).sum(-1, keepdims=True)
    second /= np.maximum(across, 1e-9)[:, None]
    half = ((first**2).sum(-1) + (second**2).sum(-1)) / 2
    other = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return pixel * np.sqrt(half + np.sqrt(np.maximum(half**2 - other**2, 0)))


def _colours(pyramid: list[np.ndarray], places: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Colours (t s 3) seen at places (t s 2) by pixels that cover so much (t s or t 1) of the texture."""
    size = footprint * max(pyramid[0].shape[:2])
    level = np.clip(np.round(np.log2(np.maximum(size, 1))), 0, len(pyramid) - 1)
    level = np.broadcast_to(level, places.shape[:2])
    colours = np.zeros((*places.shape[:2], 3))
    for number in np.unique(level):
        of = level == number
        colours[of] = _bilinear(pyramid[int(number)], places[of])
    return colours


def _bilinear(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    x, y = places[:, 0] * width - 0.5, places[:, 1] * height - 0.5
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right_share, low_share = (x - left)[:, None], (y - top)[:, None]
    left, right, top, low = left % width, (left + 1) % width, top % height, (top + 1) % height
    upper = picture[top, left] * (1 - right_share) + picture[top, right] * right_share
    lower = picture[low, left] * (1 - right_share) + picture[low, right] * right_share
    return upper * (1 - low_share) + lower * low_share


def unit(vectors: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3"]:
    """Vectors of length 1; for those without length, one that points up."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-30, vectors / np.maximum(length, 1e-30), np.array([0.0, 0.0, 1.0]))
