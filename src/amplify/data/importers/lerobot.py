"""LeRobot datasets of versions 2.0, 2.1 and 3.0, whole or in part."""

import dataclasses
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from amplify.config import Config
from amplify.data.dataset import Dataset, EpisodeInfo
from amplify.data.episode import Footage
from amplify.data.importers.engine import Plan
from amplify.data.importers.lerobot_v21 import VERSIONS, open_v21
from amplify.data.importers.options import safe_name, shaping_of
from amplify.data.info import feature_names, read_info, read_json
from amplify.data.layout import ACTION, STATE, VERSION, DatasetSpec
from amplify.errors import DataError, pick
from amplify.video import Shaping


class LeRobotConfig(Config):
    """What is taken of a LeRobot dataset, and what is changed.

    Args:
        episodes: Numbers of the episodes; None takes all.
        tasks: Sentences, ``*`` stands for anything; none takes all.
        cameras: Names; none takes all.
        size: (width, height) of every camera in pixels; None leaves them as they are.
        fit: How other sizes become that one.
        state: Features that make up proprioception.
        action: Features that make up the action.
        actions: Whether proprioception and actions are taken.
    """

    format: Literal["lerobot"] = "lerobot"
    episodes: tuple[int, ...] | None = None
    tasks: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    fit: str = "crop"
    state: tuple[str, ...] = (STATE,)
    action: tuple[str, ...] = (ACTION,)
    actions: bool = True

    @property
    def changes_nothing(self) -> bool:
        """Whether all is taken as it is."""
        return self == LeRobotConfig(fit=self.fit)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredEpisode:
    """An episode of a LeRobot dataset.

    Args:
        dataset: That holds this episode only.
        cameras: Of each camera its name in the dataset that is made.
        shaping: The size of the images; None leaves them as they are.
        state: Features of proprioception.
        action: Features of the action.
    """

    dataset: Dataset
    cameras: dict[str, str]
    shaping: Shaping | None
    state: tuple[str, ...]
    action: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its number."""
        return f"episode {self._episode.index}"

    @property
    def _episode(self) -> EpisodeInfo:
        return self.dataset.episodes[0]

    def footage(self) -> Footage:
        """The episode.

        Raises:
            DataError: Its rows are damaged.
        """
        episode = self._episode
        return Footage(
            instruction=episode.instruction,
            length=episode.length,
            frames={name: self._images(camera) for camera, name in self.cameras.items()},
            proprio=self._rows(self.state),
            actions=self._rows(self.action),
            info={**episode.info, "source_episode": episode.index},
        )

    def _rows(self, names: Sequence[str]) -> Float32[np.ndarray, "t d"] | None:
        columns = [self.dataset.column(self._episode.index, name) for name in names]
        return np.concatenate(columns, axis=1) if columns else None

    def _images(self, camera: str) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for image in self.dataset.stream(self._episode.index, camera):
            yield image if self.shaping is None else self.shaping.image(image)


def open_any(root: Path, *, columns: bool = True) -> tuple[Dataset, dict[str, Any]]:
    """A LeRobot dataset of any version that is read, and its info.json.

    Args:
        root: Its folder.
        columns: Whether to check proprioception and actions too.

    Raises:
        DataError: There is none, or of another version; or no episode of it can be used.
    """
    path = root / "meta" / "info.json"
    found = read_json(path) if path.is_file() else None
    version = found.get("codebase_version") if isinstance(found, dict) else None
    if version in VERSIONS:
        return open_v21(root, version, columns=columns), read_info(root, version)
    if isinstance(version, str) and version != VERSION:
        raise DataError(
            f"dataset of another format version: {root}", got=version, allowed=", ".join((*VERSIONS, VERSION))
        )
    return Dataset.open(root, columns=columns), read_info(root)


def plan_lerobot(dataset: Dataset, info: dict[str, Any], config: LeRobotConfig) -> Plan:
    """What importing a LeRobot dataset does.

    Args:
        dataset: Of `open_any`.
        info: Of `open_any`.
        config: What is taken.

    Raises:
        DataError: Nothing is left.
        UnknownNameError: There is no such camera, feature, task or episode.
    """
    known = {camera: camera for camera in dataset.spec.cameras}
    cameras = [pick(camera, known, kind="camera") for camera in config.cameras] or list(dataset.spec.cameras)
    names = dict(zip(cameras, _distinct([safe_name(camera) for camera in cameras])))
    features = info["features"]
    state = _features(config.state, features, STATE) if config.actions else ()
    action = _features(config.action, features, ACTION) if config.actions else ()
    sizes = {names[camera]: config.size or dataset.spec.size(camera) for camera in cameras}
    spec = DatasetSpec.of_sizes(
        sizes,
        fps=dataset.spec.fps,
        proprio_names=_names(state, features),
        action_names=_names(action, features),
        robot_type=dataset.spec.robot_type,
    )
    chosen = _chosen(dataset, config)
    recordings = tuple(
        StoredEpisode(
            dataset=dataset.only(episode.index),
            cameras=names,
            shaping=shaping_of(config.size, config.fit) if config.size else None,
            state=state,
            action=action,
        )
        for episode in chosen
    )
    wanted = None if config.episodes is None else set(config.episodes)
    set_aside = {
        f"episode {problem.episode_index}": problem.reason
        for problem in dataset.problems
        if wanted is None or problem.episode_index in wanted
    }
    return Plan(spec=spec, settings=config, recordings=recordings, set_aside=set_aside)


def _chosen(dataset: Dataset, config: LeRobotConfig) -> list[EpisodeInfo]:
    said = {episode.instruction: None for episode in dataset.episodes}
    for task in config.tasks:
        if not any(fnmatchcase(sentence, task) for sentence in said):
            pick(task, said, kind="task")
    there = {episode.index for episode in dataset.episodes} | {problem.episode_index for problem in dataset.problems}
    unknown = [index for index in config.episodes or () if index not in there]
    if unknown:
        raise DataError(f"no such episodes in {dataset.root}", got=unknown[:5], allowed=f"{min(there)} to {max(there)}")
    chosen = [
        episode
        for episode in dataset.episodes
        if (config.episodes is None or episode.index in config.episodes)
        and (not config.tasks or any(fnmatchcase(episode.instruction, task) for task in config.tasks))
    ]
    if not chosen:
        raise DataError(f"no usable episode of {dataset.root} is chosen", remedy="choose other --episodes or --tasks")
    return chosen


def _features(wanted: Sequence[str], features: dict[str, Any], usual: str) -> tuple[str, ...]:
    if tuple(wanted) == (usual,) and usual not in features:
        return ()
    numeric = {key: key for key, feature in features.items() if feature["dtype"] not in ("video", "image", "string")}
    return tuple(pick(name, numeric, kind="feature") for name in wanted)


def _names(keys: Sequence[str], features: dict[str, Any]) -> tuple[str, ...] | None:
    if not keys:
        return None
    return tuple(name for key in keys for name in feature_names(features[key]) or ())


def _distinct(names: Sequence[str]) -> list[str]:
    return [name if names.index(name) == at else f"{name}_{at}" for at, name in enumerate(names)]
