"""Published datasets of single pictures: the Eigen splits of NYU Depth v2 and KITTI, as judged by BTS."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from ..geometry import Intrinsics
from .published_clip import Pictures, Protocol, Shot, read_color, read_depth, there

# They have nothing to do with each other and lie this far apart in time: the estimator's memory ends between them.
APART_NS = 10_000 * 10**9
# Of longer clips not every frame is judged.
A_CLIP = 500
# Of the colour camera, by the dataset's toolbox; the labeled pictures have no distortion left.
NYU_LENS = Intrinsics(640, 480, 518.857901, 519.469611, 325.582449, 253.736166)


def nyu(folder: Path, protocol: Protocol) -> list[Pictures]:
    """nyu_depth_v2_labeled.mat and splits.mat, as on the dataset's page: the 654 test pictures, raw depth."""
    try:
        import h5py
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(f"nyu: needs h5py and scipy ({error}): pip install 'instance_depth_ros[datasets]'") from None
    labeled = there(folder / "nyu_depth_v2_labeled.mat")
    numbers = loadmat(there(folder / "splits.mat"))["testNdxs"].ravel().tolist()

    def read(number: int, name: str) -> np.ndarray:
        with h5py.File(labeled) as file:
            # MATLAB counts from 1, and the columns of a picture come first in its files
            return np.ascontiguousarray(file[name][number - 1].T)

    shots = [Shot(number, number, place * APART_NS) for place, number in enumerate(numbers)]
    return _stills("test", protocol, NYU_LENS, shots, partial(read, name="images"), partial(read, name="rawDepths"))


def kitti(folder: Path, protocol: Protocol) -> list[Pictures]:
    """The raw data's folders of dates, data_depth_annotated/{train,val}, and the list eigen_test_files_with_gt.txt.

    A folder of a date has calib_cam_to_cam.txt. The list has a line a picture: its path in the raw data, that of its
    depth in the annotated data or None, a focal length.
    """
    rows = [line.split() for line in there(folder / "eigen_test_files_with_gt.txt").read_text().splitlines()]
    rows = sorted((row for row in rows if len(row) > 1 and row[1] != "None"), key=_date)
    annotated = [folder / "data_depth_annotated" / "train", folder / "data_depth_annotated" / "val"]
    clips = []
    for date, of_date in groupby(rows, _date):
        shots = []
        for place, (color, depth, *_) in enumerate(of_date):
            found = [path / depth for path in annotated if (path / depth).is_file()] or [annotated[1] / depth]
            shots.append(Shot(folder / color, found[0], place * APART_NS))
        lens = _kitti_lens(folder / date / "calib_cam_to_cam.txt", shots[0].color)
        clips += _stills(date, protocol, lens, shots, read_color, partial(read_depth, unit_m=1 / 256))
    return clips


def _date(row: list[str]) -> str:
    return row[0].split("/")[0]


def _kitti_lens(calibration: Path, picture: Path) -> Intrinsics:
    rows = (line.split() for line in there(calibration).read_text().splitlines())
    projections = [row[1:] for row in rows if row[:1] == ["P_rect_02:"] and len(row) == 13]
    if not projections:
        raise ValueError(f"{calibration} has no P_rect_02 of 12 numbers; take that of the raw data's calibration files")
    fx, _, cx, _, _, fy, cy, *_ = map(float, projections[0])
    height, width = read_color(picture).shape[:2]
    return Intrinsics(width, height, fx, fy, cx, cy)


def _stills(name: str, protocol: Protocol, lens: Intrinsics, shots: list[Shot], color, depth_m) -> list[Pictures]:
    """Pictures of no video as clips of nearly equal length."""
    parts = np.array_split(np.arange(len(shots)), -(-len(shots) // A_CLIP))
    return [
        Pictures(f"{name}-{number}", protocol, lens, [shots[i] for i in part], color, depth_m)
        for number, part in enumerate(parts, 1)
    ]
