"""What the video and the tracks of one episode show, with small pictures of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from jaxtyping import UInt8

from amplify.data.dataset import Dataset
from amplify.draw import draw_tracks, enlarged, panels
from amplify.errors import AmplifyError, DataError
from amplify.evaluate.inspection.frames import FrameSums, FrameWatch, stretches
from amplify.evaluate.inspection.motion import MotionSums, motion_sums
from amplify.evaluate.inspection.windows import followed, stored
from amplify.metrics.tracks import path_px
from amplify.tokens.local_window import LocalWindow
from amplify.types import TrackWindow

THUMBNAIL_PX = 200
OVERLAY_PX = 420


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What to look at in an episode.

    Args:
        index: Its number.
        tracks: Sidecar folder; empty for none.
        follow: Whether to follow it with optical flow where there is no sidecar folder.
        windows: Token windows to measure.
        pictures: Whether to make pictures.
    """

    index: int
    tracks: str
    follow: bool
    windows: tuple[LocalWindow, ...]
    pictures: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Tracks drawn on the frame that they start from.

    Args:
        jpeg: The picture.
        frame: Number of the frame.
        camera: Which saw it.
    """

    jpeg: bytes
    frame: int
    camera: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen in an episode.

    Args:
        index: Its number.
        looks: Digest of its first, middle and last frames: copies have the same.
        frames: By camera.
        motion: By camera; empty without tracks.
        still_picture_moves: Share of its own range that proprioception goes through while the longest still picture
            is shown; None without either.
        tracks_error: Why its tracks could not be used.
        strip: First, middle and last frames, one row a camera, JPEG.
        overlays: Of each camera, the window with most motion.
    """

    index: int
    looks: str
    frames: dict[str, FrameSums]
    motion: dict[str, MotionSums] = field(default_factory=dict)
    still_picture_moves: float | None = None
    tracks_error: str = ""
    strip: bytes = b""
    overlays: tuple[Overlay, ...] = ()


def see(dataset: Dataset, look: Look) -> Seen:
    """Decodes an episode, or stretches of a long one, and measures its tracks.

    Args:
        dataset: Opened.
        look: What to look at.

    Raises:
        DataError: Its video cannot be decoded.
    """
    digest, sums, rows = hashlib.sha256(), {}, []
    for camera in dataset.spec.cameras:
        sums[camera], shown = _watch(dataset, look.index, camera)
        digest.update(np.ascontiguousarray(shown).tobytes())
        if look.pictures:
            rows.append(panels([_narrowed(frame, THUMBNAIL_PX) for frame in shown], gap_px=2))
    seen = Seen(
        index=look.index,
        looks=digest.hexdigest(),
        frames=sums,
        still_picture_moves=_moves_meanwhile(dataset, look.index, list(sums.values())),
        strip=_jpeg(_stacked(rows)) if rows else b"",
    )
    if not (look.tracks or look.follow):
        return seen
    try:
        tracks = _tracks(dataset, look)
    except AmplifyError as error:
        return replace(seen, tracks_error=error.what)
    motion = {camera: motion_sums(window, look.windows) for camera, (_, window) in tracks.items()}
    overlays = [_overlay(dataset, look.index, camera, *found) for camera, found in tracks.items() if look.pictures]
    return replace(seen, motion=motion, overlays=tuple(overlays))


def looks(dataset: Dataset, index: int) -> str:
    """The digest of an episode's first, middle and last frames, as `see` computes it.

    Raises:
        DataError: Its video cannot be decoded.
    """
    digest = hashlib.sha256()
    for camera in dataset.spec.cameras:
        frames = [dataset.frames(index, camera, frame, 1)[0] for frame in _shown(dataset.length(index))]
        digest.update(np.stack(frames).tobytes())
    return digest.hexdigest()


def _shown(length: int) -> tuple[int, int, int]:
    return 0, length // 2, length - 1


def _watch(dataset: Dataset, index: int, camera: str) -> tuple[FrameSums, UInt8[np.ndarray, "3 h w 3"]]:
    watch, kept = FrameWatch(), {}
    wanted = _shown(dataset.length(index))
    for start, count in stretches(dataset.length(index)):
        frames = dataset.frames(index, camera, start, count)
        watch.look(frames, start)
        kept |= {frame: frames[frame - start].copy() for frame in wanted if start <= frame < start + count}
    for frame in set(wanted) - set(kept):
        kept[frame] = dataset.frames(index, camera, frame, 1)[0]
    return watch.sums(), np.stack([kept[frame] for frame in wanted])


def _moves_meanwhile(dataset: Dataset, index: int, cameras: Sequence[FrameSums]) -> float | None:
    longest = max(cameras, key=lambda one: one.longest)
    proprio = dataset.proprio(index) if longest.longest else None
    if proprio is None:
        return None
    meanwhile = proprio[longest.longest_from : longest.longest_from + longest.longest]
    span = np.maximum(np.ptp(proprio, axis=0), 1e-9)
    return float((np.ptp(meanwhile, axis=0) / span).max())


def _tracks(dataset: Dataset, look: Look) -> dict[str, tuple[np.ndarray, TrackWindow]]:
    cameras = dataset.spec.cameras
    if look.tracks:
        starts, windows = stored(dataset, look.tracks, look.index)
        return {c: (starts, windows.map(lambda x, v=v: x[:, v : v + 1])) for v, c in enumerate(cameras)}
    return {camera: followed(dataset, look.index, camera) for camera in cameras}


def _overlay(dataset: Dataset, index: int, camera: str, starts: np.ndarray, window: TrackWindow) -> Overlay:
    """The tracks of the window with most motion."""
    row = int(path_px(window).mean(dim=(1, 2)).argmax())
    last = int(window.valid[row, 0].sum())
    frame = dataset.frames(index, camera, int(starts[row]), 1)[0]
    points, visible = window.points[row, 0, :last], window.visible[row, 0, :last]
    drawn = draw_tracks(frame, points, visible=visible, scale=OVERLAY_PX / frame.shape[1], dim=0.25)
    return Overlay(jpeg=_jpeg(drawn), frame=int(starts[row]), camera=camera)


def _narrowed(frame: np.ndarray, width_px: int) -> np.ndarray:
    return enlarged(frame, width_px / frame.shape[1])


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    width = min(row.shape[1] for row in rows)
    gap = np.full((6, width, 3), 255, np.uint8)
    return np.concatenate([part for row in rows for part in (gap, row[:, :width])][1:])


def _jpeg(image: np.ndarray) -> bytes:
    ok, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not ok:
        raise DataError("a picture that cannot be stored", got=image.shape)
    return content.tobytes()
