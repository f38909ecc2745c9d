"""Cameras with real files, a real server on localhost and no camera plugged in."""

import os
import socket
import threading
import time
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.cameras import CameraError, open_camera
from instance_depth_ros.cameras.calibration import fit, load_camera_info
from instance_depth_ros.cameras.webcam import stamp_of
from instance_depth_ros.demo import clip

av = pytest.importorskip("av", reason="PyAV reads videos and streams")

VTEST_INFO = Path(__file__).parents[1] / "config" / "vtest_camera_info.yaml"
HEIGHT, WIDTH = 96, 128


def camera(kind, path="", **settings):
    return open_camera(config.make("camera", camera=kind, camera_path=str(path), **{"rate": "max"} | settings))


def numbered(number: int) -> np.ndarray:
    """A picture whose brightness says its number, redder than blue."""
    picture = np.full((HEIGHT, WIDTH, 3), 20 + 10 * number, np.uint8)
    picture[..., 2] //= 2
    picture[:16, :16] = 0
    return picture


def number_of(picture: np.ndarray) -> int:
    return round((float(picture[16:, 16:, 0].mean()) - 20) / 10)


def write_video(path: Path, count: int, codec: str = "mjpeg", times: tuple[int, ...] = ()) -> Path:
    """count numbered pictures at 10 a second, or at the given times in ms."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def play(opened, limit: int = 1000) -> list:
    """Frames to the end."""
    frames = []
    with opened:
        while len(frames) < limit and (frame := opened.read()) is not None:
            frames.append(frame)
    return frames


def numbers(frames) -> list[int]:
    return [number_of(frame.color) for frame in frames]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "ten.avi", 10)


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


# recordings


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


# calibration

INFO = """
image_width: 640
image_height: 480
camera_name: bench
camera_matrix: {rows: 3, cols: 3, data: [520.5, 0, 321.25, 0, 521.5, 243.75, 0, 0, 1]}
distortion_model: rational_polynomial
distortion_coefficients: {rows: 1, cols: 8, data: [0.1, -0.2, 1e-05, 0, 0.3, 0.4, 0.5, 0.6]}
"""


def test_a_camera_info_file_becomes_intrinsics(tmp_path):
    (tmp_path / "lens.yaml").write_text(INFO)
    lens = load_camera_info(tmp_path / "lens.yaml")
    assert (lens.width, lens.height, lens.fx, lens.fy, lens.cx, lens.cy) == (640, 480, 520.5, 521.5, 321.25, 243.75)
    assert lens.model == "rational_polynomial" and lens.distortion == (0.1, -0.2, 1e-05, 0, 0.3, 0.4, 0.5, 0.6)
    assert not lens.assumed


def test_the_clips_calibration_is_the_published_one():
    lens = load_camera_info(VTEST_INFO)
    assert (lens.width, lens.height, lens.model) == (768, 576, "plumb_bob")
    assert [lens.fx, lens.fy, lens.cx, lens.cy] == pytest.approx([1185, 1195, 324, 283], abs=0.6)


@pytest.mark.parametrize(
    "old, new, complaint",
    (
        ("image_width: 640", "", "image_width"),
        ("image_height: 480", "image_height: tall", "image_height.*tall"),
        ("data: [520.5,", "data: [", "camera_matrix"),
        ("520.5", "0.0", "fx=0.0"),
        ("520.5", ".nan", "camera_matrix"),
        ("rational_polynomial", "thin_plate", "thin_plate"),
        ("0.5, 0.6]", "0.5]", "coefficients"),
        ("1e-05", "small", "distortion_coefficients"),
        ("camera_name: bench", "camera_name: [", "cannot be read"),
        (INFO, "just text", "no camera_info"),
    ),
)
def test_a_wrong_camera_info_names_the_file_and_the_key(tmp_path, old, new, complaint):
    path = tmp_path / "lens.yaml"
    path.write_text(INFO.replace(old, new))
    with pytest.raises(ValueError, match=f"(?s)lens.yaml.*{complaint}"):
        load_camera_info(path)
    with pytest.raises(ValueError, match="absent.yaml"):
        load_camera_info(tmp_path / "absent.yaml")


def test_a_calibration_serves_other_sizes_of_the_same_shape_only(tmp_path, video):
    (tmp_path / "lens.yaml").write_text(INFO)
    frames = play(camera("file", video, camera_info=str(tmp_path / "lens.yaml"), camera_frame="eye"))
    lens = frames[0].intrinsics
    assert (lens.width, lens.height, lens.fx) == (WIDTH, HEIGHT, pytest.approx(520.5 / 5)) and frames[
        0
    ].frame_id == "eye"
    assert play(camera("file", video))[0].intrinsics is None
    assert fit(load_camera_info(VTEST_INFO), 333, 250).width == 333, "a rounded size is the same shape"
    (tmp_path / "wide.yaml").write_text(INFO.replace("480", "360"))
    with camera("file", video, camera_info=str(tmp_path / "wide.yaml")) as opened:
        with pytest.raises(CameraError, match="640x360.*128x96"):
            opened.read()


# live cameras


@contextmanager
def mjpeg_server(pictures, pause_s: float = 0.0, hold: threading.Event | None = None):
    """An HTTP camera like those on many IP cameras; after the last picture it holds the line while hold is not set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                for number in pictures:
                    jpeg = cv2.imencode(".jpg", numbered(number)[..., ::-1])[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    time.sleep(pause_s)
            except OSError:
                return
            if hold:
                hold.wait(30)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/video"
    finally:
        if hold:
            hold.set()
        server.shutdown()
        server.server_close()


def test_an_http_camera_gives_frames_and_its_end_is_an_error_after_which_it_opens_again():
    with mjpeg_server([5] * 30, pause_s=0.01) as url:
        opened = camera("stream", url)
        for _ in range(2):
            opened.open()
            frame = opened.read()
            assert number_of(frame.color) == 5 and frame.color.shape == (HEIGHT, WIDTH, 3)
            assert frame.color[..., 0].mean() > frame.color[..., 2].mean() + 20
            with pytest.raises(CameraError, match="has ended|broke off"):
                for _ in range(31):
                    opened.read()
        opened.close()


def test_the_newest_picture_of_a_stream_wins_and_the_others_are_counted():
    hold = threading.Event()
    with mjpeg_server([*range(20)], hold=hold) as url, camera("stream", url, timeout_s=2.0) as opened:
        # The last picture can be told complete only when more follows or the line closes.
        taken = [opened.read()]
        while number_of(taken[-1].color) < 18:
            time.sleep(0.05)
            taken.append(opened.read())
        assert numbers(taken) == sorted(set(numbers(taken)))
        assert len(taken) + opened.overwritten >= 19 and opened.overwritten > 0


def test_a_stream_that_falls_silent_is_an_error_within_its_time():
    hold = threading.Event()
    with mjpeg_server([1, 2, 3, 4, 5], hold=hold) as url, camera("stream", url, timeout_s=1.0) as opened:
        with pytest.raises(CameraError, match="no picture for 1.0 s|no data within the time-out"):
            for _ in range(10):
                opened.read()


def test_a_read_of_a_silent_stream_can_be_interrupted():
    hold, errors = threading.Event(), []

    def read(opened):
        try:
            while True:
                opened.read()
        except CameraError as error:
            errors.append(str(error))

    with mjpeg_server([1, 2, 3, 4, 5], hold=hold) as url, camera("stream", url, timeout_s=60.0) as opened:
        reader = threading.Thread(target=read, args=(opened,))
        reader.start()
        opened.interrupt()
        reader.join(20)
        assert errors == ["the stream camera is being closed"]


def test_a_server_that_never_answers_is_an_error_at_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for scheme in ("http", "rtsp"):
            opened = camera("stream", f"{scheme}://user:secret@127.0.0.1:{port}/video", timeout_s=0.5)
            with pytest.raises(CameraError, match="cannot be opened: no answer within 0.5 s") as error:
                opened.open()
            assert "secret" not in str(error.value)


def test_a_server_that_answers_but_sends_no_picture_is_an_error_at_open():
    hold = threading.Event()
    with mjpeg_server([], hold=hold) as url:
        with pytest.raises(CameraError, match="cannot be opened: no answer within 0.5 s"):
            camera("stream", url, timeout_s=0.5).open()


def test_a_refused_stream_is_an_error_at_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(CameraError, match=f"{port}.*cannot be opened: Connection refused"):
        camera("stream", f"http://127.0.0.1:{port}/video").open()


def test_an_absent_webcam_lists_what_is_there():
    with pytest.raises(CameraError, match="no webcam /dev/video987; /dev/video"):
        camera("webcam", "987").open()


def test_a_device_that_is_no_camera_is_refused():
    with pytest.raises(CameraError, match="/dev/null gives no pictures"):
        camera("webcam", "/dev/null").open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every device")
def test_a_forbidden_webcam_names_the_group(tmp_path):
    (tmp_path / "video").touch(mode=0o000)
    with pytest.raises(CameraError, match="usermod -aG video"):
        camera("webcam", tmp_path / "video").open()


def test_a_drivers_stamp_is_used_when_it_is_of_the_monotonic_clock():
    age_ns = time.time_ns() - stamp_of(time.monotonic_ns() / 1e6 - 40)
    assert 39e6 < age_ns < 500e6
    for nonsense in (0.0, -1.0, time.time() * 1e3):
        assert abs(time.time_ns() - stamp_of(nonsense)) < 500e6


# choosing


def test_what_is_no_camera_to_open_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="'topic'.*file, folder, webcam, stream, simulated"):
        open_camera(config.make("depth"))
    for kind in ("file", "folder", "stream"):
        with pytest.raises(ValueError, match=f"'{kind}' needs camera_path"):
            camera(kind)


def test_the_clip_comes_from_the_cache_and_its_makers_are_named(tmp_path, monkeypatch, video):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "instance_depth_ros" / "vtest.avi"
    cached.parent.mkdir()
    cached.write_bytes(video.read_bytes())
    lines = []
    assert clip.fetch_demo_clip(lines.append) == cached
    assert any("University of Reading" in line for line in lines)


def test_without_apt_there_is_no_clip_but_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = []
    assert clip.fetch_demo_clip(lines.append) is None
    assert len(lines) == 1 and "apt-get is not here" in lines[0]
    assert list((tmp_path / "instance_depth_ros").iterdir()) == []
