"""Recordings of an Azure Kinect, written as its recorder writes them, and the device by a stand-in of pyk4a."""

import json
import logging
import struct
import sys
import time
import types
from enum import IntEnum

import numpy as np
import pytest
from recordings import av, camera, play

from instance_depth_ros.cameras import CameraError
from instance_depth_ros.cameras.kinect_calibration import COLOR, DEPTH, MODEL, read_calibration
from instance_depth_ros.geometry import depth_from_millimetres

WIDTH, HEIGHT = 320, 288
IDENTITY = {"Rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "Translation": [0, 0, 0]}
CREATED_S = 1_598_887_237
# For pictures of 320x288: the lens of depth of that size, fx = fy = 256, cx = 159.5, cy = 143.5.
COLOR_LENS = (0.5, 0.5, 256 / WIDTH, 256 / HEIGHT)
DEPTH_LENS = (256 / 512, (90 + 144) / 512, 0.5, 0.5)


def one_camera(purpose, lens, size, pose=IDENTITY, distortion=(0,) * 10, model=MODEL):
    intrinsics = {"ModelParameterCount": 14, "ModelParameters": [*lens, *distortion], "ModelType": model}
    sensor = {"SensorWidth": size[0], "SensorHeight": size[1]}
    return {"Purpose": purpose, "Intrinsics": intrinsics, "Rt": pose, **sensor}


def calibration(pose=IDENTITY, **options) -> bytes:
    color = one_camera(COLOR, COLOR_LENS, (WIDTH, HEIGHT), pose, **options)
    cameras = [one_camera(DEPTH, DEPTH_LENS, (1024, 1024)), color]
    return json.dumps({"CalibrationInformation": {"Cameras": cameras}}).encode() + b"\0"


def color_of(number: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 40 + 20 * number, np.uint8)


def depth_mm(number: int) -> np.ndarray:
    codes = (np.arange(HEIGHT * WIDTH) % 60_000 + 300 + number).astype(np.uint16).reshape(HEIGHT, WIDTH)
    codes[:9] = 0
    return codes


def write(path, count=5, attached=b"", depths=depth_mm, without=(), delay_ms=0, **tags):
    """A .mkv with a colour track, a depth track in b16g whose pictures are delay_ms later, and a calibration.

    attached: None for no attachment, b"" for a calibration of these pictures.
    """
    attached = calibration() if attached == b"" else attached
    # Only with this option does FFmpeg write raw video into Matroska, as V_MS/VFW/FOURCC; so does the recorder.
    with av.open(str(path), "w", options={"allow_raw_vfw": "1"}) as container:
        container.metadata.update(tags)
        color, depth = container.add_stream("mjpeg", rate=30), container.add_stream("rawvideo", rate=1000)
        color.pix_fmt, depth.pix_fmt = "yuvj422p", "gray16be"
        for name, stream in (("COLOR", color), ("DEPTH", depth)):
            stream.width, stream.height = WIDTH, HEIGHT
            stream.metadata.update({"title": name, f"K4A_{name}_TRACK": "1"})
        if attached is not None:
            attachment = container.add_attachment("calibration.json", "application/octet-stream", attached)
            attachment.metadata["K4A_CALIBRATION_FILE"] = "calibration.json"
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(color_of(number), format="rgb24")
            picture.pts = number
            container.mux(color.encode(picture))
            if number not in without:
                picture = av.VideoFrame.from_ndarray(depths(number), format="gray16be")
                picture.pts = round(number * 1000 / 30) + delay_ms
                container.mux(depth.encode(picture))
        container.mux(color.encode())
        container.mux(depth.encode())
    # What FFmpeg leaves out of the BITMAPINFOHEADER: which 16 bits a pixel they are.
    plain = struct.pack("<iiiHHI", 40, WIDTH, -HEIGHT, 1, 16, 0)
    whole = path.read_bytes()
    assert whole.count(plain) == 1
    path.write_bytes(whole.replace(plain, plain[:-4] + b"b16g"))
    return path


def test_a_recording_comes_back_bit_exact_in_depth_with_its_stamps(tmp_path):
    path = write(tmp_path / "a.mkv", creation_time="2020-08-31T15:20:37.000000Z", K4A_START_OFFSET_NS="5000")
    opened = camera("kinect", path)
    frames = play(opened)
    assert len(frames) == 5 and (opened.skipped, opened.unpaired) == (0, 0) and opened.recording
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.depth_m, depth_from_millimetres(depth_mm(number)), equal_nan=True)
        assert np.abs(frame.color.astype(int) - color_of(number)).max() <= 3
        assert frame.stamp_ns == CREATED_S * 10**9 + round(number * 1000 / 30) * 10**6
    lens = frames[0].intrinsics
    assert (lens.width, lens.height, lens.fx, lens.cx, lens.cy) == (WIDTH, HEIGHT, 256, 159.5, 143.5)
    assert opened.describe()["camera_depth"] == "registered"
    assert [frame.stamp_ns for frame in play(opened)] == [frame.stamp_ns for frame in frames]
    no_date = play(camera("kinect", write(tmp_path / "b.mkv", 1, K4A_START_OFFSET_NS="5000")))
    assert no_date[0].stamp_ns == 5000, "the device's clock"


def test_depth_comes_into_the_colour_camera_by_the_stored_pose(tmp_path):
    def wall(number):
        """2 m away; 1.5 m at the left."""
        codes = np.full((HEIGHT, WIDTH), 2000, np.uint16)
        codes[:, :100] = 1500
        return codes

    pose = IDENTITY | {"Translation": [-0.05, 0, 0.5]}
    (frame,) = play(camera("kinect", write(tmp_path / "a.mkv", 1, calibration(pose), wall)))
    near, far = frame.depth_m[150, 60], frame.depth_m[150, 250]
    assert near == pytest.approx(2.0) and far == pytest.approx(2.5), "half a metre ahead of the colour camera"
    # The edge's ray meets 1.5 m at x = (99.5 - cx) / fx * 1.5, which colour sees 5 cm further to the left, from 2 m.
    edge_px = 159.5 + 256 * ((99.5 - 159.5) / 256 * 1.5 - 0.05) / 2.0
    assert abs(np.flatnonzero(frame.depth_m[150] < 2.2).max() - edge_px) <= 1.5


def test_half_a_moment_is_no_frame_and_depth_may_be_taken_later(tmp_path):
    opened = camera("kinect", write(tmp_path / "a.mkv", without=(2,)))
    assert len(play(opened)) == 4 and opened.unpaired == 1
    path = write(tmp_path / "b.mkv", delay_ms=25, K4A_DEPTH_DELAY_NS="25000000")
    frames = play(camera("kinect", path))
    assert len(frames) == 5 and np.nanmax(frames[4].depth_m) == pytest.approx(depth_mm(4).max() / 1000)


@pytest.mark.parametrize(
    "attached, why",
    (
        (None, "no attachment calibration.json"),
        (b"no JSON", "layout is not known"),
        (b'{"CalibrationInformation": {"Cameras": []}}', "lacks a camera"),
        (calibration(IDENTITY | {"Rotation": [2, 0, 0, 0, 1, 0, 0, 0, 1]}), "is no pose"),
        (calibration(model="CALIBRATION_LensDistortionModelRational6KT"), "Rational6KT"),
    ),
)
def test_without_a_calibration_depth_is_left_out_and_camera_info_is_taken(tmp_path, caplog, attached, why):
    path, yaml = write(tmp_path / "a.mkv", 2, attached), tmp_path / "lens.yaml"
    with caplog.at_level(logging.WARNING):
        opened = camera("kinect", path)
        frames = play(opened)
    assert len(frames) == 2 and frames[0].depth_m is None and frames[0].intrinsics is None
    assert why in opened.describe()["camera_depth"] and why in caplog.text and "a.mkv" in caplog.text
    yaml.write_text(
        f"image_width: {WIDTH}\nimage_height: {HEIGHT}\ncamera_matrix: {{data: [90, 0, 160, 0, 90, 144, 0, 0, 1]}}\n"
    )
    opened = camera("kinect", path, camera_info=str(yaml))
    assert play(opened)[0].intrinsics.fx == 90 and "lens.yaml" in opened.describe()["camera_calibration"]


def test_what_is_no_recording_of_a_kinect_is_refused(video, tmp_path):
    with pytest.raises(CameraError, match="no colour track"):
        camera("kinect", video).open()
    with pytest.raises(CameraError, match="no recording"):
        camera("kinect", tmp_path / "absent.mkv").open()


@pytest.mark.parametrize(
    "size, sensor, cy, fy",
    (
        ((1280, 720), (4096, 3072), 0.6 * 960 - 120, 0.7 * 960),
        ((1920, 1080), (4096, 3072), 0.6 * 1440 - 180, 0.7 * 1440),
        ((2048, 1536), (4096, 3072), 0.6 * 1536, 0.7 * 1536),
        # of early devices, whose calibration is 16:9
        ((2048, 1536), (4096, 2304), 0.6 * 1152 + 192, 0.7 * 1152),
    ),
)
def test_lenses_follow_the_mode_and_coefficients_come_in_the_order_of_ros(size, sensor, cy, fy):
    distortion = (1, 2, 3, 4, 5, 6, 0, 0, 0.2, 0.1)
    cameras = [
        one_camera(DEPTH, (0.5, 0.5, 0.5, 0.5), (1024, 1024)),
        one_camera(COLOR, (0.55, 0.6, 0.65, 0.7), sensor, distortion=distortion),
    ]
    text = json.dumps({"CalibrationInformation": {"Cameras": cameras}}).encode()
    color, depth, _ = read_calibration(text, size, (640, 576))
    assert (color.cx, color.cy, color.fx, color.fy) == pytest.approx(
        (0.55 * size[0] - 0.5, cy - 0.5, 0.65 * size[0], fy)
    )
    assert color.distortion == (1, 2, 0.1, 0.2, 3, 4, 5, 6) and color.model == "rational_polynomial"
    assert (depth.width, depth.height, depth.fx, depth.cx, depth.cy) == (640, 576, 512, 319.5, 331.5)
    with pytest.raises(ValueError, match="100x100 are of no depth mode"):
        read_calibration(text, size, (100, 100))


def stand_in(captures):
    """A module with the names and signatures of pyk4a 1.5 that are used; captures: (color, depth) or an exception."""
    module = types.ModuleType("pyk4a")
    module.ImageFormat = IntEnum("ImageFormat", {"COLOR_BGRA32": 3})
    module.DepthMode = IntEnum("DepthMode", {"NFOV_UNBINNED": 2})
    module.ColorResolution = IntEnum("ColorResolution", {"RES_720P": 1, "RES_1080P": 2, "RES_1440P": 3, "RES_1536P": 4})
    module.FPS = IntEnum("FPS", {"FPS_5": 0, "FPS_15": 1, "FPS_30": 2})
    module.CalibrationType = IntEnum("CalibrationType", {"DEPTH": 0, "COLOR": 1})
    module.K4AException = type("K4AException", (Exception,), {})
    module.K4ATimeoutException = type("K4ATimeoutException", (module.K4AException,), {})
    module.connected_device_count = lambda: 1
    module.opened, module.stopped = [], []

    class Config:
        def __init__(
            self,
            color_resolution=1,
            color_format=3,
            depth_mode=2,
            camera_fps=2,
            synchronized_images_only=True,
            depth_delay_off_color_usec=0,
            wired_sync_mode=0,
            subordinate_delay_off_master_usec=0,
            disable_streaming_indicator=False,
        ):
            self.asked = color_resolution.name, camera_fps.name

    class Calibration:
        def get_camera_matrix(self, camera):
            assert camera == module.CalibrationType.COLOR
            return np.array([[600.0, 0, 639], [0, 601.0, 359], [0, 0, 1]])

        def get_distortion_coefficients(self, camera):
            return np.arange(8) / 100

        def get_extrinsic_parameters(self, source_camera, target_camera):
            assert (source_camera, target_camera) == (module.CalibrationType.DEPTH, module.CalibrationType.COLOR)
            return np.eye(3), np.array([[-0.032, 0.002, 0.004]])

    class PyK4A:
        def __init__(self, config=None, device_id=0, thread_safe=True):
            module.opened.append((config.asked, device_id))
            self.calibration = Calibration()

        def start(self):
            if isinstance(captures, Exception):
                raise module.K4AException()

        def stop(self):
            module.stopped.append(True)

        def get_capture(self, timeout=-1):
            if not captures:
                raise module.K4ATimeoutException()
            color, depth = captures.pop(0)
            at_ns = time.monotonic_ns() - 20_000_000
            return types.SimpleNamespace(color=color, transformed_depth=depth, color_system_timestamp_nsec=at_ns)

    module.Config, module.PyK4A = Config, PyK4A
    return module


def test_the_device_gives_colour_and_the_sdks_registered_depth(monkeypatch):
    color, depth = np.zeros((720, 1280, 4), np.uint8), np.full((720, 1280), 1500, np.uint16)
    color[..., 2], depth[0, 0] = 200, 0
    pyk4a = stand_in([(color, None), (color, depth)])
    monkeypatch.setitem(sys.modules, "pyk4a", pyk4a)
    opened = camera("kinect", "1", height=800, fps=20.0)
    assert not opened.recording
    with opened:
        frame = opened.read()
        assert frame.color[5, 5].tolist() == [200, 0, 0] and np.isnan(frame.depth_m[0, 0])
        assert frame.depth_m[5, 5] == pytest.approx(1.5) and opened.skipped == 1
        assert (frame.intrinsics.fx, frame.intrinsics.fy) == (600, 601) and frame.intrinsics.cx == 639
        assert frame.intrinsics.distortion == tuple(np.arange(8) / 100)
        # colour is right of depth, in a link whose y is left
        np.testing.assert_allclose(opened.placed[1].parent_from_child[:3, 3], [-0.004, -0.032, 0.002], atol=1e-9)
        assert 0 < time.time_ns() - frame.stamp_ns < 60_000_000_000
        with pytest.raises(CameraError, match="timed out; was it unplugged"):
            opened.read()
    assert pyk4a.opened == [(("RES_720P", "FPS_15"), 1)] and pyk4a.stopped


def test_a_device_that_is_not_there_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyk4a", None)
    with pytest.raises(CameraError, match="libk4a.*pip install pyk4a"):
        camera("kinect").open()
    monkeypatch.setitem(sys.modules, "pyk4a", stand_in(RuntimeError()))
    with pytest.raises(CameraError, match="Kinect 0 of 1 cannot be started.*power supply"):
        camera("kinect").open()
