"""Pictures, depth, lenses and clouds on the wire and back."""

from array import array

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from ros_graph import depth_from_compressed  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, PointCloud2  # noqa: E402

from instance_depth_ros import geometry  # noqa: E402
from instance_depth_ros.geometry import Intrinsics  # noqa: E402
from instance_depth_ros.nodes import messages  # noqa: E402
from instance_depth_ros.nodes.pairing import stamp_ns  # noqa: E402

RGB = np.random.default_rng(5).integers(0, 256, (6, 5, 3), np.uint8)
GREY = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)
IN = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "rgba8": np.dstack([RGB, np.full(RGB.shape[:2], 9, np.uint8)]),
    "bgra8": np.dstack([RGB[..., ::-1], np.full(RGB.shape[:2], 9, np.uint8)]),
    "mono8": GREY,
    "mono16": GREY.astype(np.uint16) * 256 + 3,
}
STAMPED = messages.header(12_000_000_345, "lens")


def packed(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> Image:
    """An Image with padded rows, in either byte order."""
    values = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = values.view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    message = Image(height=pixels.shape[0], width=pixels.shape[1], step=rows.shape[1], encoding=encoding)
    message.is_bigendian, message.data = int(big_endian), array("B", rows.tobytes())
    return message


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 7, 16])
@pytest.mark.parametrize("encoding", IN)
def test_color_of_every_encoding_step_and_byte_order(encoding, padding, big_endian):
    color = messages.color_from_image(packed(IN[encoding], encoding, padding, big_endian))
    assert color.dtype == np.uint8
    np.testing.assert_array_equal(color, RGB if color.shape and "mono" not in encoding else np.dstack([GREY] * 3))


def test_rgb_and_aligned_float_depth_are_not_copied():
    message = packed(RGB, "rgb8", padding=4)
    assert np.shares_memory(messages.color_from_image(message), np.frombuffer(message.data, np.uint8))
    message = packed(np.ones((4, 6), np.float32), "32FC1")
    assert np.shares_memory(messages.depth_from_image(message), np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize("big_endian", [False, True])
def test_depth_in_millimetres_and_metres(big_endian):
    depth_mm = np.array([[0, 1500, 65535], [1, 2, 3]], np.uint16)
    depth_m = messages.depth_from_image(packed(depth_mm, "16UC1", 5, big_endian))
    assert np.isnan(depth_m[0, 0]) and depth_m[0, 1] == pytest.approx(1.5)
    floats = np.array([[1.5, np.nan, 80.0]], np.float32)
    read = messages.depth_from_image(packed(floats, "32FC1", 4, big_endian))
    np.testing.assert_array_equal(read, floats)
    assert read.dtype == np.dtype(np.float32) and read.dtype.isnative
    with pytest.raises(ValueError, match="16UC1"):
        messages.depth_from_image(packed(RGB, "rgb8"))


def test_too_few_bytes_are_an_error_not_a_crash():
    message = packed(RGB, "rgb8")
    message.data = message.data[:-1]
    with pytest.raises(ValueError, match="89 bytes"):
        messages.color_from_image(message)
    message = packed(RGB, "rgb8")
    message.step = 3
    with pytest.raises(ValueError, match="step 3"):
        messages.color_from_image(message)
    # The last row may end without its padding, as some drivers send it.
    message = packed(RGB, "rgb8", padding=4)
    message.data = message.data[:-4]
    np.testing.assert_array_equal(messages.color_from_image(message), RGB)


def test_a_message_is_filled_in_place_while_the_size_stays():
    message = messages.fill_image(Image(), RGB, STAMPED)
    address = message.data.buffer_info()
    messages.fill_image(message, RGB[::-1], STAMPED)
    assert message.data.buffer_info() == address
    np.testing.assert_array_equal(messages.color_from_image(message), RGB[::-1])
    messages.fill_image(message, GREY.astype(np.float32)[:, 1:], STAMPED)
    assert (message.encoding, message.step, len(message.data)) == ("32FC1", 16, 96)
    assert stamp_ns(message) == 12_000_000_345


@pytest.mark.parametrize(
    "lens",
    [
        Intrinsics(5, 6, 100.0, 101.0, 2.0, 3.0),
        Intrinsics(5, 6, 100.0, 101.0, 2.0, 3.0, "plumb_bob", (0.1, -0.2, 0.01, 0.02, 0.3)),
        Intrinsics(5, 6, 100.0, 101.0, 2.0, 3.0, "rational_polynomial", (0.1, -0.2, 0.01, 0.02, 0.3, 0.1, 0.2, 0.3)),
        Intrinsics(5, 6, 100.0, 101.0, 2.0, 3.0, "equidistant", (0.1, -0.2, 0.01, 0.02)),
    ],
)
def test_lenses_survive_the_wire(lens):
    read = messages.intrinsics_from_info(messages.info_from_intrinsics(lens, STAMPED))
    read.check((6, 5))
    np.testing.assert_allclose(geometry.rays(read), geometry.rays(lens), atol=1e-6)


def test_an_uncalibrated_camera_info_is_caught_where_frame_and_lens_meet():
    with pytest.raises(ValueError, match="fx"):
        messages.intrinsics_from_info(CameraInfo(width=5, height=6)).check((6, 5))


def test_cloud_has_the_fields_that_rviz_and_pcl_read():
    depth_m = np.full((6, 5), 2.0, np.float32)
    points = geometry.cloud(depth_m, Intrinsics(5, 6, 100.0, 100.0, 2.0, 3.0), RGB, stride=1)
    message = messages.fill_cloud(PointCloud2(), points, STAMPED)
    assert [(f.name, f.offset, f.datatype, f.count) for f in message.fields] == [
        ("x", 0, 7, 1),
        ("y", 4, 7, 1),
        ("z", 8, 7, 1),
        ("rgb", 12, 7, 1),
        ("instance_id", 16, 6, 1),
    ]
    assert len(message.data) == message.row_step * message.height == 6 * 5 * message.point_step
    np.testing.assert_array_equal(np.frombuffer(message.data, geometry.POINT).reshape(6, 5), points)


def test_compressed_depth_has_the_transport_header_then_a_png():
    depth_m = np.array([[np.nan, 1.234], [70.0, 0.5]], np.float32)
    message = messages.compressed_depth(depth_m, STAMPED)
    assert message.format == "16UC1; compressedDepth png"
    assert bytes(message.data[12:20]) == b"\x89PNG\r\n\x1a\n"
    np.testing.assert_allclose(depth_from_compressed(message), [[np.nan, 1.234], [np.nan, 0.5]], atol=1e-6)


def test_jpeg_keeps_red_red():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 250
    color = messages.color_from_compressed(messages.jpeg(red, STAMPED))
    np.testing.assert_allclose(color[16, 16].astype(int), [250, 0, 0], atol=6)


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 2, 3.0, np.pi])
def test_pose_turns_and_moves_points_as_the_matrix_does(angle):
    axis = np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1.0, -2.0, 0.5])
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3], world_from_camera[:3, 3] = cv2.Rodrigues(axis * angle)[0], (1, 2, 3)
    message = messages.pose(world_from_camera, STAMPED).pose
    q = message.orientation
    vector, v = np.array([q.x, q.y, q.z]), np.array([0.3, -0.7, 2.0])
    turned = v + 2 * np.cross(vector, np.cross(vector, v) + q.w * v)
    np.testing.assert_allclose(turned, world_from_camera[:3, :3] @ v, atol=1e-6)
    assert (message.position.x, message.position.y, message.position.z) == (1, 2, 3)
