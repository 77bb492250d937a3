"""Tracks and features beside a dataset: one safetensors file an episode, whose header says who made it and how.

``DATASET/sidecars/<kind>-<producer>…/episode-000000.safetensors``; the folder's name follows from the header, so that a
file in the wrong place, of other settings, of another recording or cut short is refused, never used.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from amplify.config import Config
from amplify.data.dataset import Dataset
from amplify.data.files import write_json, written_aside
from amplify.data.remote import located, present
from amplify.data.track_codec import TrackLayout
from amplify.errors import SidecarError

SCHEMAS = {"tracks": 2, "features": 1, "text": 1}
"""Version of the layout of each kind of sidecar."""

FOLDER = "sidecars"
SET_ASIDE = "set_aside.json"
TEXT_FILE = "instructions.safetensors"
PACKED = "packed"
"""The tensor whose rows have several lengths, so that its first axis is not the header's length."""

Setting = str | int | float | bool


@runtime_checkable
class Producer(Protocol):
    """Who makes a sidecar: a tracker or an encoder."""

    name: str

    @property
    def version(self) -> str:
        """What changes with its weights or its code."""
        ...

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What changes the result."""
        ...


class Header(Config):
    """What a sidecar says of itself.

    Args:
        schema_version: Of the layout of its kind.
        kind: "tracks", "features" or "text".
        producer: Name of the tracker or encoder.
        version: Of the producer.
        settings: What changes the result; two files with different ones do not mix.
        cameras: The order of the views.
        length: Rows: frames of the episode, or sentences.
        origin: Fingerprint of the episode or the sentences that it was made from.
        sentences: For text, what the rows are embeddings of.
        layout: For tracks, how a window is stored.
    """

    kind: str
    schema_version: int = Field(default_factory=lambda values: SCHEMAS.get(values["kind"], 0))
    producer: str
    version: str
    settings: dict[str, Setting]
    cameras: tuple[str, ...] = ()
    length: int
    origin: str
    sentences: tuple[str, ...] = ()
    layout: TrackLayout | None = None

    @property
    def folder(self) -> str:
        """The name of the folder where the file belongs."""
        if self.kind == "tracks":
            return tracks_folder(self.producer, int(self.settings["grid"]), int(self.settings["horizon"]))
        return f"{self.kind}-{self.producer}"

    @property
    def recipe(self) -> tuple[str, str, str, str]:
        """What all files of one folder have in common."""
        return self.kind, self.producer, self.version, json.dumps(self.settings, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """An open sidecar; its tensors are memory-mapped, so that only the rows that are indexed are read."""

    header: Header
    tensors: dict[str, Tensor]


def tracks_folder(tracker: str, grid: int, horizon: int) -> str:
    """The folder of a tracker's windows: ``tracks-flow-10x10-h16``.

    Args:
        tracker: Its name.
        grid: Points a side.
        horizon: Frames a window.
    """
    return f"tracks-{tracker}-{grid}x{grid}-h{horizon}"


def features_folder(encoder: str) -> str:
    """The folder of a vision encoder's features: ``features-efficientnet-lite0-128px``."""
    return f"features-{encoder}"


def text_folder(encoder: str) -> str:
    """The folder of a text encoder's embeddings: ``text-minilm``."""
    return f"text-{encoder}"


def folders(root: Path, kind: str) -> list[str]:
    """Names of the sidecar folders of a kind that a dataset has."""
    return sorted(path.name for path in (root / FOLDER).glob(f"{kind}-*") if path.is_dir())


def episode_path(root: Path, folder: str, episode_index: int) -> Path:
    """Where the sidecar of an episode lies."""
    return root / FOLDER / folder / f"episode-{episode_index:06d}.safetensors"


def write_sidecar(path: Path, header: Header, tensors: Mapping[str, Tensor]) -> None:
    """Writes one sidecar atomically.

    Args:
        path: Of `episode_path`, or a text file in its folder.
        header: Its length is that of every tensor's first axis, but of `PACKED`.
        tensors: Named arrays.
    """
    assert all(len(tensor) == header.length for name, tensor in tensors.items() if name != PACKED), header
    with written_aside(path) as aside:
        stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
        aside.write_bytes(save(stored, metadata={"amplify": header.model_dump_json()}))


def read_episode(dataset: Dataset, folder: str, episode_index: int) -> Sidecar:
    """The sidecar of one episode.

    Raises:
        SidecarError: It is missing, damaged, of another producer, grid or horizon than the folder's name says, or
            was made from another recording.
    """
    path = present(episode_path(dataset.root, folder, episode_index))
    remedy = remedy_for(dataset.root, folder)
    if not path.is_file():
        there = [name for name in folders(dataset.root, folder.split("-")[0]) if name != folder]
        raise SidecarError(
            f"no {folder!r} for episode {episode_index} of {dataset.root}",
            allowed=f"there are {', '.join(there)}" if there else None,
            remedy=remedy,
        )
    sidecar = read_sidecar(path, remedy=remedy)
    header = sidecar.header
    if header.folder != folder:
        raise SidecarError(f"sidecar made otherwise: {path}", got=header.folder, allowed=folder, remedy=remedy)
    place, fingerprint = dataset.length(episode_index), dataset.fingerprint(episode_index)
    if (header.length, header.origin, header.cameras) != (place, fingerprint, dataset.spec.cameras):
        raise SidecarError(
            f"sidecar of another recording: {path}",
            got=f"{header.length} frames of {', '.join(header.cameras)}, fingerprint {header.origin}",
            allowed=f"{place} frames of {', '.join(dataset.spec.cameras)}, fingerprint {fingerprint}",
            remedy=remedy,
        )
    return sidecar


def read_text(root: Path, folder: str, sentences: Sequence[str]) -> Float[Tensor, "b l e"]:
    """The embeddings of sentences.

    Raises:
        SidecarError: The file is missing, damaged, of another encoder, or lacks a sentence.
    """
    sidecar = _text_sidecar(root, folder)
    rows = {sentence: row for row, sentence in enumerate(sidecar.header.sentences)}
    lacking = [sentence for sentence in sentences if sentence not in rows]
    if lacking:
        path = root / FOLDER / folder / TEXT_FILE
        raise SidecarError(
            f"no embedding of an instruction in {path}", got=repr(lacking[0]), remedy=remedy_for(root, folder)
        )
    return sidecar.tensors["text"][[rows[sentence] for sentence in sentences]]


def read_text_header(root: Path, folder: str) -> Header:
    """What the embeddings of sentences say of themselves.

    Raises:
        SidecarError: The file is missing, damaged, or of another encoder.
    """
    return _text_sidecar(root, folder).header


def _text_sidecar(root: Path, folder: str) -> Sidecar:
    path, remedy = present(located(root) / FOLDER / folder / TEXT_FILE), remedy_for(root, folder)
    if not path.is_file():
        raise SidecarError(f"no {folder!r} for {root}", allowed=", ".join(folders(root, "text")) or None, remedy=remedy)
    sidecar = read_sidecar(path, remedy=remedy)
    if sidecar.header.folder != folder:
        raise SidecarError(f"sidecar made otherwise: {path}", got=sidecar.header.folder, allowed=folder, remedy=remedy)
    return sidecar


def write_set_aside(root: Path, folder: str, reasons: Mapping[int, str]) -> None:
    """Records the episodes of which no sidecar could be made, by index."""
    write_json(root / FOLDER / folder / SET_ASIDE, {str(index): reason for index, reason in reasons.items()})


def set_aside_episodes(root: Path, folder: str) -> dict[int, str]:
    """Episodes of which no sidecar could be made, and why; those that were merely not reached are not among them."""
    path = present(root / FOLDER / folder / SET_ASIDE)
    return {int(index): reason for index, reason in json.loads(path.read_text()).items()} if path.is_file() else {}


def remedy_for(root: Path, folder: str) -> str:
    """The command that makes a sidecar folder."""
    parts = re.fullmatch(r"tracks-(.+)-(\d+)x\2-h(\d+)", folder)
    if parts:
        tracker, grid, horizon = parts.groups()
        return f"run 'amplify track {root} --tracker {tracker} --grid {grid} --horizon {horizon}'"
    if folder.startswith("tracks-"):
        return f"run 'amplify track {root} --help'"
    return f"run 'amplify encode {root}'"


def sentences_fingerprint(sentences: Sequence[str]) -> str:
    """Twelve hexadecimal digits of a list of sentences."""
    return hashlib.sha256(json.dumps(list(sentences)).encode()).hexdigest()[:12]


def read_sidecar(path: Path, *, remedy: str) -> Sidecar:
    """Any sidecar, memory-mapped; `read_episode` and `read_text` also check that it is the right one.

    Raises:
        SidecarError: It is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = Header.model_validate_json((file.metadata() or {}).get("amplify", ""))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValidationError) as error:
        got = "no readable header" if isinstance(error, ValidationError) else str(error)
        raise SidecarError(f"damaged sidecar: {path}", got=got, remedy=remedy) from error
    rows = {len(tensor) for name, tensor in tensors.items() if name != PACKED}
    known = SCHEMAS.get(header.kind)
    if header.schema_version != known or rows != {header.length} or (header.kind == "tracks") != bool(header.layout):
        got = f"schema {header.schema_version}, {header.length} rows"
        raise SidecarError(f"sidecar of another layout: {path}", got=got, allowed=f"schema {known}", remedy=remedy)
    return Sidecar(header, tensors)
