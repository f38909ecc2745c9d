"""Files and folders as cameras: every picture once, in order, at the pace asked for; damage is skipped or refused."""

import threading
import time

import cv2
import numpy as np
import pytest
from recordings import HEIGHT, WIDTH, camera, number_of, numbered, numbers, play, write_video

from instance_depth_ros import config
from instance_depth_ros.cameras import CameraError, open_camera


@pytest.fixture
def slept(monkeypatch):
    """The pauses asked for; the clock moves only by them."""
    pauses, clock = [], [100.0]

    def wait(event, seconds):
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(threading.Event, "wait", wait)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return pauses, clock


@pytest.mark.parametrize("name, codec", (("a.avi", "mjpeg"), ("b.mp4", "mpeg4"), ("c.mkv", "mpeg4")))
def test_a_file_gives_every_picture_once_in_rgb_and_then_ends(tmp_path, name, codec):
    before_ns = time.time_ns()
    opened = camera("file", write_video(tmp_path / name, 10, codec))
    frames = play(opened)
    assert numbers(frames) == list(range(10))
    middle = frames[5].color[HEIGHT // 2, WIDTH // 2].astype(int)
    assert middle[0] > middle[2] + 20 and frames[5].color.flags.c_contiguous
    stamps = [frame.stamp_ns for frame in frames]
    assert before_ns < stamps[0] and stamps == sorted(set(stamps)) and stamps[-1] <= time.time_ns()
    assert opened.skipped == 0 and frames[0].frame_id == "camera_color_optical_frame"


def test_a_loop_goes_on_and_frames_ends_it(video):
    opened = camera("file", video, loop=True, frames=23)
    assert numbers(play(opened)) == [*range(10), *range(10), 0, 1, 2]
    assert numbers(play(opened))[:2] == [0, 1], "opened again, it starts again"


def test_a_phones_video_is_upright(tmp_path):
    path = write_video(tmp_path / "portrait.mp4", 10, "mpeg4")
    # The second matrix of an MP4 is the track's; this one says: turn me a quarter clockwise.
    one, end = b"\x00\x01\x00\x00", b"\x40\x00\x00\x00"
    upright = one + bytes(12) + one + bytes(12) + end
    quarter = bytes(4) + one + bytes(4) + b"\xff\xff\x00\x00" + bytes(16) + end
    head, track, rest = path.read_bytes().rpartition(upright)
    assert upright in head
    path.write_bytes(head + quarter + rest)
    color = play(camera("file", path))[9].color
    assert color.shape == (WIDTH, HEIGHT, 3)
    assert color[:12, -12:].mean() < 30 < 80 < color[:12, :12].mean(), "the dark corner came to the top right"


def test_an_ended_file_stays_ended(video):
    with camera("file", video) as opened:
        for _ in range(10):
            assert opened.read() is not None
        assert opened.read() is None and opened.read() is None


def test_real_pace_follows_the_timestamps_of_the_file(tmp_path, slept):
    path = write_video(tmp_path / "uneven.mkv", 5, times=(0, 100, 400, 450, 1000))
    assert len(play(camera("file", path, rate="real"))) == 5
    assert np.allclose(slept[0], [0.1, 0.3, 0.05, 0.55], atol=0.002)


def test_a_rate_is_a_factor_of_the_pace(video, slept):
    play(camera("file", video, rate="2.0"))
    assert np.allclose(slept[0], [0.05] * 9)


def test_fps_overrides_the_pace_of_the_file_through_a_loop(video, slept):
    play(camera("file", video, rate="real", fps=4.0, loop=True, frames=13))
    assert np.allclose(slept[0], [0.25] * 12)


def test_a_late_reader_catches_up_without_drift(video, slept):
    pauses, clock = slept
    with camera("file", video, rate="real") as opened:
        for number in range(10):
            opened.read()
            clock[0] += 0.25 if number == 2 else 0.03
    # Ten pictures at 10 Hz are 0.9 s apart, however late the third was taken back.
    assert clock[0] - 0.03 == pytest.approx(100.9)
    assert len(pauses) == 6, "three pictures were due already"


def test_a_pause_of_the_reader_is_no_burst_afterwards(video, slept):
    pauses, clock = slept
    with camera("file", video, rate="real") as opened:
        opened.read()
        clock[0] += 30.0
        while opened.read() is not None:
            pass
    assert np.allclose(pauses, [0.1] * 8), "the second picture is due at once, the others a tenth apart"


def test_a_read_that_waits_for_its_picture_can_be_interrupted(tmp_path):
    path = write_video(tmp_path / "slow.mkv", 2, times=(0, 60_000))
    with camera("file", path, rate="real", timeout_s=60.0) as opened:
        opened.read()
        reader = threading.Thread(target=opened.read)
        reader.start()
        opened.interrupt()
        reader.join(20)
        assert not reader.is_alive()
        opened.open()
        assert number_of(opened.read().color) == 0


def test_rate_max_never_sleeps(video, slept):
    assert len(play(camera("file", video))) == 10 and slept[0] == []


def test_broken_pictures_are_skipped_and_counted(video, tmp_path):
    data = bytearray(video.read_bytes())
    starts = [i for i in range(len(data) - 3) if data[i : i + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 10
    for picture in (3, 7):
        data[starts[picture] : starts[picture] + 700] = bytes(700)
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(data)
    opened = camera("file", damaged)
    assert numbers(play(opened)) == [0, 1, 2, 4, 5, 6, 8, 9] and opened.skipped == 2


def test_a_truncated_file_plays_as_far_as_it_goes(video, tmp_path):
    short = tmp_path / "short.avi"
    # The last third of the file is gone: half of the pictures, and the index.
    short.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    seen = numbers(play(camera("file", short)))
    assert 2 < len(seen) < 8 and seen == list(range(len(seen)))


def test_a_truncated_mp4_is_refused_at_open(tmp_path):
    path = write_video(tmp_path / "short.mp4", 10, "mpeg4")
    whole = path.read_bytes()
    for length in (whole.index(b"moov"), len(whole) - 200):
        path.write_bytes(whole[:length])
        with pytest.raises(CameraError, match="short.mp4"):
            camera("file", path).open()


def test_files_without_pictures_are_refused_at_open(video, tmp_path):
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(20000))
    (tmp_path / "empty.avi").write_bytes(b"")
    header = video.read_bytes()
    (tmp_path / "header.avi").write_bytes(header[: header.index(b"\xff\xd8\xff")])
    for name in ("noise.avi", "empty.avi", "header.avi", "absent.avi"):
        opened = camera("file", tmp_path / name)
        with pytest.raises(CameraError, match=name):
            opened.open()
        with pytest.raises(CameraError, match="open"):
            opened.read()
    with pytest.raises(CameraError, match="folder"):
        camera("file", tmp_path).open()


def test_a_folder_plays_in_natural_order_and_skips_what_is_no_picture(tmp_path):
    for number in (10, 2, 1, 0, 11):
        cv2.imwrite(str(tmp_path / f"{number}.png"), numbered(number)[..., ::-1])
    (tmp_path / "3.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture either")
    opened = camera("folder", tmp_path)
    frames = play(opened)
    assert numbers(frames) == [0, 1, 2, 10, 11] and opened.skipped == 1
    assert np.array_equal(frames[2].color, numbered(2))


def test_a_folder_keeps_the_pace_asked_for(tmp_path, slept):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), numbered(number))
    play(camera("folder", tmp_path, rate="real", fps=5.0))
    assert np.allclose(slept[0], [0.2, 0.2])


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(CameraError, match="holds no picture"):
        camera("folder", tmp_path).open()
    with pytest.raises(CameraError, match="no folder"):
        camera("folder", tmp_path / "absent").open()
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(CameraError, match="decoded"):
        camera("folder", tmp_path, loop=True).open()


def test_what_is_no_camera_to_open_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="'auto'.*file, folder, webcam, stream, simulated"):
        open_camera(config.make("depth"))
    for kind in ("file", "folder", "stream"):
        with pytest.raises(ValueError, match=f"'{kind}' needs camera_path"):
            camera(kind)
