"""Small sources in other people's formats, with known content."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from amplify.video import write_video

FPS = 10


def steps(count: int, width: int = 48, height: int = 32, first: int = 0) -> np.ndarray:
    """Flat pictures whose grey level is 20 + 8 × (number of the frame), with a white bar at the left of the top."""
    levels = 20 + 8 * (first + np.arange(count))
    pictures = np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).astype(np.uint8).copy()
    pictures[:, : height // 4, : width // 4] = 250
    return pictures


def numbers(frames: np.ndarray) -> list[int]:
    """Numbers of the frames of `steps`, read from the middle of the pictures."""
    height, width = frames.shape[1:3]
    middle = frames[:, height // 2 : height // 2 + 4, width // 2 : width // 2 + 4].mean(axis=(1, 2, 3))
    return np.round((middle - 20) / 8).astype(int).tolist()


def video(path: Path, count: int = 8, *, fps: float = FPS, width: int = 48, height: int = 32, first: int = 0) -> Path:
    write_video(path, steps(count, width, height, first), fps, crf=4)
    return path


def timed_video(
    path: Path,
    times_s: Sequence[float],
    *,
    codec: str = "mpeg4",
    pix_fmt: str = "yuv420p",
    sound: bool = False,
    width: int = 48,
    height: int = 32,
) -> Path:
    """A video of `steps` whose frames are shown at any times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        if codec == "mpeg4":
            stream.options = {"qscale": "2"}
        noise = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for image, time_s in zip(steps(len(times_s), width, height), times_s):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if noise is not None:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 8000, 0
            container.mux(noise.encode(tone))
            container.mux(noise.encode())
    return path


def turned(path: Path) -> Path:
    """The mp4 with a display matrix that turns it by a quarter, as phones write it."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    one = (1 << 16).to_bytes(4, "big")
    minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
    zero = bytes(4)
    content[at : at + 32] = zero + one + zero + minus + zero + zero + zero + zero
    path.write_bytes(content)
    return path


def libero_task(path: Path, lengths: Sequence[int] = (5, 4), *, attributes: dict[str, str] | None = None) -> Path:
    """A task's file; images are stored upside down, and image j shows frame number j."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for number, length in enumerate(lengths):
            group = file.create_group(f"data/demo_{number}")
            group["actions"] = np.arange(length)[:, None] * np.ones(7) / 10
            for view in ("agentview", "eye_in_hand"):
                pictures = steps(length, 16, 16, first=0 if view == "agentview" else 10)
                group.create_dataset(f"obs/{view}_rgb", data=pictures[:, ::-1], chunks=(1, 16, 16, 3))
            group["obs/joint_states"] = np.arange(length)[:, None] + np.zeros(7)
            group["obs/gripper_states"] = np.zeros((length, 2))
            group["obs/ee_pos"] = np.zeros((length, 3))
        file["data"].attrs.update(attributes or {})
    return path


def track_file(path: Path, length: int, *, horizon: int = 4, side: int = 3, size_px: int = 16) -> Path:
    """Tracks as the reference stores them: the grid at rest in one view, moving right by a pixel in the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    centres = (np.arange(side) + 0.5) * size_px / side - 0.5
    grid = np.array([(x, y) for x in centres for y in centres])
    still = np.broadcast_to(grid, (length, horizon, side * side, 2)).astype(np.float32)
    moving = (still + np.arange(horizon)[None, :, None, None] * [1, 0]).astype(np.float32)
    with h5py.File(path, "w") as file:
        for view, points in (("agentview", moving), ("eye_in_hand", still)):
            file[f"root/{view}/tracks"] = points
            file[f"root/{view}/vis"] = np.ones(points.shape[:3], np.float32)
    return path


def robomimic_file(path: Path, lengths: Sequence[int] = (5, 4, 6), *, images: str = "uint8") -> Path:
    """Demonstrations in robomimic's layout: images as bytes, as numbers in 0..1, or with channels first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arguments = {
        "env_name": "PickPlaceCan",
        "type": 1,
        "env_kwargs": {"control_freq": 15, "robots": ["Panda"], "camera_names": ["agentview"]},
    }
    with h5py.File(path, "w") as file:
        for number, length in enumerate(lengths):
            group = file.create_group(f"data/demo_{number}")
            pictures = steps(length, 16, 16)
            if images == "float":
                pictures = (pictures / 255).astype(np.float32)
            elif images == "channels first":
                pictures = np.moveaxis(pictures, -1, 1)
            group["obs/agentview_image"] = pictures
            group["obs/robot0_eef_pos"] = np.arange(length)[:, None] + np.zeros(3)
            group["obs/robot0_eef_quat"] = np.zeros((length, 4))
            group["obs/robot0_gripper_qpos"] = np.zeros((length, 2))
            group["obs/object"] = np.zeros((length, 14))
            group["actions"] = np.arange(length)[:, None] / 10 + np.zeros(7)
        file["data"].attrs["env_args"] = json.dumps(arguments)
        file["mask/train"] = np.array([b"demo_0", b"demo_2"])
        file["mask/valid"] = np.array([b"demo_1"])
    return path


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def lerobot_v21(
    root: Path,
    lengths: Sequence[int] = (5, 7, 4),
    *,
    cameras: Sequence[str] = ("observation.images.top", "wrist cam"),
    images: bool = False,
    actions: bool = True,
    version: str = "v2.1",
) -> Path:
    """A dataset of the layout before v3; its second camera is larger. Episode e begins with frame number e."""
    sizes = {camera: (48, 32) if at == 0 else (64, 48) for at, camera in enumerate(cameras)}
    sentences = ["open it", "close it"]
    meta = root / "meta"
    meta.mkdir(parents=True)
    rows = []
    for index, length in enumerate(lengths):
        columns = {
            "timestamp": pa.array((np.arange(length) / FPS).astype(np.float32)),
            "frame_index": pa.array(np.arange(length)),
            "episode_index": pa.array(np.full(length, index)),
            "index": pa.array(sum(lengths[:index]) + np.arange(length)),
            "task_index": pa.array(np.full(length, index % 2)),
        }
        for camera, (width, height) in sizes.items():
            pictures = steps(length, width, height, first=index)
            if images:
                columns[camera] = pa.array([{"bytes": png(image), "path": None} for image in pictures])
            else:
                file = root / f"videos/chunk-000/{camera}/episode_{index:06d}.mp4"
                write_video(file, pictures, FPS, crf=4, gop=12)
        if actions:
            values = (index + np.arange(length)[:, None] / 10 + np.zeros(2)).astype(np.float32)
            columns["action"] = pa.array(list(values))
            columns["observation.state"] = pa.array(list(values + 1))
        (root / "data/chunk-000").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), root / f"data/chunk-000/episode_{index:06d}.parquet")
        rows.append({"episode_index": index, "tasks": [sentences[index % 2]], "length": length})
    kind = "image" if images else "video"
    features = {
        camera: {"dtype": kind, "shape": [height, width, 3], "names": ["height", "width", "channel"]}
        for camera, (width, height) in sizes.items()
    }
    if actions:
        features["action"] = {"dtype": "float32", "shape": [2], "names": ["dx", "grip"]}
        features["observation.state"] = {"dtype": "float32", "shape": [2], "names": {"motors": ["a", "b"]}}
    info = {
        "codebase_version": version,
        "robot_type": "so100",
        "fps": FPS,
        "chunks_size": 1000,
        "features": features,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    (meta / "info.json").write_text(json.dumps(info))
    (meta / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = [{"task_index": index, "task": sentence} for index, sentence in enumerate(sentences)]
    (meta / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tasks))
    return root


def lerobot_v3_images(root: Path, lengths: Sequence[int] = (5, 3)) -> Path:
    """A v3 dataset with all episodes in one file of rows, images among them."""
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    (root / "data/chunk-000").mkdir(parents=True)
    of_episode = np.repeat(np.arange(len(lengths)), lengths)
    pictures = np.concatenate([steps(length, first=index) for index, length in enumerate(lengths)])
    columns = {
        "observation.images.top": pa.array([{"bytes": png(image), "path": "x.png"} for image in pictures]),
        "action": pa.array([[float(index)] for index in of_episode], pa.list_(pa.float32(), 1)),
        "timestamp": pa.array(np.concatenate([np.arange(length) / FPS for length in lengths])),
        "episode_index": pa.array(of_episode),
    }
    pq.write_table(pa.table(columns), root / "data/chunk-000/file-000.parquet", row_group_size=3)
    rows = {
        "episode_index": list(range(len(lengths))),
        "tasks": [["stack"]] * len(lengths),
        "length": list(lengths),
        "data/chunk_index": [0] * len(lengths),
        "data/file_index": [0] * len(lengths),
    }
    pq.write_table(pa.table(rows), root / "meta/episodes/chunk-000/file-000.parquet")
    info = {
        "codebase_version": "v3.0",
        "fps": FPS,
        "robot_type": None,
        "features": {
            "observation.images.top": {
                "dtype": "image",
                "shape": [3, 32, 48],
                "names": ["channels", "height", "width"],
            },
            "action": {"dtype": "float32", "shape": [1], "names": None},
        },
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    return root
