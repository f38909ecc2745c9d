"""Network cameras, with a real server on localhost, and webcams, with none plugged in."""

import os
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import pytest
from recordings import HEIGHT, WIDTH, camera, number_of, numbered, numbers

from instance_depth_ros.cameras import CameraError
from instance_depth_ros.cameras.webcam import stamp_of


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
        # Without its buffer FFmpeg may spend the first pictures, rarely more than one, on finding out what they are.
        known, last = len(taken) + opened.overwritten, number_of(taken[-1].color)
        assert last - 3 <= known <= last + 1 and opened.overwritten > 0


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


def test_a_stable_id_is_followed_to_its_device_at_each_opening(tmp_path):
    link = tmp_path / "usb-Maker_Cam_42-video-index0"
    opened = camera("webcam", link)
    with pytest.raises(CameraError, match=f"no webcam {link}"):
        opened.open()
    link.symlink_to("/dev/null")
    with pytest.raises(CameraError, match=f"{link} gives no pictures"):
        opened.open()
    assert opened.describe() == {"device": "/dev/null"}


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
