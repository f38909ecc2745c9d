"""camera_info files: what they say becomes intrinsics, what is wrong in them is named, and which pictures they fit."""

from pathlib import Path

import pytest
from recordings import HEIGHT, WIDTH, camera, play

from instance_depth_ros.cameras import CameraError
from instance_depth_ros.cameras.calibration import fit, load_camera_info

VTEST_INFO = Path(__file__).parents[1] / "config" / "vtest_camera_info.yaml"
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
