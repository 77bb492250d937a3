"""Whether what is pushed or was pulled is whole: strict, before anybody else sees it."""

from typing import Any

from amplify.data.dataset import Dataset
from amplify.data.scene import read_scene
from amplify.data.sidecar import FOLDER, read_episode, read_text_header, remedy_for, set_aside_episodes
from amplify.data.writer import SCENE_PATH
from amplify.errors import SidecarError, pick

SCENE = SCENE_PATH.split("/")[1]


def sidecars_of(dataset: Dataset, chosen: str) -> list[str]:
    """Names of sidecar folders.

    Args:
        dataset: Which has them.
        chosen: "all", "none", or names between commas.

    Raises:
        UnknownNameError: It lacks one.
    """
    there = {path.name: path for path in sorted((dataset.root / FOLDER).glob("*")) if path.is_dir()}
    return choose(chosen, there)


def choose(chosen: str, there: dict[str, Any]) -> list[str]:
    """Some of the sidecar folders that there are.

    Args:
        chosen: "all", "none", or names between commas.
        there: By name.

    Raises:
        UnknownNameError: One is not there.
    """
    if chosen in ("all", "none"):
        return sorted(there) if chosen == "all" else []
    names = sorted({name.strip() for name in chosen.split(",") if name.strip()})
    for name in names:
        pick(name, there, kind="sidecar folder")
    return names


def check_sidecars(dataset: Dataset, names: list[str]) -> dict[str, dict[str, Any]]:
    """What each folder says of itself; every usable episode has its file, made from this very recording.

    Args:
        dataset: Whose they are.
        names: Of folders.

    Raises:
        SidecarError: A file is missing, damaged, made otherwise, or belongs to another recording.
    """
    return {name: _scenes(dataset) if name == SCENE else _folder(dataset, name) for name in names}


def _scenes(dataset: Dataset) -> dict[str, Any]:
    for episode in dataset.episodes:
        path = dataset.root / SCENE_PATH.format(index=episode.index)
        scene = read_scene(path)
        if len(scene.body_position) != episode.length:
            raise SidecarError(
                f"scene states of another recording: {path}",
                got=f"{len(scene.body_position)} frames",
                allowed=f"{episode.length}",
                remedy="record the dataset again",
            )
    return {"kind": "scene", "producer": "simulator"}


def _folder(dataset: Dataset, name: str) -> dict[str, Any]:
    if name.startswith("text-"):
        header = read_text_header(dataset.root, name)
        lacking = {episode.instruction for episode in dataset.episodes} - set(header.sentences)
        if lacking:
            raise SidecarError(
                f"{name} lacks instructions of {dataset.root}",
                got=repr(min(lacking)),
                remedy=remedy_for(dataset.root, name),
            )
        return header.model_dump(include={"kind", "producer", "version", "settings"})
    left_out = set_aside_episodes(dataset.root, name)
    headers = [read_episode(dataset, name, e.index).header for e in dataset.episodes if e.index not in left_out]
    if not headers:
        raise SidecarError(f"no episode of {dataset.root} has {name!r}", remedy=remedy_for(dataset.root, name))
    if len({header.recipe for header in headers}) > 1:
        raise SidecarError(f"files of {name!r} were made with different settings", remedy="make them anew")
    return headers[0].model_dump(include={"kind", "producer", "version", "settings"})
