"""Which episodes teach motion, which teach actions, and which judge each; where everything lies."""

from pathlib import Path

from amplify.data.dataset import Dataset
from amplify.data.fitting import same_robot
from amplify.data.mixture.alignment import Pace, frames_a_step, views_of
from amplify.data.mixture.source import Mixture, Source
from amplify.data.mixture.splitting import split
from amplify.data.sidecar import features_folder, text_folder, tracks_folder
from amplify.experiments.defaults import TEXT, VISION
from amplify.experiments.own_videos.config import OwnVideosConfig
from amplify.train.recipes import TrainingData


class Parts:
    """The data and folders of one run.

    Args:
        out: The run's folder.
        config: Its settings.

    Raises:
        DataError: A dataset is unusable, has too few episodes to hold any back, or is trained on and held out; or the
            demonstrations are not those of one robot.
    """

    def __init__(self, out: Path, config: OwnVideosConfig):
        same_robot(config.actions, [Dataset.open(source.path) for source in config.actions], cameras=False)
        self.out, self.config = out, config
        self.tokenizer, self.forward, self.inverse = (out / "training" / n for n in ("tokenizer", "forward", "inverse"))
        self.films, self.bundle = out / "films", out / "bundle"
        self.tracks = tracks_folder(config.tracker, config.grid, config.horizon)
        self.truth = tracks_folder("ground-truth", config.grid, config.horizon)
        self.features, self.text = features_folder(VISION), text_folder(TEXT)
        videos = tuple(source.model_copy(update={"role": "video"}) for source in config.videos)
        demos = tuple(source.model_copy(update={"role": "actions"}) for source in config.actions)
        both = (*videos, *demos)
        self.views = config.views or _mapped(videos)
        fraction = {"validation_fraction": config.validation_fraction, "split_seed": config.seed}
        if config.held_out:
            split(Mixture(sources=both, held_out=config.held_out))
            judging = tuple(source for source in config.held_out if _acts(source))
            self.videos, self.held_out = videos, config.held_out
            parts = None if judging else split(Mixture(sources=demos, **fraction))
            self.demos, self.held_out_demos = (demos, judging) if parts is None else (parts.sources, parts.held_out)
        else:
            # Together, so that an episode that teaches both motion and actions is held back from both.
            parts = split(Mixture(sources=both, **fraction))
            self.videos, self.demos = parts.sources[: len(videos)], parts.sources[len(videos) :]
            self.held_out, self.held_out_demos = parts.held_out[: len(videos)], parts.held_out[len(videos) :]

    @property
    def motion(self) -> TrainingData:
        """What tokens and forward dynamics learn from."""
        return self._data(self.videos, self.held_out)

    @property
    def labelled(self) -> TrainingData:
        """What inverse dynamics learns from."""
        return self._data(self.demos, self.held_out_demos)

    @property
    def windows(self) -> dict[Path, int]:
        """Of every dataset, how many frames the longest window spans that is needed of it."""
        needed: dict[Path, int] = {}
        for source in (*self.videos, *self.held_out, *self.demos, *self.held_out_demos):
            fps = float(Dataset.open(source.path, columns=False).spec.fps)
            pace = Pace(frames_a_step(source, fps, self.config.rate), self.tracks)
            frames = max(self.config.horizon, pace.frames_at(self.config.horizon - 1) + 1)
            needed[source.path] = max(frames, needed.get(source.path, 0))
        return needed

    def _data(self, sources: tuple[Source, ...], held_out: tuple[Source, ...]) -> TrainingData:
        return TrainingData(
            sources=sources,
            held_out=held_out,
            tracks=self.tracks,
            features=self.features,
            text=self.text,
            horizon=self.config.horizon,
            action_horizon=self.config.inverse.action_horizon,
            views=self.views,
            rate=self.config.rate,
        )


def _mapped(sources: tuple[Source, ...]) -> tuple[str, ...]:
    """The views of the videos, where any of them maps its cameras; held-out episodes then have the same."""
    if not any(source.views for source in sources):
        return ()
    return views_of(sources, [Dataset.open(source.path, columns=False) for source in sources], ()).names


def _acts(source: Source) -> bool:
    return source.role != "video" and Dataset.open(source.path, columns=False).spec.action_names is not None
