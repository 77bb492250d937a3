"""What rays meet, compiled by Numba: triangles in trees of boxes, and MuJoCo's plain shapes.

MuJoCo visits every box of a mesh's tree along the whole ray. Here a ray looks at nearer boxes first, stops at what it
has met, and where only the question is whether something hides a point, at the first thing that does.

``shapes`` is an `amplify.sim.compiled_rays.Shapes`; ``o`` and ``d`` are where a ray starts and its direction, in a
shape's own frame; ``start`` and ``end`` are distances along it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import mujoco
import numba
import numpy as np

PLANE, SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH = (
    int(kind)
    for kind in (
        mujoco.mjtGeom.mjGEOM_PLANE,
        mujoco.mjtGeom.mjGEOM_SPHERE,
        mujoco.mjtGeom.mjGEOM_CAPSULE,
        mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        mujoco.mjtGeom.mjGEOM_CYLINDER,
        mujoco.mjtGeom.mjGEOM_BOX,
        mujoco.mjtGeom.mjGEOM_MESH,
    )
)
KINDS = (PLANE, SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH)

LEAF = 4
"""Triangles that are looked at one by one."""

DEEPEST = 64
"""Boxes within boxes, at most; halving makes it the logarithm of the number of triangles."""

TINY = 1e-15


def _compiled(function: Callable[..., Any]) -> Any:
    # Type checks that tests wrap around functions cannot be compiled.
    plain = inspect.unwrap(function)
    try:
        return numba.njit(cache=True, error_model="numpy")(plain)
    except RuntimeError:  # no folder to keep compiled code in can be written: it is compiled in every process
        return numba.njit(error_model="numpy")(plain)


@_compiled
def tree(corners):
    """Boxes in boxes around triangles (f, 3, 3), halved along the longest side, and the order of the triangles."""
    n = len(corners)
    low, high = np.empty((2 * n, 3), dtype=np.float32), np.empty((2 * n, 3), dtype=np.float32)
    below, count = np.zeros(2 * n, dtype=np.int64), np.zeros(2 * n, dtype=np.int64)
    order = np.arange(n)
    middle = np.empty((n, 3))
    for i in range(n):
        for k in range(3):
            middle[i, k] = (corners[i, 0, k] + corners[i, 1, k] + corners[i, 2, k]) / 3
    todo = np.empty((DEEPEST, 3), dtype=np.int64)
    todo[0, 0], todo[0, 1], todo[0, 2] = 0, 0, n
    waiting, used = 1, 1
    while waiting:
        waiting -= 1
        box, first, many = todo[waiting, 0], todo[waiting, 1], todo[waiting, 2]
        axis, longest = 0, -1.0
        for k in range(3):
            lowest, highest, least, most = np.inf, -np.inf, np.inf, -np.inf
            for i in order[first : first + many]:
                least, most = min(least, middle[i, k]), max(most, middle[i, k])
                for j in range(3):
                    lowest, highest = min(lowest, corners[i, j, k]), max(highest, corners[i, j, k])
            low[box, k], high[box, k] = lowest, highest
            if most - least > longest:
                axis, longest = k, most - least
        if many <= LEAF:
            below[box], count[box] = first, many
            continue
        part = order[first : first + many]
        order[first : first + many] = part[np.argsort(middle[part, axis])]
        half = many // 2
        below[box] = used
        todo[waiting, 0], todo[waiting, 1], todo[waiting, 2] = used, first, half
        todo[waiting + 1, 0], todo[waiting + 1, 1], todo[waiting + 1, 2] = used + 1, first + half, many - half
        waiting, used = waiting + 2, used + 2
    return low[:used], high[:used], below[:used], count[:used], order


@_compiled
def _first(a, b, c, start):
    """The smaller root beyond start of a·t² + 2·b·t + c, and the larger; infinite where there is none."""
    square = b * b - a * c
    if square < 0 or a < TINY:
        return np.inf, np.inf
    root = np.sqrt(square)
    one, two = (-b - root) / a, (-b + root) / a
    return one if one > start else np.inf, two if two > start else np.inf


@_compiled
def _slab(low, high, box, o, inverse, start, end):
    """Where a ray enters a box, if it is within it anywhere between start and end; infinite if not."""
    for k in range(3):
        one = (low[box, k] - o[k]) * inverse[k]
        two = (high[box, k] - o[k]) * inverse[k]
        if one > two:
            one, two = two, one
        start, end = max(start, one), min(end, two)
    return start if start <= end else np.inf


@_compiled
def _over(x):
    """1 / x, as large as can be where x is nearly zero."""
    return 1 / x if abs(x) > TINY else np.copysign(1 / TINY, x)


@_compiled
def _mesh(shapes, root, o, d, start, end, any_will_do, todo):
    """The first triangle between start and end (Möller and Trumbore, 1997), or any; infinite if there is none."""
    inverse = _over(d[0]), _over(d[1]), _over(d[2])
    if _slab(shapes.low, shapes.high, root, o, inverse, start, end) == np.inf:
        return np.inf
    todo[0] = root
    waiting, best = 1, np.inf
    while waiting:
        waiting -= 1
        box = todo[waiting]
        first = shapes.below[box]
        if shapes.count[box] == 0:
            limit = min(best, end)
            left = _slab(shapes.low, shapes.high, first, o, inverse, start, limit)
            right = _slab(shapes.low, shapes.high, first + 1, o, inverse, start, limit)
            nearer, further = (first, first + 1) if left <= right else (first + 1, first)
            if max(left, right) < np.inf:
                todo[waiting] = further
                waiting += 1
            if min(left, right) < np.inf:
                todo[waiting] = nearer
                waiting += 1
            continue
        for f in range(first, first + shapes.count[box]):
            c = shapes.corners[f]
            v = np.float64(c[0, 0]), np.float64(c[0, 1]), np.float64(c[0, 2])
            e1, e2 = (c[1, 0] - v[0], c[1, 1] - v[1], c[1, 2] - v[2]), (c[2, 0] - v[0], c[2, 1] - v[1], c[2, 2] - v[2])
            px, py, pz = d[1] * e2[2] - d[2] * e2[1], d[2] * e2[0] - d[0] * e2[2], d[0] * e2[1] - d[1] * e2[0]
            area = e1[0] * px + e1[1] * py + e1[2] * pz
            if abs(area) < TINY:
                continue
            sx, sy, sz = o[0] - v[0], o[1] - v[1], o[2] - v[2]
            u = (sx * px + sy * py + sz * pz) / area
            if u < 0 or u > 1:
                continue
            qx, qy, qz = sy * e1[2] - sz * e1[1], sz * e1[0] - sx * e1[2], sx * e1[1] - sy * e1[0]
            w = (d[0] * qx + d[1] * qy + d[2] * qz) / area
            if w < 0 or u + w > 1:
                continue
            t = (e2[0] * qx + e2[1] * qy + e2[2] * qz) / area
            if start < t < min(best, end):
                if any_will_do:
                    return t
                best = t
    return best


@_compiled
def _plain(kind, size, o, d, start):
    """Where a ray first meets the surface of a shape that is no mesh, beyond start; infinite if nowhere."""
    best = np.inf
    if kind == PLANE:
        # Seen from above only.
        t = -o[2] / d[2] if d[2] < -TINY else -1.0
        x, y = o[0] + t * d[0], o[1] + t * d[1]
        inside = (size[0] <= 0 or abs(x) <= size[0]) and (size[1] <= 0 or abs(y) <= size[1])
        return t if t > start and inside else np.inf
    if kind == BOX:
        enter, leave = -np.inf, np.inf
        for k in range(3):
            if abs(d[k]) < TINY:
                if abs(o[k]) > size[k]:
                    return np.inf
                continue
            one, two = (-size[k] - o[k]) / d[k], (size[k] - o[k]) / d[k]
            enter, leave = max(enter, min(one, two)), min(leave, max(one, two))
        if enter > leave:
            return np.inf
        return enter if enter > start else (leave if leave > start else np.inf)
    if kind in (SPHERE, ELLIPSOID):
        a = b = c = 0.0
        for k in range(3):
            s = size[0] if kind == SPHERE else size[k]
            a, b, c = a + (d[k] / s) ** 2, b + o[k] * d[k] / s**2, c + (o[k] / s) ** 2
        one, two = _first(a, b, c - 1, start)
        return min(one, two)
    # A cylinder or a capsule: its side, and flat or round ends.
    radius, half = size[0], size[1]
    a, b = d[0] ** 2 + d[1] ** 2, o[0] * d[0] + o[1] * d[1]
    for t in _first(a, b, o[0] ** 2 + o[1] ** 2 - radius**2, start):
        if t < best and abs(o[2] + t * d[2]) <= half:
            best = t
    for sign in (-1.0, 1.0):
        z = o[2] - sign * half
        if kind == CAPSULE:
            for t in _first(1.0, b + z * d[2], o[0] ** 2 + o[1] ** 2 + z**2 - radius**2, start):
                if t < best and sign * (o[2] + t * d[2]) >= half:
                    best = t
        elif abs(d[2]) > TINY:
            t = -z / d[2]
            if start < t < best and (o[0] + t * d[0]) ** 2 + (o[1] + t * d[1]) ** 2 <= radius**2:
                best = t
    return best


@_compiled
def _turned(r, v, sign):
    """The vector in the frame whose axes are the columns of r, times a sign."""
    return (
        sign * (r[0, 0] * v[0] + r[1, 0] * v[1] + r[2, 0] * v[2]),
        sign * (r[0, 1] * v[0] + r[1, 1] * v[1] + r[2, 1] * v[2]),
        sign * (r[0, 2] * v[0] + r[1, 2] * v[1] + r[2, 2] * v[2]),
    )


@_compiled
def _ways(position, origin):
    """From the origin to each position, and the square of the distance."""
    ways = np.empty((len(position), 4))
    for s in range(len(position)):
        for k in range(3):
            ways[s, k] = position[s, k] - origin[k]
        ways[s, 3] = ways[s, 0] ** 2 + ways[s, 1] ** 2 + ways[s, 2] ** 2
    return ways


@_compiled
def _ray(shapes, ways, rotation, d, start, end, any_will_do, todo):
    """The shape that a ray meets first between start and end, or any, and how far away; −1 and −1 for none."""
    met, best = -1, end
    for s in range(len(shapes.kind)):
        radius, way = shapes.radius[s], (ways[s, 0], ways[s, 1], ways[s, 2])
        middle = way[0] * d[0] + way[1] * d[1] + way[2] * d[2]
        # A plane's radius is infinite and stays so squared.
        if ways[s, 3] - middle**2 > radius**2 or middle + radius < start or middle - radius > best:
            continue
        turned, seen_from = _turned(rotation[s], d, 1.0), _turned(rotation[s], way, -1.0)
        if shapes.kind[s] == MESH:
            t = _mesh(shapes, shapes.root[s], seen_from, turned, start, best, any_will_do, todo)
        else:
            t = _plain(shapes.kind[s], shapes.size[s], seen_from, turned, start)
        if t < best:
            met, best = s, t
            if any_will_do:
                break
    return met, best if met >= 0 else -1.0


@_compiled
def nearest(shapes, position, rotation, origin, directions, start):
    """The shape that each ray meets first, and how far away; −1 and −1 for none."""
    n, ways, todo = len(directions), _ways(position, origin), np.empty(DEEPEST, dtype=np.int64)
    met, distance = np.empty(n, dtype=np.int64), np.empty(n)
    for i in range(n):
        d = directions[i, 0], directions[i, 1], directions[i, 2]
        met[i], distance[i] = _ray(shapes, ways, rotation, d, start[i], np.inf, False, todo)
    return met, distance


@_compiled
def blocked(shapes, position, rotation, origin, directions, start, end):
    """Whether each ray meets anything between two distances."""
    n, ways, todo = len(directions), _ways(position, origin), np.empty(DEEPEST, dtype=np.int64)
    found = np.empty(n, dtype=np.bool_)
    for i in range(n):
        d = directions[i, 0], directions[i, 1], directions[i, 2]
        found[i] = _ray(shapes, ways, rotation, d, start[i], end[i], True, todo)[0] >= 0
    return found
