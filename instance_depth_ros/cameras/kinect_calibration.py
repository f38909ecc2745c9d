"""The calibration that every Azure Kinect carries, and stores in its recordings as calibration.json.

Its layout is that of Microsoft's Azure Kinect Sensor SDK, which reads it in src/calibration/calibration.c:
CalibrationInformation.Cameras[], each with Purpose, SensorWidth, SensorHeight, Intrinsics (ModelType and
ModelParameters: cx, cy, fx, fy, k1 to k6, codx, cody, p2, p1; the first four divided by the size of the sensor's image,
measured from the corner of its first pixel) and Rt (Rotation, row by row; Translation, metres; from the device to the
camera). What each mode crops from that image is in its src/transformation/mode_specific_calibration.c.
"""

from __future__ import annotations

import json

import numpy as np

from ..geometry import Intrinsics

COLOR, DEPTH = "CALIBRATION_CameraPurposePhotoVideo", "CALIBRATION_CameraPurposeDepth"
MODEL = "CALIBRATION_LensDistortionModelBrownConrady"
# (width, height) of a depth image -> width of the whole square sensor at its scale, what is left out left and above
DEPTH_CROPS = {
    (320, 288): (512, 96, 90),
    (640, 576): (1024, 192, 180),
    (512, 512): (512, 0, 0),
    (1024, 1024): (1024, 0, 0),
}


def read_calibration(
    text: bytes, color_size: tuple[int, int], depth_size: tuple[int, int] | None
) -> tuple[Intrinsics, Intrinsics | None, np.ndarray]:
    """Lenses of colour and depth pictures of these (width, height), and color_from_depth (4, 4), metres.

    ValueError names what is not as it should be. Without depth_size the lens of depth is None.
    """
    try:
        # Some writers end the text as C does.
        cameras = json.loads(text.rstrip(b"\0"))["CalibrationInformation"]["Cameras"]
        color, depth = _of(cameras, COLOR), _of(cameras, DEPTH)
        width, height = color_size
        whole = width * color["SensorHeight"] / color["SensorWidth"]
        # Colour is as wide as its sensor, and cropped (or, of an old 16:9 calibration, extended) above as below.
        color_lens = _lens(color, color_size, (width, whole), (0, (whole - height) / 2))
        pose = _pose(color) @ np.linalg.inv(_pose(depth))
        if depth_size is None:
            return color_lens, None, pose
        if depth_size not in DEPTH_CROPS:
            raise ValueError(f"depth images of {depth_size[0]}x{depth_size[1]} are of no depth mode")
        whole, left, above = DEPTH_CROPS[depth_size]
        return color_lens, _lens(depth, depth_size, (whole, whole), (left, above)), pose
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"its layout is not known: {type(error).__name__} {error}") from None


def _of(cameras: list[dict], purpose: str) -> dict:
    for camera in cameras:
        if camera["Purpose"] == purpose:
            return camera
    raise ValueError(f"it lacks a camera of purpose {purpose}")


def _lens(camera: dict, size: tuple[int, int], whole: tuple[float, float], crop: tuple[float, float]) -> Intrinsics:
    """Of a picture of this size, cut out of the whole image of the sensor."""
    given = camera["Intrinsics"]
    if given["ModelType"] != MODEL or len(given["ModelParameters"]) < 14:
        count = len(given["ModelParameters"])
        raise ValueError(f"its lens model must be {MODEL} with 14 parameters, got {given['ModelType']} with {count}")
    cx, cy, fx, fy, k1, k2, k3, k4, k5, k6, _, _, p2, p1 = map(float, given["ModelParameters"][:14])
    lens = Intrinsics(
        width=size[0],
        height=size[1],
        fx=fx * whole[0],
        fy=fy * whole[1],
        cx=cx * whole[0] - crop[0] - 0.5,
        cy=cy * whole[1] - crop[1] - 0.5,
        model="rational_polynomial",
        distortion=(k1, k2, p1, p2, k3, k4, k5, k6),
    )
    lens.check((size[1], size[0]))
    return lens


def _pose(camera: dict) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = np.reshape(camera["Rt"]["Rotation"], (3, 3))
    pose[:3, 3] = camera["Rt"]["Translation"]
    if not np.isfinite(pose).all() or np.abs(pose[:3, :3] @ pose[:3, :3].T - np.eye(3)).max() > 1e-3:
        raise ValueError(f"Rt of {camera['Purpose']} is no pose: {camera['Rt']}")
    return pose
