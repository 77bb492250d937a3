import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from amplify import rng
from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset, track_dataset
from amplify.data.mixture.choosing import chosen_episodes, evenly
from amplify.data.mixture.reading import read_mixture, read_source
from amplify.data.mixture.source import Mixture, Source, of_role
from amplify.data.mixture.splitting import split
from amplify.data.mixture.table import lines_of, table
from amplify.data.windows import WindowSet
from amplify.errors import DataError, SidecarError, UnknownNameError, UsageError

from .episodes import LENGTHS, SPEC, VIDEO_SPEC, write
from .sidecars import FEATURES, GRID, HORIZON, TRACKS, Drift, Grey, Letters, extract


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """Two views and actions ("robot"), one view ("one"), one of another name and twice the frame rate ("other")."""
    root = tmp_path_factory.mktemp("mixture")
    extract(Dataset.open(write(root / "robot", SPEC)))
    extract(Dataset.open(write(root / "one", VIDEO_SPEC.model_copy(update={"cameras": ("front",)}))))
    other = Dataset.open(write(root / "other", VIDEO_SPEC.model_copy(update={"cameras": ("cam0",), "fps": 20})))
    for horizon in (HORIZON, 2 * HORIZON - 1):
        track_dataset(other, Drift(), grid=GRID, horizon=horizon, workers=0)
    encode_dataset(other, Grey(), Letters(), workers=0)
    return root


def windows(*sources: Source, **options):
    given = {"tracks": TRACKS, "features": FEATURES, "actions": False, "horizon": HORIZON, **options}
    return WindowSet(list(sources), **given)


def source(path: Path, **fields) -> Source:
    return Source(path=path, **fields)


def indices(path: Path, **fields) -> list[int]:
    return [info.index for info in chosen_episodes(source(path, **fields), Dataset.open(path, columns=False))]


# --- which episodes: 0 and 2 open the drawer, 1 and 3 close the window


def test_all_by_default(ready):
    assert indices(ready / "one") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (("open the drawer",), [0, 2]),
        (("Open*",), [0, 2]),
        (("/window$/",), [1, 3]),
        (("/open|close/",), [0, 1, 2, 3]),
        (("close*", "open*"), [0, 1, 2, 3]),
        (("drawer-open",), [0, 1, 2, 3]),  # the recorded task's name, which the toy gives to all
    ],
)
def test_tasks_by_name_glob_and_regular_expression(ready, tasks, expected):
    assert indices(ready / "one", tasks=tasks) == expected


def test_a_task_that_nothing_fits_is_an_error_with_a_suggestion(ready):
    with pytest.raises(UsageError, match="did you mean 'open the drawer'"):
        indices(ready / "one", tasks=("open the drawr",))
    with pytest.raises(UsageError, match=r"fits the filter(.|\n)*close the window, open the drawer"):
        indices(ready / "one", tasks=("xyz",))
    with pytest.raises(UsageError, match="no regular expression"):
        indices(ready / "one", tasks=("/(/",))


def test_fractions_and_counts_are_spread_over_tasks(ready):
    assert indices(ready / "one", fraction=0.5) == [0, 1]
    assert indices(ready / "one", count=2) == [0, 1]
    assert indices(ready / "one", count=3) == [0, 1, 2]
    assert indices(ready / "one", fraction=0.01) == [0]
    assert indices(ready / "one", tasks=("close*",), count=1) == [1]
    assert indices(ready / "one", episodes=(3, 1, 0), count=2) == [3, 0]


def test_a_count_beyond_what_is_there_warns(ready, caplog):
    assert indices(ready / "one", count=9) == [0, 1, 2, 3]
    assert "has 4 of the 9" in caplog.text


def test_random_episodes_depend_on_the_seed(ready):
    drawn = {tuple(indices(ready / "one", count=2, order="seeded", seed=seed)) for seed in range(8)}
    assert len(drawn) > 1
    assert all({i % 2 for i in chosen} == {0, 1} for chosen in drawn), "one of each task"
    again = indices(ready / "one", count=2, order="seeded", seed=5)
    assert again == indices(ready / "one", count=2, order="seeded", seed=5)


def test_every_beginning_has_all_tasks_in_proportion(ready):
    infos = Dataset.open(ready / "one", columns=False).episodes
    many = [infos[0]] * 6 + [infos[1]] * 2
    said = [info.instruction for info in evenly(many)]
    assert said[:4].count(infos[0].instruction) == 3
    assert sorted(said) == sorted(info.instruction for info in many)


# --- how often


def test_a_draw_depends_on_seed_and_step_and_weights_count(ready):
    def drawn(*weights, **options):
        found = windows(
            source(ready / "robot", weight=weights[0]),
            source(ready / "robot", episodes=(0,), weight=weights[1]),
            **options,
        )
        chosen = found.draw(rng.numpy_generator(0, "batch", 7), 4000)
        assert (chosen == found.draw(rng.numpy_generator(0, "batch", 7), 4000)).all()
        assert 0 <= chosen.min() <= chosen.max() < len(found)
        return float((found.locate(chosen)[:, 0] == 1).mean()), found.shares[1]

    few, every = LENGTHS[0], sum(LENGTHS)
    for weights, options, share in [
        ((1, 1), {}, few / (few + every)),
        ((1, 9), {}, 9 * few / (9 * few + every)),
        ((1, 1), {"sampling": "by-source"}, 0.5),
        ((3, 1), {"sampling": "by-source"}, 0.25),
    ]:
        seen, said = drawn(*weights, **options)
        assert said == pytest.approx(share)
        assert seen == pytest.approx(share, abs=0.03)


def test_all_windows_of_a_source_are_drawn_alike(ready):
    found = windows(source(ready / "robot", weight=5), source(ready / "robot", episodes=(2,)))
    chosen = found.draw(np.random.default_rng(0), 20000)
    counts = np.bincount(chosen, minlength=len(found))[: sum(LENGTHS)]
    assert counts.std() / counts.mean() < 0.1


def test_equal_weights_are_drawn_as_one_source(ready):
    found = windows(source(ready / "robot"), source(ready / "robot"))
    expected = np.random.default_rng(3).integers(len(found), size=16)
    assert (found.draw(np.random.default_rng(3), 16) == expected).all()


# --- views


def test_a_source_without_a_view_has_it_masked(ready):
    found = windows(source(ready / "one"), source(ready / "robot"), views=("front", "wrist"))
    first_of_robot = sum(LENGTHS)
    batch = found.batch(np.array([first_of_robot, 0, first_of_robot + 1]))
    assert found.views == ("front", "wrist")
    assert batch.features.present.tolist() == [[True, True], [True, False], [True, True]]
    assert batch.features.vision[1, 1].abs().sum() == 0
    assert not batch.tracks.valid[1, 1].any()
    assert not batch.tracks.visible[1, 1].any()
    assert torch.equal(batch.tracks.points[1, 1, 0], batch.tracks.points[1, 1, -1]), "points rest"
    alone = windows(source(ready / "robot")).batch(np.array([0, 1]))
    for name in ("points", "visible", "valid", "error_px"):
        assert torch.equal(getattr(batch.tracks, name)[[0, 2]], getattr(alone.tracks, name))
    assert torch.equal(batch.features.vision[[0, 2]], alone.features.vision)
    one = windows(source(ready / "one")).batch(np.array([0]))
    assert torch.equal(batch.tracks.points[1, :1], one.tracks.points[0])
    assert one.features.present is None


def test_cameras_are_mapped_to_views(ready):
    found = windows(source(ready / "robot"), source(ready / "other", views={"cam0": "wrist"}))
    assert found.views == ("front", "wrist")
    batch = found.batch(np.array([sum(LENGTHS)]))
    assert batch.features.present.tolist() == [[False, True]]
    stored = windows(source(ready / "other")).batch(np.array([0]))
    assert torch.equal(batch.features.vision[:, 1:], stored.features.vision)


def test_views_choose_and_order_cameras(ready):
    plain = windows(source(ready / "robot")).batch(np.array([4]))
    turned = windows(source(ready / "robot"), views=("wrist", "front")).batch(np.array([4]))
    assert torch.equal(turned.tracks.points, plain.tracks.points.flip(1))
    assert torch.equal(turned.features.vision, plain.features.vision.flip(1))
    alone = windows(source(ready / "robot"), views=("wrist",)).batch(np.array([4]))
    assert torch.equal(alone.features.vision, plain.features.vision[:, 1:])


def test_cameras_in_another_order_are_told_by_their_names(ready, tmp_path):
    turned = VIDEO_SPEC.model_copy(update={"cameras": ("wrist", "front")})
    extract(Dataset.open(write(tmp_path / "turned", turned)))
    found = windows(source(ready / "robot"), source(tmp_path / "turned"))
    here, there = found.batch(np.array([0])), found.batch(np.array([sum(LENGTHS)]))
    level = {
        camera: windows(source(tmp_path / "turned")).batch(np.array([0])).features.vision[:, i]
        for i, camera in enumerate(turned.cameras)
    }
    assert torch.equal(there.features.vision[:, 0], level["front"])
    assert here.features.present is None


def test_pictures_of_missing_views_are_black(ready):
    found = windows(
        source(ready / "one"), source(ready / "robot"), views=("wrist", "front"), features=None, images=1.0, goal=True
    )
    pictures = found.batch(np.array([0, sum(LENGTHS)])).pictures
    assert pictures.present.tolist() == [[False, True], [True, True]]
    assert pictures.images[0, 0].max() == 0
    assert pictures.goal[0, 0].max() == 0
    np.testing.assert_array_equal(pictures.images[1, 0], Dataset.open(ready / "robot").frames(0, "wrist")[0])
    seen = found.seen_by(lambda images: Grey().encode(images)).batch(np.array([0]))
    assert seen.features.present.tolist() == [[False, True]]


def test_wrong_views(ready):
    with pytest.raises(UsageError, match=r"none of the mixture's views(.|\n)*views=CAMERA:VIEW"):
        windows(source(ready / "other"), source(ready / "robot"), views=("front",))
    with pytest.raises(UnknownNameError, match=r"camera of .*robot(.|\n)*did you mean 'front'"):
        windows(source(ready / "robot", views={"frnt": "side"}))
    with pytest.raises(UsageError, match="one view"):
        windows(source(ready / "robot", views={"wrist": "front"}))
    with pytest.raises(DataError, match=r"do not fit together(.|\n)*name views"):
        windows(source(ready / "robot"), source(ready / "one"))


# --- time


def test_a_stride_takes_longer_windows_and_every_second_frame(ready):
    found = windows(source(ready / "other", stride=2))
    batch = found.batch(np.array([0, 1]))  # 6 frames long
    x = batch.tracks.points[0, 0, :, 0, 0]
    assert torch.allclose(x.diff(), torch.tensor([0.02, 0.02, 0.01]), atol=1e-3), "the episode ends at frame 5"
    assert batch.tracks.valid[:, 0].tolist() == [[True, True, True, False], [True, True, True, False]]
    assert len(found) == sum(LENGTHS), "every frame starts a window"


def test_a_rate_makes_steps_mean_the_same_time(ready):
    """10 and 20 frames a second; points move by 0.01 a frame in both."""
    found = windows(source(ready / "one"), source(ready / "other", views={"cam0": "front"}), rate=10)
    slow, fast = (found.batch(np.array([at])).tracks.points[0, 0, :2, 0, 0].diff() for at in (0, sum(LENGTHS)))
    assert (slow.item(), fast.item()) == pytest.approx((0.01, 0.02), abs=1e-3)


def test_between_frames_tracks_are_straight_lines(ready):
    batch = windows(source(ready / "other"), rate=16).batch(np.array([0]))  # 1.25 frames a step
    x = batch.tracks.points[0, 0, :, 0, 0] - batch.tracks.points[0, 0, 0, 0, 0]
    assert torch.allclose(x, 0.0125 * torch.arange(4), atol=1e-3)
    slower = windows(source(ready / "one"), rate=40).batch(np.array([0]))  # a quarter of a frame a step
    x = slower.tracks.points[0, 0, :, 0, 0] - slower.tracks.points[0, 0, 0, 0, 0]
    assert torch.allclose(x, 0.0025 * torch.arange(4), atol=1e-3)
    last = windows(source(ready / "one"), rate=40).batch(np.array([LENGTHS[0] - 2, LENGTHS[0] - 1]))
    assert last.tracks.valid[:, 0].tolist() == [[True] * 4, [True, False, False, False]]


def test_windows_that_are_too_short_name_the_command(ready):
    with pytest.raises(SidecarError, match=r"steps of 3 frames(.|\n)*--grid 3 --horizon 10"):
        windows(source(ready / "other", stride=3))


def test_other_frame_rates_are_mixed_with_a_warning(ready, caplog):
    windows(source(ready / "one"), source(ready / "other"))
    assert "--rate aligns them" in caplog.text
    caplog.clear()
    windows(source(ready / "one"), source(ready / "other"), rate=10)
    assert "--rate" not in caplog.text


# --- actions


def test_only_the_same_embodiment_and_frame_rate_teach_actions(ready, tmp_path):
    extract(Dataset.open(write(tmp_path / "fast", SPEC.model_copy(update={"fps": 30}))))
    with pytest.raises(DataError, match="frame rate of"):
        windows(source(ready / "robot"), source(tmp_path / "fast"), actions=True)
    with pytest.raises(DataError, match=r"embodiment of(.|\n)*got: *hand"):
        windows(source(ready / "robot"), source(ready / "robot", embodiment="hand"), actions=True)
    assert len(windows(source(ready / "robot"), source(ready / "robot", embodiment="hand"))) == 2 * sum(LENGTHS)


def test_roles(ready):
    mixture = Mixture(
        sources=(source(ready / "one", role="video"), source(ready / "robot"), source(ready / "other", role="actions"))
    )
    assert [s.path.name for s in of_role(mixture, actions=False).sources] == ["one", "robot"]
    assert [s.path.name for s in of_role(mixture, actions=True).sources] == ["robot", "other"]
    with pytest.raises(UsageError, match="no source teaches actions"):
        of_role(Mixture(sources=(source(ready / "one", role="video"),)), actions=True)


# --- validation


def episodes_of(sources) -> set[tuple[str, int]]:
    return {(s.path.name, index) for s in sources for index in indices(s.path, episodes=s.episodes)}


def test_a_fraction_is_held_back_by_whole_episodes_and_tasks(ready):
    mixture = Mixture(sources=(source(ready / "one"), source(ready / "robot")), validation_fraction=0.5)
    parts = split(mixture)
    training, validation = episodes_of(parts.sources), episodes_of(parts.held_out)
    assert not training & validation
    assert len(training) == len(validation) == 4
    for name in ("one", "robot"):
        assert {index % 2 for source, index in validation if source == name} == {0, 1}, "both tasks"
    assert split(mixture) == parts
    assert any(
        episodes_of(split(mixture.model_copy(update={"split_seed": seed})).held_out) != validation for seed in range(5)
    )


def test_copies_of_an_episode_go_to_validation_together(ready, tmp_path):
    shutil.copytree(ready / "one", tmp_path / "copy")
    sources = (source(ready / "one"), source(tmp_path / "copy"), source(ready / "one", tasks=("open*",)))
    for seed in range(4):
        parts = split(Mixture(sources=sources, validation_fraction=0.25, split_seed=seed))
        trained = {index for _, index in episodes_of(parts.sources)}
        assert not trained & {index for _, index in episodes_of(parts.held_out)}


def test_held_out_episodes_that_are_trained_on_are_refused(ready, tmp_path):
    shutil.copytree(ready / "one", tmp_path / "copy")
    for held_out in (ready / "one", tmp_path / "copy"):
        with pytest.raises(DataError, match=r"4 episodes for validation(.|\n)*episode 0 of"):
            split(Mixture(sources=(source(ready / "one"),), held_out=(source(held_out),)))
    disjoint = Mixture(
        sources=(source(ready / "one", episodes=(0, 1)),), held_out=(source(tmp_path / "copy", episodes=(2, 3)),)
    )
    assert split(disjoint) == disjoint


def test_episodes_of_one_length_and_size_are_no_copies(tmp_path):
    """All frames are flat, so that files of one length have the same size; only what they show differs."""
    one, two = write(tmp_path / "one", VIDEO_SPEC, count=1), tmp_path / "two"
    write(two, VIDEO_SPEC, count=5)
    there = Dataset.open(two, columns=False)
    assert there.length(0) == there.length(4)
    mixture = Mixture(sources=(source(one),), held_out=(source(two, episodes=(4,)),))
    assert split(mixture) == mixture
    with pytest.raises(DataError, match="for validation"):
        split(Mixture(sources=(source(one),), held_out=(source(two, episodes=(0,)),)))


def test_too_few_episodes_to_hold_any_back(ready):
    with pytest.raises(DataError, match="too few different episodes"):
        split(Mixture(sources=(source(ready / "one", episodes=(1,)),), validation_fraction=0.5))
    with pytest.raises(DataError, match="nothing of"):
        split(Mixture(sources=(source(ready / "one"),), validation_fraction=0.95))


# --- as users write it


def test_a_source_as_a_flag():
    text = (
        "path=data/videos,weight=2,tasks=open*,close*,fraction=0.5,order=seeded,seed=3,views=cam0:front,cam1:wrist,"
        "episodes=0,3,5-7,role=video,stride=2,embodiment=human hand"
    )
    assert read_source(text) == Source(
        path=Path("data/videos"),
        weight=2,
        tasks=("open*", "close*"),
        fraction=0.5,
        order="seeded",
        seed=3,
        views={"cam0": "front", "cam1": "wrist"},
        episodes=(0, 3, 5, 6, 7),
        role="video",
        stride=2,
        embodiment="human hand",
    )
    assert read_source("data/videos") == Source(path=Path("data/videos"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path=a,wieght=2", "did you mean 'weight'"),
        ("path=a,role=vidoe", "did you mean 'video'"),
        ("path=a,order=random", "unknown order"),
        ("path=a,weight=-1", "weight: "),
        ("path=a,weight=much", "weight: "),
        ("path=a,fraction=2", "fraction: "),
        ("path=a,fraction=0.5,count=3", "exclude each other"),
        ("path=a,b", "'b' has no key"),
        ("path=a,path=b", "given twice"),
        ("weight=2", "no path"),
        ("path=a,episodes=x", "no numbers"),
        ("path=a,views=front", "map no camera"),
    ],
)
def test_a_flag_that_does_not_fit(text, said):
    with pytest.raises(UsageError, match=said):
        read_source(text)


def test_a_file(tmp_path):
    file = tmp_path / "mixture.json"
    content = {"sources": ["data/videos", {"path": "data/demos", "weight": 2}], "views": ["front"], "rate": 10}
    file.write_text(json.dumps(content))
    mixture = read_mixture(file)
    assert mixture.sources == (Source(path=Path("data/videos")), Source(path=Path("data/demos"), weight=2))
    assert (mixture.views, mixture.rate, mixture.sampling) == (("front",), 10, "by-window")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no mixture can be read"),
        ("[]", "describes no mixture"),
        ('{"sources": [], "samplng": "by-source"}', "did you mean 'sampling'"),
        ('{"sources": [{"path": "a", "wight": 1}]}', "did you mean 'weight'"),
        ('{"sources": [3]}', r"sources\[0\] is no source"),
        ('{"sources": ["a"], "held_out": ["b"], "validation_fraction": 0.1}', "not both"),
        ('{"sources": ["a"], "sampling": "by-hour"}', "sampling"),
    ],
)
def test_a_file_that_does_not_fit(tmp_path, content, said):
    (tmp_path / "mixture.json").write_text(content)
    with pytest.raises(UsageError, match=said):
        read_mixture(tmp_path / "mixture.json")


def test_mixtures_that_mean_nothing():
    with pytest.raises(ValidationError, match="not both"):
        Mixture(sources=(), held_out=(Source(path=Path("a")),), validation_fraction=0.1)
    with pytest.raises(ValidationError, match="different names"):
        Mixture(sources=(), views=("a", "a"))


def test_the_table_says_what_will_be_learned_from(ready):
    mixture = Mixture(
        sources=(
            source(ready / "robot", weight=2, count=2, role="actions"),
            source(ready / "other", views={"cam0": "front"}, embodiment="hand"),
        ),
        held_out=(source(ready / "one", episodes=(3,)),),
        rate=10,
    )
    lines = lines_of(mixture)
    one, two, back = lines
    few = LENGTHS[0] + LENGTHS[1]
    assert (one.used, one.available, one.windows, one.role) == (2, 4, few, "actions")
    assert one.share == pytest.approx(2 * few / (2 * few + sum(LENGTHS)))
    assert (two.views, two.frames_a_step, two.embodiment, two.fps) == ("front –", 2.0, "hand", 20)
    assert two.hours == pytest.approx(sum(LENGTHS) / 20 / 3600)
    assert (back.role, back.share, back.tasks) == ("held out", None, 1)
    text = table(lines)
    assert len(text.splitlines()) == 4
    assert "2 of 4" in text
    assert "2 frames" in text
