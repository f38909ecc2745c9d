"""Images compressed and back as serialised bytes: what ROS writes and reads, and nothing lost where it is promised."""

import cv2
import numpy as np
import pytest
from bags import STORE, depth_mm, image, stamp
from recordings import numbered

from instance_depth_ros.image_encodings import depth_from_compressed
from instance_depth_ros.recording import cdr
from instance_depth_ros.recording.encoding import decompressed, encoder

FRAME = "an_odd_length"


def serialised(message) -> bytes:
    return bytes(STORE.serialize_cdr(message, message.__msgtype__))


@pytest.mark.parametrize("frame", ("", "x", "xy", "xyz", "optical"))
@pytest.mark.parametrize("encoding", ("rgb8", "mono8", "16UC1", "32FC1"))
def test_an_image_is_written_byte_for_byte_as_ros_serialises_it(frame, encoding):
    pixels = {"rgb8": numbered(3), "mono8": numbered(3)[..., 0], "16UC1": depth_mm(1)}.get(
        encoding, np.eye(5, 7, dtype="f4")
    )
    data = serialised(image(pixels, stamp(2), encoding, frame))
    assert cdr.write_image(stamp(2), frame, encoding, pixels) == data
    read = cdr.read_image(data)
    assert (read.stamp_ns, read.frame_id, read.encoding) == (stamp(2), frame, encoding)
    assert (read.height, read.width, bytes(read.data)) == (*pixels.shape[:2], pixels.tobytes())
    for length in (0, 3, 20, len(data) - 1):
        with pytest.raises(ValueError, match="cut off"):
            cdr.read_image(data[:length])


def test_depth_goes_through_compressed_depth_without_loss_and_as_ros_reads_it():
    codes = depth_mm(3)
    codes[20:30] = np.random.default_rng(0).integers(0, 2**16, (10, codes.shape[1]))
    data = serialised(image(codes, stamp(1), "16UC1", FRAME))
    suffix, kind, encode = encoder(data, "raw")
    code = encode(data)
    assert (suffix, kind) == ("/compressedDepth", "sensor_msgs/msg/CompressedImage") and len(code) < len(data)
    message = STORE.deserialize_cdr(code, kind)
    assert message.format == "16UC1; compressedDepth png" and message.header.frame_id == FRAME
    metres = depth_from_compressed(message)
    assert np.array_equal(np.nan_to_num(metres * 1000).round(), codes) and np.isnan(metres[codes == 0]).all()
    assert decompressed(code) == data


@pytest.mark.parametrize("encoding", ("rgb8", "bgr8", "mono8"))
def test_colour_is_exact_as_png_and_close_as_jpeg(encoding):
    pixels = numbered(4) if encoding != "mono8" else numbered(4)[..., 0]
    data = serialised(image(pixels, stamp(1), encoding, FRAME))
    suffix, kind, encode = encoder(data, "png")
    assert suffix == "/compressed" and decompressed(encode(data)) == data
    code = encoder(data, "jpeg")[2](data)
    message, back = STORE.deserialize_cdr(code, kind), cdr.read_image(decompressed(code))
    assert message.format.startswith(f"{encoding}; jpeg compressed") and back.encoding == encoding
    got = np.frombuffer(back.data, np.uint8).reshape(pixels.shape).astype(int)
    assert np.abs(got - pixels).mean() < 2
    # any reader of JPEG sees the colours as they are
    seen = cv2.imdecode(message.data, cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    expected = pixels[..., ::-1] if encoding == "bgr8" else pixels if encoding == "rgb8" else pixels[..., None]
    assert np.abs(seen - expected).mean() < 2


def test_what_would_be_lost_stays_an_image():
    floats = serialised(image(np.ones((4, 4), np.float32), 0, "32FC1"))
    assert encoder(floats, "png") is None
    assert encoder(serialised(image(numbered(1), 0)), "raw") is None
    assert encoder(serialised(image(np.zeros((4, 4, 4), np.uint8), 0, "bgra8")), "jpeg") is None
    depth = serialised(image(depth_mm(0), 0, "16UC1"))
    with pytest.raises(ValueError, match="compressedDepth keeps 16UC1, mono16, got '32FC1'"):
        encoder(depth, "raw")[2](floats)
    with pytest.raises(ValueError, match="cannot be decoded"):
        decompressed(cdr.write_compressed(0, "", "rgb8; jpeg compressed bgr8", b"\xff\xd8 no more"))
