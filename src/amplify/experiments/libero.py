"""LIBERO-Object in an evening on two cores, everything made on the spot: videos, a few demonstrations, and two methods.

The oracle records action-free videos and demonstrations from official initial states; policies act from others.
AMPLIFY learns motion from the videos and actions from the demonstrations, behaviour cloning from the same
demonstrations, with the same features, action decoder and number of steps.
"""

from collections.abc import Callable, Sequence
from typing import Any

from amplify.errors import pick
from amplify.evaluate.report import Section, Table, Video
from amplify.evaluate.tracks import interval
from amplify.experiments.arms import Arm, Outcomes, interval_text, points_text
from amplify.experiments.cells.data import Part, Recording, Tracking
from amplify.experiments.cells.models import Forward, PolicyModel
from amplify.experiments.cells.tracks import Decoded, TrackScores
from amplify.experiments.defaults import ALL_TRACKERS
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.experiments.engine.study import Evidence, Study
from amplify.experiments.lab import Lab, LabConfig
from amplify.experiments.simulators import Libero
from amplify.forward.dynamics import ForwardConfig
from amplify.inverse.action_decoder import InverseConfig
from amplify.sim.libero.config import ACTION_NAMES
from amplify.sim.libero.tasks import suite_tasks
from amplify.tokens.tokenizer import TokenizerConfig
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining

AMPLIFY, CLONING = "AMPLIFY", "behaviour cloning"
GRIPPER = len(ACTION_NAMES) - 1
OUTSIDE = "agentview"
"""The camera that does not move with the hand; scenes of other floors have it at another distance."""

TWO_VIEWS = {"views": 2, "view_weights": (0.9, 0.1)}
"""As in the paper: the scene's camera counts most, the hand's moves with the hand."""


def _smoke(**changes: Any) -> LabConfig:
    loop = {"batch_size": 16, "learning_rate": 1e-3, "warmup_steps": 2, "log_every": 2}
    settings: dict[str, Any] = {
        "videos": 1,
        "held_out": 1,
        "demos": 1,
        "tokenizer": TokenizerConfig.quickstart(width=32, decoder_hidden=32, **TWO_VIEWS),
        "tokenizer_training": TrainConfig(steps=6, **loop),
        "forward": ForwardConfig.quickstart(width=32, layers=1),
        "forward_training": TrainConfig(steps=4, **loop),
        "any_point_training": TrainConfig(steps=4, **loop),
        "inverse": InverseConfig.quickstart(width=32, layers=1, discrete=(GRIPPER,)),
        "inverse_training": InverseTraining(loop=TrainConfig(steps=4, **loop)),
        "zero_shot_training": InverseTraining(
            loop=TrainConfig(steps=4, **loop), predicted_from=1.0, zooms=1, zoom_views=(OUTSIDE,)
        ),
        "training_seeds": 1,
        "rollouts": 1,
        "max_decisions": 4,
    }
    return LabConfig(budget="smoke", **{**settings, **changes})


def _sized(budget: str, steps: int, **changes: Any) -> LabConfig:
    """Settings whose trainings are so many steps of inverse dynamics long, and the others in proportion."""
    motion = TrainConfig(steps=steps // 2, batch_size=64, learning_rate=3e-3)
    acting = TrainConfig(steps=steps, batch_size=64, learning_rate=1e-3)
    settings: dict[str, Any] = {
        "videos": 20,
        "held_out": 3,
        "demos": 10,
        "tokenizer": TokenizerConfig.quickstart(**TWO_VIEWS),
        "tokenizer_training": motion,
        "forward": ForwardConfig.quickstart(),
        "forward_training": motion,
        "any_point_training": motion,
        "inverse": InverseConfig.quickstart(image_dropout=0.1, discrete=(GRIPPER,)),
        "inverse_training": InverseTraining(loop=acting),
        "zero_shot_training": InverseTraining(loop=acting, predicted_from=1.0, zooms=3, zoom_views=(OUTSIDE,)),
        "training_seeds": 1,
        "rollouts": 20,
        "max_decisions": None,
    }
    return LabConfig(budget=budget, **{**settings, **changes})


def _laptop(**changes: Any) -> LabConfig:
    return _sized("laptop", 4000, **changes)


def _long(**changes: Any) -> LabConfig:
    return _sized("long", 16000, **{"videos": 50, "demos": 20, "training_seeds": 3, **changes})


BUDGETS: dict[str, Callable[..., LabConfig]] = {"smoke": _smoke, "laptop": _laptop, "long": _long}
"""Figures that mean nothing; up to two hours on two cores; a day."""


def libero_config(budget: str, *, tracker: str, suite: str, tasks: int | None = None, **changes: Any) -> LabConfig:
    """A budget's settings for a suite of LIBERO.

    Args:
        budget: One of `BUDGETS`.
        tracker: Of everything that is learned from.
        suite: Its name.
        tasks: How many of its tasks, the first ones; all by default, two for the budget "smoke".
        **changes: Settings that replace the budget's.

    Raises:
        UnknownNameError: There is no such budget, tracker, suite or task.
        MissingDependencyError: No LIBERO package is installed.
    """
    pick(tracker, ALL_TRACKERS, kind="tracker")
    make = pick(budget, BUDGETS, kind="budget")
    names = tuple(task.name for task in suite_tasks(suite))
    return make(
        simulator=Libero(suite=suite),
        tasks=names[: tasks or (2 if budget == "smoke" else None)],
        tracking=Tracking.model_validate({"tracker": tracker}),
        **changes,
    )


class LiberoObject(Study):
    """Success of AMPLIFY and behaviour cloning in LIBERO-Object."""

    name = "libero-object"
    tracker = "ground-truth"
    question = "LIBERO-Object: few demonstrations and action-free videos, all made by an oracle"
    suite = "libero_object"

    def __init__(self, config: LabConfig):
        super().__init__(config)
        self.lab = Lab(config)
        few = (5, 10) if config.budget == "long" else ()
        self.counts = tuple(sorted({min(count, config.demos) for count in (*few, config.demos)}))

    @classmethod
    def configured(cls, budget: str, **changes: Any) -> LabConfig:
        """LIBERO's budgets."""
        return libero_config(budget, **{"tracker": cls.tracker, "suite": cls.suite, **changes})

    def goals(self) -> Sequence[Cell]:
        """All arms' rollouts, and foreseen tracks."""
        return [self.scores(), *[cell for arm in self.arms() for cells in arm.runs for cell in cells]]

    def arms(self) -> list[Arm]:
        """Both methods with every number of demonstrations."""
        seeds = range(self.config.training_seeds)
        return [
            Arm(
                method=method,
                condition=f"{count} demonstrations",
                runs=tuple(
                    (self.lab.rollouts(self.policy(method, count, seed), films=int(seed == 0)),) for seed in seeds
                ),
            )
            for count in self.counts
            for method in (AMPLIFY, CLONING)
        ]

    def forward(self) -> Forward:
        """Motion learned from the videos alone."""
        return self.lab.forward(self.lab.data(self.lab.videos()))

    def policy(self, method: str, count: int, seed: int) -> PolicyModel:
        """A method trained with some demonstrations a task."""
        demos = self.lab.data(Part(recording=self.lab.demos(), per_task=count))
        return self.lab.cloning(demos, seed) if method == CLONING else self.lab.inverse(self.forward(), demos, seed)

    def scores(self) -> TrackScores:
        """Foreseen tracks on episodes from initial states that were not learned from, against the simulator's truth."""
        truth = self.config.tracking.model_copy(update={"tracker": "ground-truth"})
        foreseen = Decoded(name=AMPLIFY, model=self.forward())
        return TrackScores(
            recording=self.lab.held_out(), predictors=(foreseen,), tracking=truth, ceiling=foreseen.model
        )

    def evidence(self, store: Store) -> Evidence:
        """Success of both methods with intervals, and how well motion is foreseen."""
        outcomes, scores = Outcomes(self.arms(), store, seed=self.config.seed), store.result(self.scores().key)
        sentences = []
        for condition in outcomes.conditions:
            ours, theirs = outcomes.success(AMPLIFY, condition), outcomes.success(CLONING, condition)
            assert ours is not None
            assert theirs is not None
            gap = outcomes.difference(AMPLIFY, CLONING, condition)
            sentences.append(
                f"With {condition} a task AMPLIFY succeeds in {100 * ours['mean']:.0f} % of {ours['rollouts']} "
                f"rollouts over {len(self.config.tasks)} tasks, behaviour cloning in {100 * theirs['mean']:.0f} % "
                f"({points_text(gap)} points)."
            )
        recordings = (self.lab.videos(), self.lab.demos(), self.lab.held_out())
        errors = {name: interval(scores, name, seed=self.config.seed) for name in (AMPLIFY, "tokenizer", "no_motion")}
        sentences.append(
            f"Foreseen motion of moving points is {interval_text(errors[AMPLIFY])} px off; the tokenizer alone "
            f"{interval_text(errors['tokenizer'])} px, no motion {interval_text(errors['no_motion'])} px."
        )
        return Evidence(
            verdict="\n".join(sentences),
            figures={
                **outcomes.figures(AMPLIFY),
                "tracks": {kind: scores[kind] for kind in ("moving", "all")},
                "recordings": recorded(store, recordings),
            },
            sections=[
                *outcomes.sections(AMPLIFY, text=self._text()),
                self._tracks(scores),
                recorded_section(store, recordings),
                self._films(store),
            ],
        )

    def _text(self) -> str:
        config = self.config
        states = config.simulator.acting if isinstance(config.simulator, Libero) else 0
        return (
            f"{config.videos} action-free videos and up to {config.demos} demonstrations a task from official initial "
            f"states before number {states}, rollouts from number {states} on. Both methods share demonstrations, "
            "features, action decoder, steps, controller and initial states."
        )

    def _tracks(self, scores: dict[str, Any]) -> Section:
        figures = ("error_px", "delta_auc", "mse")
        rows = [[name, *[f"{row[figure]:.4g}" for figure in figures]] for name, row in scores["moving"].items()]
        return Section(
            heading="Foreseen motion",
            text=f"Moving points of {len(scores['episodes'])} episodes that were not learned from.",
            tables=[Table(header=["", "error px ↓", "ΔAUC ↑", "MSE ↓"], rows=rows)],
        )

    def _films(self, store: Store) -> Section:
        cells = [arm.runs[0][0] for arm in self.arms()]
        paths = [path for cell in cells for path in sorted((store.folder(cell.key) / "films").glob("*.mp4"))]
        return Section(
            heading="Rollouts",
            text="The first initial state of each task; lines show the motion that AMPLIFY foresees at that moment.",
            videos=[Video(path=path, caption=path.stem) for path in paths],
        )


def recorded(store: Store, recordings: Sequence[Recording]) -> dict[str, Any]:
    """What the oracle recorded for each purpose, and tasks that were given up."""
    names = ("episodes", "failed", "simulated_attempts", "unstable", "given_up")
    results = {recording.name: store.result(recording.key) for recording in recordings}
    return {purpose: {name: result[name] for name in names} for purpose, result in results.items()}


def recorded_section(store: Store, recordings: Sequence[Recording]) -> Section:
    """The same as a table."""
    rows = [
        [purpose, row["episodes"], row["failed"], row["simulated_attempts"], ", ".join(row["given_up"]) or "none"]
        for purpose, row in recorded(store, recordings).items()
    ]
    header = ["recording", "episodes", "failed", "simulated attempts", "tasks given up"]
    return Section(heading="Recordings", tables=[Table(header=header, rows=rows)])


class LiberoSmoke(LiberoObject):
    """Two tasks of LIBERO-Object, in minutes: that everything works, and a first impression."""

    name = "libero-smoke"
    question = "LIBERO-Object: a first impression on two tasks"

    @classmethod
    def configured(cls, budget: str, **changes: Any) -> LabConfig:
        """Two tasks, fewer of everything and shorter trainings at the budget "laptop"."""
        few = {"videos": 5, "demos": 3, "held_out": 1, "rollouts": 4} if budget == "laptop" else {}
        config = super().configured(budget, **{"tasks": 2, **few, **changes})
        return _shortened(config, 5) if budget == "laptop" else config


def _shortened(config: LabConfig, times: int) -> LabConfig:
    def short(loop: TrainConfig) -> TrainConfig:
        return loop.model_copy(update={"steps": max(1, loop.steps // times)})

    inverse = config.inverse_training
    return config.model_copy(
        update={
            "tokenizer_training": short(config.tokenizer_training),
            "forward_training": short(config.forward_training),
            "inverse_training": inverse.model_copy(update={"loop": short(inverse.loop)}),
        }
    )
