"""`instance-depth video` gives a video's depth: what the node would have said, frame by frame, in files others read."""

import av
import cv2
import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.cli import main
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame
from instance_depth_ros.geometry import millimetres_from_depth

FRAMES, SIZE = 5, (96, 128)
FAST = ["--network-short-side", "64", "--precision", "fp32", "--threads", "1"]


def picture(index):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([2 * x - 9 * index, 2 * y, x + y + 5 * index], -1).clip(0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pictures"
    path.mkdir()
    for index in range(FRAMES):
        cv2.imwrite(str(path / f"{index}.png"), picture(index)[..., ::-1])
    return path


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuvj420p"
        for index in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_depth_of_each_picture_is_that_of_the_estimator(folder, tmp_path):
    out = tmp_path / "out"
    assert main(["video", str(folder), "--out", str(out), "--weights", "random:tiny", *FAST]) == 0
    settings = config.make("depth", weights="random:tiny", network_short_side=64, precision="fp32")
    estimator, state = Estimator(settings), None
    for index in range(FRAMES):
        estimate, state = estimator.step(Frame(picture(index), index * 33_333_333), state)
        depth_mm = cv2.imread(str(out / "depth" / f"{index:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert depth_mm.dtype == np.uint16
        np.testing.assert_allclose(depth_mm, millimetres_from_depth(estimate.depth_m), atol=1)
    assert len(list((out / "depth").iterdir())) == FRAMES
    assert cv2.imread(str(out / "contact_sheet.png")).std() > 10


def test_the_movie_has_every_frame_at_the_video_s_own_pace(video, tmp_path):
    out = tmp_path / "out"
    assert main(["video", str(video), "--out", str(out), "--weights", "random:tiny", *FAST]) == 0
    with av.open(str(out / "depth.mp4")) as movie:
        times = [frame.time for frame in movie.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(FRAMES) / 10, atol=2e-3)


@pytest.mark.parametrize("offline", ([], ["--offline"]))
def test_relative_weights_give_disparity_of_the_whole_video(folder, tmp_path, offline):
    out = tmp_path / "out"
    weights = ["--weights", "random:small", "--weights-kind", "relative", *FAST, "--network-short-side", "28"]
    assert main(["video", str(folder), "--out", str(out), *weights, *offline]) == 0
    with np.load(out / "disparity.npz") as stored:
        disparity = stored["disparity"]
    assert disparity.shape == (FRAMES, *SIZE)
    assert np.isfinite(disparity).all() and (disparity >= 0).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["no/such.mp4"], "there is no file no/such.mp4"),
        (["{folder}", "--offline"], "--offline is for official weights; 'random:tiny' streams"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(folder, tmp_path, capsys, arguments, message):
    arguments = [argument.format(folder=folder) for argument in arguments]
    out = str(tmp_path / "out")
    assert main(["video", *arguments, "--out", out, "--weights", "random:tiny", *FAST]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
