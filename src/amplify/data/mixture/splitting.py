"""Validation: whole episodes that are held back, and the proof that none of them is trained on."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from amplify import rng
from amplify.data.dataset import Dataset, EpisodeInfo
from amplify.data.mixture.choosing import chosen_episodes, evenly
from amplify.data.mixture.source import AnyMixture, Mixture, Source
from amplify.errors import DataError

Episode = tuple[Dataset, EpisodeInfo]


def split(mixture: AnyMixture) -> AnyMixture:
    """The mixture with explicit episodes of training and validation, which have none in common.

    Episodes are the same where they lie in the same folder under the same number, or have the same length, the same
    video files by size and place, and the same first, middle and last frames. Copies of one episode in several sources
    all go to validation with the first that is drawn.

    Args:
        mixture: With held-out sources, or a fraction to hold back; returned as it is where it has neither.

    Raises:
        DataError: A held-out episode is among those of training, or a source has too few episodes to be split.
    """
    if not mixture.held_out and not mixture.validation_fraction:
        return mixture
    # Columns are left closed: video must be enough, whatever the files of actions hold.
    parts = [_opened(source) for source in (*mixture.sources, *mixture.held_out)]
    names = identities([episode for part in parts for episode in part])
    of_part: list[list[str]] = []
    for part in parts:
        of_part.append(names[: len(part)])
        names = names[len(part) :]
    if mixture.held_out:
        _require_disjoint(mixture, parts, of_part)
        return mixture
    held = {name for number, part in enumerate(parts) for name in _drawn(mixture, number, part, of_part[number])}
    training, validation = [], []
    for source, part, of_episode in zip(mixture.sources, parts, of_part):
        kept = [info.index for (_, info), name in zip(part, of_episode) if name not in held]
        back = [info.index for (_, info), name in zip(part, of_episode) if name in held]
        if not kept:
            raise DataError(
                f"nothing of {source.path} would be left to train on",
                got=f"{len(part)} episodes, {len(back)} of them held back",
                remedy="lower the validation fraction, or name held-out datasets instead",
            )
        training.append(_numbered(source, kept))
        validation.append(_numbered(source, back))
    return mixture.model_copy(
        update={"sources": tuple(training), "held_out": tuple(validation), "validation_fraction": 0.0}
    )


def identities(episodes: Sequence[Episode]) -> list[str]:
    """A name for each episode that it shares with its copies alone.

    Args:
        episodes: Of any datasets.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for number, (dataset, info) in enumerate(episodes):
        alike[dataset.fingerprint(info.index)].append(number)
    names = [""] * len(episodes)
    for fingerprint, numbers in alike.items():
        for number in numbers:
            # Frames are decoded only where something could be a copy.
            names[number] = fingerprint if len(numbers) == 1 else _looks(*episodes[number])
    return names


def _looks(dataset: Dataset, info: EpisodeInfo) -> str:
    digest = hashlib.sha256(dataset.fingerprint(info.index).encode())
    for camera in dataset.spec.cameras:
        for frame in sorted({0, info.length // 2, info.length - 1}):
            digest.update(dataset.frames(info.index, camera, frame, 1).tobytes())
    return digest.hexdigest()


def _opened(source: Source) -> list[Episode]:
    dataset = Dataset.open(source.path, columns=False)
    return [(dataset, info) for info in chosen_episodes(source, dataset, quiet=True)]


def _require_disjoint(mixture: Mixture, parts: list[list[Episode]], of_part: list[list[str]]) -> None:
    count = len(mixture.sources)
    trained = {
        name: f"episode {info.index} of {dataset.root}"
        for part, of_episode in zip(parts[:count], of_part[:count])
        for (dataset, info), name in zip(part, of_episode)
    }
    shared = [
        f"episode {info.index} of {dataset.root} is {trained[name]}"
        for part, of_episode in zip(parts[count:], of_part[count:])
        for (dataset, info), name in zip(part, of_episode)
        if name in trained
    ]
    if shared:
        raise DataError(
            f"{len(shared)} episodes for validation are among those of training",
            got="; ".join(shared[:3]) + ("; …" if len(shared) > 3 else ""),
            remedy="hold other datasets out, choose other episodes, or hold a fraction back instead",
        )


def _drawn(mixture: Mixture, number: int, part: list[Episode], of_episode: list[str]) -> list[str]:
    """Names of the episodes of a source that are drawn for validation."""
    if len(set(of_episode)) < 2:
        raise DataError(
            f"{mixture.sources[number].path} has too few different episodes to hold any back",
            got=len(set(of_episode)),
            allowed="2 or more",
            remedy="leave the validation fraction out, or add episodes",
        )
    name_of = {info.index: name for (_, info), name in zip(part, of_episode)}
    count = max(1, round(mixture.validation_fraction * len(part)))
    order = evenly([info for _, info in part], seed=rng.derive(mixture.split_seed, "validation"))
    return [name_of[info.index] for info in order[:count]]


def _numbered(source: Source, episodes: list[int]) -> Source:
    chosen = {"episodes": tuple(episodes), "tasks": (), "fraction": None, "count": None}
    return source.model_copy(update=chosen)
