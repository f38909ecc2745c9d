"""RealSense cameras and recordings through their SDK: what was recorded comes back bit by bit, nothing is made up."""

import threading
import time

import numpy as np
import pytest

pytest.importorskip("pyrealsense2", reason="needs pyrealsense2 and libusb-1.0-0", exc_type=ImportError)
from recordings import camera, play  # noqa: E402
from software_camera import FPS, HEIGHT, STEP_MS, WIDTH, SoftwareCamera, codes_of, color_of, full, rs, sdk_lens  # noqa: E402

from instance_depth_ros.cameras import CameraError, realsense, realsense_sdk  # noqa: E402
from instance_depth_ros.cameras.clock import DeviceClock  # noqa: E402
from instance_depth_ros.geometry import Intrinsics, depth_from_codes  # noqa: E402

STAMPS_NS = [round((1000 + STEP_MS * number) * 1e6) for number in range(100)]


def recorded(tmp_path, moments, **device):
    return SoftwareCamera(**device).record(tmp_path / "recording.db3", moments)


def test_a_recording_comes_back_bit_by_bit_with_its_stamps(tmp_path):
    opened = camera("realsense", recorded(tmp_path, full(20)))
    frames = play(opened)
    assert [frame.stamp_ns for frame in frames] == STAMPS_NS[:20]
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.color, color_of(number))
        assert np.array_equal(frame.depth_m, depth_from_codes(codes_of(number)), equal_nan=True)
        assert frame.intrinsics == Intrinsics(WIDTH, HEIGHT, 60.0, 60.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    assert opened.recording and opened.unpaired == 0
    told = opened.describe()
    assert told["camera_serial"] == "0042" and "hardware_clock" in told["camera_stamps"]


def test_half_a_frameset_is_no_frame_and_is_counted(tmp_path):
    moments = full(12)
    for number in (3, 4, 11):
        del moments[number]["codes"]
    del moments[7]["color"]
    opened = camera("realsense", recorded(tmp_path, moments))
    frames = play(opened)
    whole = [number for number in range(12) if number not in (3, 4, 7, 11)]
    assert [frame.stamp_ns for frame in frames] == [STAMPS_NS[number] for number in whole]
    for number, frame in zip(whole, frames, strict=True):
        assert np.array_equal(frame.color, color_of(number))
        assert np.array_equal(frame.depth_m, depth_from_codes(codes_of(number)), equal_nan=True)
    assert opened.unpaired == 3


def test_a_recording_whose_depth_never_belongs_to_its_colour_is_refused(tmp_path):
    moments = [
        {kind: pixels(0), "stamp_ms": stamp_ms + 500 * late}
        for stamp_ms in (1000.0, 2000.0, 3000.0)
        for late, (kind, pixels) in enumerate((("color", color_of), ("codes", codes_of)))
    ]
    with pytest.raises(CameraError, match="no colour picture in .*recording.db3 has depth of the same moment"):
        camera("realsense", recorded(tmp_path, moments)).open()


def test_a_recording_plays_again_ends_after_frames_and_stays_ended(tmp_path):
    path = recorded(tmp_path, full(5))
    opened = camera("realsense", path, loop=True, frames=12)
    stamps = [frame.stamp_ns for frame in play(opened)]
    assert stamps == [*STAMPS_NS[:5], *STAMPS_NS[:5], *STAMPS_NS[:2]]
    with camera("realsense", path) as once:
        assert [once.read() is None for _ in range(7)] == [False] * 5 + [True] * 2


@pytest.mark.parametrize("unit_m", (0.0001, 0.00025, 0.01))
def test_depth_units_are_respected(tmp_path, unit_m):
    (frame, *_) = play(camera("realsense", recorded(tmp_path, full(2), unit_m=unit_m)))
    codes = codes_of(0)
    assert np.array_equal(np.isnan(frame.depth_m), codes == 0)
    assert np.allclose(frame.depth_m[codes > 0], codes[codes > 0] * unit_m, rtol=1e-6)


def test_depth_of_another_place_is_registered(tmp_path):
    moment = {"color": color_of(0), "codes": np.full((HEIGHT, WIDTH), 1000, np.uint16)}
    moment["codes"][:, 32:] = 3000
    path = recorded(tmp_path, [moment] * 2, translation_m=(-0.1, 0.0, 0.0))
    depth_m = play(camera("realsense", path))[0].depth_m
    # 6 pixels at 1 m, 2 at 3 m: between them is what the depth camera has not seen
    assert (
        np.allclose(depth_m[:, :26], 1.0) and np.isnan(depth_m[:, 27:29]).all() and np.allclose(depth_m[:, 31:61], 3.0)
    )


def test_a_recording_with_blue_first_is_read(tmp_path):
    (frame,) = play(camera("realsense", recorded(tmp_path, full(1), form="bgr8")))
    assert np.array_equal(frame.color, color_of(0)[..., ::-1])


def test_a_calibration_goes_before_the_cameras_own(tmp_path):
    info = tmp_path / "camera.yaml"
    K = [30.0, 0, 15.5, 0, 30.0, 11.5, 0, 0, 1]
    matrix = {"image_width": WIDTH // 2, "image_height": HEIGHT // 2, "camera_matrix": {"data": K}}
    info.write_text(str(matrix))
    (frame,) = play(camera("realsense", recorded(tmp_path, full(1)), camera_info=str(info)))
    assert frame.intrinsics.fx == 60.0 and np.isfinite(frame.depth_m).any()


def test_steps_between_stamps_are_the_pace_and_a_jump_is_none(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(realsense.RealsenseRecording, "_wait", lambda self, step_s: waited.append(step_s))
    moments = full(6)
    for moment, stamp_ms in zip(moments, (1000.0, 1050.0, 1100.0, 9e6, 9e6 + 40, 500.0), strict=True):
        moment["stamp_ms"] = stamp_ms
    frames = play(camera("realsense", recorded(tmp_path, moments), rate="real"))
    assert [frame.stamp_ns for frame in frames] == [round(moment["stamp_ms"] * 1e6) for moment in moments]
    assert np.allclose(waited, [1 / FPS, 0.05, 0.05, 1 / FPS, 0.04, 1 / FPS])


def test_what_cannot_be_played_is_said(tmp_path):
    with pytest.raises(CameraError, match="there is no file .*absent.bag"):
        camera("realsense", tmp_path / "absent.bag").open()
    for name in ("noise.db3", "noise.bag"):
        (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(5000))
        with pytest.raises(CameraError, match=f"{name} cannot be played"):
            camera("realsense", tmp_path / name).open()


@pytest.mark.parametrize(
    "model, coeffs, told",
    (
        ("brown_conrady", (0.1, -0.05, 0.001, -0.002, 0.01), "plumb_bob"),
        ("inverse_brown_conrady", (-0.055, 0.064, 0.0003, -0.0005, -0.02), "plumb_bob"),
        ("none", (0.0,) * 5, "plumb_bob"),
        ("kannala_brandt4", (0.05, -0.01, 0.003, -0.001, 0.0), "equidistant"),
    ),
)
def test_a_lens_is_told_by_the_model_of_ros_that_it_has(model, coeffs, told):
    lens = realsense_sdk.lens_of(sdk_lens(60.0, model=model, coeffs=coeffs))
    assert lens.model == told and np.allclose(
        lens.distortion, [c for c in coeffs if any(coeffs)][: len(lens.distortion)]
    )


@pytest.mark.parametrize(
    "model, coeffs", (("ftheta", (0.9, 0.0, 0.0, 0.0, 0.0)), ("modified_brown_conrady", (0.4, 0.3, 0.05, 0.05, 0.0)))
)
def test_a_lens_that_no_model_of_ros_has_is_refused(model, coeffs):
    with pytest.raises(CameraError, match=f"distortion {model} .*camera_info"):
        realsense_sdk.lens_of(sdk_lens(40.0, model=model, coeffs=coeffs))


class Streaming:
    """Within `with`: a software camera shows moments at its pace. shown: how many until now."""

    def __init__(self, device: SoftwareCamera, **moment):
        self._device, self._moment, self._stop = device, moment, threading.Event()
        self._thread, self.shown = threading.Thread(target=self._run), 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(1 / FPS):
            number = next(self._device.numbers)
            self._device.show(number, **{"color": color_of(number), "codes": codes_of(number)} | self._moment)
            self.shown += 1


@pytest.fixture
def plugged(monkeypatch):
    """The devices that the SDK finds on this machine."""
    devices = []
    monkeypatch.setattr(realsense, "connected", lambda context: [device.device for device in devices])
    return devices


def test_a_camera_gives_the_newest_moment_and_counts_what_it_replaced(plugged):
    plugged.append(SoftwareCamera())
    with camera("realsense", serial="0042") as opened, Streaming(plugged[0]) as stream:
        first, before = opened.read(), stream.shown
        while stream.shown < before + 10:
            time.sleep(1 / FPS)
        opened.read()
        frame = opened.read()
        assert opened.overwritten >= 5
    numbers = [n for n in range(300) if np.array_equal(frame.color, color_of(n))]
    assert np.array_equal(frame.depth_m, depth_from_codes(codes_of(numbers[0])), equal_nan=True)
    assert abs(time.time_ns() - frame.stamp_ns) < 5e9 and frame.stamp_ns > first.stamp_ns
    assert opened.describe()["camera_stamps"] == "hardware_clock with a low-passed offset"
    assert not opened.recording


def test_global_time_is_taken_as_it_is(plugged):
    plugged.append(SoftwareCamera())
    with camera("realsense") as opened, Streaming(plugged[0], domain="global_time", stamp_ms=1.7e12):
        assert opened.read().stamp_ns == 1_700_000_000_000_000_000
        assert opened.describe()["camera_stamps"] == "global_time"


def test_a_devices_clock_is_brought_to_the_hosts_without_its_jitter_and_again_after_a_jump():
    clock, rng, step_ns = DeviceClock(), np.random.default_rng(0), 33_333_333
    late_ns = rng.integers(0, 8_000_000, 600)
    stamps = np.array([clock.host_ns(n * step_ns, 10**18 + n * step_ns + int(late_ns[n])) for n in range(600)])
    assert np.diff(stamps)[100:].std() < 0.1 * np.diff(late_ns).std()
    assert abs(stamps[-1] - 599 * step_ns - 10**18 - late_ns.mean()) < 2e6
    now_ns = 10**18 + 600 * step_ns
    assert clock.host_ns(5, now_ns) == now_ns, "the device began anew"


def test_the_moment_of_arrival_is_the_sdks_where_it_says_so(plugged):
    plugged.append(SoftwareCamera())
    plugged[0].rgb.set_metadata(rs.frame_metadata_value.time_of_arrival, 1_700_000_000_000)
    with camera("realsense") as opened, Streaming(plugged[0]):
        assert opened.read().stamp_ns == 1_700_000_000_000_000_000


@pytest.mark.parametrize("stalled", ("codes", "color"))
def test_a_stream_that_stalls_is_an_error_and_opened_again_it_goes_on(plugged, stalled):
    plugged.append(SoftwareCamera())
    opened = camera("realsense", timeout_s=1.0)
    for _ in range(2):
        with opened:
            with Streaming(plugged[0]):
                assert opened.read().depth_m is not None
            with Streaming(plugged[0], **{stalled: None}):
                with pytest.raises(CameraError, match="RealSense 0042 gave no picture with its depth for 1.0 s"):
                    while True:
                        opened.read()


def test_a_camera_that_is_unplugged_is_said_at_once(plugged, monkeypatch):
    plugged.append(SoftwareCamera())
    with camera("realsense", timeout_s=60.0) as opened:
        monkeypatch.setattr(rs.device, "is_connected", lambda self: False)
        with pytest.raises(CameraError, match="RealSense 0042 is gone"):
            opened.read()


def test_a_read_that_waits_can_be_interrupted(plugged):
    plugged.append(SoftwareCamera())
    with camera("realsense", timeout_s=60.0) as opened:
        threading.Timer(0.2, opened.interrupt).start()
        with pytest.raises(CameraError, match="being closed"):
            opened.read()


def test_without_a_camera_or_the_sdk_opening_says_what_is_missing(plugged, monkeypatch):
    with pytest.raises(CameraError, match="there is no RealSense; is it plugged in"):
        camera("realsense").open()
    plugged.append(SoftwareCamera())
    with pytest.raises(CameraError, match="no RealSense with serial 7; there is 0042"):
        camera("realsense", serial="7").open()
    monkeypatch.setitem(__import__("sys").modules, "pyrealsense2", None)
    with pytest.raises(CameraError, match="pip install pyrealsense2"):
        camera("realsense").open()


def test_exposure_and_laser_are_set_or_refused(plugged):
    device, option = SoftwareCamera(), rs.option
    device.add_option(device.rgb, option.enable_auto_exposure, 0, 1, 1, 1)
    device.add_option(device.rgb, option.exposure, 1, 10000, 1, 156)
    device.add_option(device.stereo, option.emitter_enabled, 0, 1, 1, 1)
    device.add_option(device.stereo, option.laser_power, 0, 360, 30, 150)
    plugged.append(device)

    def options():
        asked = ((device.rgb, option.enable_auto_exposure), (device.rgb, option.exposure))
        asked += (device.stereo, option.emitter_enabled), (device.stereo, option.laser_power)
        return [sensor.get_option(kind) for sensor, kind in asked]

    for settings, expected in (
        ({}, [1, 156, 1, 150]),
        ({"exposure_us": 5000, "laser_power_mw": 100.0}, [0, 50, 1, 90]),
        ({"laser_power_mw": 0.0}, [1, 50, 0, 90]),
    ):
        with camera("realsense", **settings):
            assert options() == expected
    with pytest.raises(CameraError, match="takes laser_power_mw from 0 to 360, got 500"):
        camera("realsense", laser_power_mw=500.0).open()
    with pytest.raises(CameraError, match="takes exposure_us from 100 to 1e.06, got 50"):
        camera("realsense", exposure_us=50).open()


def test_the_profile_nearest_to_what_is_asked_for_is_taken():
    class Profile:
        def __init__(self, kind, width, height, fps):
            self._of = {"stream_type": getattr(rs.stream, kind), "width": width, "height": height, "fps": fps}
            self._of["format"] = rs.format.rgb8 if kind == "color" else rs.format.z16

        def as_video_stream_profile(self):
            return self

        def __getattr__(self, name):
            return lambda: self._of[name]

    offered = [
        Profile(kind, w, h, f) for kind in ("color", "depth") for w, h in ((640, 480), (1280, 720)) for f in (15, 30)
    ]
    offered += [Profile("color", 1920, 1080, 30), Profile("depth", 848, 480, 60)]
    sensor = type("Sensor", (), {"get_stream_profiles": lambda self: offered})()
    device = type("Device", (), {"query_sensors": lambda self: [sensor]})()
    for asked, color, depth in (
        ((640, 480, 0), (640, 480, 30), (640, 480, 30)),
        ((1900, 1000, 60), (1920, 1080, 30), (1280, 720, 30)),
        ((640, 400, 10), (640, 480, 15), (640, 480, 15)),
    ):
        chosen = realsense_sdk.choose_profiles(device, *asked)
        assert [(p.width(), p.height(), p.fps()) for p in chosen] == [color, depth]
