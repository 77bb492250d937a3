"""What a stage learns from: datasets and their sidecars, and the sizes that follow from them."""

import copy

import numpy as np
import torch
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.data.mixture.alignment import Views, horizon_of, views_of
from amplify.data.mixture.choosing import chosen_episodes
from amplify.data.mixture.source import Mixture, Source, of_role
from amplify.data.mixture.splitting import split
from amplify.data.sidecar import Header, folders, read_episode, read_text_header, set_aside_episodes
from amplify.data.windows import WindowSet
from amplify.encoders.vision import PatchNetwork
from amplify.errors import DataError, UsageError, pick
from amplify.policy.bundle import Bundle
from amplify.policy.info import EncoderInfo, info_of
from amplify.train.sight import Sight, published_eyes, require_published
from amplify.types import Features, TrackWindow

STATISTICS_WINDOWS = 1024


class TrainingData(Mixture):
    """What a stage learns from: a mixture of datasets, whose actions are read by the stages that need them only.

    Args:
        sources: See `Mixture`.
        held_out: See `Mixture`.
        validation_fraction: See `Mixture`.
        split_seed: See `Mixture`.
        sampling: See `Mixture`.
        views: See `Mixture`; by default also those of the parent that a stage learns from.
        rate: See `Mixture`.
        tracks: Name of the track sidecar ("tracks-flow-10x10-h16").
        features: Name of the feature sidecar; its encoder is the one that runs where features are not cached.
        text: Name of the text sidecar.
        sight: How images are seen.
        horizon: Steps of a track window, the first frame included; the sidecar's.
        action_horizon: Actions of a chunk.
    """

    tracks: str | None = None
    features: str | None = None
    text: str = "text-minilm"
    sight: Sight = Sight()
    horizon: int = 16
    action_horizon: int = 16

    def resolved(self, *, actions: bool, parent: Bundle | None = None) -> "TrainingData":
        """What one stage learns from: sources of its role, episodes that are held back, the views of its parent.

        Args:
            actions: Whether the stage learns actions.
            parent: The bundle that it learns from.

        Raises:
            DataError: Validation and training would share episodes.
            UsageError: No source has the role, or no source has a view that is named.
        """
        data = of_role(self, actions=actions)
        if not data.sources:
            return data
        known = () if parent is None else info_of(parent).cameras
        names = data.view_names()
        if self.views:
            there = dict.fromkeys((*data.model_copy(update={"views": ()}).every_view(), *known))
            for name in self.views:
                pick(name, there, kind="view of the mixture")
        elif known != names and set(names) <= set(known):
            data = data.model_copy(update={"views": known})
        return split(data)

    def view_names(self) -> tuple[str, ...]:
        """Names of the views of a window, in order."""
        return self._views().names

    def optional_views(self) -> tuple[str, ...]:
        """Names of the views that some source lacks."""
        views = self._views()
        lacked = [None in of_view for of_view in zip(*views.cameras)]
        return tuple(name for name, missing in zip(views.names, lacked) if missing)

    def _views(self) -> Views:
        return views_of(self.sources, [_opened(source) for source in self.sources], self.views)

    def every_view(self) -> tuple[str, ...]:
        """Names of all views that a source has, as it calls them in the mixture."""
        named = [[s.views.get(name, name) for name in _opened(s).spec.cameras] for s in self.sources]
        return tuple(dict.fromkeys(name for names in named for name in names))

    def windows(
        self, *, tracks: bool, features: bool, actions: bool, goal: bool = False, held_out: bool = False
    ) -> WindowSet | None:
        """The windows of the sources, or None where there are no sources.

        Args:
            tracks: With tracks.
            features: With features, or with pictures where features are not cached.
            actions: With proprioception and actions.
            goal: With the goal image's features or pictures.
            held_out: Of the sources for validation.
        """
        if self.validation_fraction:
            split_data = self.resolved(actions=actions)
            return split_data.windows(tracks=tracks, features=features, actions=actions, goal=goal, held_out=held_out)
        sources = self.held_out if held_out else self.sources
        if not sources:
            return None
        return WindowSet(
            list(sources),
            tracks=self.tracks if tracks else None,
            features=self.features if features and self.sight.cached else None,
            images=self.sight.memory_gb if features and not self.sight.cached else None,
            goal=goal,
            text=self.text,
            actions=actions,
            horizon=self.horizon,
            action_horizon=self.action_horizon,
            views=self.views,
            rate=self.rate,
            sampling=self.sampling,
        )

    def training_windows(self, *, tracks: bool, features: bool, actions: bool, goal: bool = False) -> WindowSet:
        """The windows to train on.

        Raises:
            DataError: There are none.
        """
        windows = self.windows(tracks=tracks, features=features, actions=actions, goal=goal)
        if windows is None or not len(windows):
            raise DataError("nothing to train on", remedy="name at least one dataset with usable episodes")
        return windows

    def eyes(self, parent: Bundle | None = None, start: Bundle | None = None) -> PatchNetwork | None:
        """The encoder that runs within training, None where features are cached.

        Args:
            parent: Whose own encoder it is, where it holds one; otherwise the one that made the feature sidecar.
            start: Whose eyes of inverse dynamics it is, where it holds them and they are fine-tuned further.

        Raises:
            UsageError: It is not an encoder of this package; or it, or that of the cached features, was fine-tuned
                and no parent holds it.
            AmplifyError: Its weights are not here.
        """
        if self.sight.cached:
            if parent is None and self.features is not None:
                require_published(encoder_info(self.header(self.features)))
            return None
        own = None if parent is None else parent.models.get("vision_encoder")
        if start is not None:
            own = start.models.get("inverse_vision_encoder", own)
        if isinstance(own, PatchNetwork):
            return copy.deepcopy(own)
        if self.features is None:
            raise UsageError("no encoder named", remedy="run 'amplify encode DATASET' first, and name its features")
        return published_eyes(encoder_info(self.header(self.features)))

    def header(self, folder: str) -> Header:
        """What the first sidecar of a usable episode says of itself; episodes that were set aside have none.

        Args:
            folder: Of tracks or features.
        """
        for source in self.sources:
            name = _longer(source, folder)
            if name is not None:
                break
        else:
            source, name = self.sources[0], folder
        dataset = _opened(source)
        aside = set_aside_episodes(dataset.root, name)
        indices = [episode.index for episode in dataset.episodes]
        return read_episode(dataset, name, next((i for i in indices if i not in aside), indices[0])).header

    def text_header(self) -> Header:
        """What the text sidecar says of itself."""
        return read_text_header(self.sources[0].path, self.text)

    def instructions(self) -> tuple[str, ...]:
        """What is asked for in the episodes of the sources, in alphabetical order."""
        chosen = [info for source in self.sources for info in chosen_episodes(source, _opened(source), quiet=True)]
        return tuple(sorted({info.instruction for info in chosen}))

    def same_encoders(self, parent: Bundle) -> None:
        """Refuses features or embeddings that the parent's models do not know.

        Raises:
            DataError: They are of other encoders than those that the parent was trained with.
        """
        info = info_of(parent)
        pairs = [(info.text_encoder, self.text_header(), "instructions")]
        if self.sight.cached and self.features is not None:
            pairs.append((info.vision_encoder, self.header(self.features), "images"))
        for known, header, what in pairs:
            found = encoder_info(header)
            if known is None:
                continue
            if known.name != found.name or (known.settings and known.settings != found.settings):
                raise DataError(
                    f"the features of {what} are not those that {parent.path} was trained with",
                    got=f"{found.name} {found.settings}",
                    allowed=f"{known.name} {known.settings}",
                    remedy=f"run 'amplify encode DATASET --bundle {parent.path}' and name its features",
                )


def _opened(source: Source) -> Dataset:
    # Columns are left closed: video must be enough, whatever the files of actions hold.
    return Dataset.open(source.path, columns=False)


def _longer(source: Source, folder: str) -> str | None:
    """The sidecar folder that a source has, or one of the same tracks in windows of another length."""
    there = folders(source.path, folder.split("-")[0])
    if folder in there or horizon_of(folder) is None:
        return folder if folder in there else None
    same = folder.rpartition("-h")[0] + "-h"
    return next((name for name in there if name.startswith(same) and horizon_of(name)), None)


def encoder_info(header: Header) -> EncoderInfo:
    """The encoder that made a sidecar."""
    return EncoderInfo(name=header.producer, settings=header.settings)


def statistics_tracks(windows: WindowSet) -> TrackWindow:
    """Tracks of evenly spread windows, enough to know how far points move."""
    tracks = windows.batch(_evenly(windows)).tracks
    assert tracks is not None
    return tracks


def statistics_features(windows: WindowSet) -> Features:
    """Features of evenly spread windows."""
    features = windows.batch(_evenly(windows)).features
    assert features is not None
    return features


def _evenly(windows: WindowSet) -> np.ndarray:
    return np.linspace(0, len(windows) - 1, min(len(windows), STATISTICS_WINDOWS)).astype(int)


def first_features(windows: WindowSet) -> Features:
    """Features of the first window, for their sizes."""
    features = windows.batch(np.zeros(1, dtype=int)).features
    assert features is not None
    return features


def feature_sizes(features: Features) -> dict[str, int]:
    """The sizes that a model needs to know of its features."""
    _, views, patches, vision_width = features.vision.shape
    return {
        "views": views,
        "patches": patches,
        "vision_width": vision_width,
        "text_width": features.text.shape[-1],
    }


def action_sizes(windows: WindowSet, data: TrainingData) -> tuple[dict[str, int], Tensor, Tensor]:
    """The sizes that an action model needs to know, and all proprioception (m p) and actions (m a) of the data.

    Raises:
        DataError: The data have no actions or no proprioception.
    """
    single = data.model_copy(update={"action_horizon": 1})
    plain = single.training_windows(tracks=False, features=False, actions=True)
    everything = plain.batch(np.arange(len(plain)))
    if everything.proprio is None or everything.actions is None:
        raise DataError(
            "inverse dynamics needs demonstrations with actions and proprioception",
            got=", ".join(str(s.path) for s in data.sources),
            remedy="name a dataset that has both columns (record without --no-actions)",
        )
    proprio, actions = everything.proprio, everything.actions.actions[:, 0]
    sizes = feature_sizes(first_features(windows))
    del sizes["text_width"]
    return sizes | {"proprio_width": proprio.shape[-1], "action_width": actions.shape[-1]}, proprio, actions


def seen_by(windows: WindowSet, eyes: PatchNetwork | None) -> WindowSet:
    """Windows with features, as the eyes see their pictures now; as they are where features are cached."""
    if eyes is None:
        return windows
    return windows.seen_by(lambda images: eyes(images.to(eyes.mean.device)).cpu())


def on(device: torch.device, eyes: PatchNetwork | None) -> PatchNetwork | None:
    """The eyes on a device."""
    return None if eyes is None else eyes.to(device)
