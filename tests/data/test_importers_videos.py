import json
import os

import numpy as np
import pytest

from amplify.cli import run
from amplify.data.dataset import Dataset
from amplify.data.importers.naming import CameraRule, grouped, instruction_in, read_instructions, sentence_of
from amplify.data.importers.options import size_of
from amplify.errors import DataError, UsageError
from amplify.video import read_video, write_video

from .sources import numbers, steps, timed_video, turned, video


def imported(capsys, source, out, *options, code=0):
    assert run(["import", "videos", str(source), "--out", str(out), "--workers", "0", "--json", *options]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out.splitlines()[-1]) if code == 0 else captured.err


def test_a_folder_becomes_a_dataset_without_actions(tmp_path, capsys):
    video(tmp_path / "in/open_the_drawer_01.mp4", 8)
    video(tmp_path / "in/close it/0007.mp4", 5, first=3)
    (tmp_path / "in/notes.txt").write_text("not a video")
    summary = imported(capsys, tmp_path / "in", tmp_path / "out")
    assert (summary["episodes"], summary["frames"], summary["skipped"]) == (2, 13, 0)
    found = Dataset.open(tmp_path / "out")
    assert found.spec.action_names is None
    assert found.spec.proprio_names is None
    assert (found.spec.fps, found.spec.cameras, found.spec.size("camera")) == (10, ("camera",), (48, 32))
    assert [(e.instruction, e.length) for e in found.episodes] == [("close it", 5), ("open the drawer", 8)]
    assert numbers(found.frames(0, "camera")) == [3, 4, 5, 6, 7]
    assert "action" not in (tmp_path / "out/meta/info.json").read_text()


def test_one_file_is_enough(tmp_path, capsys):
    path = video(tmp_path / "push the cup.mp4")
    assert imported(capsys, path, tmp_path / "out")["episodes"] == 1
    assert Dataset.open(tmp_path / "out").episodes[0].instruction == "push the cup"


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mkv", "mpeg4", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj422p"),
        ("grey.mov", "mjpeg", "yuvj420p"),
        ("grey.mkv", "ffv1", "gray"),
        ("alpha.mov", "png", "rgba"),
        ("deep.mkv", "ffv1", "yuv420p10le"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.mp4", "libsvtav1", "yuv420p"),
    ],
)
def test_containers_codecs_and_pixel_formats(tmp_path, capsys, name, codec, pix_fmt):
    timed_video(
        tmp_path / "in" / name,
        np.arange(8) / 10,
        codec=codec,
        pix_fmt=pix_fmt,
        sound=name == "a.mkv",
        width=64,
        height=64,
    )
    imported(capsys, tmp_path / "in", tmp_path / "out", "--fps", "10")
    frames = Dataset.open(tmp_path / "out").frames(0, "camera")
    assert frames.shape == (8, 64, 64, 3)
    assert numbers(frames) == list(range(8))
    assert np.ptp(frames[0, 40, 40].astype(int)) < 8


def test_a_variable_rate_becomes_a_constant_one(tmp_path, capsys):
    timed_video(tmp_path / "in/a.mkv", [0, 0.1, 0.2, 0.25, 0.3, 0.7, 0.8, 0.9])
    imported(capsys, tmp_path / "in", tmp_path / "out", "--fps", "10")
    assert numbers(Dataset.open(tmp_path / "out").frames(0, "camera"))[:10] == [0, 1, 2, 4, 4, 4, 5, 5, 6, 7]


@pytest.mark.parametrize(
    ("fps", "expected"), [(5, [0, 2, 4, 6]), (20, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7])]
)
def test_other_rates_take_the_nearest_frame_in_time(tmp_path, capsys, fps, expected):
    video(tmp_path / "in/a.mp4", 8)
    imported(capsys, tmp_path / "in", tmp_path / "out", "--fps", str(fps))
    found = Dataset.open(tmp_path / "out")
    shown = numbers(found.frames(0, "camera"))
    assert found.spec.fps == fps
    assert len(shown) == len(expected)
    assert np.abs(np.array(shown) - expected).max() <= (fps == 20)


def test_the_usual_rate_and_size_count_up_to_a_limit(tmp_path, capsys):
    for number in range(2):
        video(tmp_path / f"in/a{number}.mp4", 6, fps=60, width=64, height=48)
    video(tmp_path / "in/b.mp4", 4, fps=10)
    video(tmp_path / "big/a.mp4", 2, width=1280, height=960)
    imported(capsys, tmp_path / "in", tmp_path / "out")
    imported(capsys, tmp_path / "big", tmp_path / "out2")
    found = Dataset.open(tmp_path / "out")
    assert (found.spec.fps, found.spec.size("camera")) == (30, (64, 48))
    assert [e.length for e in found.episodes] == [3, 3, 12]
    assert Dataset.open(tmp_path / "out2").spec.size("camera") == (640, 480)


def test_phones_that_are_turned(tmp_path, capsys):
    turned(video(tmp_path / "in/a.mp4", 3))
    imported(capsys, tmp_path / "in", tmp_path / "out")
    frames = Dataset.open(tmp_path / "out").frames(0, "camera")
    assert frames.shape == (3, 48, 32, 3)
    # What was the left of the top is the right of the top after a quarter turn clockwise.
    assert frames[0, 4, 28].min() > 200
    assert frames[0, 4, 4].max() < 60


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_fits(tmp_path, capsys, fit):
    video(tmp_path / "in/a.mp4", 2, width=64, height=32)
    imported(capsys, tmp_path / "in", tmp_path / "out", "--size", "32", "--fit", fit)
    image = Dataset.open(tmp_path / "out").frames(0, "camera")[0].astype(int)
    assert image.shape == (32, 32, 3)
    bar, above = image[2, 2].min() > 150, image[2, 16].max()
    assert bar == (fit == "stretch")
    assert (above < 8) == (fit == "pad")


def test_odd_and_mixed_sizes(tmp_path, capsys):
    for number, (width, height) in enumerate([(47, 33), (47, 33), (64, 64)]):
        write_video(tmp_path / f"in/a{number}.mp4", steps(3, width, height), 10)
    imported(capsys, tmp_path / "in", tmp_path / "out", "--size", "47x33")
    found = Dataset.open(tmp_path / "out")
    assert [found.frames(e.index, "camera").shape for e in found.episodes] == [(3, 33, 47, 3)] * 3


def test_several_cameras_by_their_names(tmp_path, capsys):
    for episode, length in (("a", 6), ("b", 4)):
        video(tmp_path / f"in/{episode}_front.mp4", length)
        video(tmp_path / f"in/{episode}_side.mp4", length - 1, first=10, width=64, height=64)
    video(tmp_path / "in/c_front.mp4")
    video(tmp_path / "in/d.mp4")
    summary = imported(capsys, tmp_path / "in", tmp_path / "out", "--cameras", "front=_front", "side=_side")
    assert summary["set_aside"] == {"c": "no video of camera side", "d.mp4": "its name fits no camera"}
    found = Dataset.open(tmp_path / "out")
    assert found.spec.cameras == ("front", "side")
    assert (found.spec.size("front"), found.spec.size("side")) == ((48, 32), (64, 64))
    assert [e.length for e in found.episodes] == [5, 3]
    assert numbers(found.frames(0, "side")) == [10, 11, 12, 13, 14]


def test_cameras_that_do_not_end_together_are_set_aside(tmp_path, capsys):
    video(tmp_path / "in/a_l.mp4", 20)
    video(tmp_path / "in/a_r.mp4", 8)
    video(tmp_path / "in/b_l.mp4", 8)
    video(tmp_path / "in/b_r.mp4", 8)
    summary = imported(capsys, tmp_path / "in", tmp_path / "out", "--cameras", "l=_l", "r=_r")
    assert summary["episodes"] == 1
    assert "unequal length" in summary["set_aside"]["a"]


def test_instructions_from_a_file(tmp_path, capsys):
    for name in ("x1", "x2", "x3"):
        video(tmp_path / f"in/{name}.mp4", 3)
    (tmp_path / "said.csv").write_text('file,instruction\nx1.mp4,öffne es\nx2,"close, then open"\n', encoding="utf-8")
    summary = imported(capsys, tmp_path / "in", tmp_path / "out", "--instructions", str(tmp_path / "said.csv"))
    assert list(summary["set_aside"]) == ["x3"]
    assert [e.instruction for e in Dataset.open(tmp_path / "out").episodes] == ["öffne es", "close, then open"]
    (tmp_path / "said.csv").write_text("file,instruction\nx1.mp4,other\nx2,words\n")
    error = imported(capsys, tmp_path / "in", tmp_path / "out", "--instructions", str(tmp_path / "said.csv"), code=1)
    assert "other settings" in error


def test_long_videos_become_segments(tmp_path, capsys):
    video(tmp_path / "in/tidy up.mp4", 27)
    imported(capsys, tmp_path / "in", tmp_path / "out", "--segment-s", "1")
    found = Dataset.open(tmp_path / "out")
    assert [(e.length, e.instruction) for e in found.episodes] == [(10, "tidy up"), (10, "tidy up"), (7, "tidy up")]
    assert [numbers(found.frames(i, "camera"))[0] for i in range(3)] == [0, 10, 20]
    imported(capsys, tmp_path / "in", tmp_path / "out2", "--segment-s", "2")
    assert [e.length for e in Dataset.open(tmp_path / "out2").episodes] == [27]


def test_seeking_into_a_long_video_finds_the_same_frames(tmp_path, capsys):
    write_video(tmp_path / "in/a.mp4", steps(28), 10, gop=250, crf=4)
    imported(capsys, tmp_path / "in", tmp_path / "out", "--segment-s", "0.7")
    found = Dataset.open(tmp_path / "out")
    assert [number for e in found.episodes for number in numbers(found.frames(e.index, "camera"))] == list(range(28))


def test_links_out_of_the_folder_are_not_followed(tmp_path, capsys):
    video(tmp_path / "secret.mp4")
    video(tmp_path / "in/a.mp4")
    os.symlink(tmp_path / "secret.mp4", tmp_path / "in/link.mp4")
    os.symlink(tmp_path / "in/a.mp4", tmp_path / "in/inner.mp4")
    summary = imported(capsys, tmp_path / "in", tmp_path / "out")
    assert summary["episodes"] == 2
    assert "leaves the folder" in summary["set_aside"]["link.mp4"]


def test_limit_and_body(tmp_path, capsys):
    for name in "abc":
        video(tmp_path / f"in/{name}.mp4", 3)
    imported(capsys, tmp_path / "in", tmp_path / "out", "--limit", "2", "--robot-type", "person")
    found = Dataset.open(tmp_path / "out")
    assert (len(found.episodes), found.spec.robot_type) == (2, "person")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "big"], "no size of images"),
        (["--size", "128x"], "no size of images"),
        (["--fps", "0"], "fps"),
        (["--cameras", "front"], "no naming rule"),
        (["--cameras", "a=_x", "b=_y"], "fits no camera"),
        (["--instructions", "nowhere.csv"], "cannot read the instructions"),
        (["--segment-s", "-1"], "segment_s"),
    ],
)
def test_mistakes_get_one_clear_error(tmp_path, capsys, options, said):
    video(tmp_path / "in/a.mp4", 3)
    assert run(["import", "videos", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *options]) in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_videos(tmp_path):
    assert run(["import", "videos", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 1
    assert run(["import", "videos", str(tmp_path), "--out", str(tmp_path / "out")]) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_the_drawer_003", "open the drawer"),
        ("a/b/open-the-drawer episode 12", "open the drawer"),
        ("pick up 2 cups_take3", "pick up 2 cups"),
        ("open the drawer/0001", "open the drawer"),
        ("0001", ""),
        ("öffne_die_Tür", "öffne die Tür"),
    ],
)
def test_sentences_of_names(name, said):
    assert sentence_of(name) == said


@pytest.mark.parametrize(
    ("pattern", "path", "episode"),
    [
        ("_front", "a/x_front", "a/x"),
        ("_front", "a/x_side", None),
        ("front_", "a/front_x", "a/x"),
        ("front/", "a/front/x", "a/x"),
        ("front/", "a/side/x", None),
        ("*/front", "a/x/front", "a/x"),
        ("front/*", "front/x", "x"),
        ("_front", "_front", None),
    ],
)
def test_camera_rules(pattern, path, episode):
    assert CameraRule.parse(f"c={pattern}").episode(path) == episode


def test_second_files_are_set_aside():
    episodes, set_aside = grouped(["a.mp4", "a.avi", "b.mp4"], [])
    assert episodes == {"a": {"camera": "a.mp4"}, "b": {"camera": "b.mp4"}}
    assert list(set_aside) == ["a.avi"]
    assert (
        "fits several cameras"
        in grouped(["a_x.mp4"], [CameraRule.parse("a=_x"), CameraRule.parse("b=x")])[1]["a_x.mp4"]
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"x": "go"}'),
        ("a.json", '[{"id": "x", "label": "go"}]'),
        ("a.json", '[{"video": "x", "instruction": "go"}, {"video": "y"}, 3]'),
        ("a.csv", "x,go\n"),
        ("a.csv", "label;id\ngo;x\n"),
        ("a.tsv", "x.mp4\tgo\n"),
    ],
)
def test_files_of_instructions(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    said = read_instructions(tmp_path / name)
    assert instruction_in(said, ["deep/x.mp4"], "deep/x") == "go"


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "3"])
def test_broken_files_of_instructions(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError):
        read_instructions(tmp_path / "a.json")


def test_sizes():
    assert (size_of("128"), size_of("640x480"), size_of(None)) == ((128, 128), (640, 480), None)
    for text in ("", "4", "x", "99999", "-3"):
        with pytest.raises(UsageError):
            size_of(text)


def test_the_quality_is_that_of_recordings(tmp_path, capsys):
    noisy = np.random.default_rng(0).integers(60, 200, (6, 32, 48, 1), dtype=np.uint8).repeat(3, axis=-1)
    write_video(tmp_path / "in/a.mp4", noisy, 10, crf=0)
    imported(capsys, tmp_path / "in", tmp_path / "out")
    source = read_video(tmp_path / "in/a.mp4").astype(int)
    assert np.abs(Dataset.open(tmp_path / "out").frames(0, "camera") - source).mean() < 4
