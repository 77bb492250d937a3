"""A picture of two bodies doing the same tasks."""

from pathlib import Path

from amplify.data.dataset import Dataset
from amplify.draw import enlarged, label, png, sheet
from amplify.evaluate.report import Picture

SCALE = 2


def bodies(robot: Path, other: Path, *, most: int = 4) -> Picture:
    """The middle frames of the first episode of some tasks, one row a body.

    Args:
        robot: A dataset of the robot.
        other: A dataset of the other body with the same tasks.
        most: Tasks shown.
    """
    frames = []
    for root in (robot, other):
        dataset = Dataset.open(root, columns=False)
        first = {str(e.info["task"]): e for e in reversed(dataset.episodes)}
        for task in sorted(first)[:: max(1, len(first) // most)][:most]:
            video = dataset.frames(first[task].index, dataset.spec.cameras[0])
            frames.append(label(enlarged(video[len(video) // 2], SCALE), task))
    return Picture(png=png(sheet(frames, columns=len(frames) // 2)), caption="Above the robot, below the other body.")
