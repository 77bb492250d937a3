"""One episode as one file of the Rerun viewer; the entity paths are those of docs/rerun.md."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from jaxtyping import Float, UInt8

APPLICATION = "amplify"
FRAME, TIME = "frame", "time"
"""Timelines: the frame's number, and seconds from the episode's start."""

RESTING_SHARE = 1 / 128
"""Of the image's side: points whose path is shorter are not drawn."""
TRACKED_RGB, FORESEEN_RGB = (90, 200, 250), (255, 170, 40)


class EpisodeFile:
    """Writes one .rrd file.

    Args:
        path: Of the file.
        name: Shown by the viewer.
        fps: Frames a second.
        cameras: Names, for the layout of the viewer.
        plots: Names of groups of numbers ("actions"), for the layout.
        jpeg_quality: Of images, 1 to 100.
    """

    def __init__(
        self, path: Path, *, name: str, fps: float, cameras: Sequence[str], plots: Sequence[str], jpeg_quality: int
    ):
        self._fps, self._quality = fps, jpeg_quality
        self._to = rr.RecordingStream(APPLICATION, recording_id=name)
        self._to.set_log_time_enabled(False)  # when this file was written says nothing of the episode
        self._to.save(path, default_blueprint=_layout(cameras, plots))
        self._to.send_recording_name(name)

    def note(self, path: str, text: str) -> None:
        """A text that holds for the whole episode."""
        self._to.log(path, rr.TextDocument(text), static=True)

    def images(self, camera: str, frames: Iterable[UInt8[np.ndarray, "h w 3"]]) -> None:
        """``cameras/<camera>``: a picture a frame, as JPEG."""
        settings = [cv2.IMWRITE_JPEG_QUALITY, self._quality]
        for number, frame in enumerate(frames):
            _, encoded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), settings)
            self._at(number)
            picture = rr.EncodedImage(contents=encoded.tobytes(), media_type="image/jpeg")
            self._to.log(f"cameras/{_part(camera)}", picture)

    def paths(
        self,
        camera: str,
        group: str,
        frame: int,
        points: Float[np.ndarray, "t n 2"],
        *,
        size_px: tuple[int, int],
        rgb: tuple[int, int, int],
    ) -> None:
        """``cameras/<camera>/<group>``: where points go from a frame on; those that stay are left out.

        Args:
            camera: Its name.
            group: "tracks" or "foreseen".
            frame: The first of the window.
            points: As shares of the image's width and height.
            size_px: Width and height of the image.
            rgb: Colour.
        """
        length = np.linalg.norm(np.diff(points, axis=0), axis=-1).sum(axis=0)
        moving = points[:, length >= RESTING_SHARE] * np.array(size_px)
        self._at(frame)
        strips = rr.LineStrips2D(list(moving.transpose(1, 0, 2)), colors=[rgb], radii=0.4)
        self._to.log(f"cameras/{_part(camera)}/{group}", strips)

    def numbers(
        self, group: str, names: Sequence[str], values: Float[np.ndarray, "t d"], frames: Sequence[int] | None = None
    ) -> None:
        """``<group>/<name>``: a curve a dimension.

        Args:
            group: "actions", "proprioception", "planned_actions".
            names: Of the dimensions.
            values: A row a frame.
            frames: Which; all of them in order where None.
        """
        at = np.arange(len(values)) if frames is None else np.asarray(frames)
        times = [rr.TimeColumn(FRAME, sequence=at), rr.TimeColumn(TIME, duration=at / self._fps)]
        for number, name in enumerate(names):
            columns = rr.Scalars.columns(scalars=values[:, number].astype(np.float64))
            self._to.send_columns(f"{group}/{_part(name)}", indexes=times, columns=columns)

    def close(self) -> None:
        """Everything is on disk."""
        self._to.flush()
        self._to.disconnect()

    def _at(self, frame: int) -> None:
        self._to.set_time(FRAME, sequence=frame)
        self._to.set_time(TIME, duration=frame / self._fps)


def _part(name: str) -> str:
    return rr.escape_entity_path_part(name)


def _layout(cameras: Sequence[str], plots: Sequence[str]) -> rrb.Blueprint:
    pictures = [rrb.Spatial2DView(origin=f"cameras/{_part(camera)}", name=camera) for camera in cameras]
    curves = [rrb.TimeSeriesView(origin=plot, name=plot.replace("_", " ")) for plot in plots]
    told = rrb.TextDocumentView(origin="instruction", name="instruction")
    return rrb.Blueprint(
        rrb.Horizontal(rrb.Grid(*pictures), rrb.Vertical(told, *curves, row_shares=[1] + [3] * len(curves))),
        collapse_panels=True,
    )
