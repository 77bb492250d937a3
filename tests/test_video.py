import cv2
import numpy as np
import pytest

from amplify.errors import DataError
from amplify.video import (
    Shaping,
    count_frames,
    frames_at,
    glance,
    read_image,
    read_video,
    timeline,
    write_frames,
    write_video,
)


def clip(frames=12, height=48, width=64, seed=0):
    """A bright disc that moves over a smooth gradient; the disc's column tells the frame."""
    y, x = np.mgrid[:height, :width]
    back = np.stack([x * 2, y * 3, (x + y) * 1], axis=-1).astype(np.uint8)
    video = np.repeat(back[None], frames, axis=0)
    for t in range(frames):
        video[t][(x - 6 - 4 * t) ** 2 + (y - 20) ** 2 < 25] = (250, 240, 20)
    return video


def test_round_trip_keeps_the_picture(tmp_path):
    video = clip()
    write_video(tmp_path / "a.mp4", video, 20)
    again = read_video(tmp_path / "a.mp4")
    assert again.shape == video.shape
    assert np.abs(again.astype(int) - video).mean() < 3
    assert count_frames(tmp_path / "a.mp4") == 12


def test_brightness_is_kept(tmp_path):
    smooth = np.random.default_rng(0).normal(0, 2, (4, 64, 64, 3)).cumsum(1).cumsum(2)
    video = np.clip(128 + smooth, 0, 255).astype(np.uint8)
    write_video(tmp_path / "a.mp4", video, 20, crf=1)
    assert np.abs((read_video(tmp_path / "a.mp4").astype(int) - video).mean(axis=(0, 1, 2))).max() < 0.4


def test_any_range_equals_a_slice_of_the_whole(tmp_path):
    write_video(tmp_path / "a.mp4", clip(), 30)
    whole = read_video(tmp_path / "a.mp4")
    for start, frames in ((0, 1), (1, 3), (4, 4), (7, 5), (11, 1)):
        np.testing.assert_array_equal(read_video(tmp_path / "a.mp4", start, frames), whole[start : start + frames])
    np.testing.assert_array_equal(read_video(tmp_path / "a.mp4", 5), whole[5:])


def test_ranges_are_exact_with_sparse_key_frames_and_fractional_rates(tmp_path):
    write_video(tmp_path / "a.mp4", clip(), 30000 / 1001, gop=250)
    whole = read_video(tmp_path / "a.mp4")
    np.testing.assert_array_equal(read_video(tmp_path / "a.mp4", 7, 3), whole[7:10])


def test_odd_sizes_are_padded_by_their_edge(tmp_path):
    video = clip(height=47, width=63)
    write_video(tmp_path / "a.mp4", video, 20)
    again = read_video(tmp_path / "a.mp4")
    assert again.shape == (12, 48, 64, 3)
    assert np.abs(again[:, :47, :63].astype(int) - video).mean() < 3


def test_lower_quality_makes_smaller_files(tmp_path):
    video = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
    for crf in (17, 40):
        write_video(tmp_path / f"{crf}.mp4", video, 20, crf=crf)
    assert (tmp_path / "40.mp4").stat().st_size < 0.7 * (tmp_path / "17.mp4").stat().st_size


@pytest.mark.parametrize("share", [0.02, 0.4, 0.9])
def test_truncated_files_are_found_without_decoding(tmp_path, share):
    path = tmp_path / "a.mp4"
    write_video(path, clip(), 20)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"truncated video.*a\.mp4"):
        count_frames(path)
    with pytest.raises(DataError, match=r"a\.mp4"):
        read_video(path, 0, 12)


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no such video.*b\.mp4"):
        read_video(tmp_path / "b.mp4")
    (tmp_path / "c.mp4").write_text("not a video")
    with pytest.raises(DataError, match=r"c\.mp4"):
        read_video(tmp_path / "c.mp4")


def test_asking_for_more_than_there_is_fails(tmp_path):
    write_video(tmp_path / "a.mp4", clip(), 20)
    with pytest.raises(DataError, match="too short"):
        read_video(tmp_path / "a.mp4", 10, 3)
    with pytest.raises(DataError, match="too short"):
        read_video(tmp_path / "a.mp4", 12)


def test_a_failed_write_leaves_nothing_and_the_old_file(tmp_path):
    write_video(tmp_path / "a.mp4", clip(), 20)
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(DataError, match="no frames"):
        write_video(tmp_path / "a.mp4", clip()[:0], 20)
    with pytest.raises(Exception):  # noqa: B017  the encoder refuses the size; which error is its own matter
        write_video(tmp_path / "a.mp4", np.zeros((2, 20000, 0, 3), np.uint8), 20)
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_still_images_are_rgb(tmp_path, suffix):
    picture = clip(frames=1)[0]
    cv2.imwrite(str(tmp_path / f"a{suffix}"), picture[..., ::-1])
    read = read_image(tmp_path / f"a{suffix}")
    assert np.abs(read.astype(int) - picture).mean() < (1 if suffix == ".png" else 6)
    cv2.imwrite(str(tmp_path / "grey.png"), picture[..., 0])
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([picture, picture[..., 0]]))
    assert read_image(tmp_path / "grey.png").shape == read_image(tmp_path / "alpha.png").shape == picture.shape


def test_what_is_no_image_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no such image.*b\.png"):
        read_image(tmp_path / "b.png")
    for content in (b"", b"not an image"):
        (tmp_path / "c.png").write_bytes(content)
        with pytest.raises(DataError, match=r"not an image.*c\.png"):
            read_image(tmp_path / "c.png")


def test_frames_are_written_as_they_come(tmp_path):
    assert write_frames(tmp_path / "a.mp4", iter(clip()), 20) == 12
    write_video(tmp_path / "b.mp4", clip(), 20)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with pytest.raises(DataError, match="several sizes"):
        write_frames(tmp_path / "c.mp4", iter([clip()[0], clip()[0][:20]]), 20)
    assert not list(tmp_path.glob("*c.mp4"))


def test_frames_at_times_are_the_nearest(tmp_path):
    write_video(tmp_path / "a.mp4", clip(frames=40), 10, gop=12)
    whole = read_video(tmp_path / "a.mp4")
    for times, wanted in (
        (np.arange(40) / 10, range(40)),
        (np.arange(5) / 2.5, (0, 4, 8, 12, 16)),
        (np.array([2.04, 2.06, 2.06, 3.9]), (20, 21, 21, 39)),
    ):
        np.testing.assert_array_equal(np.stack(list(frames_at(tmp_path / "a.mp4", times))), whole[list(wanted)])
    with pytest.raises(DataError, match="truncated video"):
        list(frames_at(tmp_path / "a.mp4", np.array([0.0, 9.0])))


def test_a_timeline_and_a_glance_tell_what_decoding_would(tmp_path):
    write_video(tmp_path / "a.mp4", clip(frames=7), 30000 / 1001)
    line, look = timeline(tmp_path / "a.mp4"), glance(tmp_path / "a.mp4")
    assert len(line.times_s) == 7
    assert line.duration_s == pytest.approx(7 * 1001 / 30000, rel=1e-3)
    assert (line.count(30), line.count(60), line.count(1)) == (7, 14, 1)
    assert (look.width, look.height, round(look.rate)) == (64, 48, 30)


def test_shaping():
    image = clip(frames=1)[0]
    np.testing.assert_array_equal(Shaping(width=64, height=48).image(image), image)
    for fit in ("crop", "pad", "stretch"):
        for size in ((32, 32), (80, 31), (7, 90)):
            assert Shaping(width=size[0], height=size[1], fit=fit).image(image).shape == (size[1], size[0], 3)
    np.testing.assert_array_equal(Shaping(width=48, height=48).image(image), image[:, 8:56])
    padded = Shaping(width=64, height=64, fit="pad").image(image)
    np.testing.assert_array_equal(padded[8:56], image)
    assert padded[:8].max() == padded[56:].max() == 0
    with pytest.raises(DataError.__base__, match="did you mean 'crop'"):
        Shaping(width=8, height=8, fit="corp").image(image)
