"""Video files in and out, still images in: uint8 RGB, H.264 that browsers play and that seeks cheaply."""

from amplify.video.reading import count_frames, decode_image, read_image, read_video
from amplify.video.shaping import FITS, Shaping
from amplify.video.timeline import Glance, Timeline, frames_at, glance, timeline
from amplify.video.writing import CRF, GOP, RECORDING_CRF, write_frames, write_video

__all__ = [
    "CRF",
    "FITS",
    "GOP",
    "RECORDING_CRF",
    "Glance",
    "Shaping",
    "Timeline",
    "count_frames",
    "decode_image",
    "frames_at",
    "glance",
    "read_image",
    "read_video",
    "timeline",
    "write_frames",
    "write_video",
]
