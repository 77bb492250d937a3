import dataclasses
import json
import weakref

import numpy as np
import pytest

from amplify.config import Config
from amplify.data.dataset import Dataset
from amplify.data.episode import Footage
from amplify.data.importers import engine
from amplify.data.importers.engine import Plan, run_import
from amplify.errors import DataError

from .episodes import VIDEO_SPEC, frames, write

SPEC = VIDEO_SPEC


class Settings(Config):
    level: int = 0


@dataclasses.dataclass(frozen=True)
class Toy:
    """A recording that can fail."""

    name: str
    number: int = 0
    broken: bool = False
    lengths: tuple[int, int] = (4, 4)

    def footage(self) -> Footage:
        if self.broken:
            raise DataError("it is broken", got="noise", remedy="mend it")
        views = {
            camera: iter(frames(self.number, view, self.lengths[view])) for view, camera in enumerate(SPEC.cameras)
        }
        return Footage(instruction=self.name, length=self.lengths[0], frames=views)


def plan(*recordings, level=0, **options):
    return Plan(spec=SPEC, settings=Settings(level=level), recordings=recordings, **options)


def test_recordings_become_a_dataset_in_their_order(tmp_path):
    summary = run_import(plan(Toy("b"), Toy("a", 1)), tmp_path / "out", workers=0)
    assert (summary["episodes"], summary["imported_now"], summary["frames"], summary["skipped"]) == (2, 2, 16, 0)
    assert [e.instruction for e in Dataset.open(tmp_path / "out").episodes] == ["b", "a"]
    again = run_import(plan(Toy("b"), Toy("a", 1)), tmp_path / "out", workers=0)
    assert (again["episodes"], again["imported_now"]) == (2, 0)


def test_worker_processes_do_the_same(tmp_path):
    recordings = [Toy(f"n{number}", number) for number in range(3)]
    run_import(plan(*recordings), tmp_path / "one", workers=0)
    run_import(plan(*recordings), tmp_path / "two", workers=2)
    for path in sorted((tmp_path / "one").rglob("*.mp4")):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_what_cannot_be_read_is_set_aside_and_remembered(tmp_path):
    some = plan(Toy("a"), Toy("b", broken=True), Toy("c", lengths=(4, 3)), set_aside={"d": "seen before"})
    for _ in range(2):
        summary = run_import(some, tmp_path / "out", workers=0)
        assert summary["skipped"] == 3
        assert summary["set_aside"]["b"] == "it is broken; got: noise"
        assert "wrong number of frames" in summary["set_aside"]["c"]
    report = json.loads((tmp_path / "out/meta/amplify/report.json").read_text())
    assert report["imported_with"] == {"level": 0}
    assert set(report["set_aside"]) == {"b", "c", "d"}
    with pytest.raises(DataError, match="3 of 6"):
        run_import(some, tmp_path / "out", workers=0, strict=True)


def test_nothing_left_is_an_error(tmp_path):
    with pytest.raises(DataError, match="it is broken"):
        run_import(plan(Toy("a", broken=True)), tmp_path / "out", workers=0)
    assert not (tmp_path / "out/meta").exists()


def test_an_interrupted_import_goes_on(tmp_path, monkeypatch):
    recordings = [Toy(f"n{number}", number) for number in range(3)]
    done = []

    def dying(out, spec, item):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(item[0])
        return importing(out, spec, item)

    importing = engine._import
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_import", dying)
        with pytest.raises(KeyboardInterrupt):
            run_import(plan(*recordings), tmp_path / "out", workers=0)
    summary = run_import(plan(*recordings), tmp_path / "out", workers=0)
    assert (summary["episodes"], summary["imported_now"]) == (3, 1)


def test_other_settings_and_other_datasets_are_refused(tmp_path):
    run_import(plan(Toy("a")), tmp_path / "out", workers=0)
    with pytest.raises(DataError, match="other settings"):
        run_import(plan(Toy("a"), level=1), tmp_path / "out", workers=0)
    write(tmp_path / "recorded", SPEC)
    with pytest.raises(DataError, match="other settings"):
        run_import(plan(Toy("a")), tmp_path / "recorded", workers=0)


def test_a_source_that_has_grown_goes_into_another_folder(tmp_path):
    run_import(plan(Toy("a")), tmp_path / "out", workers=0)
    with pytest.raises(DataError, match=r"more than it had(.|\n)*1 new: b"):
        run_import(plan(Toy("a"), Toy("b")), tmp_path / "out", workers=0)


def test_names_that_occur_twice(tmp_path):
    summary = run_import(plan(Toy("a"), Toy("a", 1)), tmp_path / "out", workers=0)
    assert (summary["episodes"], summary["set_aside"]) == (1, {"a, again": "twice in the source"})


def test_names_of_any_letters_become_different_keys():
    some = plan(Toy("ä/b"), Toy("ö/b"), Toy("../../x"), Toy("a" * 500))
    keys = [some.key(recording) for recording in some.recordings]
    assert len(set(keys)) == 4
    assert all(set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-") and len(key) < 100 for key in keys)


def test_many_reasons_are_shortened_in_the_summary(tmp_path):
    broken = [Toy(f"x{number:02d}", broken=True) for number in range(30)]
    summary = run_import(plan(Toy("a"), *broken), tmp_path / "out", workers=0)
    assert summary["skipped"] == 30
    assert len(summary["set_aside"]) == 21
    assert "10 more" in summary["set_aside"]["…"]


def test_frames_are_read_as_they_are_written(tmp_path):
    """No more than two frames of a long recording are alive at any time."""
    most = 0

    @dataclasses.dataclass(frozen=True)
    class Long(Toy):
        def footage(self):
            return Footage(instruction="", length=200, frames={camera: watched() for camera in SPEC.cameras})

    def watched():
        nonlocal most
        alive = weakref.WeakSet()
        for number in range(200):
            frame = np.full((32, 48, 3), number, np.uint8)
            holder = Holder(frame)
            alive.add(holder)
            most = max(most, len(alive))
            yield frame.view(Frame).held_by(holder)

    class Holder:
        def __init__(self, frame):
            self.frame = frame

    class Frame(np.ndarray):
        def held_by(self, holder):
            self.holder = holder
            return self

    run_import(plan(Long("long")), tmp_path / "out", workers=0)
    assert 0 < most <= 20  # a sample of 16 is looked at for statistics
    assert Dataset.open(tmp_path / "out").episodes[0].length == 200
