"""Published datasets, from miniatures of their published layouts, and the tables that our figures stand in."""

import json
import re
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from instance_depth_ros.datasets.clips import take
from instance_depth_ros.datasets.published import open_published
from instance_depth_ros.datasets.published_clip import Protocol
from instance_depth_ros.datasets.sequence import SequenceWriter, camera_json
from instance_depth_ros.evaluation import published
from instance_depth_ros.evaluation.metrics import MetricMean
from instance_depth_ros.geometry import Intrinsics

POSE = np.array([[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], np.float64)


def write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def color(size, red):
    """OpenCV's order: the red comes last."""
    return np.full((*size, 3), (0, 100, red), np.uint8)


def test_nyu_is_its_test_pictures_with_raw_depth_in_eigens_crop(tmp_path):
    h5py, io = pytest.importorskip("h5py"), pytest.importorskip("scipy.io")
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        # MATLAB's H x W x 3 x N is N x 3 x W x H here
        images = np.zeros((4, 3, 640, 480), np.uint8)
        images[:, 0] = np.array([10, 20, 30, 40])[:, None, None]
        images[2, 1, 639, 0] = 99  # green of the top right corner
        depths = np.full((4, 640, 480), 3, np.float32)
        depths[2, 100:200, 50:60], depths[2, 600, 471 - 1] = 12, 5
        depths[2, 300, 46], depths[2, 41, 45] = 0, 4
        file["images"], file["rawDepths"], file["depths"] = images, depths, np.ones_like(depths)
    io.savemat(tmp_path / "splits.mat", {"testNdxs": [[3], [4]], "trainNdxs": [[1], [2]]})
    (clip,), protocol = open_published("nyu", tmp_path)
    assert (len(clip), protocol.each, protocol.limits_m) == (2, "frame", (1e-3, 10.0))
    seen = clip.read(0, ("color", "truth_m"))
    assert seen["color"].shape == (480, 640, 3)
    assert seen["color"][240, 320].tolist() == [30, 0, 0] and seen["color"][0, 639].tolist() == [30, 99, 0]
    truth_m = seen["truth_m"]
    assert truth_m[45, 41] == 4 and truth_m[470, 600] == 5 and truth_m[46, 301] == 3
    assert np.isnan([truth_m[44, 300], truth_m[471, 300], truth_m[100, 40], truth_m[100, 601]]).all(), "crop"
    assert np.isnan([truth_m[46, 300], truth_m[55, 150]]).all(), "unknown, or beyond 10 m"
    assert np.isfinite(truth_m).sum() == 426 * 560 - 1 - 100 * 10
    item = take(clip, range(2), ("color", "truth_m"))
    assert item["color"][1, 0, 0, 0] == 40 and np.diff(item["stamps_s"]) > 3600, "stills share no memory"
    assert clip.intrinsics.focal_px == pytest.approx(519.16, abs=0.01)


CALIBRATION = """calib_time: 09-Jan-2012 13:57:47
P_rect_00: 1 0 0 0 0 1 0 0 0 0 1 0
P_rect_02: 7.2e+01 0.0 6.0e+01 4.4 0.0 7.1e+01 1.7e+01 0.2 0.0 0.0 1.0 0.002
"""


def kitti(folder, sizes):
    lines = []
    for number, (date, size) in enumerate(sizes):
        drive = f"{date}_drive_000{number}_sync"
        split = "train" if number % 2 else "val"
        depth = np.full(size, 256 * (number + 2), np.uint16)
        depth[-2] = 0
        write(folder / date / drive / "image_02/data/0000000005.png", color(size, number))
        write(folder / "data_depth_annotated" / split / drive / "proj_depth/groundtruth/image_02/0000000005.png", depth)
        (folder / date / "calib_cam_to_cam.txt").write_text(CALIBRATION)
        paths = (
            f"{date}/{drive}/image_02/data/0000000005.png",
            f"{drive}/proj_depth/groundtruth/image_02/0000000005.png",
        )
        lines.append(" ".join((*paths, "721.5")))
    lines.insert(1, f"{sizes[0][0]}/x/image_02/data/1.png None 721.5")
    (folder / "eigen_test_files_with_gt.txt").write_text("\n".join(lines) + "\n")


def test_kitti_is_the_pictures_of_the_list_in_gargs_crop(tmp_path):
    size = (37, 124)
    kitti(tmp_path, [("2011_09_26", size), ("2011_09_28", (38, 122)), ("2011_09_26", size)])
    clips, protocol = open_published("kitti", tmp_path)
    assert [(clip.about["name"], len(clip)) for clip in clips] == [("2011_09_26-1", 2), ("2011_09_28-1", 1)]
    assert protocol.limits_m[1] == 80
    lens = clips[0].intrinsics
    assert (lens.width, lens.height, lens.fx, lens.fy, lens.cx, lens.cy) == (124, 37, 72, 71, 60, 17)
    assert clips[1].intrinsics.width == 122
    truths_m = [clip.read(index)["truth_m"] for clip in clips for index in range(len(clip))]
    assert [np.nanmax(truth_m) for truth_m in truths_m] == [2, 4, 3]
    row, column = np.nonzero(np.isfinite(truths_m[0]))
    # 0.40810811 x 37 = 15.1, 0.99189189 x 37 = 36.7, 0.03594771 x 124 = 4.5, 0.96405229 x 124 = 119.5
    assert (row.min(), row.max(), column.min(), column.max()) == (15, 34, 4, 118)
    assert clips[0].read(1, ("color",))["color"][0, 0].tolist() == [2, 100, 0]


def test_bonn_pairs_pictures_by_their_stamps(tmp_path):
    place, size = tmp_path / "rgbd_bonn_balloon", (480, 640)
    for stamp in ("1548266469.88633", "1548266469.91994", "1548266470.5"):
        write(place / "rgb" / f"{stamp}.png", color(size, 7))
    for stamp, depth_m in (("1548266469.88633", 9), ("1548266469.89", 1), ("1548266469.93", 11)):
        write(place / "depth" / f"{stamp}.png", np.full(size, 5000 * depth_m, np.uint16))
    (tmp_path / "rgbd_bonn_groundtruth").mkdir()
    (clip,), protocol = open_published("bonn", tmp_path)
    assert (clip.about["name"], len(clip), protocol.each) == ("rgbd_bonn_balloon", 3, "clip")
    first, second, last = (clip.read(index) for index in range(3))
    assert (first["truth_m"] == 9).all()
    assert np.isnan(second["truth_m"]).all(), "beyond 10 m"
    assert np.isnan(last["truth_m"]).all(), "no depth within 20 ms"
    assert second["stamp_ns"] == pytest.approx(1548266469919940000, abs=1000)
    assert first["world_from_camera"] is None and clip.layers == ("color", "truth_m")


def scannet(folder):
    place, size = folder / "scene0000_00", (60, 80)
    for number in (10, 2, 100):
        write(place / "color" / f"{number}.jpg", color((120, 160), number))
        write(place / "depth" / f"{number}.png", np.full(size, 1000 + number, np.uint16))
        (place / "pose").mkdir(exist_ok=True)
        pose = POSE if number != 100 else np.full((4, 4), -np.inf)
        np.savetxt(place / "pose" / f"{number}.txt", pose)
    (place / "intrinsic").mkdir()
    np.savetxt(
        place / "intrinsic" / "intrinsic_depth.txt", [[70, 0, 39, 0], [0, 71, 29, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )


def test_scannet_is_in_the_order_of_numbers_and_static(tmp_path):
    scannet(tmp_path)
    (clip,), _ = open_published("scannet", tmp_path)
    shots = [clip.read(index, clip.layers) for index in range(3)]
    assert [np.nanmax(shot["truth_m"]) for shot in shots] == pytest.approx([1.002, 1.01, 1.1])
    assert [shot["stamp_ns"] for shot in shots] == [66666666, 333333333, 3333333333]
    assert shots[0]["color"].shape == (60, 80, 3) and abs(int(shots[1]["color"][5, 5, 0]) - 10) < 4
    assert shots[0]["static"].all() and np.array_equal(shots[0]["world_from_camera"], POSE)
    assert shots[2]["world_from_camera"] is None, "tracking was lost"
    row, column = np.nonzero(np.isfinite(shots[0]["truth_m"]))
    assert (row.min(), row.max(), column.min(), column.max()) == (8, 51, 11, 68)
    assert clip.intrinsics.K.tolist() == [[70, 0, 39], [0, 71, 29], [0, 0, 1]]


def sintel(folder):
    for index, depth_m in ((1, 5.5), (2, 80.0)):
        name = f"frame_000{index}"
        write(folder / "training/clean/alley_1" / f"{name}.png", color((4, 6), index))
        for kind in ("depth", "camdata_left"):
            (folder / "training" / kind / "alley_1").mkdir(parents=True, exist_ok=True)
        depth = np.full((4, 6), 2, "<f4")
        depth[1, 5] = depth_m
        head = struct.pack("<fii", 202021.25, 6, 4)
        (folder / "training/depth/alley_1" / f"{name}.dpt").write_bytes(head + depth.tobytes())
        K = np.array([[100, 0, 3], [0, 110, 2], [0, 0, 1]], "<f8")
        camera = struct.pack("<f", 202021.25) + K.tobytes() + np.linalg.inv(POSE)[:3].astype("<f8").tobytes()
        (folder / "training/camdata_left/alley_1" / f"{name}.cam").write_bytes(camera)


def test_sintel_has_its_depth_its_lens_and_its_poses(tmp_path):
    sintel(tmp_path)
    (clip,), protocol = open_published("sintel", tmp_path)
    assert (clip.about["name"], protocol.limits_m[1]) == ("alley_1", 70)
    first, second = clip.read(0), clip.read(1)
    assert first["truth_m"][1, 5] == 5.5 and np.isfinite(first["truth_m"]).all()
    assert np.argwhere(np.isnan(second["truth_m"])).tolist() == [[1, 5]], "beyond 70 m"
    np.testing.assert_allclose(second["world_from_camera"], POSE, atol=1e-12)
    assert (clip.intrinsics.width, clip.intrinsics.fx, clip.intrinsics.cy) == (6, 100, 2)
    assert second["stamp_ns"] == 41666666
    assert first["color"][0, 0].tolist() == [1, 100, 0]
    broken = tmp_path / "training/depth/alley_1/frame_0001.dpt"
    broken.write_bytes(broken.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"frame_0001\.dpt is no \.dpt file"):
        clip.read(0)


def test_gid_is_a_folder_of_sequences(tmp_path):
    lens = Intrinsics.from_fov(8, 6, 60)
    about = {"name": "one", "frames": 1}
    with SequenceWriter(tmp_path / "one", about, camera_json(lens, 1e-3, "sensor")) as writer:
        depth_m = np.repeat(np.float32([2, 12]), 3)[:, None] * np.ones(8, np.float32)
        writer.add({"stamp_ns": 0, "instances": [], "color": np.zeros((6, 8, 3), np.uint8), "depth_m": depth_m})
    (clip,), protocol = open_published("gid", tmp_path)
    seen = clip.read(0, ("color", "depth_m"))
    assert (clip.about["name"], protocol.limits_m) == ("one", (0.01, 10.0))
    assert (seen["depth_m"][:3] == 2).all() and np.isnan(seen["depth_m"][3:]).all(), "GID ends at 10 m"
    assert seen["color"].shape == (6, 8, 3)


@pytest.mark.parametrize(
    "name, lack",
    [
        ("nyu", "nyu_depth_v2_labeled.mat"),
        ("kitti", "eigen_test_files_with_gt.txt"),
        ("bonn", "no clip of bonn"),
        ("scannet", "no clip of scannet"),
        ("sintel", "clean"),
        ("gid", "no sequences"),
    ],
)
def test_what_a_folder_lacks_is_named(name, lack, tmp_path):
    with pytest.raises(FileNotFoundError, match=lack):
        open_published(name, tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        open_published(name, tmp_path / "nowhere")


def test_missing_and_strange_files_are_named(tmp_path):
    kitti(tmp_path, [("2011_09_26", (37, 124))] * 2)
    (clip,), _ = open_published("kitti", tmp_path)
    with pytest.raises(IndexError, match="asked for number 2"):
        clip.read(2)
    with pytest.raises(ValueError, match="no layer 'ids'; it has color, truth_m"):
        clip.read(0, ("ids",))
    picture = next(tmp_path.glob("2011_09_26/*0000_sync/image_02/data/*.png"))
    write(picture, color((37, 120), 0))
    with pytest.raises(ValueError, match="is 120x37, the lens is of 124x37"):
        clip.read(0)
    picture.unlink()
    with pytest.raises(FileNotFoundError, match="0000000005.png is missing"):
        clip.read(0)
    (tmp_path / "2011_09_26" / "calib_cam_to_cam.txt").write_text("P_rect_00: 1 2 3\n")
    with pytest.raises(ValueError, match="no P_rect_02"):
        open_published("kitti", tmp_path)
    with pytest.raises(ValueError, match="no dataset 'make3d'; there are gid, nyu"):
        open_published("make3d", tmp_path)


def scores(*clips):
    mean = MetricMean()
    for clip, prediction_m in clips:
        mean.add(clip, np.full((2, 2), prediction_m, np.float32), np.full((2, 2), 4, np.float32))
    return mean.by_clip()


def test_stills_count_alike_and_so_do_clips():
    by_clip = scores(("a", 5.0), ("a", 5.0), ("a", 5.0), ("b", 4.0))
    stills, videos = Protocol("nyu", (1e-3, 10), "frame"), Protocol("bonn", (1e-3, 10), "clip")
    assert published.figures(by_clip, stills)["rel"] == pytest.approx(0.25 * 3 / 4)
    assert published.figures(by_clip, videos)["rel"] == pytest.approx(0.25 / 2)


def test_our_row_stands_below_the_papers():
    for name, metrics in (("gid", "RMS REL RMSlog log10 sigma1"), ("nyu", "REL RMS sigma1 sigma2")):
        protocol = Protocol(name, (1e-3, 10), "frame")
        lines = published.table(published.figures(scores(("a", 5.0)), protocol), protocol, "tiny.safetensors").split(
            "\n"
        )
        assert lines[1].split() == metrics.split() and len(lines) == 11
        assert re.match(r"InstanceDepth +0\.\d", lines[-2])
        row = dict(zip(lines[1].split(), lines[-1].split()[1:], strict=True))
        assert (row["REL"], row["RMS"]) == ("0.250", "1.000") and lines[-1].startswith("tiny.safetensors ")
        assert len({len(line) for line in lines[1:]}) == 1, "columns stand below each other"
    assert "no figures" in published.table(published.figures(scores(("a", 5.0)), Protocol("x", (0, 1), "clip")),
                                           Protocol("x", (0, 1), "clip"), "t")  # fmt: skip


class Relative:
    """Gives disparity that is off by a scale and a shift of its own for each picture, or one for all."""

    def __init__(self, footage, shift):
        self.settings = SimpleNamespace(frames=0, weights="here/vda.safetensors")
        self.truths_m, self.shift = [footage.read(index)["truth_m"] for index in range(len(footage))], shift

    def step(self, frame, state):
        index = state or 0
        disparity = 3 / self.truths_m[index] + 0.5 + self.shift * index
        return SimpleNamespace(disparity=np.nan_to_num(disparity, nan=0.7).astype(np.float32)), index + 1


def test_relative_disparity_is_aligned_once_a_video_and_once_a_still(tmp_path):
    scannet(tmp_path)
    kitti(tmp_path, [("2011_09_26", (37, 124))] * 3)
    for name, shift, fits in (("kitti", 0.4, True), ("scannet", 0.0, True), ("scannet", 0.4, False)):
        clips, protocol = open_published(name, tmp_path)
        mean = published.aligned(Relative(clips[0], shift), clips, protocol)
        rel = published.figures(mean.by_clip(), protocol)["rel"]
        assert (rel < 1e-3) == fits, (name, shift, rel)
        assert mean.result()["all"]["frames"] == 3


def test_relative_weights_are_judged_where_there_is_a_protocol(tmp_path, capsys):
    scannet(tmp_path)
    clips, protocol = open_published("scannet", tmp_path)
    estimator = Relative(clips[0], 0.0)
    assert published.judge_relative(estimator, clips, protocol, tmp_path / "out") == 0
    result = json.loads((tmp_path / "out" / "scannet.json").read_text())
    assert result["published"]["rel"] == result["all"]["rel"] < 1e-3 and result["alignment"] == "clip"
    assert re.search(r"vda, aligned +0\.000", capsys.readouterr().out)
    with pytest.raises(ValueError, match="relative disparity.*take metric weights"):
        published.judge_relative(estimator, clips, None, tmp_path)
